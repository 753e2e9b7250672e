"""Secrets are taken out of a message before it reaches the disk.

What is masked: digest responses and what helps to guess them (`response`, `cnonce`, `rspauth`, `nextnonce`; RFC
7616), credentials of any other scheme as a whole, SDP keys (`a=crypto` RFC 4568, `k=` RFC 8866 section 5.12,
`a=key-mgmt` RFC 4567), ICE passwords (RFC 8839), passwords in URIs (RFC 3261 section 19.1.1) and digits in INFO, which
may be those of a card and its PIN. User names, realms and nonces stay: they are what one looks for.

The common message holds none of these, so that the check is what counts: `may_hold_secrets` takes all messages of a
call at once, `body_may_hold_secrets` is quick with those that have no body.
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
_OF_DIGITS = re.compile(rb"dtmf|digits|telephone-event", re.IGNORECASE)
_DIGIT_LINE = re.compile(
    rb"^(?![ \t]*duration[ \t]*=[ \t]*\d+[ \t]*\r?$|Content-|--)([ \t]*\w+[ \t]*=)?[^\r\n]+",
    re.IGNORECASE | re.MULTILINE,
)


def may_hold_secrets(heads: bytes) -> bool:
    """Whether header fields somewhere in `heads`, any number of messages, make `masked` worth its while for each."""
    lower = heads.lower()
    return b"auth" in lower or _URI_PASSWORD.search(lower) is not None


def body_may_hold_secrets(message: bytes) -> bool:
    """The same of one message's body; most messages have none."""
    body = message[message.find(b"\r\n\r\n") + 4 :]
    if body == b"":
        return False
    if message[:5] == b"INFO ":
        return True
    return b"inline:" in body or b"ice-pwd" in body or b"key-mgmt" in body or b"\nk=" in body


def masked(data: bytes) -> bytes:
    """`data`, a SIP message, with `***` in place of each secret. Its Content-Length is left as it was."""
    if body_may_hold_secrets(data):
        data = _SDP_SECRET.sub(lambda match: (match[1] or match[2]) + b"***", data)
        if data[:5] == b"INFO " and _OF_DIGITS.search(data):
            head, end, body = data.partition(b"\r\n\r\n")
            data = head + end + _DIGIT_LINE.sub(rb"\1***", body)
    data = _CREDENTIALS.sub(_mask_credentials, data)
    return _URI_PASSWORD_ANY_CASE.sub(rb"\1:***@", data)


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
