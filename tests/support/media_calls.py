"""Media with ports at hand, and descriptions to put through it."""

from __future__ import annotations

import random

from sbc.media import Latching, Media, MediaAddress, MediaSession, MediaSettings, PortsReady, SideFacts
from sbc.sip import Tokens

PUBLIC = MediaAddress("203.0.113.10", "198.51.100.10")
"""Behind a 1:1 NAT."""
PUBLIC_V6 = MediaAddress("2001:db8::10", "2001:db8::10")
PRIVATE = MediaAddress("10.0.0.1", "10.0.0.1")
PRIVATE_V6 = MediaAddress("fd00::1", "fd00::1")

A_SIDE = SideFacts(PUBLIC, None, Latching.SIGNALLING, "192.0.2.7", hidden=False)
B_SIDE = SideFacts(PRIVATE, None, Latching.STRICT, "10.0.0.5", hidden=True)


def media_with_ports(count: int = 50, **settings: object) -> Media:
    """`count` free pairs on each of our addresses, from port 20000 (public) and 30000 (private)."""
    media = Media(MediaSettings(**settings), Tokens(random.Random(7).randbytes))  # type: ignore[arg-type]
    for address, first in ((PUBLIC, 20000), (PUBLIC_V6, 20000), (PRIVATE, 30000), (PRIVATE_V6, 30000)):
        media.handle(PortsReady(address.bind, tuple(range(first, first + 2 * count, 2))), 0.0)
    return media


def open_call(media: Media, a: SideFacts = A_SIDE, b: SideFacts = B_SIDE) -> MediaSession:
    return media.open("call", a, b)


def sdp(*media: str, host: str = "192.0.2.7", session: tuple[str, ...] = (), origin: str = "user 11 22") -> bytes:
    """A description; each of `media` is an m-line's value and further lines, separated by "|"."""
    family = "IP6" if ":" in host else "IP4"
    lines = ["v=0", f"o={origin} IN {family} {host}", "s=-", f"c=IN {family} {host}", "t=0 0", *session]
    for stream in media:
        first, *rest = stream.split("|")
        lines += ["m=" + first, *rest]
    return "\r\n".join([*lines, ""]).encode()


AUDIO = "audio 6000 RTP/AVP 0 101|a=rtpmap:0 PCMU/8000|a=rtpmap:101 telephone-event/8000|a=fmtp:101 0-16"


def lines(data: bytes) -> list[str]:
    """Lines of a description; each of them is known to end with CRLF."""
    text = data.decode()
    assert text.endswith("\r\n")
    return text[:-2].split("\r\n")
