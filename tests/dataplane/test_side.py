"""One side of a flow, through a relay with real sockets."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from sbc.dataplane.side import SETTLED
from tests.support.planes import rtp
from tests.support.relays import LOW, Bench


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def test_the_first_packet_latches_and_is_passed_on(bench: Bench) -> None:
    bench.apply()
    bench.say()
    assert bench.bob.receive()[0] == rtp(1)
    assert bench.events("l") == [["l", "c/0", "a", tuple(bench.alice.address)]]


def test_a_side_that_has_settled_has_a_connected_socket_and_one_that_has_not_has_none(bench: Bench) -> None:
    bench.apply()
    known = set(bench.relay.hears)
    bench.say(SETTLED - 2)
    assert set(bench.relay.hears) == known
    bench.say(4, SETTLED)
    assert len(set(bench.relay.hears) - known) == 2  # one towards each of them
    bench.say(3, SETTLED + 10)
    for _ in range(SETTLED - 2 + 4 + 3):
        bench.bob.receive()


def test_to_repeat_an_apply_changes_nothing(bench: Bench) -> None:
    bench.apply()
    bench.say(2 * SETTLED)
    known = dict(bench.relay.hears)
    bench.apply()
    assert bench.relay.hears == known


def test_a_packet_to_nowhere_is_counted_and_goes_nowhere(bench: Bench) -> None:
    nowhere = [["127.0.0.1", LOW + 2], None, None, False, None, "signalling", 1, "", 0]
    bench.apply(b=nowhere)
    bench.say(3)
    bench.relay.remove("c/0")
    assert bench.events("s")[0][2][0] == 3


def test_rtcp_of_strangers_is_told_as_theirs(bench: Bench) -> None:
    bench.apply()
    bench.say()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind(("127.0.0.2", 0))
        stranger.sendto(b"\x80\xc9\x00\x01" + bytes(4), ("127.0.0.1", LOW + 1))
        bench.run()
    (mismatch,) = bench.events("m")
    assert mismatch[1:3] == ["c/0", "a"]
    assert mismatch[3][0] == "127.0.0.2"
