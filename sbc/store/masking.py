"""Secrets are taken out of a message before it reaches the disk.

What is masked: digest responses and what helps to guess them (`response`, `cnonce`, `rspauth`, `nextnonce`; RFC
7616), credentials of any other scheme as a whole, SDP keys (`a=crypto` RFC 4568, `k=` RFC 8866 section 5.12,
`a=key-mgmt` RFC 4567), ICE passwords (RFC 8839), MSRP session-ids (RFC 4975 section 14.1), passwords in URIs (RFC 3261
section 19.1.1) and digits in INFO, which may be those of a card and its PIN. User names, realms and nonces stay: they
are what one looks for.

The common message holds none of these, so that the check is what counts: `may_hold_secrets` takes all messages of a
call at once, `body_may_hold_secrets` is quick with those that have no body.
"""

from __future__ import annotations

import re

# What follows the second colon is taken, password or not, so that nothing is looked at twice in "sip:sip:sip:..."
_URI_WITH_COLONS = re.compile(rb"(sips?:[^\s@:<>\"]*):[^\s@<>\"]*")
_URI_WITH_COLONS_ANY_CASE = re.compile(_URI_WITH_COLONS.pattern, re.IGNORECASE)
_CREDENTIALS = re.compile(
    rb"^((?:proxy-)?authorization|(?:proxy-)?authentication-info)([ \t]*:\s*)((?:.|\r?\n[ \t])*)",
    re.IGNORECASE | re.MULTILINE,
)
_DIGEST_SECRET = re.compile(
    rb"\b(response|cnonce|rspauth|nextnonce)(\s*=\s*)(?:\"(?:[^\"\\]|\\.)*(?:\"|$)|[^\s,]*)", re.IGNORECASE | re.DOTALL
)
_SDP_SECRET = re.compile(rb"(inline:)[^\s|;]*|^(a=ice-pwd:|a=key-mgmt:|k=)[^\r\n]*", re.MULTILINE)
_MSRP_SESSION = re.compile(rb"(msrps?://[^\s/;]{1,300}/)[^\s;]+", re.IGNORECASE)
_OF_DIGITS = re.compile(rb"dtmf|digits|telephone-event", re.IGNORECASE)
_DIGIT_LINE = re.compile(
    rb"^(?![ \t]*duration[ \t]*=[ \t]*\d+[ \t]*\r?$|Content-|--)([ \t]*\w+[ \t]*=)?[^\r\n]+",
    re.IGNORECASE | re.MULTILINE,
)


def may_hold_secrets(heads: bytes) -> bool:
    """Whether header fields somewhere in `heads`, any number of messages, make `masked` worth its while for each."""
    lower = heads.lower()
    return b"auth" in lower or any(map(_is_password, _URI_WITH_COLONS.finditer(lower)))


def body_may_hold_secrets(message: bytes) -> bool:
    """The same of one message's body; most messages have none."""
    body = message[message.find(b"\r\n\r\n") + 4 :]
    if body == b"":
        return False
    if message[:5] == b"INFO ":
        return True
    return b"inline:" in body or b"ice-pwd" in body or b"key-mgmt" in body or b"\nk=" in body or b"a=path:" in body


def masked(data: bytes) -> bytes:
    """`data`, a SIP message, with `***` in place of each secret. Its Content-Length is left as it was."""
    if body_may_hold_secrets(data):
        data = _SDP_SECRET.sub(lambda match: (match[1] or match[2]) + b"***", data)
        data = _MSRP_SESSION.sub(rb"\1***", data)
        if data[:5] == b"INFO " and _OF_DIGITS.search(data):
            head, end, body = data.partition(b"\r\n\r\n")
            data = head + end + _DIGIT_LINE.sub(rb"\1***", body)
    data = _CREDENTIALS.sub(_mask_credentials, data)
    return _URI_WITH_COLONS_ANY_CASE.sub(_mask_password, data)


def masked_uri(text: str) -> str:
    """A URI, or text with any number of them, with passwords masked."""
    at = text.rfind("@")
    if at < 0 or text.count(":", 0, at) < 2:
        return text
    octets = text.encode("utf-8", "replace")
    return _URI_WITH_COLONS_ANY_CASE.sub(_mask_password, octets).decode("utf-8", "replace")


def _is_password(match: re.Match[bytes]) -> bool:
    """Whether there is a password behind the second colon: the user's host follows."""
    return match.string[match.end() : match.end() + 1] == b"@"


def _mask_password(match: re.Match[bytes]) -> bytes:
    return match[1] + b":***" if _is_password(match) else match[0]


def _mask_credentials(match: re.Match[bytes]) -> bytes:
    name, separator, value = match.groups()
    if name.lower().endswith(b"info") or value[:7].lower().strip() == b"digest":
        return name + separator + _DIGEST_SECRET.sub(rb'\1\2"***"', value)
    return name + separator + value.split(None, 1)[0][:64] + b" ***" if value.strip() else match[0]
