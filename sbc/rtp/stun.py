"""STUN Binding (RFC 8489): what tells an element how the network sees it, and keeps its NAT's mapping open.

Only requests are answered, and those only with what every server must say: no authentication, no other method, no other
message class. A response has at most 24 octets more than its request, so that nobody gains by forging sources.
"""

from __future__ import annotations

import struct
from ipaddress import ip_address
from zlib import crc32

from sbc.rtp.demux import Datagram

COOKIE = b"\x21\x12\xa4\x42"
HEADER = struct.Struct("!HH4s12s")
"""Message type, length of what follows the header, magic cookie, transaction id (section 5)."""
_ATTRIBUTE = struct.Struct("!HH")

REQUEST, SUCCESS, ERROR = 0x0001, 0x0101, 0x0111
"""Message types of the Binding method."""
ERROR_CODE, UNKNOWN_ATTRIBUTES, XOR_MAPPED_ADDRESS, FINGERPRINT = 0x0009, 0x000A, 0x0020, 0x8028
OPTIONAL = 0x8000
"""Attributes from here on may be ignored by whoever does not know them (section 14)."""
KNOWN = frozenset(
    {0x0001, 0x0006, 0x0008, ERROR_CODE, UNKNOWN_ATTRIBUTES, 0x0014, 0x0015, 0x001C, 0x001D, 0x001E, XOR_MAPPED_ADDRESS}
)
"""Those of RFC 8489 itself that must be understood (section 18.3.1). Without authentication none of them says anything
to a server."""
_FINGERPRINT_MASK = 0x5354554E
_PORT_MASK = 0x2112
_NOT_UNDERSTOOD = b"\0\0\x04\x14"
"""ERROR-CODE 420; the reason phrase, which is for people, is left out."""


def is_stun(datagram: Datagram) -> bool:
    """Whether a datagram can be STUN and nothing else: two zero bits, and the magic cookie (section 5)."""
    return len(datagram) >= HEADER.size and datagram[0] < 4 and datagram[4:8] == COOKIE


def answer_binding(request: bytes, host: str, port: int) -> bytes | None:
    """The response to a Binding request that came from `host` (an IP address) and `port`.

    None for whatever is not to be answered: other messages, and what is malformed (section 6.3).
    """
    if not is_stun(request):
        return None
    kind, length, _, transaction = HEADER.unpack_from(request)
    if kind != REQUEST or length != len(request) - HEADER.size or length & 3:
        return None
    unknown = _unknown_attributes(request)
    if unknown is None:
        return None
    if unknown:  # 6.3.1: "it MUST include an UNKNOWN-ATTRIBUTES attribute in the response that lists" them
        listed = b"".join(kind.to_bytes(2, "big") for kind in unknown)
        attributes = _attribute(ERROR_CODE, _NOT_UNDERSTOOD) + _attribute(UNKNOWN_ATTRIBUTES, listed)
        return HEADER.pack(ERROR, len(attributes), COOKIE, transaction) + attributes
    attributes = _attribute(XOR_MAPPED_ADDRESS, _xor_address(host, port, transaction))
    return HEADER.pack(SUCCESS, len(attributes), COOKIE, transaction) + attributes


def _unknown_attributes(request: bytes) -> list[int] | None:
    """Attributes that would have to be understood and are not; None if the request is malformed."""
    unknown: dict[int, None] = {}
    at, end = HEADER.size, len(request)
    while at < end:
        kind, length = _ATTRIBUTE.unpack_from(request, at)  # a multiple of four octets is left
        following = at + _ATTRIBUTE.size + (length + 3 & ~3)
        if following > end:
            return None
        if kind == FINGERPRINT and not _fingerprint_holds(request, at, length):
            return None
        if kind < OPTIONAL and kind not in KNOWN:
            unknown[kind] = None
        at = following
    return list(unknown)


def _fingerprint_holds(request: bytes, at: int, length: int) -> bool:
    """Section 14.7: a checksum over all that stands before it, as the last attribute."""
    if length != 4 or at + 8 != len(request):
        return False
    return int.from_bytes(request[at + 4 :], "big") == crc32(request[:at]) ^ _FINGERPRINT_MASK


def _attribute(kind: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(kind, len(value)) + value + bytes(-len(value) & 3)


def _xor_address(host: str, port: int, transaction: bytes) -> bytes:
    """Section 14.2: the address, xored so that no NAT on the way takes it for one that it should translate."""
    address = ip_address(host.partition("%")[0])
    mask = (COOKIE + transaction)[: len(address.packed)]
    hidden = int.from_bytes(address.packed, "big") ^ int.from_bytes(mask, "big")
    family = 1 if address.version == 4 else 2
    return struct.pack("!BBH", 0, family, port ^ _PORT_MASK) + hidden.to_bytes(len(mask), "big")
