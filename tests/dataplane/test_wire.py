"""Commands as lines, and as the worker reads them. That both ends agree: tests/conformance/test_dataplane.py."""

from __future__ import annotations

from typing import Any

from sbc.dataplane.wire import decode, encode_apply, encode_bind, encode_remove
from sbc.media import Latching
from sbc.sip import Address
from tests.support.planes import flow, side

HERE = Address("192.0.2.1", 20000)
PHONE = Address("198.51.100.7", 4000)


def words(line: bytes) -> list[Any]:
    """What a line says; it must be one line, whole."""
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    said = decode(line.decode())
    assert isinstance(said, list)
    return said


def test_an_apply_says_all_that_the_worker_needs_of_a_flow() -> None:
    a = side(
        HERE,
        PHONE,
        latching=Latching.STRICT,
        generation=3,
        cname="hidden",
        rtcp_mux=True,
        signalling=PHONE.host,
        moves=2,
    )
    b = side(Address("10.0.0.1", 20002), None)
    what, *said = words(encode_apply(flow("call/0", a, b, silence=60.0, latched_a=PHONE)))
    assert what == "a"
    flow_id, is_rtp, clock_rate, silence, side_a, side_b, latched_a, latched_b = said
    assert (flow_id, is_rtp, clock_rate, silence) == ("call/0", True, 8000, 60.0)
    assert side_a[:2] == [list(HERE), list(PHONE)]
    assert side_a[3:] == [True, PHONE.host, "strict", 3, "hidden", 2]
    assert side_b[1] is None
    assert (latched_a, latched_b) == (list(PHONE), None)


def test_opaque_datagrams_are_no_rtp() -> None:
    sides = side(HERE, PHONE), side(HERE, PHONE)
    assert words(encode_apply(flow("call/0", *sides, kind="udp")))[2] is False


def test_nothing_that_a_peer_wrote_breaks_a_line() -> None:
    odd = Address('a"\n["r","x"]\\\u2028\udce9', 4000)
    said = words(encode_apply(flow("call/0", side(HERE, odd), side(HERE, PHONE))))
    assert said[5][1][0] == odd.host


def test_removals_go_together() -> None:
    assert words(encode_remove(["c/0", "d/0"])) == ["r", "c/0", "d/0"]


def test_a_bind_names_host_and_count() -> None:
    assert words(encode_bind("2001:db8::1", 12)) == ["b", "2001:db8::1", 12]
