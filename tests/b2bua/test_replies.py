"""What the caller gets for its INVITE."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sbc.b2bua import Settings
from tests.support.ladder import ANSWERED, HUNG_UP, RINGING, Ladder

INVITED = """
    caller -> INVITE sdp
    caller <- 100
    callee <- INVITE sdp
"""


@pytest.mark.parametrize("status", [180, 181, 182, 183])
def test_provisional_responses_pass_in_our_words(ladder: Ladder, status: int) -> None:
    ladder.play(
        INVITED,
        f"""
        callee -> {status} | Alert-Info: <http://10.0.0.5/ring> | P-Early-Media: sendrecv
        caller <- {status} | To: *;tag=* | Contact: <sip:192.0.2.1:5060>
            | P-Early-Media: sendrecv | -Alert-Info | -Server
    """,
    )


def test_proxies_that_stay_in_the_path_are_told_to_the_caller(ladder: Ladder) -> None:
    routes = "Record-Route: <sip:192.0.2.8;lr>, <sip:192.0.2.9;lr;x=1>;y"
    ladder.play(
        f"""
        caller -> INVITE sdp | {routes}
        caller <- 100 | -Record-Route
        callee <- INVITE sdp | -Record-Route
        callee -> 180
        caller <- 180 | {routes}
        callee -> 200 sdp
        callee <- ACK
        caller <- 200 sdp | {routes}
        caller -> ACK
    """,
        HUNG_UP,
    )


def test_a_trying_of_the_next_element_stays_there(ladder: Ladder) -> None:
    ladder.play(INVITED, "callee -> 100", "callee -> 199")


@pytest.mark.parametrize("status", [180, 183])
def test_early_media_pass(ladder: Ladder, status: int) -> None:
    ladder.play(INVITED, f"callee -> {status} sdp", f"caller <- {status} sdp")
    assert len(ladder.edge.flows) == 1


def test_of_several_early_answers_the_last_one_counts_and_the_ports_stay(ladder: Ladder) -> None:
    ladder.play(INVITED, "callee -> 183 sdp", "caller <- 183 sdp")
    (before,) = ladder.edge.flows.values()
    ladder.play("callee -> 183 sdp", "caller <- 183 sdp", "callee -> 180", "caller <- 180")
    (after,) = ladder.edge.flows.values()
    assert (after.a.local, after.b.local) == (before.a.local, before.b.local)


def test_an_answer_that_came_early_is_repeated_in_a_2xx_that_has_none(ladder: Ladder) -> None:
    ladder.play(
        INVITED,
        """
        callee -> 183 sdp
        caller <- 183 sdp
        callee -> 200
        callee <- ACK
        caller <- 200 sdp
        caller -> ACK
    """,
        HUNG_UP,
    )


def test_an_early_answer_of_one_fork_is_not_the_answer_of_another(ladder: Ladder) -> None:
    ladder.play(
        INVITED,
        """
        callee -> 183 sdp tag=one
        caller <- 183 sdp
        callee -> 200 tag=two
        callee <- ACK | To: *;tag=two
        callee <- BYE | To: *;tag=two
        callee -> 200 BYE
        caller <- 502
        caller -> ACK
    """,
    )


def test_an_early_answer_that_cannot_be_read_is_ignored(ladder: Ladder) -> None:
    ladder.play(
        INVITED,
        """
        callee -> 183 rubbish
        caller <- 183
        callee -> 200 sdp
        callee <- ACK
        caller <- 200 sdp
        caller -> ACK
    """,
    )
    assert any("early answer ignored" in line for line in ladder.trail)


@pytest.mark.parametrize("body", ["rubbish", "text", ""])
def test_an_answer_that_cannot_be_served_is_acknowledged_and_ended(ladder: Ladder, body: str) -> None:
    """RFC 3261 section 13.2.2.4."""
    ladder.play(
        INVITED,
        f"""
        callee -> 200 {body}
        callee <- ACK
        callee <- BYE
        callee -> 200 BYE
        caller <- 502
        caller -> ACK
        0.1 s
    """,
    )
    assert (ladder.record.status, ladder.record.ended_by, ladder.record.answered) == (502, "sbc", None)
    assert any("answer refused" in line for line in ladder.trail)


REFUSALS = [
    400,
    401,
    402,
    403,
    404,
    405,
    406,
    407,
    410,
    415,
    480,
    484,
    486,
    488,
    491,
    500,
    501,
    503,
    600,
    603,
    606,
    699,
]
NEEDED = {
    401: 'WWW-Authenticate: Digest realm="office", nonce="x"',
    407: 'Proxy-Authenticate: Digest realm="office", nonce="x"',
}


@pytest.mark.parametrize("status", REFUSALS)
def test_a_refusal_passes_with_its_status_and_the_phrase_of_the_book(ladder: Ladder, status: int) -> None:
    header = f" | {NEEDED[status]}" if status in NEEDED else ""
    ladder.play(
        INVITED,
        f"""
        callee -> {status}{header} | Retry-After: 17 | Reason: Q.850;cause=17
        callee <- ACK
        caller <- {status}{header} | Reason: Q.850;cause=17 | -Contact | -Server
        caller -> ACK
        0.1 s
    """,
    )
    assert (ladder.record.status, ladder.record.ended_by) == (status, "callee")
    assert not any(b"Whatever" in data for _, source, _, data in ladder.network.sent if source.host == "192.0.2.1")


def test_the_phrase_of_a_zone_that_is_not_hidden_passes(new_ladder: Callable[..., Ladder]) -> None:
    ladder = new_ladder(hidden=False)
    ladder.play(INVITED, "callee -> 486", "callee <- ACK", "caller <- 486 | Server: SecretPBX/2.0", "caller -> ACK")
    assert any(b"SIP/2.0 486 Whatever SecretPBX says" in data for _, _, _, data in ladder.network.sent)


def test_a_405_says_what_is_allowed(ladder: Ladder) -> None:
    ladder.play(INVITED, "callee -> 405", "callee <- ACK", "caller <- 405 | Allow: INVITE*", "caller -> ACK")


def test_an_overloaded_target_does_not_keep_calls_for_others_away(ladder: Ladder) -> None:
    """RFC 3261 sections 16.7 step 6 and 21.5.4."""
    ladder.play(
        INVITED, "callee -> 503 | Retry-After: 300", "callee <- ACK", "caller <- 503 | -Retry-After", "caller -> ACK"
    )


@pytest.mark.parametrize("status", [401, 407])
@pytest.mark.parametrize("challenge", ['realm="10.0.0.5", nonce="x"', 'realm="office", nonce="x", qop="auth-int"'])
def test_a_challenge_that_cannot_be_answered_through_us_is_a_refusal(
    ladder: Ladder, status: int, challenge: str
) -> None:
    """It names a host, or protects the body, which is not the caller's any more."""
    name = NEEDED[status].partition(":")[0]
    ladder.play(
        INVITED,
        f"""
        callee -> {status} | {name}: Digest {challenge}
        callee <- ACK
        caller <- 403 | -{name}
        caller -> ACK
    """,
    )
    assert any(f"the challenge of a {status} may not cross" in line for line in ladder.trail)


def test_a_challenged_caller_tries_again_with_credentials(ladder: Ladder) -> None:
    ladder.play(
        INVITED,
        """
        callee -> 401 | WWW-Authenticate: Digest realm="office", nonce="x"
        callee <- ACK
        caller <- 401 | WWW-Authenticate: Digest realm="office", nonce="x"
        caller -> ACK
        caller -> INVITE sdp | Authorization: Digest username="alice", realm="office", response="y"
        caller <- 100
        callee <- INVITE sdp | Authorization: Digest username="alice", realm="office", response="y"
        callee -> 486
        callee <- ACK
        caller <- 486
        caller -> ACK
    """,
    )


# -- CANCEL ------------------------------------------------------------------------------------------------------------


def test_cancel_while_it_rings(ladder: Ladder) -> None:
    ladder.play(
        RINGING,
        """
        caller -> CANCEL | Reason: SIP;cause=200;text="Call completed elsewhere"
        caller <- 200 CANCEL
        callee <- CANCEL | Reason: SIP;cause=200;text="Call completed elsewhere" | CSeq: 1 CANCEL
        caller <- 487
        caller -> ACK
        callee -> 200 CANCEL
        callee -> 487
        callee <- ACK
        0.1 s
    """,
    )
    assert (ladder.record.status, ladder.record.ended_by, ladder.record.cause) == (487, "caller", "CANCEL")


def test_cancel_before_the_callee_has_said_anything_waits_for_its_first_word(ladder: Ladder) -> None:
    """RFC 3261 section 9.1."""
    ladder.play(
        INVITED,
        """
        caller -> CANCEL
        caller <- 200 CANCEL
        caller <- 487
        caller -> ACK
        callee -> 180
        callee <- CANCEL
        callee -> 200 CANCEL
        callee -> 487
        callee <- ACK
    """,
    )


def test_cancel_that_crosses_the_answer(ladder: Ladder) -> None:
    ladder.play(
        RINGING,
        """
        caller -> CANCEL
        caller <- 200 CANCEL
        callee <- CANCEL
        caller <- 487
        caller -> ACK
        callee -> 200 sdp
        callee <- ACK
        callee <- BYE
        callee -> 200 BYE
    """,
    )
    assert any("late answer ended" in line for line in ladder.trail)


def test_cancel_after_the_answer_has_no_effect(ladder: Ladder) -> None:
    ladder.play(
        INVITED,
        """
        callee -> 200 sdp
        callee <- ACK
        caller <- 200 sdp
        caller -> CANCEL
        caller <- 200 CANCEL
        caller -> ACK
    """,
        HUNG_UP,
    )
    assert ladder.record.status == 200


def test_cancel_after_a_refusal_has_no_effect(ladder: Ladder) -> None:
    ladder.play(
        INVITED,
        """
        callee -> 486
        callee <- ACK
        caller <- 486
        caller -> CANCEL
        caller <- 200 CANCEL
    """,
    )


def test_bye_in_an_early_dialog_is_a_way_to_cancel(ladder: Ladder) -> None:
    """RFC 3261 section 15."""
    ladder.play(RINGING.replace("<- 180", "<- 180 | To: *;tag=$tag"))
    tag = ladder["tag"]
    ladder.play(f"""
        caller -> BYE | To: <sip:1001@192.0.2.1>;tag={tag} | CSeq: 2 BYE
        caller <- 200 BYE
        callee <- CANCEL
        caller <- 487
        caller -> ACK
        callee -> 487
        callee <- ACK
        callee -> 200 CANCEL
        0.1 s
    """)
    assert (ladder.record.ended_by, ladder.record.cause) == ("caller", "BYE")


# -- limits ------------------------------------------------------------------------------------------------------------


def test_nobody_waits_for_an_answer_for_ever(new_ladder: Callable[..., Ladder]) -> None:
    ladder = new_ladder(settings=Settings(no_answer=30.0))
    ladder.play(
        RINGING,
        """
        30 s
        caller <- 408
        callee <- CANCEL | Reason: SIP;cause=408;text="No answer"
        caller -> ACK
        callee -> 200 CANCEL
        callee -> 487
        callee <- ACK
    """,
    )
    assert (ladder.record.ended_by, ladder.record.cause) == ("sbc", "no answer")


def test_an_answer_in_time_stops_the_clock(new_ladder: Callable[..., Ladder]) -> None:
    ladder = new_ladder(settings=Settings(no_answer=30.0))
    ladder.play(ANSWERED, "60 s", HUNG_UP)
    assert ladder.record.status == 200


# -- what we are called ------------------------------------------------------------------------------------------------


def test_our_own_name_stands_in_place_of_the_others(new_ladder: Callable[..., Ladder]) -> None:
    ladder = new_ladder(hidden=False, settings=Settings(user_agent="Border/1"))
    ladder.play("""
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp | User-Agent: Border/1
        callee -> 200 sdp
        callee <- ACK
        caller <- 200 sdp | Server: Border/1
        caller -> ACK
        caller -> BYE
        caller <- 200 BYE | Server: Border/1
        callee <- BYE | User-Agent: Border/1
        callee -> 200 BYE
    """)
    both = [
        data
        for _, _, _, data in ladder.network.sent
        if b"Border/1" in data and (b"/1.0" in data or b"SecretPBX/" in data)
    ]
    assert not both
