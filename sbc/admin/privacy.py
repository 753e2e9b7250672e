"""What of the private side shows on the public side: the tokens to look for, and the search. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

_SHORTEST = 5
_ADDRESS = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.])|(?<=\[)[0-9a-fA-F:.]+(?=\])")
_TAG = re.compile(r"^(?:from|to|f|t)[ \t]*:[^\r\n]*?;\s*tag=([^;,\s>]+)", re.IGNORECASE | re.MULTILINE)
_BRANCH = re.compile(r"\bbranch=([^;,\s]+)", re.IGNORECASE)
_NAMING = re.compile(
    r"^(call-id|i|user-agent|server|organization|warning|p-[\w-]*id\w*)[ \t]*:[ \t]*([^\r\n]+)",
    re.IGNORECASE | re.MULTILINE,
)
_URI = re.compile(r"sips?:(?:[^@\s<>;]*@)?([\w.-]+|\[[^\]]*\])(:\d+)?", re.IGNORECASE)
_CONTACT = re.compile(r"^(?:contact|m)[ \t]*:[^\r\n]*?sips?:([^@\s<>;:]+)@", re.IGNORECASE | re.MULTILINE)
_ORIGIN = re.compile(r"^o=(\S+) (\S+)", re.MULTILINE)
_SESSION_NAME = re.compile(r"^s=([^\r\n]+)", re.MULTILINE)


class Token(NamedTuple):
    """Something that only the private side says."""

    kind: str
    text: str
    pattern: bytes
    """What is searched for."""


class Finding(NamedTuple):
    token: Token
    where: str
    """The first line of the message, or what the datagram is."""


def private_tokens(
    messages: Iterable[Mapping[str, Any]], names: Iterable[str], sent_by_us: Sequence[bytes]
) -> list[Token]:
    """The tokens in `messages` of the private leg (as the record of calls has them), and `names` that it is known to
    say otherwise (CNAME, host names). Those that the public side said itself (`sent_by_us`) are its own.
    """
    found: dict[tuple[str, str], None] = {}
    for message in messages:
        text = message["text"]
        hosts = {_host(message["remote"]), _host(message["local"]), *_ADDRESS.findall(text)}
        for host in sorted(hosts):
            found[("address", host)] = None
        for kind, values in (
            ("tag", _TAG.findall(text)),
            ("branch", _BRANCH.findall(text)),
            ("host", [host for host, _ in _URI.findall(text)]),
            ("contact user", _CONTACT.findall(text)),
            ("SDP origin", [part for parts in _ORIGIN.findall(text) for part in parts]),
            ("SDP session name", _SESSION_NAME.findall(text)),
        ):
            for value in values:
                found[(kind, value.strip())] = None
        for name, value in _NAMING.findall(text):
            found[("Call-ID" if name.lower() in ("call-id", "i") else name.title(), value.strip())] = None
    for name in names:
        found[("name", name)] = None
    ours = b"\n".join(sent_by_us)
    return _patterns(found, ours)


def _patterns(found: Iterable[tuple[str, str]], ours: bytes) -> list[Token]:
    tokens: dict[bytes, Token] = {}
    for kind, text in found:
        pattern = text.encode()
        if len(pattern) >= _SHORTEST and pattern not in ours:
            tokens.setdefault(pattern, Token(kind, text, pattern))
            packed = _packed(text)
            if packed:
                tokens.setdefault(packed, Token("address in binary", text, packed))
    return list(tokens.values())


def leaks(tokens: Sequence[Token], received: Iterable[bytes]) -> list[Finding]:
    """Each token that stands in one of the datagrams that the public side received, with the first place."""
    open_tokens = list(tokens)
    findings = []
    for datagram in received:
        lower = datagram.lower()
        for token in list(open_tokens):
            if token.pattern in datagram or (token.kind != "address in binary" and token.pattern.lower() in lower):
                findings.append(Finding(token, _what(datagram)))
                open_tokens.remove(token)
    return findings


def _what(datagram: bytes) -> str:
    if datagram[:1] and datagram[0] >> 6 == 2:
        return "RTCP" if len(datagram) > 1 and 192 <= datagram[1] <= 223 else "RTP"
    return datagram.partition(b"\r\n")[0][:80].decode("utf-8", "replace")


def _host(address: str) -> str:
    return address.rpartition(":")[0].strip("[]")


def _packed(text: str) -> bytes:
    try:
        return ipaddress.ip_address(text).packed
    except ValueError:
        return b""
