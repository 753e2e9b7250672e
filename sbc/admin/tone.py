"""Sound for the built-in phones: G.711 mu-law, a sine, and what frequency one hears. Pure."""

from __future__ import annotations

import math
from typing import NamedTuple

RATE = 8000
"""Samples a second."""
FRAME = 160
"""Samples of one packet: 20 ms."""
_BLOCK = 800
"""Samples looked at at once: 100 ms, in which frequencies 10 Hz apart can be told from each other."""
_BIAS, _CLIP = 0x84, 32635


def _encode(sample: int) -> int:
    """One 16-bit sample as mu-law (ITU-T G.711)."""
    sign = 0x80 if sample < 0 else 0
    magnitude = min(abs(sample), _CLIP) + _BIAS
    exponent = magnitude.bit_length() - 8
    return ~(sign | exponent << 4 | magnitude >> exponent + 3 & 0x0F) & 0xFF


def _decode(code: int) -> int:
    code = ~code & 0xFF
    magnitude = (((code & 0x0F) << 3) + _BIAS << (code >> 4 & 7)) - _BIAS
    return -magnitude if code & 0x80 else magnitude


_LINEAR = [_decode(code) for code in range(256)]


def decoded(data: bytes) -> list[int]:
    """mu-law as 16-bit samples."""
    return [_LINEAR[code] for code in data]


def sine(frequency: float, start: int, count: int = FRAME, amplitude: int = 10000) -> bytes:
    """`count` samples of a sine as mu-law, from sample number `start` on."""
    step = 2 * math.pi * frequency / RATE
    return bytes(_encode(round(amplitude * math.sin(step * number))) for number in range(start, start + count))


class Sound(NamedTuple):
    """What a recording sounds like."""

    frequency: float
    """Of its strongest tone, in Hz; 0 for silence."""
    share: float
    """Part of all power that this tone has, 0 to 1."""


def sound_of(data: bytes) -> Sound:
    """The strongest tone of a mu-law recording, searched between 100 and 3,400 Hz in its middle, and the share that
    it has of the power of all of it (in blocks of 100 ms, so that a lost packet costs little).
    """
    samples = decoded(data)
    middle = max(0, len(samples) // 2 - _BLOCK)
    part = samples[middle : middle + 2 * _BLOCK]
    if len(part) < _BLOCK or not any(part):
        return Sound(0.0, 0.0)
    coarse = max(range(100, 3400, 10), key=lambda frequency: _power(part[:_BLOCK], frequency))
    fine = max(range(-10, 11), key=lambda offset: _power(part, coarse + offset))
    blocks = [samples[at : at + _BLOCK] for at in range(0, len(samples) - _BLOCK + 1, _BLOCK)]
    total = sum(sum(sample * sample for sample in block) for block in blocks)
    tone = sum(_power(block, coarse + fine) for block in blocks)
    return Sound(float(coarse + fine), min(1.0, tone * 2 / _BLOCK / total) if total else 0.0)


def _power(samples: list[int], frequency: float) -> float:
    """The squared amount of `frequency` in `samples` (Goertzel's algorithm)."""
    factor = 2 * math.cos(2 * math.pi * frequency / RATE)
    last = before = 0.0
    for sample in samples:
        last, before = sample + factor * last - before, last
    return last * last + before * before - factor * last * before
