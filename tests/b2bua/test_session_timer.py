"""Session timers, on each leg for itself."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sbc.b2bua import Interworking, Mode, Peer, Settings
from tests.support.ladder import HUNG_UP, Ladder
from tests.support.phone import sdp
from tests.support.world import CALLER, PBX

SPEAKS = "Supported: timer"
ALLOWS = "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE"
EXPIRED = 'Reason: SIP;cause=408;text="Session timer expired"'


def answered(caller: str = "", callee: str = "", given: str = "") -> str:
    """A call; each part is what its message says besides."""
    return f"""
        caller -> INVITE sdp{caller and " | "}{caller}
        caller <- 100
        callee <- INVITE sdp
        callee -> 200 sdp{callee and " | "}{callee}
        callee <- ACK
        caller <- 200 sdp{given and " | "}{given}
        caller -> ACK
    """


def peer(mode: Mode) -> dict[str, object]:
    return {"peers": (Peer("pbx", "private", PBX.host, how=Interworking(session_timer=mode)),)}


ENDS = f"""
    caller <- BYE | {EXPIRED}
    callee <- BYE | {EXPIRED}
    caller -> 200 BYE
    callee -> 200 BYE
    0.1 s
"""


# -- what is agreed ----------------------------------------------------------------------------------------------------


def test_a_caller_that_does_not_speak_it_is_told_nothing_and_the_callee_is_asked(ladder: Ladder) -> None:
    ladder.play(
        """
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp | Supported: timer | Session-Expires: 1800 | -Min-SE
        callee -> 200 sdp
        callee <- ACK
        caller <- 200 sdp | -Session-Expires | -Require
        caller -> ACK
        4000 s
    """,
        HUNG_UP,
    )


@pytest.mark.parametrize(
    ("asked", "agreed"),
    [
        ("1800", "1800;refresher=uac"),
        ("1800;refresher=uac", "1800;refresher=uac"),
        ("600 ; Refresher=UAS", "600;refresher=uas"),
        ("90", "90;refresher=uac"),
        ("4294967295", "86400;refresher=uac"),
        ("nonsense", "1800;refresher=uac"),
    ],
)
def test_a_caller_that_speaks_it_gets_what_it_asks_for(ladder: Ladder, asked: str, agreed: str) -> None:
    """RFC 4028 section 9, table 2."""
    ladder.play(answered(f"{SPEAKS} | Session-Expires: {asked}", "", f"Session-Expires: {agreed} | Require: timer"))


def test_a_caller_that_speaks_it_and_does_not_ask_is_asked(ladder: Ladder) -> None:
    ladder.play(answered(SPEAKS, "", "Session-Expires: 1800;refresher=uac | Require: timer"))


def test_it_is_not_asked_for_less_than_it_wants(ladder: Ladder) -> None:
    ladder.play(answered(f"{SPEAKS} | Min-SE: 3600", "", "Session-Expires: 3600;refresher=uac"))


def test_a_caller_that_asks_for_too_little_is_told_the_least(new_ladder: Callable[..., Ladder]) -> None:
    ladder = new_ladder(settings=Settings(min_session_expires=120))
    ladder.play(f"""
        caller -> INVITE sdp | {SPEAKS} | Session-Expires: 100
        caller <- 422 | Min-SE: 120
        caller -> ACK
        caller -> INVITE sdp | {SPEAKS} | Session-Expires: 120 | Min-SE: 120
        caller <- 100
        callee <- INVITE sdp | Min-SE: 120
        callee -> 200 sdp
        callee <- ACK
        caller <- 200 sdp | Session-Expires: 120;refresher=uac
        caller -> ACK
    """)


def test_who_could_not_mend_it_is_not_refused(ladder: Ladder) -> None:
    """Some proxy of the caller's asks for it: section 9 has 422 for who supports it."""
    ladder.play(answered("Session-Expires: 30", "", "-Session-Expires"))


@pytest.mark.parametrize("mode", [Mode.AUTO, Mode.ALWAYS])
def test_a_callee_that_wants_more_gets_it(new_ladder: Callable[..., Ladder], mode: Mode) -> None:
    ladder = new_ladder(**peer(mode))
    ladder.play(
        f"""
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp | CSeq: 1 INVITE | Call-ID: $call | Session-Expires: 1800
        callee -> 422 | Min-SE: 3600
        callee <- ACK
        callee <- INVITE sdp | CSeq: 2 INVITE | Call-ID: $call | Session-Expires: 3600 | Min-SE: 3600
            | Supported: 100rel, timer, replaces
        callee -> 200 sdp | {SPEAKS} | Session-Expires: 3600;refresher=uac
        callee <- ACK | CSeq: 2 ACK
        caller <- 200 sdp
        caller -> ACK
    """,
        HUNG_UP,
    )
    assert len(ladder.parties["callee"].requests["INVITE"].headers.get_all("Via")) == 1


def test_a_callee_that_wants_more_and_more_is_believed_a_few_times(ladder: Ladder) -> None:
    ladder.play("caller -> INVITE sdp", "caller <- 100", "callee <- INVITE sdp")
    for least in (2000, 3000, 4000, 5000):
        ladder.play(f"callee -> 422 | Min-SE: {least}", "callee <- ACK", f"callee <- INVITE sdp | Min-SE: {least}")
    ladder.play("callee -> 422 | Min-SE: 6000", "callee <- ACK", "caller <- 422", "caller -> ACK")


@pytest.mark.parametrize("least", ["Min-SE: 90", "Min-SE: 1800", "Min-SE: 100000", "Min-SE: x", "X-None: 1"])
def test_a_422_that_leads_nowhere_is_a_refusal(ladder: Ladder, least: str) -> None:
    ladder.play(f"""
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp
        callee -> 422 | {least}
        callee <- ACK
        caller <- 422
        caller -> ACK
    """)


def test_where_it_is_not_spoken_nothing_is_said_of_it(new_ladder: Callable[..., Ladder]) -> None:
    ladder = new_ladder(**peer(Mode.NEVER))
    ladder.play(
        """
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp | -Session-Expires
        callee -> 200 sdp | Session-Expires: 100;refresher=uac
        callee <- ACK
        caller <- 200 sdp
        caller -> ACK
        1000 s
    """,
        HUNG_UP,
    )
    ladder.party("callee", PBX, f"sip:2002@{ladder.parties['caller'].address.host}:5070")
    ladder.play("callee -> INVITE sdp | Require: timer", "callee <- 420 | Unsupported: timer", "callee -> ACK")
    ladder.play(f"""
        callee -> INVITE sdp | {SPEAKS} | Session-Expires: 30
        callee <- 100
        caller <- INVITE sdp
        caller -> 200 sdp
        caller <- ACK
        callee <- 200 sdp | -Session-Expires
        callee -> ACK
    """)


def test_where_it_is_always_spoken_we_refresh_for_who_cannot(new_ladder: Callable[..., Ladder]) -> None:
    ladder = new_ladder(**peer(Mode.ALWAYS), settings=Settings(session_expires=200))
    ladder.play(
        answered(),
        """
        100 s
        callee <- INVITE sdp | Session-Expires: 200;refresher=uac
        callee -> 200 sdp
        callee <- ACK
        100 s
        callee <- INVITE sdp
        callee -> 200 sdp
        callee <- ACK
    """,
        HUNG_UP,
    )


# -- we refresh --------------------------------------------------------------------------------------------------------

WE_REFRESH_CALLEE = answered(callee=f"{SPEAKS} | Session-Expires: 200;refresher=uac")
BY_UPDATE = answered(callee=f"{SPEAKS} | {ALLOWS} | Session-Expires: 200;refresher=uac")
WE_REFRESH_CALLER = answered(f"{SPEAKS} | {ALLOWS} | Session-Expires: 200;refresher=uas")


def test_we_refresh_by_update_where_it_is_allowed(ladder: Ladder) -> None:
    ladder.play(
        BY_UPDATE,
        f"""
        100 s
        callee <- UPDATE | Session-Expires: 200;refresher=uac | Supported: timer | CSeq: 2 UPDATE
        callee -> 200 UPDATE | {SPEAKS} | Session-Expires: 300;refresher=uac
        150 s
        callee <- UPDATE | Session-Expires: 300;refresher=uac | CSeq: 3 UPDATE
        callee -> 200 UPDATE
        4000 s
    """,
        HUNG_UP,
    )


def test_we_refresh_by_re_invite_with_the_same_session_where_it_is_not(ladder: Ladder) -> None:
    ladder.play(WE_REFRESH_CALLEE)
    first = ladder.parties["callee"].requests["INVITE"].body
    ladder.play(
        f"""
        100 s
        callee <- INVITE sdp | Session-Expires: 200;refresher=uac
        callee -> 200 sdp | {SPEAKS} | Session-Expires: 200;refresher=uac
        callee <- ACK
        100 s
        callee <- INVITE sdp
        callee -> 200 sdp
        callee <- ACK
    """,
        HUNG_UP,
    )
    assert ladder.parties["callee"].requests["INVITE"].body == first


@pytest.mark.parametrize("allows", [f"{ALLOWS} | ", ""])
def test_we_refresh_the_caller_who_wants_us_to(ladder: Ladder, allows: str) -> None:
    method, body = ("UPDATE", "") if allows else ("INVITE", "sdp")
    ladder.play(
        answered(f"{allows}{SPEAKS} | Session-Expires: 200;refresher=uas"),
        f"""
        100 s
        caller <- {method} {body} | Session-Expires: 200;refresher=uac
        caller -> 200 {method} {body} | {SPEAKS} | Session-Expires: 200;refresher=uac
        {"caller <- ACK" if method == "INVITE" else ""}
        100 s
        caller <- {method} {body}
        caller -> 200 {method} {body}
        {"caller <- ACK" if method == "INVITE" else ""}
    """,
        HUNG_UP,
    )


def test_a_new_address_in_the_answer_to_our_refresh_is_followed(ladder: Ladder) -> None:
    ladder.play(
        WE_REFRESH_CALLEE,
        """
        100 s
        callee <- INVITE sdp
        callee -> 200 sdp | Contact: <sip:moved@10.0.0.6:5060>
        other <- ACK sip:moved@10.0.0.6:5060
    """,
    )


@pytest.mark.parametrize("status", [481, 408])
def test_who_does_not_know_the_call_any_more_has_lost_it(ladder: Ladder, status: int) -> None:
    """Section 10."""
    ladder.play(
        BY_UPDATE,
        f"""
        100 s
        callee <- UPDATE
        callee -> {status} UPDATE
        caller <- BYE
        callee <- BYE
        caller -> 200 BYE
        callee -> 481 BYE
        0.1 s
    """,
    )
    assert ladder.record.cause == f"{status} to UPDATE"


def test_who_says_nothing_to_our_refresh_has_lost_the_call(ladder: Ladder) -> None:
    repeats = "\n".join(f"{pause} s\ncallee <- UPDATE" for pause in (0.5, 1, 2, 4, 4, 4, 4, 4, 4, 4))
    ladder.play(
        BY_UPDATE,
        "100 s",
        "callee <- UPDATE",
        repeats,
        """
        0.5 s
        caller <- BYE
        callee <- BYE
        caller -> 200 BYE
        callee -> 200 BYE
        0.1 s
    """,
    )
    assert ladder.record.cause == "no answer to UPDATE"


def test_a_refused_refresh_is_tried_again_until_the_time_is_over(new_ladder: Callable[..., Ladder]) -> None:
    ladder = new_ladder()
    again = "10 s\ncallee <- UPDATE\ncallee -> 500 UPDATE"
    ladder.play(BY_UPDATE, "100 s", "callee <- UPDATE", "callee -> 500 UPDATE", "\n".join([again] * 6), "8 s", ENDS)
    assert ladder.record.cause == "session timer"


def test_a_refresh_by_update_that_is_not_understood_is_one_by_re_invite(ladder: Ladder) -> None:
    ladder.play(
        BY_UPDATE,
        f"""
        100 s
        callee <- UPDATE
        callee -> 405 UPDATE | Allow: INVITE, ACK, BYE, CANCEL
        10 s
        callee <- INVITE sdp
        callee -> 200 sdp | {SPEAKS} | Session-Expires: 200;refresher=uac
        callee <- ACK
    """,
        HUNG_UP,
    )


@pytest.mark.parametrize("by", ["UPDATE", "INVITE"])
def test_a_refresh_that_is_too_brief_for_it_is_a_longer_one(ladder: Ladder, by: str) -> None:
    body, ack = ("", "") if by == "UPDATE" else ("sdp", "callee <- ACK")
    ladder.play(
        BY_UPDATE if by == "UPDATE" else WE_REFRESH_CALLEE,
        f"""
        100 s
        callee <- {by} {body}
        callee -> 422 {by} | Min-SE: 400
        {ack}
        callee <- {by} {body} | Session-Expires: 400;refresher=uac | Min-SE: 400
        callee -> 200 {by} {body} | {SPEAKS} | Session-Expires: 400;refresher=uac
        {ack}
        200 s
        callee <- {by} {body} | Session-Expires: 400;refresher=uac
        callee -> 200 {by} {body}
        {ack}
    """,
        HUNG_UP,
    )


def test_a_refresh_that_meets_an_offer_makes_way_and_comes_later(ladder: Ladder) -> None:
    """Glare, RFC 3261 section 14.1."""
    ladder.play(
        WE_REFRESH_CALLEE,
        """
        100 s
        callee <- INVITE sdp
        callee -> INVITE sdp
        callee <- 491
        callee -> ACK
        callee -> 491
        callee <- ACK
        1 s
        callee -> INVITE sdp
        callee <- 100
        caller <- INVITE sdp
        caller -> 200 sdp
        caller <- ACK
        callee <- 200 sdp
        callee -> ACK
    """,
        HUNG_UP,
    )


def test_a_refresh_that_meets_nothing_but_a_491_comes_again(ladder: Ladder) -> None:
    """After 2.1 to 4 seconds, since the Call-ID is ours."""
    ladder.play(BY_UPDATE, "100 s", "callee <- UPDATE", "callee -> 491 UPDATE", "2 s")
    while not ladder.parties["callee"].inbox and ladder.events.now < 205:
        ladder.wait(0.01)
    ladder.play("callee <- UPDATE", f"callee -> 200 UPDATE | {SPEAKS} | Session-Expires: 200;refresher=uac", HUNG_UP)


def test_a_refresh_waits_for_an_exchange_under_way(ladder: Ladder) -> None:
    ladder.play(
        BY_UPDATE,
        f"""
        99 s
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp | Session-Expires: 200;refresher=uac
        callee -> 180
        caller <- 180
        10 s
        callee -> 488
        callee <- ACK
        caller <- 488
        caller -> ACK
        1 s
        callee <- UPDATE
        callee -> 200 UPDATE | {SPEAKS} | Session-Expires: 200;refresher=uac
    """,
        HUNG_UP,
    )


def test_an_exchange_that_passes_refreshes_too(ladder: Ladder) -> None:
    ladder.play(
        BY_UPDATE,
        f"""
        90 s
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp | Session-Expires: 200;refresher=uac
        callee -> 200 sdp | {SPEAKS} | Session-Expires: 200;refresher=uac
        callee <- ACK
        caller <- 200 sdp
        caller -> ACK
        99 s
    """,
    )
    ladder.play("1 s", "callee <- UPDATE", "callee -> 200 UPDATE", HUNG_UP)


# -- they refresh ------------------------------------------------------------------------------------------------------

CALLER_REFRESHES = answered(f"{SPEAKS} | Session-Expires: 200;refresher=uac")
CALLEE_REFRESHES = answered(callee=f"{SPEAKS} | {ALLOWS} | Session-Expires: 200;refresher=uas")


@pytest.mark.parametrize("call", [CALLER_REFRESHES, CALLEE_REFRESHES])
def test_a_side_that_does_not_refresh_in_time_ends_the_call_for_both(ladder: Ladder, call: str) -> None:
    """Section 10: at min(32, SE/3) seconds before the end."""
    ladder.play(call, "167.9 s")
    ladder.play("0.2 s", ENDS)
    assert (ladder.record.ended_by, ladder.record.cause) == ("sbc", "session timer")


def test_an_interval_that_is_short_leaves_a_third_of_it(new_ladder: Callable[..., Ladder]) -> None:
    ladder = new_ladder(settings=Settings(min_session_expires=6))
    ladder.play(answered(f"{SPEAKS} | Session-Expires: 6;refresher=uac", "", "Session-Expires: 6;refresher=uac"))
    ladder.play("3.9 s")
    ladder.play("0.2 s", ENDS)


def test_an_update_of_the_caller_refreshes_its_leg_alone(ladder: Ladder) -> None:
    ladder.play(
        CALLER_REFRESHES,
        f"""
        100 s
        caller -> UPDATE | {SPEAKS} | Session-Expires: 200;refresher=uac
        caller <- 200 UPDATE | Session-Expires: 200;refresher=uac | Require: timer | Contact: <sip:192.0.2.1:5060>
        160 s
        caller -> UPDATE | {SPEAKS} | Session-Expires: 200;refresher=uac
        caller <- 200 UPDATE
        160 s
    """,
        HUNG_UP,
    )


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_the_same_session_offered_again_is_a_refresh_of_one_leg_alone(ladder: Ladder, method: str) -> None:
    ladder.play(CALLER_REFRESHES)
    ladder.bodies["same"] = ("application/sdp", sdp(CALLER, 4000, 2))
    ladder.bodies["held"] = ("application/sdp", sdp(CALLER, 4000, 3, "sendonly"))
    ladder.play(
        f"""
        100 s
        caller -> {method} same | {SPEAKS} | Session-Expires: 200;refresher=uac
        caller <- 200 {method} sdp | Session-Expires: 200;refresher=uac
        {"caller -> ACK" if method == "INVITE" else ""}
        160 s
        caller -> {method} held | {SPEAKS} | Session-Expires: 200;refresher=uac
        {"caller <- 100" if method == "INVITE" else ""}
        callee <- INVITE sdp
        callee -> 200 sdp
        callee <- ACK
        caller <- 200 {method} sdp | Session-Expires: 200;refresher=uac
        {"caller -> ACK" if method == "INVITE" else ""}
    """,
        HUNG_UP,
    )
    assert any("it changes nothing" in line for line in ladder.trail)


def test_a_refresh_that_is_too_brief_is_told_the_least(ladder: Ladder) -> None:
    ladder.play(
        CALLER_REFRESHES,
        f"""
        caller -> UPDATE | {SPEAKS} | Session-Expires: 60
        caller <- 422 UPDATE | Min-SE: 90
        caller -> INVITE sdp | {SPEAKS} | Session-Expires: 60
        caller <- 422 | Min-SE: 90
        caller -> ACK
    """,
        HUNG_UP,
    )


def test_who_refreshes_stays_so_unless_it_says_otherwise(ladder: Ladder) -> None:
    ladder.play(
        WE_REFRESH_CALLER,
        f"""
        50 s
        caller -> UPDATE | {SPEAKS} | Session-Expires: 200
        caller <- 200 UPDATE | Session-Expires: 200;refresher=uas
        100 s
        caller <- UPDATE | Session-Expires: 200;refresher=uac
        caller -> 200 UPDATE | {SPEAKS} | Session-Expires: 200;refresher=uas
        160 s
        caller -> UPDATE | {SPEAKS} | Session-Expires: 200;refresher=uac
        caller <- 200 UPDATE | Session-Expires: 200;refresher=uac
    """,
        HUNG_UP,
    )


def test_each_leg_has_its_own(ladder: Ladder) -> None:
    ladder.play(
        answered(
            f"{SPEAKS} | {ALLOWS} | Session-Expires: 400;refresher=uas",
            f"{SPEAKS} | {ALLOWS} | Session-Expires: 100;refresher=uac",
            "Session-Expires: 400;refresher=uas",
        ),
        f"""
        50 s
        callee <- UPDATE | Session-Expires: 100;refresher=uac
        callee -> 200 UPDATE | {SPEAKS} | Session-Expires: 1000;refresher=uac
        150 s
        caller <- UPDATE | Session-Expires: 400;refresher=uac
        caller -> 200 UPDATE | {SPEAKS} | Session-Expires: 400;refresher=uac
    """,
        HUNG_UP,
    )


def test_a_callee_that_answers_with_next_to_nothing_is_asked_every_few_seconds(ladder: Ladder) -> None:
    ladder.play(
        answered(callee=f"{SPEAKS} | {ALLOWS} | Session-Expires: 0;refresher=uac"),
        """
        5 s
        callee <- UPDATE | Session-Expires: 90;refresher=uac
        callee -> 200 UPDATE
    """,
        HUNG_UP,
    )


def test_before_the_answer_there_is_nothing_to_refresh(ladder: Ladder) -> None:
    ladder.play(
        f"""
        caller -> INVITE sdp | {SPEAKS} | {ALLOWS} | Session-Expires: 200
        caller <- 100
        callee <- INVITE sdp
        callee -> 180
        caller <- 180
        caller -> UPDATE | Session-Expires: 200
        caller <- 200 UPDATE | -Session-Expires
        callee -> 200 sdp
        callee <- ACK
        caller <- 200 sdp | Session-Expires: 200;refresher=uac
        caller -> ACK
    """,
        HUNG_UP,
    )


def test_a_re_invite_that_another_interval_stops_is_not_the_other_sides_matter(ladder: Ladder) -> None:
    ladder.play(
        BY_UPDATE,
        f"""
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp
        callee -> 422 | Min-SE: 500
        callee <- ACK
        callee <- INVITE sdp | Session-Expires: 500;refresher=uac
        callee -> 200 sdp | {SPEAKS} | Session-Expires: 500;refresher=uac
        callee <- ACK
        caller <- 200 sdp
        caller -> ACK
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp
        callee -> 422
        callee <- ACK
        caller <- 500
        caller -> ACK
    """,
        HUNG_UP,
    )
