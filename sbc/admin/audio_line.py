"""The media side of a built-in phone: one RTP and RTCP socket pair that plays a tone or echoes, and measures what
comes.
"""

from __future__ import annotations

import contextlib
import struct
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from twisted.internet.error import CannotListenError
from twisted.internet.protocol import DatagramProtocol

from sbc.admin.tone import FRAME, RATE, sine, sound_of
from sbc.rtp import Reception, RtpView
from sbc.sip import Address

_FRAME_TIME = FRAME / RATE
_RECORDED = 10 * RATE
_REPORTS_EVERY = 5.0
_FIRST_REPORT = 0.5
_NTP_EPOCH = 2208988800
_PORT_ATTEMPTS = 50


class Heard(NamedTuple):
    """What a phone heard in a call."""

    frequency: float
    """Hz, of the strongest tone; 0: silence."""
    share: float
    """Part of the power that it has."""
    packets: int
    lost: int
    jitter: float
    """Milliseconds (RFC 3550)."""
    seconds: float
    """From the first packet to the last."""


class _Port(DatagramProtocol):
    """One UDP socket; hands on what comes."""

    def __init__(self, received: Callable[[bytes], None]) -> None:
        self._received = received

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self._received(datagram)

    def connectionRefused(self) -> None:
        pass


class AudioLine:
    """PCMU both ways. `frequency` is what it plays; None: it echoes. `source` describes it in RTCP (RFC 3550 section
    6.5).

    `tap`, if given, is shown every datagram that comes. Raises OSError or CannotListenError when there is no free
    pair of ports.
    """

    def __init__(
        self,
        reactor: Any,
        host: str,
        frequency: float | None,
        source: dict[str, str],
        ssrc: int,
        tap: Callable[[bytes], None] | None = None,
    ) -> None:
        self._reactor = reactor
        self._frequency = frequency
        self._source = source
        self._ssrc = ssrc
        self._tap = tap
        self._remote: Address | None = None
        self._remote_rtcp: Address | None = None
        self._reception = Reception(RATE)
        self._recording = bytearray()
        self._first_heard = self._last_heard = 0.0
        self._sequence = ssrc & 0x7FFF
        self._timestamp = ssrc * 2654435761 & 0xFFFFFFFF  # RFC 3550 section 5.1: "SHOULD be random"
        self._samples = 0
        self._sent = self._sent_octets = self._frames = 0
        self._began = 0.0
        self._next_report = 0.0
        self._timer: Any = None
        self._ports: tuple[Any, ...] = self._bind(host)
        self.port: int = self._ports[0].getHost().port

    def _bind(self, host: str) -> tuple[Any, Any]:
        """An even port and the odd one after it (RFC 3550 section 11)."""
        for _ in range(_PORT_ATTEMPTS):
            rtp = self._reactor.listenUDP(0, _Port(self._rtp_received), host, maxPacketSize=2048)
            port = rtp.getHost().port
            if port % 2 == 0:
                try:
                    return rtp, self._reactor.listenUDP(port + 1, _Port(self._rtcp_received), host, maxPacketSize=2048)
                except CannotListenError:
                    pass
            rtp.stopListening()
        raise OSError(f"no free pair of ports on {host}")

    @property
    def last_heard(self) -> float:
        """Monotonic time of the last RTP packet, or of when the line began to talk."""
        return self._last_heard or self._began

    @property
    def talking(self) -> bool:
        return self._remote is not None

    def talk_to(self, remote: Address | None, rtcp: Address | None) -> None:
        """Send there from now on; None: nowhere (hold)."""
        self._remote, self._remote_rtcp = remote, rtcp
        if remote is not None and self._timer is None:
            now = time.monotonic()
            self._began = now
            self._frames = 0
            self._next_report = self._next_report or now + _FIRST_REPORT
            self._tick()

    def heard(self) -> Heard:
        figures = self._reception.figures()
        sound = sound_of(bytes(self._recording))
        seconds = self._last_heard - self._first_heard
        return Heard(sound.frequency, sound.share, figures.packets, figures.lost, figures.jitter, seconds)

    def close(self) -> None:
        """Say goodbye in RTCP and free the ports. What was heard stays."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._sent and self._ports:
            self._send_report(goodbye=True)
        self._remote = self._remote_rtcp = None
        ports, self._ports = self._ports, ()
        for port in ports:
            port.stopListening()

    def _tick(self) -> None:
        """Send every frame that is due by now, and come again when the next one is: late ticks do not slow the tone
        down.
        """
        now = time.monotonic()
        if self._remote is None:
            self._timer = None
            return
        due = int((now - self._began) / _FRAME_TIME) + 1
        if due - self._frames > 25:  # the process stood still: do not flood
            self._frames = due - 1
        while self._frames < due:
            self._frames += 1
            if self._frequency is not None:
                self._send(sine(self._frequency, self._samples), self._timestamp)
                self._samples += FRAME
                self._timestamp = self._timestamp + FRAME & 0xFFFFFFFF
        if now >= self._next_report:
            self._next_report = now + _REPORTS_EVERY
            self._send_report()
        self._timer = self._reactor.callLater(max(0.001, self._began + self._frames * _FRAME_TIME - now), self._tick)

    def _send(self, payload: bytes, timestamp: int, payload_type: int = 0) -> None:
        marker = 0 if self._sent else 0x80
        head = struct.pack("!BBHII", 0x80, marker | payload_type, self._sequence, timestamp, self._ssrc)
        self._sequence = self._sequence + 1 & 0xFFFF
        self._sent += 1
        self._sent_octets += len(payload)
        self._write(self._ports[0], head + payload, self._remote)

    def _send_report(self, goodbye: bool = False) -> None:
        wall = time.time() + _NTP_EPOCH
        report = struct.pack(
            "!BBHIIIIII",
            0x80, 200, 6, self._ssrc,
            int(wall) & 0xFFFFFFFF, int(wall % 1 * (1 << 32)),
            self._timestamp, self._sent, self._sent_octets & 0xFFFFFFFF,
        )  # fmt: skip
        items = b"".join(
            struct.pack("!BB", kind, len(text)) + text
            for kind, text in ((kind, self._source.get(name, "").encode()[:255]) for kind, name in _ITEMS)
            if text
        )
        items += bytes(4 - len(items) % 4)
        description = struct.pack("!BBHI", 0x81, 202, 1 + len(items) // 4, self._ssrc) + items
        end = struct.pack("!BBHI", 0x81, 203, 1, self._ssrc) if goodbye else b""
        self._write(self._ports[1], report + description + end, self._remote_rtcp)

    @staticmethod
    def _write(port: Any, data: bytes, remote: Address | None) -> None:
        if remote is not None:
            with contextlib.suppress(OSError):
                port.write(data, (remote.host, remote.port))

    def _rtp_received(self, data: bytes) -> None:
        if self._tap is not None:
            self._tap(data)
        try:
            view = RtpView.of(data)
        except ValueError:
            return
        now = time.monotonic()
        self._first_heard = self._first_heard or now
        self._last_heard = now
        self._reception.count(len(data), view.sequence, view.timestamp, view.ssrc, now)
        if self._frequency is None:
            self._timestamp = view.timestamp
            self._send(data[12:], view.timestamp, view.payload_type)
        elif view.payload_type == 0 and len(self._recording) < _RECORDED:
            self._recording += data[12:]

    def _rtcp_received(self, data: bytes) -> None:
        if self._tap is not None:
            self._tap(data)


_ITEMS = ((1, "cname"), (2, "name"), (6, "tool"))
