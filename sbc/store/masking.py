"""Secrets are taken out of a message before it reaches the disk.

What is masked: digest responses and what helps to guess them (`response`, `cnonce`, `rspauth`, `nextnonce`; RFC
7616), credentials of any other scheme as a whole, SDP keys (`a=crypto` RFC 4568, `k=` RFC 8866 section 5.12,
`a=key-mgmt` RFC 4567), ICE passwords (RFC 8839) and passwords in URIs (RFC 3261 section 19.1.1). User names, realms
and nonces stay: they are what one looks for.

The common message holds none of these, so that the check is what counts: a few searches over the bytes, about 1 us.
"""

from __future__ import annotations

import re

_URI_PASSWORD = re.compile(rb"sips?:[^\s@:<>\"]*:[^\s@<>\"]*@")
_URI_PASSWORD_ANY_CASE = re.compile(rb"(sips?:[^\s@:<>\"]*):[^\s@<>\"]*@", re.IGNORECASE)
_CREDENTIALS = re.compile(
    rb"^((?:proxy-)?authorization|(?:proxy-)?authentication-info)([ \t]*:\s*)((?:.|\r?\n[ \t])*)",
    re.IGNORECASE | re.MULTILINE,
)
_DIGEST_SECRET = re.compile(
    rb"\b(response|cnonce|rspauth|nextnonce)(\s*=\s*)(?:\"(?:[^\"\\]|\\.)*(?:\"|$)|[^\s,]*)", re.IGNORECASE | re.DOTALL
)
_SDP_SECRET = re.compile(rb"(inline:)[^\s|;]*|^(a=ice-pwd:|a=key-mgmt:|k=)[^\r\n]*", re.MULTILINE)


def masked(data: bytes) -> bytes:
    """`data`, a SIP message, with `***` in place of each secret. Its Content-Length is left as it was."""
    body = data.find(b"\r\n\r\n") + 4
    lower = data.lower()
    if body != len(data) and (
        data.find(b"inline:", body) >= 0
        or data.find(b"ice-pwd", body) >= 0
        or data.find(b"key-mgmt", body) >= 0
        or data.find(b"\nk=", body) >= 0
    ):
        data = _SDP_SECRET.sub(lambda match: (match[1] or match[2]) + b"***", data)
    if b"auth" in lower:
        data = _CREDENTIALS.sub(_mask_credentials, data)
    if _URI_PASSWORD.search(lower):
        data = _URI_PASSWORD_ANY_CASE.sub(rb"\1:***@", data)
    return data


def masked_uri(text: str) -> str:
    """A URI or name-addr with its password masked."""
    at = text.find("@")
    if at < 0 or text.count(":", 0, at) < 2:
        return text
    return _URI_PASSWORD_ANY_CASE.sub(rb"\1:***@", text.encode("utf-8", "replace")).decode("utf-8", "replace")


def _mask_credentials(match: re.Match[bytes]) -> bytes:
    name, separator, value = match.groups()
    if name.lower().endswith(b"info") or value[:7].lower().strip() == b"digest":
        return name + separator + _DIGEST_SECRET.sub(rb'\1\2"***"', value)
    return name + separator + value.split(None, 1)[0][:64] + b" ***" if value.strip() else match[0]
