"""What two sides speak differently, by SIPp through a real twistd: reliable responses, session timers, UPDATE, targets
that are tried together or one after the other, redirections, late offers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.border import PBX, ZONES, Border, calls_to, peer
from tests.support.lab import PRIVATE
from tests.support.scenario import INWARDS, OUTWARDS, Route, callee, caller
from tests.support.sipp_calls import (
    ANSWER,
    AS_RE_INVITE,
    BUSY,
    CALL,
    ENDS,
    IS_ENDED,
    RELIABLE,
    RELIABLE_ANSWER,
    RINGS_AND_IS_CANCELLED,
    TIMED,
    TIMED_ANSWER,
    UPDATED,
)

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_peers("sipp", "nft")]

DESK, MOBILE = PRIVATE.others
CONFIG = f"""
[calls]
no_answer = 8
session_expires = 6
min_session_expires = 3
failover_statuses = [408, 486, 500, 502, 503, 504]
{ZONES}
{PBX}
{peer("desk", DESK)}
{peer("mobile", MOBILE)}
{calls_to("1*", "pbx")}
[[routes]]
from = "public"
number = "2*"
to = [["desk", "mobile"], "pbx"]
ring = 2
{calls_to("3*", "desk", "pbx", more='ring = "1s"')}
"""
FIND_ME, FORWARDED = Route("find me", number="2001"), Route("forwarded", number="3001")


both_ways = pytest.mark.parametrize("route", [INWARDS, OUTWARDS], ids=lambda route: route.name)


def play(border: Border, route: Route, calls: str, answers: str | None, **others: str) -> dict[str, Any]:
    """One call; `others` are the scripts of who is at an address of the private side, by its name."""
    answering = [callee(border, route, answers)] if answers else []
    addresses = {"desk": DESK, "mobile": MOBILE}
    answering += [callee(border, route, text, address=addresses[name]) for name, text in others.items()]
    calling = caller(border, route, calls)
    for party in (calling, *answering):
        try:
            party.wait()
        except AssertionError as failure:
            raise AssertionError(f"{failure}\n{border.edge.sbc('explain', 'last')}") from None
    return border.record(calling)


# -- reliable provisional responses ------------------------------------------------------------------------------------


@both_ways
def test_reliable_responses_end_to_end(border: Border, route: Route) -> None:
    record = play(border, route, RELIABLE, RELIABLE_ANSWER)
    assert (record["status"], record["ended_by"]) == (200, "caller")


@both_ways
def test_reliable_responses_for_the_caller_alone(border: Border, route: Route) -> None:
    record = play(
        border, route,
        rf"""
        -> INVITE sdp | Require: 100rel
        <- 100 maybe
        <- 180 | Require: 100rel | RSeq: ([0-9]+) as rseq
        -> PRACK | RAck: [$rseq] 1 INVITE
        <- 200 PRACK
        <- 200 sdp
        {ENDS}
        """,
        ANSWER.replace("-> 180", "-> 180\n    0.3 s"),
    )  # fmt: skip
    assert record["status"] == 200


@both_ways
def test_reliable_responses_of_the_callee_alone(border: Border, route: Route) -> None:
    answers = RELIABLE_ANSWER.replace(" sdp | Supported: 100rel", "")
    record = play(border, route, CALL.replace("<- 180 maybe", "<- 183 sdp | -RSeq"), answers)
    assert record["status"] == 200


# -- late offers -------------------------------------------------------------------------------------------------------


@both_ways
def test_an_invite_without_an_offer(border: Border, route: Route) -> None:
    calls = CALL.replace("INVITE sdp", "INVITE").replace("180 maybe", "180").replace("-> ACK", "-> ACK sdp")
    record = play(border, route, calls, ANSWER.replace("<- ACK", "<- ACK sdp"))
    assert record["status"] == 200
    assert record["streams"]


def test_an_invite_without_an_offer_that_is_answered_in_a_prack(border: Border) -> None:
    record = play(
        border, INWARDS,
        rf"""
        -> INVITE | Supported: 100rel
        <- 100 maybe
        <- 183 sdp | RSeq: ([0-9]+) as rseq
        -> PRACK sdp | RAck: [$rseq] 1 INVITE
        <- 200 PRACK
        <- 200
        {ENDS}
        """,
        RELIABLE_ANSWER.replace(" sdp | Supported: 100rel", "", 1).replace("<- PRACK", "<- PRACK sdp"),
    )  # fmt: skip
    assert record["status"] == 200
    assert record["streams"]


# -- UPDATE ------------------------------------------------------------------------------------------------------------


def test_an_update_passes(border: Border) -> None:
    play(border, INWARDS, UPDATED, ANSWER.replace("<- ACK", "<- ACK\n    <- UPDATE sdp\n    -> 200 UPDATE sdp"))


def test_an_update_becomes_a_re_invite_for_who_allows_none(border: Border) -> None:
    play(border, INWARDS, UPDATED, AS_RE_INVITE)


def test_an_update_before_the_answer(border: Border) -> None:
    play(
        border, INWARDS,
        rf"""
        -> INVITE sdp | Supported: 100rel
        <- 100 maybe
        <- 183 sdp | RSeq: ([0-9]+) as rseq
        -> PRACK | RAck: [$rseq] 1 INVITE
        <- 200 PRACK
        -> UPDATE sdp
        <- 200 UPDATE sdp
        <- 200
        {ENDS}
        """,
        f"""
        <- INVITE
        -> 183 sdp | Require: 100rel | RSeq: 17
        <- PRACK
        -> 200 PRACK
        <- UPDATE sdp
        -> 200 UPDATE sdp
        0.1 s
        -> 200
        {IS_ENDED}
        """,
    )  # fmt: skip


# -- session timers ----------------------------------------------------------------------------------------------------


def test_the_sbc_refreshes_who_wants_it_to(border: Border) -> None:
    """The callee by UPDATE, the caller, who allows none, by re-INVITE."""
    record = play(border, INWARDS, TIMED, TIMED_ANSWER)
    assert (record["status"], record["ended_by"]) == (200, "caller")


def test_who_does_not_refresh_in_time_has_ended_the_call_for_both(border: Border) -> None:
    record = play(
        border, INWARDS,
        """
        -> INVITE sdp | Supported: timer | Session-Expires: 3;refresher=uac
        <- 100 maybe
        <- 180
        <- 200 sdp | Session-Expires: 3;refresher=uac | Require: timer
        -> ACK
        <- BYE | Reason: SIP.*408.*Session timer
        -> 200 BYE
        """,
        ANSWER.replace("<- BYE", "<- BYE | Reason: SIP.*408.*Session timer"),
    )  # fmt: skip
    assert (record["ended_by"], record["cause"]) == ("sbc", "session timer")


def test_who_asks_for_too_short_a_session_is_told(border: Border) -> None:
    play(
        border, INWARDS,
        """
        -> INVITE sdp | Supported: timer | Session-Expires: 2
        <- 422 | Min-SE: 3
        -> ACK
        """,
        None,
    )  # fmt: skip


# -- targets -----------------------------------------------------------------------------------------------------------


def cancelled_for(reason: str) -> str:
    """It rings until a CANCEL comes, which says why."""
    return RINGS_AND_IS_CANCELLED.replace("CANCEL", f"CANCEL | Reason: {reason}", 1)


def test_find_me(border: Border) -> None:
    """Two ring, one answers, the other hears why its ringing stops."""
    record = play(
        border, FIND_ME, CALL, None,
        desk=cancelled_for("SIP.*200.*elsewhere"),
        mobile=ANSWER.replace("-> 180", "-> 180\n    0.5 s"),
    )  # fmt: skip
    assert (record["status"], record["attempts"], record["b"]["peer"]) == (200, 2, "mobile")


def test_find_me_not_and_the_voice_mail_takes_it(border: Border) -> None:
    record = play(
        border, FIND_ME, CALL.replace("<- 180 maybe", "<- 180\n    <- 180 maybe\n    <- 180 maybe"), ANSWER,
        desk=BUSY,
        mobile=cancelled_for("SIP.*408.*No answer"),
    )  # fmt: skip
    assert (record["status"], record["attempts"], record["b"]["peer"]) == (200, 3, "pbx")


def test_call_forwarding_on_busy(border: Border) -> None:
    record = play(border, FORWARDED, CALL, ANSWER, desk=BUSY)
    assert (record["status"], record["attempts"], record["b"]["peer"]) == (200, 2, "pbx")


def test_call_forwarding_on_no_answer(border: Border) -> None:
    record = play(
        border, FORWARDED, CALL, ANSWER,
        desk=cancelled_for("SIP.*408.*No answer"),
    )  # fmt: skip
    assert (record["status"], record["attempts"], record["b"]["peer"]) == (200, 2, "pbx")


def test_a_redirection_is_followed(border: Border) -> None:
    record = play(border, INWARDS, CALL, f"<- INVITE\n-> 302 | Contact: <sip:7042@{MOBILE}>\n<- ACK", mobile=ANSWER)
    assert (record["status"], record["attempts"], record["b"]["peer"]) == (200, 2, "mobile")
