"""What passes on a host's link, looked at while it goes on: its SIP messages, the tones and the video that arrive."""

from __future__ import annotations

import array
import time
from collections.abc import Callable, Container
from socket import IPPROTO_UDP
from types import TracebackType
from typing import Self

from tests.support.baresip import tone_share
from tests.support.capture import Capture, Payload, payloads
from tests.support.lab import Namespace, wait_until

_PCMU_RATE = 8000
_PATIENCE = 30.0
"""Seconds in which what is waited for must come; the machine may be busy."""
_AUDIBLE = 100
"""Root of the mean square of samples from which on they are no silence."""


class Tap:
    """The UDP datagrams of a namespace's link, from its making on."""

    def __init__(self, namespace: Namespace) -> None:
        self._capture = Capture(namespace)
        self._seen: list[Payload] = []

    def datagrams(self) -> list[Payload]:
        self._seen += [each for each in payloads(self._capture.take()) if each.protocol == IPPROTO_UDP]
        return self._seen

    def arrived(self, ports: Container[int], since: int = 0) -> list[Payload]:
        """Datagrams for the host itself at one of `ports`, from the number `since` of all."""
        return [each for each in self.datagrams()[since:] if not each.by_host and each.target[1] in ports]

    def messages(self, wanted: Callable[[bytes], bool]) -> list[bytes]:
        """SIP messages at the usual port that are so, either way."""
        return [
            each.data for each in self.datagrams() if 5060 in (each.source[1], each.target[1]) and wanted(each.data)
        ]

    def close(self) -> None:
        self._capture.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Ear:
    """What a phone with these media ports gets to hear and see: audio in PCMU (RFC 3551 section 4.5.14), and video."""

    def __init__(self, tap: Tap, ports: range) -> None:
        self._tap, self._ports = tap, ports

    def now(self) -> int:
        """A moment, to be listened from."""
        return len(self._tap.datagrams())

    def has_heard(self, since: int, tone: int, seconds: float) -> bool:
        """Whether the last `seconds` of what arrived from a moment on are `tone` (Hz), and nothing else with it."""
        wanted = int(seconds * _PCMU_RATE)
        samples = self._samples(since)[-wanted:]
        return len(samples) == wanted and tone_share(samples, _PCMU_RATE, tone) >= 0.95

    def is_silent(self, since: int) -> bool:
        """Whether nothing audible arrived from a moment on."""
        samples = self._samples(since)
        return sum(value * value for value in samples) <= _AUDIBLE**2 * len(samples)

    def packets(self, since: int, payload_type: int) -> int:
        """How many RTP packets of that number arrived from a moment on."""
        return len(self._rtp(since, payload_type))

    def _rtp(self, since: int, payload_type: int) -> list[bytes]:
        found = (each.data for each in self._tap.arrived(self._ports, since))
        return [data for data in found if len(data) > 12 and data[0] >> 6 == 2 and data[1] & 127 == payload_type]

    def _samples(self, since: int) -> array.array[int]:
        return array.array("h", (_LINEAR[byte] for packet in self._rtp(since, 0) for byte in packet[12:]))


def wait_for_tones(*expected: tuple[Ear, int], seconds: float = 0.8) -> None:
    """Wait until each ear has heard so much of its tone, and of nothing else, from now on."""
    begun = [ear.now() for ear, _ in expected]
    wait_until(
        lambda: all(ear.has_heard(since, tone, seconds) for since, (ear, tone) in zip(begun, expected, strict=True)),
        f"{[tone for _, tone in expected]} Hz heard", _PATIENCE, 0.1,
    )  # fmt: skip


def wait_for_silence(*ears: Ear, seconds: float = 0.6) -> None:
    """Wait until nobody hears anything for so long."""

    def silent() -> bool:
        begun = [ear.now() for ear in ears]
        time.sleep(seconds)
        return all(ear.is_silent(since) for ear, since in zip(ears, begun, strict=True))

    wait_until(silent, "silence", _PATIENCE)


def wait_for_video(*ears: Ear, payload_type: int = 96, packets: int = 4) -> None:
    """Wait until so much video arrives at each from now on."""
    begun = [ear.now() for ear in ears]
    wait_until(
        lambda: all(ear.packets(since, payload_type) >= packets for ear, since in zip(ears, begun, strict=True)),
        "video seen", _PATIENCE, 0.1,
    )  # fmt: skip


def wait_for_no_video(*ears: Ear, payload_type: int = 96, seconds: float = 0.6) -> None:
    """Wait until no video arrives for so long."""

    def blind() -> bool:
        begun = [ear.now() for ear in ears]
        time.sleep(seconds)
        return not any(ear.packets(since, payload_type) for ear, since in zip(ears, begun, strict=True))

    wait_until(blind, "no video", _PATIENCE)


def _linear(byte: int) -> int:
    """The sample that a byte of mu-law stands for (ITU-T G.711)."""
    byte ^= 255
    size = (((byte & 15) << 3) + 132 << (byte >> 4 & 7)) - 132
    return -size if byte & 128 else size


_LINEAR = tuple(map(_linear, range(256)))
