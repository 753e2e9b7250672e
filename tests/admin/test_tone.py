from __future__ import annotations

import random

import pytest

from sbc.admin.tone import FRAME, decoded, sine, sound_of


def test_mu_law_is_that_of_g711() -> None:
    assert decoded(bytes([0x00, 0x80, 0xFF, 0x7F, 0xCE])) == [-32124, 32124, 0, 0, 988]


def test_a_sine_keeps_its_shape_through_mu_law() -> None:
    samples = decoded(sine(440.0, 0, 800))
    assert 9600 < max(samples) < 10400
    assert samples[0] == 0
    assert sine(440.0, 0, 320) == sine(440.0, 0, FRAME) + sine(440.0, FRAME, FRAME)


@pytest.mark.parametrize("frequency", [200.0, 440.0, 880.0, 1234.0, 3000.0])
def test_a_tone_is_heard_at_its_frequency(frequency: float) -> None:
    sound = sound_of(sine(frequency, 0, 8000))
    assert abs(sound.frequency - frequency) <= 1
    assert sound.share > 0.98


def test_a_tone_with_lost_packets_is_still_that_tone() -> None:
    packets = [sine(440.0, at, FRAME) for at in range(0, 24000, FRAME)]
    del packets[40:44], packets[100]
    sound = sound_of(b"".join(packets))
    assert abs(sound.frequency - 440) <= 2
    assert sound.share > 0.9


def test_two_tones_share_the_power() -> None:
    mixed = bytes(
        a if at % 2 else b for at, (a, b) in enumerate(zip(sine(440.0, 0, 8000), sine(880.0, 0, 8000), strict=True))
    )
    assert sound_of(mixed).share < 0.7


def test_noise_has_no_tone() -> None:
    assert sound_of(random.Random(1).randbytes(8000)).share < 0.2


@pytest.mark.parametrize("recording", [b"", b"\xff" * 8000, sine(440.0, 0, 100)])
def test_silence_and_next_to_nothing_have_no_frequency(recording: bytes) -> None:
    assert sound_of(recording) == (0.0, 0.0)
