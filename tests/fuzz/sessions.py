"""Session descriptions for random call histories: audio, and now and then video, fax, BFCP and text beside it; streams
that are refused or removed; every style of hold; and answers that do not answer what was asked."""

from __future__ import annotations

import random
import re

from sbc.sip import Address
from tests.support.phone import sdp

_LINE = re.compile(rb"^m=(\S+) \d+ (\S+) ([^\r\n]+)", re.MULTILINE)
_AUDIO = ("audio", "RTP/AVP", "0 8")
_MORE = (
    ("video", "RTP/AVPF", "34 31"),
    ("video", "RTP/AVP", "34"),
    ("image", "udptl", "t38"),
    ("application", "UDP/BFCP", "*"),
    ("application", "TCP/MSRP", "*"),
    ("text", "RTP/AVP", "98"),
    ("audio", "RTP/AVP", "8"),
)
_MOST = 4
_Line = tuple[str, str, str]
"""Media, protocol, formats of an m-line."""


class Sessions:
    """What the phones of one history say; each goes on with the m-lines that it has."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._plain = rng.random() < 0.5
        """Audio only, and nothing strange."""
        self._layouts: dict[Address, list[_Line]] = {}

    def offer(self, address: Address, port: int, version: int = 1, direction: str = "sendrecv") -> bytes:
        if self._plain:
            return sdp(address, port, version, direction)
        rng = self._rng
        layout = self._layouts.setdefault(address, [_AUDIO])
        if len(layout) < _MOST and rng.random() < 0.3:
            layout.append(rng.choice(_MORE))
        if rng.random() < 0.05:  # from audio to fax
            layout[0] = rng.choice((_AUDIO, ("image", "udptl", "t38")))
        lines = layout[: rng.randrange(1, len(layout) + 1)] if rng.random() < 0.03 else layout
        return self._written(address, port, version, direction, lines)

    def answer(self, offer: bytes, address: Address, port: int, version: int = 1) -> bytes:
        """To `offer`, as it came; without one as if audio was offered."""
        if self._plain:
            return sdp(address, port, version)
        rng = self._rng
        lines = [(m[1].decode(), m[2].decode(), m[3].decode()) for m in _LINE.finditer(offer)] or [_AUDIO]
        self._layouts[address] = list(lines)
        if rng.random() < 0.03:
            lines = lines[:-1] or [*lines, _AUDIO]
        return self._written(address, port, version, rng.choice(("sendrecv", "sendrecv", "recvonly")), lines)

    def _written(self, address: Address, port: int, version: int, direction: str, lines: list[_Line]) -> bytes:
        rng = self._rng
        head, _, _ = sdp(address, port, version, direction).partition(b"m=")
        if rng.random() < 0.05:
            head = head.replace(f"c=IN IP4 {address.host}".encode(), b"c=IN IP4 0.0.0.0")
        text = ""
        for index, (media, protocol, formats) in enumerate(lines):
            number = 0 if rng.random() < 0.12 else port + 100 * index
            text += f"m={media} {number} {protocol} {formats}\r\n"
            if protocol.startswith("RTP"):
                text += "".join(f"a=rtpmap:{each} t140/1000\r\n" for each in formats.split() if each == "98")
                text += f"a={direction}\r\n"
        return head + text.encode()
