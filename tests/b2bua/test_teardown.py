"""The end of a call, whoever brings it about."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sbc.b2bua import CallEnded, RemoveFlow, Settings
from sbc.media import PlaneLost, Silent
from tests.support.ladder import ANSWERED, HUNG_UP, RINGING, Ladder

UNACKNOWLEDGED = ANSWERED.replace("caller -> ACK", "")


@pytest.mark.parametrize(("ends", "other"), [("caller", "callee"), ("callee", "caller")])
def test_a_bye_of_either_side_ends_the_call(ladder: Ladder, ends: str, other: str) -> None:
    ladder.play(
        ANSWERED,
        f"""
        5 s
        {ends} -> BYE | Reason: Q.850;cause=16;text="Terminated"
        {ends} <- 200 BYE
        {other} <- BYE | Reason: Q.850;cause=16;text="Terminated"
        {other} -> 200 BYE
        0.1 s
    """,
    )
    record = ladder.record
    assert (record.ended_by, record.cause, record.status) == (ends, "BYE", 200)
    assert record.ended is not None
    assert record.answered is not None
    assert record.ended - record.answered == 5.0


def test_bye_against_bye(ladder: Ladder) -> None:
    ladder.play(
        ANSWERED,
        """
        caller -> BYE
        caller <- 200 BYE
        callee <- BYE
        callee -> BYE
        callee <- 200 BYE
        callee -> 481 BYE
    """,
    )


def test_a_repeated_bye_is_answered_again(ladder: Ladder) -> None:
    ladder.play(
        ANSWERED,
        """
        caller -> BYE
        caller <- 200 BYE
        callee <- BYE
        caller -> again
        caller <- 200 BYE
        callee -> 200 BYE
        1 s
        caller -> again
        caller <- 200 BYE
    """,
    )


def test_a_bye_that_nobody_answers_is_repeated_and_then_given_up(ladder: Ladder) -> None:
    repeats = "\n".join(f"{step} s\ncallee <- BYE" for step in (0.5, 1, 2, 4, 4, 4, 4, 4, 4, 4))
    ladder.play(ANSWERED, "caller -> BYE", "caller <- 200 BYE", "callee <- BYE", repeats, "1 s")
    assert ladder.edge.b2bua.idle


def test_a_bye_before_the_ack(ladder: Ladder) -> None:
    ladder.play(
        UNACKNOWLEDGED,
        "caller -> BYE",
        "caller <- 200 BYE",
        "callee <- BYE",
        "callee -> 200 BYE",
        "caller -> ACK",
        "10 s",
    )


def test_the_callee_may_hang_up_before_the_caller_has_acknowledged(ladder: Ladder) -> None:
    """RFC 3261 section 15: our BYE waits for the ACK of our 2xx."""
    ladder.play(
        UNACKNOWLEDGED,
        """
        callee -> BYE
        callee <- 200 BYE
        0.5 s
        caller <- 200 sdp
        caller -> ACK
        caller <- BYE
        caller -> 200 BYE
    """,
    )


def test_a_bye_that_waits_for_an_ack_goes_when_that_does_not_come(ladder: Ladder) -> None:
    repeats = "\n".join(f"{step} s\ncaller <- 200 sdp" for step in (0.5, 1, 2, 4, 4, 4, 4, 4, 4, 4))
    ladder.play(
        UNACKNOWLEDGED, "callee -> BYE", "callee <- 200 BYE", repeats, "0.5 s", "caller <- BYE", "caller -> 200 BYE"
    )


def test_no_bye_goes_to_somebody_who_has_hung_up_without_acknowledging(ladder: Ladder) -> None:
    ladder.play(
        UNACKNOWLEDGED,
        """
        callee -> BYE
        callee <- 200 BYE
        caller -> BYE
        caller <- 200 BYE
        40 s
        caller -> ACK
    """,
    )


# -- the SBC ends it ---------------------------------------------------------------------------------------------------

BOTH_TOLD = """
    caller <- BYE | Reason: {reason}
    callee <- BYE | Reason: {reason}
    caller -> 200 BYE
    callee -> 200 BYE
    0.1 s
"""


def test_a_call_that_lasts_too_long_is_ended(new_ladder: Callable[..., Ladder]) -> None:
    ladder = new_ladder(settings=Settings(longest_call=600.0))
    ladder.play(ANSWERED, "600 s", BOTH_TOLD.format(reason='SIP;cause=408;text="Call duration limit"'))
    assert (ladder.record.ended_by, ladder.record.cause) == ("sbc", "longest call")


def test_a_call_may_last_for_ever(new_ladder: Callable[..., Ladder]) -> None:
    ladder = new_ladder(settings=Settings(longest_call=0.0))
    ladder.play(ANSWERED, "1000000 s", HUNG_UP)


def test_silence_ends_a_call(ladder: Ladder) -> None:
    ladder.play(ANSWERED)
    (flow_id,) = ladder.edge.flows
    ladder.edge.tell(Silent(flow_id))
    ladder.play(BOTH_TOLD.format(reason='SIP;cause=408;text="Media timeout"'))
    assert (ladder.record.ended_by, ladder.record.cause) == ("sbc", "silence")


def test_silence_of_a_call_that_has_ended_is_no_news(ladder: Ladder) -> None:
    ladder.play(ANSWERED)
    (flow_id,) = ladder.edge.flows
    ladder.play(HUNG_UP)
    ladder.edge.tell(Silent(flow_id))
    ladder.edge.tell(Silent("unknown/0"))


def test_draining_gives_calls_their_time_and_then_ends_them(ladder: Ladder) -> None:
    ladder.play(ANSWERED)
    ladder.edge.run(ladder.edge.b2bua.drain(ladder.events.now, 30.0))
    ladder.party("second", ladder.parties["caller"].address._replace(port=5090), "sip:1001@192.0.2.1")
    ladder.play("second -> INVITE sdp", "second <- 503 | Retry-After: 10", "second -> ACK", "29 s")
    assert not ladder.edge.b2bua.idle
    ladder.play("1 s", BOTH_TOLD.format(reason='SIP;cause=503;text="Service ends"'))
    assert ladder.edge.b2bua.idle
    assert (ladder.record.ended_by, ladder.record.cause) == ("sbc", "drain")


def test_draining_refuses_calls_that_still_ring(ladder: Ladder) -> None:
    ladder.play(RINGING)
    ladder.edge.run(ladder.edge.b2bua.drain(ladder.events.now, 5.0))
    ladder.play("""
        5 s
        caller <- 503 | Retry-After: 10
        callee <- CANCEL | Reason: SIP;cause=503;text="Service ends"
        caller -> ACK
        callee -> 200 CANCEL
        callee -> 487
        callee <- ACK
    """)


def test_hanging_up_ends_every_call_at_once(ladder: Ladder) -> None:
    ladder.play(ANSWERED)
    ladder.edge.run(ladder.edge.b2bua.hang_up_all(ladder.events.now))
    ladder.edge.run(ladder.edge.b2bua.hang_up_all(ladder.events.now))
    ladder.play(BOTH_TOLD.format(reason='SIP;cause=503;text="Service ends"'))
    assert ladder.edge.b2bua.idle


# -- figures -----------------------------------------------------------------------------------------------------------


def test_the_end_is_said_once_when_the_last_figures_are_in(ladder: Ladder) -> None:
    ladder.play(ANSWERED, HUNG_UP)
    kinds = [type(command) for command in ladder.edge.commands if isinstance(command, RemoveFlow | CallEnded)]
    assert kinds == [RemoveFlow, CallEnded]
    (stream,) = ladder.record.streams
    assert stream.codec == "PCMU/8000"
    assert stream.a["packets"] == stream.b["packets"] == 0


def test_figures_that_do_not_come_are_waited_for_a_moment_only(new_ladder: Callable[..., Ladder]) -> None:
    ladder = new_ladder(reports=False, settings=Settings(final_stats_wait=2.0))
    ladder.play(ANSWERED, HUNG_UP)
    assert not [command for command in ladder.edge.commands if isinstance(command, CallEnded)]
    ladder.play("2 s")
    assert ladder.record.streams[0].a == {}


def test_figures_of_a_plane_that_died_are_not_waited_for(ladder: Ladder) -> None:
    ladder.play(ANSWERED)
    ladder.play("caller -> BYE", "caller <- 200 BYE", "callee <- BYE", "callee -> 200 BYE")
    assert not ladder.edge.b2bua.idle
    ladder.edge.tell(PlaneLost("worker died"))
    assert ladder.edge.b2bua.idle
    assert ladder.record.cause == "BYE"


def test_a_lost_plane_gets_its_flows_again_and_the_call_goes_on(ladder: Ladder) -> None:
    ladder.play(ANSWERED)
    before = dict(ladder.edge.flows)
    ladder.edge.flows.clear()
    ladder.edge.tell(PlaneLost("worker died"))
    assert ladder.edge.flows == before
    assert any("applied again (worker died)" in line for line in ladder.trail)
    ladder.play(HUNG_UP)
