"""Every byte of a link: frames as the kernel saw them, and what they carry put together again.

The kernel keeps the frames until somebody asks; nothing here runs meanwhile. What it had to throw away is counted, and
asking raises then, so that a capture that is handed out is whole.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from bisect import bisect_left
from typing import NamedTuple

from tests.support.lab import Namespace

_SOL_PACKET, _PACKET_STATISTICS, _PACKET_OUTGOING = 263, 6, 4
_SO_RCVBUFFORCE = 33
_ETH_P_ALL = 3
_BUFFER = 256 << 20


class Frame(NamedTuple):
    """One Ethernet frame. `by_host`: a host of the namespace where it was captured sent it."""

    by_host: bool
    data: bytes


class Capture:
    """All frames of one interface from now on, both ways."""

    def __init__(self, namespace: Namespace, interface: str = "eth0") -> None:
        self._socket = namespace.call(
            lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.htons(_ETH_P_ALL))
        )
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        namespace.call(lambda: self._socket.bind((interface, 0)))

    def take(self) -> list[Frame]:
        """The frames since the last time. Raises AssertionError if the kernel lost any."""
        frames = []
        while True:
            try:
                data, address = self._socket.recvfrom(1 << 18)
            except BlockingIOError:
                break
            frames.append(Frame(address[2] == _PACKET_OUTGOING, data))
        lost = struct.unpack("II", self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))[1]
        assert not lost, f"the capture lost {lost} frames"
        return frames

    def close(self) -> None:
        self._socket.close()


class Payload(NamedTuple):
    """What one UDP datagram (fragments put together), one TCP stream direction or one other IP packet carries."""

    first: int
    """Index of its first frame in the capture."""
    by_host: bool
    protocol: int
    source: tuple[str, int]
    target: tuple[str, int]
    data: bytes
    marks: tuple[tuple[int, int], ...] = ()
    """For streams: (offset after it, frame index) of each segment."""

    def frame_of(self, offset: int) -> int:
        """Index of the frame that the byte at `offset` came in."""
        if not self.marks:
            return self.first
        return self.marks[min(bisect_left(self.marks, (offset + 1, -1)), len(self.marks) - 1)][1]


class _Ip(NamedTuple):
    source: str
    target: str
    protocol: int
    fragment: tuple[int, int, bool] | None  # identification, offset, more follow
    data: bytes


def addresses_in_headers(frames: list[Frame]) -> set[str]:
    """Source and destination addresses of all IP packets."""
    return {address for frame in frames if (ip := _ip(frame.data)) for address in (ip.source, ip.target)}


def payloads(frames: list[Frame]) -> list[Payload]:
    """What the frames carry, in order of first frames. What is not IP (ARP) comes whole, as protocol -1."""
    found: list[Payload] = []
    fragments: dict[tuple[str, str, int, int], dict[int, tuple[bytes, bool]]] = {}
    streams: dict[tuple[tuple[str, int], tuple[str, int]], list[tuple[int, int, bool, bytes]]] = {}
    for index, frame in enumerate(frames):
        ip = _ip(frame.data)
        if ip is None:
            found.append(Payload(index, frame.by_host, -1, ("", 0), ("", 0), frame.data[14:]))
            continue
        if ip.fragment is not None:
            whole = _reassembled(fragments, ip, ip.fragment)
            if whole is None:
                continue
            ip = ip._replace(data=whole)
        if ip.protocol == socket.IPPROTO_TCP:
            source_port, target_port, sequence = struct.unpack_from("!HHI", ip.data)
            header = (ip.data[12] >> 4) * 4
            sequence += ip.data[13] >> 1 & 1  # SYN takes one number
            key = ((ip.source, source_port), (ip.target, target_port))
            streams.setdefault(key, []).append((sequence, index, frame.by_host, ip.data[header:]))
        elif ip.protocol == socket.IPPROTO_UDP:
            source_port, target_port, length = struct.unpack_from("!HHH", ip.data)
            source, target = (ip.source, source_port), (ip.target, target_port)
            found.append(Payload(index, frame.by_host, ip.protocol, source, target, ip.data[8:length]))
        else:
            found.append(Payload(index, frame.by_host, ip.protocol, (ip.source, 0), (ip.target, 0), ip.data))
    found.extend(_stream(key, segments) for key, segments in streams.items())
    return sorted(found, key=lambda payload: payload.first)


def _ip(frame: bytes) -> _Ip | None:
    kind = frame[12:14]
    if kind == b"\x08\x00":
        head = (frame[14] & 15) * 4
        total, identification, cut = struct.unpack_from("!HHH", frame, 16)
        fragment = (identification, (cut & 0x1FFF) * 8, bool(cut & 0x2000)) if cut & 0x3FFF else None
        end = 14 + total if total else len(frame)  # 0: a segment bigger than 64 KiB that the sender has not cut yet
        source, target = str(ipaddress.ip_address(frame[26:30])), str(ipaddress.ip_address(frame[30:34]))
        return _Ip(source, target, frame[23], fragment, frame[14 + head : end])
    if kind == b"\x86\xdd":
        source, target = str(ipaddress.ip_address(frame[22:38])), str(ipaddress.ip_address(frame[38:54]))
        following, at, fragment = frame[20], 54, None
        while following in (0, 43, 60, 44):  # hop-by-hop, routing, destination options, fragment
            if following == 44:
                cut, identification = struct.unpack_from("!HI", frame, at + 2)
                fragment = (identification, cut & 0xFFF8, bool(cut & 1))
                following, at = frame[at], at + 8
            else:
                following, at = frame[at], at + 8 + frame[at + 1] * 8
        return _Ip(source, target, following, fragment, frame[at:])
    return None


def _reassembled(
    fragments: dict[tuple[str, str, int, int], dict[int, tuple[bytes, bool]]], ip: _Ip, fragment: tuple[int, int, bool]
) -> bytes | None:
    """The whole packet once its last missing part is there."""
    identification, offset, more = fragment
    key = (ip.source, ip.target, ip.protocol, identification)
    parts = fragments.setdefault(key, {})
    parts[offset] = (ip.data, more)
    whole = b""
    while (part := parts.get(len(whole))) is not None:
        whole += part[0]
        if not part[1]:
            del fragments[key]
            return whole
    return None


def _stream(key: tuple[tuple[str, int], tuple[str, int]], segments: list[tuple[int, int, bool, bytes]]) -> Payload:
    """One direction of a TCP connection in order of its sequence numbers, repeated bytes once."""
    base = segments[0][0]
    data = bytearray()
    marks: list[tuple[int, int]] = []
    reached = -(1 << 31)
    ordered = sorted(
        ((sequence - base + (1 << 31)) % (1 << 32) - (1 << 31), index, part) for sequence, index, _, part in segments
    )
    for offset, index, part in ordered:
        if part and offset + len(part) > reached:
            data += part[max(reached - offset, 0) :]
            marks.append((len(data), index))
            reached = offset + len(part)
    return Payload(segments[0][1], segments[0][2], socket.IPPROTO_TCP, key[0], key[1], bytes(data), tuple(marks))
