"""Treatments of one side, packet by packet. What planes do: tests/conformance/test_dataplane_treatments.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sbc.dataplane.side import CommandError
from sbc.rtp import DTMF_INTERVAL, MOST_WAITING_DIGITS, RtpView
from tests.support.planes import rtp
from tests.support.relays import LOW, PORT, Bench

EVENTS = [[], [[101, 8000]], [101, 8000], False, False]
"""[map, heard, sent, report, swallow], as `sbc.dataplane.wire` has them."""
NOTHING = [[], [], None, False, False]


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def treated(bench: Bench, from_a: Any, from_b: Any = NOTHING) -> None:
    """A call whose packets are treated."""
    bench.apply()
    sides = [flow_words(LOW, bench.alice.address), flow_words(LOW + 2, bench.bob.address), None, None]
    bench.relay.apply("c/0", True, 8000, 0.0, [*sides, from_a, from_b])


def flow_words(port: int, phone: Any) -> list[Any]:
    return [["127.0.0.1", port], list(phone), None, False, None, "signalling", 1, "", 0]


def tick(bench: Bench, seconds: float) -> None:
    """Time passes; what is due is done each millisecond."""
    for _ in range(round(seconds * 1000)):
        bench.relay.now += 0.001
        bench.relay.tick()


def test_a_flow_without_treatment_has_no_passage(bench: Bench) -> None:
    bench.apply()
    side = bench.pair().side
    assert side is not None
    assert side.passage is None


def test_nothing_but_numbers_change_where_nothing_else_is_wanted(bench: Bench) -> None:
    treated(bench, [[[0, 8]], [], None, False, False])
    side = bench.pair().side
    assert side is not None
    assert side.passage is not None
    assert side.passage.only_maps
    bench.say()
    assert bench.bob.receive()[0] == rtp(1, number=8)


@pytest.mark.parametrize(
    "words",
    [
        "odd",
        [],
        [[[0, 128]], [], None, False, False],
        [[[0]], [], None, False, False],
        [[], [[101, 0]], None, False, False],
        [[], [["x", 8000]], None, False, False],
        [[], [], [101, 1], False, False],
        [[], [], [200, 8000], False, False],
    ],
)
def test_treatments_that_make_no_sense_are_refused_and_packets_pass_all_the_same(bench: Bench, words: Any) -> None:
    with pytest.raises(CommandError):
        treated(bench, words, words)
    bench.say()
    assert bench.bob.receive()[0] == rtp(1)


def test_swallowed_events_leave_no_gap(bench: Bench) -> None:
    treated(bench, [[], [[101, 8000]], None, False, True])
    bench.say(2)
    bench.alice.send(PORT, rtp(3, number=101, payload=b"\x01\x8a\x03\x20"))
    bench.run()
    bench.say(1, 4)
    assert [RtpView.of(bench.bob.receive()[0]).sequence for _ in range(3)] == [1, 2, 3]
    assert bench.bob.hears_nothing()


def test_a_digit_takes_its_time_and_is_told_three_times_over(bench: Bench) -> None:
    treated(bench, EVENTS, EVENTS)
    bench.relay.say("c/0", "b", "5", 100)
    tick(bench, 1.0)
    packets = [bench.bob.receive()[0] for _ in range(round(0.1 / DTMF_INTERVAL) + 2)]
    assert [packet[13] >> 7 for packet in packets] == [0] * (len(packets) - 3) + [1] * 3
    assert {packet[12] for packet in packets} == {5}
    assert bench.bob.hears_nothing()
    assert bench.relay.timed == {}


def test_digits_that_wait_are_bounded(bench: Bench) -> None:
    treated(bench, EVENTS, EVENTS)
    for _ in range(3 * MOST_WAITING_DIGITS):
        bench.relay.say("c/0", "b", "5", 40)
    tick(bench, 0.2 * MOST_WAITING_DIGITS)
    starts = {RtpView.of(packet).timestamp for packet in bench.bob.pending()}
    assert len(starts) == MOST_WAITING_DIGITS


def test_a_flow_that_is_removed_in_the_middle_of_a_digit_says_no_more(bench: Bench) -> None:
    treated(bench, EVENTS, EVENTS)
    bench.relay.say("c/0", "b", "5", 1000)
    tick(bench, 0.1)
    assert bench.bob.pending()
    bench.relay.remove("c/0")
    assert bench.relay.timed == {}
    tick(bench, 0.1)
    assert bench.bob.pending() == []


def test_who_sends_events_faster_than_anybody_presses_is_not_told_of_each(bench: Bench) -> None:
    treated(bench, [[], [[101, 8000]], None, True, True])

    def pressed(first: int) -> int:
        bench.relay.events.clear()
        for number in range(first, first + 50):
            bench.alice.send(PORT, rtp(number, number=101, timestamp=number * 800, payload=b"\x01\x8a\x03\x20"))
            bench.run()
        return len(bench.events("k"))

    assert pressed(1) == 16
    assert pressed(51) == 0
    bench.relay.now += 0.4
    assert pressed(101) == 10
