from __future__ import annotations

import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.rtp import EventDetector, RtpView, event_packets, payload_at

EVENT = struct.Struct("!BBH")


def block(code: int, duration: int, end: bool = False) -> bytes:
    return EVENT.pack(code, 0x8A if end else 0x0A, duration)


class Stream:
    """Events of one source, and what a detector makes of them."""

    def __init__(self, rates: dict[int, int] | None = None) -> None:
        self.detector = EventDetector(rates or {101: 8000})
        self.now = 100.0
        self.heard: list[tuple[str, int]] = []

    def packet(self, start: int, *blocks: bytes, ssrc: int = 1, number: int = 101) -> None:
        self.now += 0.02
        self.heard += self.detector.packet(number, ssrc, start & 0xFFFFFFFF, b"".join(blocks), self.now)

    def press(self, start: int, code: int, packets: int = 5, ends: int = 3, **rest: int) -> None:
        for n in range(1, packets + 1):
            self.packet(start, block(code, 160 * n), **rest)
        for _ in range(ends):
            self.packet(start, block(code, 160 * packets, True), **rest)

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.heard += self.detector.expire(self.now)


def test_an_event_is_told_once_with_its_first_end():
    stream = Stream()
    stream.packet(1000, block(5, 160))
    stream.packet(1000, block(5, 320))
    assert stream.heard == []
    stream.packet(1000, block(5, 480, True))
    assert stream.heard == [("5", 60)]
    stream.packet(1000, block(5, 480, True))
    stream.packet(1000, block(5, 480, True))
    stream.wait(10)
    assert stream.heard == [("5", 60)]
    assert stream.detector.deadline is None


def test_every_digit_has_its_name():
    stream = Stream()
    for code in range(18):
        stream.press(code * 5000, code)
    assert "".join(digit for digit, _ in stream.heard) == "0123456789*#ABCD!"


def test_the_same_digit_again_is_another_event():
    stream = Stream()
    for n in range(3):
        stream.press(n * 1600, 1)
    assert stream.heard == [("1", 100)] * 3


def test_of_an_event_only_an_end_need_arrive():
    stream = Stream()
    stream.packet(1000, block(11, 800, True))
    assert stream.heard == [("#", 100)]


def test_an_event_whose_ends_are_lost_is_over_with_the_next_one_or_after_a_while():
    stream = Stream()
    stream.press(1000, 1, ends=0)
    stream.press(3000, 2, ends=0)
    assert stream.heard == [("1", 100)]
    assert stream.detector.deadline is not None
    stream.wait(0.1)
    assert stream.heard == [("1", 100)]
    stream.wait(0.15)
    assert stream.heard == [("1", 100), ("2", 100)]
    stream.packet(3000, block(2, 960, True))  # very late
    assert stream.heard == [("1", 100), ("2", 100)]


def test_packets_of_an_event_that_is_over_change_nothing():
    stream = Stream()
    stream.press(1000, 1)
    stream.packet(2000, block(2, 160))
    stream.packet(1000, block(1, 800, True))
    stream.packet(2000, block(2, 320, True))
    assert stream.heard == [("1", 100), ("2", 40)]


def test_a_long_event_goes_on_in_segments():
    stream = Stream()
    for start in (0, 0xFFFF, 2 * 0xFFFF):
        for duration in (160, 0xFFFF - 160, 0xFFFF):
            stream.packet(start, block(3, duration))
    stream.packet(3 * 0xFFFF, block(3, 160))
    stream.packet(3 * 0xFFFF, block(3, 800, True))
    assert stream.heard == [("3", (3 * 0xFFFF + 800) // 8)]


def test_timestamps_wrap():
    stream = Stream()
    stream.press(0xFFFFFF00, 1)
    stream.press(0xFFFFFF00 + 2000, 2)
    assert stream.heard == [("1", 100), ("2", 100)]


def test_another_source_is_another_event_even_at_the_same_timestamp():
    stream = Stream()
    stream.press(1000, 1, ends=0)
    stream.press(1000, 1, ssrc=2)
    assert stream.heard == [("1", 100), ("1", 100)]


def test_a_packet_may_hold_several_events():
    stream = Stream()
    stream.packet(1000, block(1, 800, True), block(2, 400, True), block(3, 160))
    stream.packet(1000 + 1200, block(3, 320, True))
    assert stream.heard == [("1", 100), ("2", 50), ("3", 40)]


def test_durations_are_in_the_clock_of_the_payload_number():
    stream = Stream({101: 8000, 110: 48000})
    stream.packet(0, block(1, 4800, True), number=110)
    stream.packet(9000, block(1, 800, True))
    assert stream.heard == [("1", 100), ("1", 100)]


def test_what_is_cut_off_or_no_digit_is_nothing():
    stream = Stream()
    stream.packet(0, b"")
    stream.packet(0, b"\x01\x8a")
    stream.packet(9000, block(36, 800, True))
    assert stream.heard == []


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 2**32 - 1), st.binary(max_size=13), st.floats(0, 1)), max_size=60
    )
)
def test_no_packet_does_harm(packets: list[tuple[int, int, bytes, float]]) -> None:
    detector = EventDetector({101: 8000})
    now = 0.0
    blocks = 0
    told = 0
    for ssrc, timestamp, payload, pause in packets:
        now += pause
        told += len(detector.expire(now))
        told += len(detector.packet(101, ssrc, timestamp, payload, now))
        blocks += len(payload) // 4
    told += len(detector.expire(now + 1))
    assert told <= blocks
    assert detector.deadline is None


# -- sending -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rate", "step"), [(8000, 160), (16000, 320), (48000, 960)])
def test_an_event_as_it_is_sent(rate: int, step: int) -> None:
    packets = list(event_packets("#", 100, rate))
    assert [packet.marker for packet in packets] == [True] + [False] * (len(packets) - 1)
    assert [packet.ends for packet in packets] == [False] * (len(packets) - 3) + [True] * 3
    assert {packet.code for packet in packets} == {11}
    durations = [packet.duration for packet in packets]
    assert durations[0] == step
    assert all(later > earlier for earlier, later in pairwise(durations[:-3]))
    assert durations[-3:] == [rate // 10] * 3


def test_durations_are_held_within_bounds():
    assert list(event_packets("1", 1, 8000))[-1].duration == 320
    assert list(event_packets("1", 10**9, 8000))[-1].duration == 48000
    assert list(event_packets("1", 6000, 48000))[-1].duration == 0xFFFF
    assert len(list(event_packets("1", 10**9, 8000))) < 310


@pytest.mark.parametrize("digit", ["", "x", "12", "\0"])
def test_what_is_no_digit_is_refused(digit: str) -> None:
    with pytest.raises(ValueError, match="digit"):
        event_packets(digit, 100, 8000)


@given(st.sampled_from("0123456789*#abcdABCD!"), st.integers(0, 10_000), st.sampled_from([8000, 16000, 48000]))
def test_what_is_sent_is_heard(digit: str, duration: int, rate: int) -> None:
    detector = EventDetector({99: rate})
    heard = []
    for n, packet in enumerate(event_packets(digit, duration, rate)):
        data = packet.to_bytes(99, 65530 + n & 0xFFFF, 77, 5)
        view = RtpView.of(data)
        assert view[1:] == (99, 65530 + n & 0xFFFF, 77, 5)
        assert view.marker is (n == 0)
        heard += detector.packet(99, view.ssrc, view.timestamp, data[payload_at(data, len(data)) :], n * 0.02)
    limit = min(max(duration, 40), 6000, 0xFFFF * 1000 // rate)
    assert heard == [(digit.upper(), limit)]


def test_where_a_payload_begins():
    assert payload_at(b"\x80" + bytes(15), 16) == 12
    assert payload_at(b"\x82" + bytes(30), 31) == 20
    assert payload_at(b"\x90" + bytes(13) + b"\x00\x01" + bytes(8), 24) == 20
    assert payload_at(b"\x90" + bytes(13) + b"\xff\xff" + bytes(8), 24) == 24
    assert payload_at(b"\x8f" + bytes(11), 12) == 12
