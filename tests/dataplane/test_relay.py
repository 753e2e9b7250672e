"""Flows and their sockets. What every plane must do is in tests/conformance/test_dataplane.py; here is how."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest

from sbc.dataplane.relay import IDLE_LIMIT
from sbc.dataplane.side import SETTLED, CommandError
from tests.support.planes import rtp
from tests.support.relays import LOW, PORT, Bench


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def test_a_removed_flow_gives_its_connected_sockets_back_and_its_ports_go_on_dropping(bench: Bench) -> None:
    bench.apply()
    idle = {bench.pair(port).rtp.fileno() for port in (LOW, LOW + 2)}
    bench.say(2 * SETTLED)
    bench.relay.remove("c/0")
    (report,) = bench.events("s")
    assert (report[1], report[2][0], report[4]) == ("c/0", 2 * SETTLED, True)
    assert idle <= set(bench.relay.hears)
    assert len(bench.relay.hears) == 4  # RTP and RTCP of both
    bench.say()
    assert bench.pair().dropped == 1
    bench.relay.remove("c/0")
    assert len(bench.events("s")) == 1


def test_a_removed_flow_leaves_nothing_for_the_garbage_collector(bench: Bench) -> None:
    bench.apply()
    bench.say(2 * SETTLED)
    gc.collect()
    gc.disable()
    try:
        bench.relay.remove("c/0")
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_what_came_while_nobody_used_the_port_does_not_reach_the_next_call(bench: Bench) -> None:
    bench.apply()
    bench.relay.remove("c/0")
    bench.say(3)
    bench.alice.send(PORT, rtp(9))  # this one is still in the socket
    bench.apply("d/0")
    bench.run()
    assert bench.bob.hears_nothing()
    assert bench.events("l") == []


def test_somebody_who_does_not_stop_is_left_to_the_kernel_until_the_port_is_used_again(bench: Bench) -> None:
    bench.relay.bind("127.0.0.1", 20)
    bench.say(IDLE_LIMIT // 50)
    for _ in range(49):
        for sequence in range(IDLE_LIMIT // 50 + 1):
            bench.alice.send(PORT, rtp(sequence))
        bench.run()
    assert not bench.pair().watched
    bench.say()
    assert bench.run() == 0
    bench.apply()
    bench.say(1, 7)
    assert bench.bob.receive()[0] == rtp(7)


def test_ports_go_to_the_flow_that_was_given_them_last(bench: Bench) -> None:
    bench.apply()
    bench.apply("d/0")
    bench.relay.remove("c/0")
    bench.say()
    assert bench.bob.receive()[0] == rtp(1)
    assert [event[1] for event in bench.events("l")] == ["d/0"]


@pytest.mark.parametrize("told", [None, "x", 5])
def test_a_side_that_is_none_is_refused_and_the_other_one_served(bench: Bench, told: Any) -> None:
    with pytest.raises(CommandError):
        bench.apply(b=told)
    bench.say()
    assert bench.events("l")


def test_all_flows_are_looked_at_together_eight_times_in_the_shortest_term(bench: Bench) -> None:
    assert bench.relay.look_for_silence() >= bench.relay.now + 10
    bench.apply(silence=8.0)
    assert bench.relay.due
    first = bench.relay.look_for_silence()
    assert first == bench.relay.now + 1.0
    bench.run(0.5)
    a = [["127.0.0.1", LOW + 4], None, None, False, None, "any", 1, "", 0]
    b = [["127.0.0.1", LOW + 6], None, None, False, None, "any", 1, "", 0]
    bench.apply("d/0", 16.0, a=a, b=b)
    assert bench.relay.look_for_silence() == first
    bench.run(0.5)
    assert bench.relay.look_for_silence() == bench.relay.now + 1.0
    bench.relay.remove("c/0")
    bench.run(1.0)
    assert bench.relay.look_for_silence() == bench.relay.now + 2.0


def test_silence_is_told_once_and_again_only_after_packets_came(bench: Bench) -> None:
    bench.apply(silence=8.0)
    for _ in range(30):
        bench.run(1.0)
        bench.relay.look_for_silence()
    assert bench.events("q") == [["q", "c/0"]]
    bench.say()
    for _ in range(30):
        bench.run(1.0)
        bench.relay.look_for_silence()
    assert len(bench.events("q")) == 2


def test_a_flow_on_hold_or_removed_is_not_watched(bench: Bench) -> None:
    bench.apply(silence=8.0)
    bench.apply(silence=0.0)
    bench.run(20.0)
    bench.relay.look_for_silence()
    bench.apply(silence=8.0)
    bench.relay.remove("c/0")
    bench.run(20.0)
    bench.relay.look_for_silence()
    assert bench.events("q") == []
