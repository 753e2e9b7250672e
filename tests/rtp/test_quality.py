"""RFC 3550 appendices A.1, A.3 and A.8."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from sbc.rtp import Figures, Reception
from sbc.rtp.quality import MAX_SOURCES


def received(sequences: Iterable[int], ssrc: int = 7) -> Reception:
    reception = Reception(8000)
    feed(reception, sequences, ssrc)
    return reception


def feed(reception: Reception, sequences: Iterable[int], ssrc: int = 7) -> None:
    for sequence in sequences:
        reception.count(172, sequence & 0xFFFF, sequence * 160, ssrc, sequence * 0.02)


@pytest.mark.parametrize("first", [0, 1, 65_000, 65_535])
def test_a_stream_in_order_has_no_loss_wherever_it_begins(first: int) -> None:
    assert received(range(first, first + 1000)).figures() == Figures(1000, 172_000, 0, 0, pytest.approx(0, abs=1e-3))


def test_a_stream_longer_than_its_sequence_numbers() -> None:
    figures = received(n for n in range(100, 200_100) if n % 100 != 50).figures()
    assert (figures.packets, figures.lost) == (198_000, 2_000)


@pytest.mark.parametrize("gap", [1, 2, 100, 2999])
@pytest.mark.parametrize("first", [0, 65_530])
def test_a_gap_is_loss(gap: int, first: int) -> None:
    sequences = [*range(first, first + 10), *range(first + 10 + gap, first + 20 + gap)]
    assert received(sequences).figures()[2:4] == (gap, 0)


@pytest.mark.parametrize("first", [0, 65_530, 65_535])
def test_a_late_packet_is_reordered_and_not_lost(first: int) -> None:
    order = [0, 1, 3, 2, 4, 6, 7, 5, 8]
    assert received(first + n for n in order).figures()[2:4] == (0, 2)


def test_repeated_packets_do_not_make_loss_negative() -> None:
    figures = received([1, 2, 2, 2, 3]).figures()
    assert (figures.packets, figures.lost, figures.reordered) == (5, 0, 2)


def test_a_jump_is_believed_when_two_packets_in_sequence_follow_it() -> None:
    assert received([*range(10), *range(30_000, 30_010)]).figures().lost == 0
    assert received([*range(10), 30_000, *range(10, 20)]).figures().lost == 0


def test_sources_are_told_apart_and_summed() -> None:
    reception = Reception(8000)
    for n in range(100):
        feed(reception, [n], ssrc=1)
        if n % 10:
            feed(reception, [5000 + n], ssrc=2)
    figures = reception.figures()
    assert (figures.packets, figures.lost, figures.reordered) == (190, 9, 0)


def test_the_number_of_sources_is_bounded_and_none_of_their_packets_forgotten() -> None:
    reception = Reception(8000)
    for ssrc in range(1000):
        feed(reception, [1, 3], ssrc)
    assert len(reception._silent_sources) <= MAX_SOURCES
    assert reception.figures()[:3] == (2000, 2000 * 172, 1000)
    assert reception.packets == 2000


def test_jitter_follows_the_formula() -> None:
    reception = Reception(8000)
    expected, before = 0.0, None
    for n, arrival in enumerate([0.0, 0.021, 0.039, 0.065, 0.080, 0.1]):
        reception.count(172, n, 160 * n, 7, arrival)
        transit = arrival * 8000 - 160 * n
        if before is not None:
            expected += (abs(transit - before) - expected) / 16
        before = transit
    assert reception.figures().jitter == pytest.approx(expected / 8)


def test_a_timestamp_that_wraps_is_not_jitter() -> None:
    reception = Reception(8000)
    for n in range(20):
        reception.count(172, n, ((1 << 32) - 1600 + 160 * n) & 0xFFFFFFFF, 7, n * 0.02)
    assert reception.figures().jitter == pytest.approx(0, abs=1e-3)


def test_opaque_datagrams_are_counted_and_nothing_else() -> None:
    reception = Reception(0)
    reception.count_opaque(10)
    reception.count_opaque(20)
    assert reception.figures() == Figures(2, 30, 0, 0, 0.0)
