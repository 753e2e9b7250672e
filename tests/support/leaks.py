"""The search for what names the private side in a capture of the public link.

What to look for is learned from a capture of the private link during the same calls, so that nobody has to think of it:
Call-IDs, tags, branches, host names, user agents, session ids, CNAMEs; besides the addresses of the private network in
text, in binary and in hexadecimal. A token that the public side said first (a Call-ID that the SBC passed on inwards,
say) is no secret, and its coming back is no leak.
"""

from __future__ import annotations

import ipaddress
import re
import struct
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import NamedTuple

from tests.support.capture import Frame, Payload, addresses_in_headers, payloads


class Token(NamedTuple):
    kind: str
    value: bytes
    """Lower case where it is text."""
    binary: bool = False


class Sighting(NamedTuple):
    """The first place where a token stands on the public link. If the edge sent it, it is a leak."""

    token: Token
    payload: Payload
    offset: int

    @property
    def is_leak(self) -> bool:
        return not self.payload.by_host

    def __str__(self) -> str:
        start = max(0, self.offset - 60)
        excerpt = self.payload.data[start : self.offset + len(self.token.value) + 60]
        return f"{self.token.kind} {self.token.value!r} sent to {self.payload.target}: ...{excerpt!r}"


_SHORTEST = 5
"""Shorter text is found by chance."""

_CALL_ID = re.compile(rb"(?im)^(?:call-id|i)[ \t]*:[ \t]*([^\r\n]+?)[ \t]*\r?$")
_TAG = re.compile(rb"(?i);[ \t]*tag[ \t]*=[ \t]*([^;,>\s]+)")
_BRANCH = re.compile(rb"(?i);[ \t]*branch[ \t]*=[ \t]*([^;,\s]+)")
_URI_HOST = re.compile(rb"(?i)\bsips?:(?:[^@\s<>]*@)?(\[[0-9a-f:.]+\]|[a-z0-9.-]+)")
_VIA_HOST = re.compile(
    rb"(?im)^(?:via|v)[ \t]*:[ \t]*SIP[ \t]*/[ \t]*2.0[ \t]*/[ \t]*\w+[ \t]+(\[[0-9a-f:.]+\]|[a-z0-9.-]+)"
)
_CONTACT_USER = re.compile(rb"(?im)^(?:contact|m)[ \t]*:[^\r\n]*?sips?:([^@\s<>;]+)@")
_NAMING_HEADER = re.compile(
    rb"(?im)^(?:user-agent|server|organization|call-info|alert-info|error-info|reply-to|warning)"
    rb"[ \t]*:[ \t]*([^\r\n]+?)[ \t]*\r?$"
)
_SDP_LINE = re.compile(rb"(?m)^(?:o=(\S+) (\S+) \S+ IN IP[46] (\S+)|[suep]=([^\r\n]+)|c=IN IP[46] ([^\r\n/]+))\r?$")
_MSRP_URI = re.compile(rb"(?i)\bmsrps?://(?:[^@/\s]*@)?(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::\d+)?(?:/([^;\s]+))?")
_SIP_START = re.compile(rb"^(?:SIP/2\.0 |[A-Z]+ \S+ SIP/2\.0\r?$)", re.MULTILINE)


def address_tokens(addresses: Iterable[str]) -> set[Token]:
    """The forms in which an address may stand somewhere."""
    tokens = set()
    for text in addresses:
        address = ipaddress.ip_address(text)
        tokens.add(Token("address", address.packed, binary=True))
        for form in (address.compressed, address.exploded, address.packed.hex()):
            tokens.add(Token("address", form.encode()))
    return tokens


def tokens_of(frames: list[Frame], known: Iterable[str] = ()) -> set[Token]:
    """What a capture of the private link, taken at the private hosts, tells about the private side.

    `known`: names that are no secret (the public side's addresses and domains), so that a private phone may dial them.
    """
    tokens: set[Token] = set()
    for payload in payloads(frames):
        if _SIP_START.search(payload.data):
            tokens.update(_sip_tokens(payload))
            tokens.update(_found("MSRP", _MSRP_URI, payload.data))
        elif payload.data.startswith(b"MSRP "):
            tokens.update(_found("MSRP", _MSRP_URI, payload.data))
        elif payload.by_host:
            tokens.update(_cname_tokens(payload.data))
    public = {name.lower().encode() for name in known}
    return {token for token in tokens if token.value not in public}


class _Haystack:
    """Payloads one behind the other, so that a token is looked for in all of them at once."""

    def __init__(self, carried: list[Payload], *, lowered: bool) -> None:
        self._carried = carried
        self._starts = list(accumulate((len(payload.data) + 1 for payload in carried), initial=0))
        self._text = b"\n".join(payload.data for payload in carried)
        if lowered:
            self._text = self._text.lower()

    def first(self, token: Token) -> tuple[int, Payload, int] | None:
        """Frame, payload and offset of the first place, in the order of the payloads."""
        found = self._text.find(token.value)
        while found >= 0 and token.value.isdigit() and self._is_part_of_a_number(found, len(token.value)):
            found = self._text.find(token.value, found + 1)
        if found < 0:
            return None
        which = bisect_right(self._starts, found) - 1
        payload, offset = self._carried[which], found - self._starts[which]
        return payload.frame_of(offset + len(token.value) - 1), payload, offset

    def _is_part_of_a_number(self, start: int, length: int) -> bool:
        """Digits inside more digits: our random session ids hold any short number before long."""
        around = self._text[max(0, start - 1) : start] + self._text[start + length : start + length + 1]
        return any(character in b"0123456789" for character in around)


def sightings(frames: list[Frame], tokens: Iterable[Token]) -> list[Sighting]:
    """The first place of each token in a capture of the public link, taken at the public hosts."""
    carried = payloads(frames)
    whole = [payload for payload in carried if not payload.marks]
    parts = [whole, *([payload] for payload in carried if payload.marks)]  # a stream lasts while others come and go
    haystacks = {binary: [_Haystack(part, lowered=not binary) for part in parts] for binary in (False, True)}
    seen = []
    for token in tokens:
        places = [place for haystack in haystacks[token.binary] if (place := haystack.first(token))]
        if places:
            _, payload, offset = min(places, key=lambda place: place[0])
            seen.append(Sighting(token, payload, offset))
    return seen


def find_leaks(frames: list[Frame], tokens: Iterable[Token]) -> list[Sighting]:
    """Those tokens that the edge was the first to send to the public link."""
    return [sighting for sighting in sightings(frames, tokens) if sighting.is_leak]


def foreign_addresses(frames: list[Frame], networks: Iterable[str]) -> set[str]:
    """Addresses of `networks` in the IP headers of a capture."""
    inside = [ipaddress.ip_network(network) for network in networks]
    return {
        address
        for address in addresses_in_headers(frames)
        if any(ipaddress.ip_address(address) in network for network in inside)
    }


def _sip_tokens(payload: Payload) -> Iterator[Token]:
    """Identifiers of the private legs whoever made them; names only from the private side itself."""
    data = payload.data
    yield from _found("Call-ID", _CALL_ID, data)
    yield from _found("tag", _TAG, data)
    yield from _found("branch", _BRANCH, data)
    if payload.by_host:
        yield from _found("host", _URI_HOST, data)
        yield from _found("host", _VIA_HOST, data)
        yield from _found("name", _NAMING_HEADER, data)
        yield from _found("SDP", _SDP_LINE, data)
    else:
        yield from _found("Contact", _CONTACT_USER, data)


def _found(kind: str, pattern: re.Pattern[bytes], data: bytes) -> Iterator[Token]:
    for match in pattern.finditer(data):
        for value in match.groups():
            if value and len(value) >= _SHORTEST:
                yield Token(kind, value.strip(b"[]").lower())


def _cname_tokens(data: bytes) -> Iterator[Token]:
    """Texts of the source descriptions in an RTCP compound packet (RFC 3550 section 6.5)."""
    while len(data) >= 8 and data[0] >> 6 == 2 and 200 <= data[1] <= 204:
        count, kind, words = data[0] & 31, data[1], struct.unpack_from("!H", data, 2)[0]
        packet, data = data[4 : 4 + 4 * words], data[4 + 4 * words :]
        if kind == 202:
            yield from _description_tokens(packet, count)


def _description_tokens(packet: bytes, count: int) -> Iterator[Token]:
    at = 0
    for _ in range(count):
        at += 4  # SSRC
        while at + 1 < len(packet) and packet[at]:
            text = packet[at + 2 : at + 2 + packet[at + 1]]
            if len(text) >= _SHORTEST:
                yield Token("RTCP", text.lower())
            at += 2 + len(text)
        at = (at // 4 + 1) * 4
