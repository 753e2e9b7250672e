"""Calls across the border, in both directions, by SIPp through a real twistd; and what their records say."""

from __future__ import annotations

import pytest

from tests.support.border import PBX, Border, calls_to, peer
from tests.support.lab import PRIVATE, PUBLIC
from tests.support.scenario import INWARDS, OUTWARDS, Route, callee, caller, place, refused

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_peers("sipp", "nft")]

CONFIG = f"""
[calls]
no_answer = 2
target_timeout = 1
[zones.public]
address = ["{PUBLIC.edge}", "{PUBLIC.edge6}"]
transports = ["udp", "tcp"]
[zones.private]
address = "{PRIVATE.edge}"
transports = ["udp", "tcp"]
{PBX}
{peer("tcp", PRIVATE.others[0], 'transports = ["tcp"]')}
{peer("busy", PRIVATE.others[1])}
{peer("closed", f"{PRIVATE.host}:5999")}
{peer("closed2", f"{PRIVATE.host}:5998")}
{peer("absent", PRIVATE.absent)}
{calls_to("1*", "pbx")}
{calls_to("2*", "tcp")}
{calls_to("31*", "closed", "pbx")}
{calls_to("32*", "absent", "pbx")}
{calls_to("33*", "busy", "pbx")}
{calls_to("41*", "closed")}
{calls_to("42*", "closed", "closed2")}
"""


both_ways = pytest.mark.parametrize("route", [INWARDS, OUTWARDS], ids=lambda route: route.name)

ROUTES = [
    INWARDS,
    OUTWARDS,
    Route("inwards-tcp-to-udp", caller_tcp=True),
    Route("inwards-udp-to-tcp", callee_tcp=True, number="2001"),
    Route("inwards-tcp-to-tcp", caller_tcp=True, callee_tcp=True, number="2001"),
    Route("outwards-tcp-to-udp", outwards=True, caller_tcp=True),
    Route("outwards-udp-to-tcp", outwards=True, callee_tcp=True),
    Route("inwards-v6-to-v4", v6=True),
    Route("inwards-v6-tcp-to-v4", v6=True, caller_tcp=True),
    Route("outwards-v4-to-v6", v6=True, outwards=True),
]


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_a_call_is_answered_and_the_caller_hangs_up(border: Border, route: Route) -> None:
    record = place(border, route, "caller", "callee", {"talk": 200}, {"delay": 100})
    assert (record["status"], record["ended_by"]) == (200, "caller")
    assert record["started"] < record["ringing"] < record["answered"] < record["ended"]
    assert (record["a"]["zone"], record["b"]["zone"]) == (
        ("private", "public") if route.outwards else ("public", "private")
    )


@both_ways
def test_the_callee_hangs_up(border: Border, route: Route) -> None:
    record = place(border, route, "caller_hears_bye", "callee_hangs_up")
    assert (record["status"], record["ended_by"]) == (200, "callee")


@both_ways
@pytest.mark.parametrize(("status", "phrase"), [(486, "Busy Here"), (404, "Not Found"), (603, "Decline")])
def test_a_refusal_reaches_the_caller(border: Border, route: Route, status: int, phrase: str) -> None:
    record = place(
        border, route, "caller_refused", "callee_refuses",
        refused(status), {"status": f"{status} {phrase}"},
    )  # fmt: skip
    assert (record["status"], record["answered"]) == (status, None)
    assert str(status) in record["cause"]


@both_ways
def test_the_caller_cancels_while_it_rings(border: Border, route: Route) -> None:
    record = place(border, route, "caller_cancels", "callee_is_cancelled")
    assert (record["status"], record["ended_by"], record["answered"]) == (487, "caller", None)


@both_ways
def test_a_cancel_that_crosses_the_answer_on_the_far_side_ends_the_call_there(border: Border, route: Route) -> None:
    record = place(border, route, "caller_cancels", "callee_crosses_cancel")
    assert (record["status"], record["ended_by"]) == (487, "caller")


@both_ways
def test_a_cancel_that_crosses_the_answer_on_the_near_side_changes_nothing(border: Border, route: Route) -> None:
    record = place(border, route, "caller_cancels_late", "callee", {"status": 200}, {"delay": 50})
    assert (record["status"], record["ended_by"]) == (200, "caller")
    assert record["answered"]


@both_ways
def test_nobody_answers(border: Border, route: Route) -> None:
    record = place(border, route, "caller_refused", "callee_is_cancelled", refused(408))
    assert (record["status"], record["ended_by"]) == (408, "sbc")
    assert "no answer" in record["cause"]


@both_ways
def test_early_media_is_anchored(border: Border, route: Route) -> None:
    record = place(border, route, "caller_early_media", "callee_early_media")
    assert record["status"] == 200


@both_ways
def test_the_caller_holds_and_resumes(border: Border, route: Route) -> None:
    record = place(border, route, "caller_holds", "callee_is_held")
    assert (record["status"], record["ended_by"]) == (200, "caller")


@both_ways
def test_the_callee_holds_and_resumes(border: Border, route: Route) -> None:
    record = place(border, route, "caller_is_held", "callee_holds")
    assert (record["status"], record["ended_by"]) == (200, "caller")


@pytest.mark.parametrize("number", ["3101", "3201"], ids=["port closed", "nobody there"])
def test_a_target_that_is_down_is_passed_over_for_the_next(border: Border, number: str) -> None:
    record = place(border, Route("failover", number=number), "caller", "callee", {"talk": 100}, {"delay": 50})
    assert (record["status"], record["attempts"]) == (200, 2)


def test_a_target_that_refuses_for_now_is_passed_over_for_the_next(border: Border) -> None:
    refusing = callee(
        border, Route("", callee_tcp=False), "callee_refuses", {"status": "503 Service Unavailable"},
        address=PRIVATE.others[1],
    )  # fmt: skip
    record = place(border, Route("failover", number="3301"), "caller", "callee", {"talk": 100}, {"delay": 50})
    refusing.wait()
    assert (record["status"], record["attempts"]) == (200, 2)


@pytest.mark.parametrize("number", ["4101", "4201"], ids=["only target", "all targets"])
def test_with_no_target_left_the_caller_gets_503(border: Border, number: str) -> None:
    calling = caller(border, Route("", number=number), "caller_refused", refused(503))
    calling.wait()
    record = border.record(calling)
    assert (record["status"], record["ended_by"]) == (503, "sbc")


def test_a_call_that_nothing_routes_gets_404(border: Border) -> None:
    calling = caller(border, Route("", number="9001"), "caller_refused", refused(404))
    calling.wait()
    record = border.record(calling)
    assert (record["status"], record["attempts"], record["b"]) == (404, 0, None)


@both_ways
def test_a_call_that_has_gone_too_far_gets_483(border: Border, route: Route) -> None:
    caller(border, route, "caller_refused", refused(483, max_forwards=0)).wait()


@both_ways
@pytest.mark.parametrize(
    ("method", "status", "to_tag", "expect"),
    [
        ("OPTIONS", 200, "", "Allow:.*INVITE"),
        ("BYE", 481, ";tag=nobody", "SIP/2.0"),
        ("FROBNICATE", 405, "", "Allow:.*INVITE"),
    ],
    ids=["options", "bye in an unknown dialog", "unknown method"],
)
def test_what_the_sbc_answers_itself(
    border: Border, route: Route, method: str, status: int, to_tag: str, expect: str
) -> None:
    uri = f"sip:{route.edge_address}"
    values = {"method": method, "status": status, "to_tag": to_tag, "expect": expect, "max_forwards": 70}
    caller(border, route, "request", values, dialled=uri).wait()


@both_ways
def test_an_invite_in_an_unknown_dialog_gets_481(border: Border, route: Route) -> None:
    caller(border, route, "caller_refused", refused(481, to_tag=";tag=nobody")).wait()


@both_ways
def test_sipps_own_scenarios_work_unchanged(border: Border, route: Route) -> None:
    record = place(border, route, "-uac", "-uas")
    assert (record["status"], record["ended_by"]) == (200, "caller")
