"""Bodies of several parts, and messages too long for UDP, by SIPp through a real twistd."""

from __future__ import annotations

import pytest

from tests.support.border import PBX, ZONES, Border, calls_to, peer
from tests.support.lab import PRIVATE, PUBLIC
from tests.support.scenario import INWARDS, OUTWARDS, Route, callee, caller, place

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_peers("sipp", "nft")]

CONFIG = f"""{ZONES}
{PBX}
{peer("both", PRIVATE.others[0], 'transports = ["udp", "tcp"]')}
{calls_to("1*", "pbx")}
{calls_to("2*", "both")}
"""


def heard(edge: str, side: str, place: str) -> dict[str, object]:
    """The session with our address, the part beside it, and its name with `place` as host; in that order."""
    return {"expect": f"multipart/mixed.*IN IP4 {edge}.*Content-ID: .{side}-[0-9]+@{place}.*/presence."}


@pytest.mark.parametrize("route", [INWARDS, OUTWARDS], ids=lambda route: route.name)
def test_the_session_is_rewritten_and_the_other_parts_cross(border: Border, route: Route) -> None:
    """The watch on the public link sees to it that the part with a private host in it does not."""
    callee_side, caller_side = (PUBLIC.edge, PRIVATE.edge) if route.outwards else (PRIVATE.edge, PUBLIC.edge)
    record = place(
        border, route, "caller_multipart", "callee_multipart",
        {"talk": 100, **heard(caller_side, "callee", caller_side)},
        {"delay": 50, **heard(callee_side, "caller", callee_side)},
    )  # fmt: skip
    assert (record["status"], record["ended_by"]) == (200, "caller")


def test_what_is_too_long_for_udp_goes_over_tcp_where_the_peer_has_it(border: Border) -> None:
    """RFC 3261 section 18.1.1: the callee listens on TCP only, and UDP is what the peer prefers."""
    route = Route("long", number="2001", callee_tcp=True)
    expect = heard(PRIVATE.edge, "caller", PRIVATE.edge)
    expect = {"expect": f"SIP/2.0/TCP {PRIVATE.edge}.*{expect['expect']}"}
    record = place(
        border, route, "caller_multipart", "callee_multipart",
        {"talk": 100, **heard(PUBLIC.edge, "callee", PUBLIC.edge)}, {"delay": 50, **expect},
    )  # fmt: skip
    assert (record["status"], record["attempts"]) == (200, 1)


def test_it_goes_over_udp_after_all_where_tcp_cannot_be_reached(border: Border) -> None:
    route = Route("long", number="2001")
    expect = {"expect": f"SIP/2.0/UDP {PRIVATE.edge}.*{heard(PRIVATE.edge, 'caller', PRIVATE.edge)['expect']}"}
    udp = callee(border, route, "callee_multipart", {"delay": 50, **expect}, address=PRIVATE.others[0])
    calling = caller(border, route, "caller_multipart", {"talk": 100, **heard(PUBLIC.edge, "callee", PUBLIC.edge)})
    calling.wait()
    udp.wait()
    assert border.record(calling)["status"] == 200


def test_what_is_short_goes_over_udp(border: Border) -> None:
    route = Route("short", number="2001")
    udp = callee(border, route, "callee", {"delay": 50}, address=PRIVATE.others[0])
    calling = caller(border, route, "caller", {"talk": 100})
    calling.wait()
    udp.wait()
    assert border.record(calling)["status"] == 200
