"""Requests inside the dialogs of a call."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.ladder import ANSWERED, HUNG_UP, RINGING, Ladder
from tests.support.world import PBX2


@pytest.mark.parametrize("method", ["INFO", "MESSAGE"])
@pytest.mark.parametrize(("asks", "asked"), [("caller", "callee"), ("callee", "caller")])
def test_information_passes_with_its_body(ladder: Ladder, method: str, asks: str, asked: str) -> None:
    ladder.play(
        ANSWERED,
        f"""
        {asks} -> {method} text | Info-Package: x | Max-Forwards: 5
        {asked} <- {method} text | Info-Package: x | Max-Forwards: 4 | Content-Type: text/plain | -Contact
        {asked} -> 200 {method}
        {asks} <- 200 {method} | -Contact
    """,
        HUNG_UP,
    )


def test_two_requests_may_be_under_way_at_once(ladder: Ladder) -> None:
    ladder.play(
        ANSWERED,
        """
        caller -> INFO text
        callee <- INFO text
        caller -> MESSAGE text
        callee <- MESSAGE text
        callee -> INFO
        caller <- INFO
        callee -> 200 MESSAGE
        caller <- 200 MESSAGE
        callee -> 200 INFO
        caller <- 200 INFO
        caller -> 200 INFO
        callee <- 200 INFO
    """,
    )


def test_a_body_that_names_a_host_of_a_hidden_zone_does_not_leave_it(ladder: Ladder) -> None:
    ladder.bodies["telling"] = ("text/plain", b"call 10.0.0.77")
    ladder.bodies["typed"] = ('text/plain; name="10.0.0.77"', b"hello")
    ladder.play(
        ANSWERED,
        """
        callee -> MESSAGE telling
        callee <- 415 MESSAGE
        callee -> MESSAGE typed
        callee <- 415 MESSAGE
        caller -> MESSAGE telling
        callee <- MESSAGE telling
        callee -> 200 MESSAGE
        caller <- 200 MESSAGE
    """,
    )


@pytest.mark.parametrize("status", [404, 415, 469, 500, 603])
def test_a_refusal_passes_and_the_call_goes_on(ladder: Ladder, status: int) -> None:
    ladder.play(
        ANSWERED, "caller -> INFO", "callee <- INFO", f"callee -> {status} INFO", f"caller <- {status} INFO", HUNG_UP
    )
    assert ladder.record.cause == "BYE"


def test_a_405_says_what_is_allowed(ladder: Ladder) -> None:
    ladder.play(
        ANSWERED, "caller -> INFO", "callee <- INFO", "callee -> 405 INFO", "caller <- 405 INFO | Allow: INVITE*"
    )


def test_a_side_that_does_not_know_the_dialog_ends_the_call(ladder: Ladder) -> None:
    ladder.play(
        ANSWERED,
        """
        caller -> INFO
        callee <- INFO
        callee -> 481 INFO
        caller <- 481 INFO
        caller <- BYE
        callee <- BYE
        caller -> 200 BYE
        callee -> 481 BYE
        0.1 s
    """,
    )
    assert (ladder.record.ended_by, ladder.record.cause) == ("sbc", "481 to INFO")


def test_no_answer_at_all_ends_the_call(ladder: Ladder) -> None:
    repeats = "\n".join(f"{step} s\ncallee <- INFO" for step in (0.5, 1, 2, 4, 4, 4, 4, 4, 4, 4))
    ladder.play(
        ANSWERED,
        "caller -> INFO",
        "callee <- INFO",
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
    assert ladder.record.cause == "no answer to INFO"


def test_what_cannot_be_sent_ends_nothing(new_ladder: Callable[..., Ladder]) -> None:
    broken = False
    ladder = new_ladder(fails=lambda hop: broken and hop.remote.host == "10.0.0.5")
    ladder.play(ANSWERED)
    broken = True
    ladder.play("caller -> INFO", "caller <- 503 INFO")
    broken = False
    ladder.play(HUNG_UP)
    assert ladder.record.cause == "BYE"


def test_options_is_answered_here(ladder: Ladder) -> None:
    ladder.play(ANSWERED, "callee -> OPTIONS", "callee <- 200 OPTIONS | Allow: INVITE* | Accept: *multipart*")


@pytest.mark.parametrize(
    ("request_line", "answer"),
    [
        ("NONSENSE", "405 NONSENSE | Allow: INVITE*"),
        ("REGISTER", "405 REGISTER | Allow: INVITE*"),
        ("INFO | Max-Forwards: 0", "483 INFO"),
        ("INFO | Require: x-new", "420 INFO | Unsupported: x-new"),
        ("UPDATE sdp | Max-Forwards: 0", "483 UPDATE"),
    ],
)
def test_what_cannot_cross_is_refused_here(ladder: Ladder, request_line: str, answer: str) -> None:
    ladder.play(ANSWERED, f"caller -> {request_line}", f"caller <- {answer}", HUNG_UP)
    assert any("refused" in line for line in ladder.trail)


def test_requests_must_come_in_order(ladder: Ladder) -> None:
    """RFC 3261 section 12.2.2."""
    ladder.play(
        ANSWERED,
        """
        caller -> INFO | CSeq: 7 INFO
        callee <- INFO
        callee -> 200 INFO
        caller <- 200 INFO
        caller -> INFO | CSeq: 6 INFO
        caller <- 500 INFO
        caller -> INFO | CSeq: 7 INFO
        callee <- INFO
        callee -> 200 INFO
        caller <- 200 INFO
    """,
    )


@pytest.mark.parametrize(
    "change",
    [
        "To: <sip:1001@192.0.2.1>;tag=unknown",
        "From: <sip:caller@198.51.100.7>;tag=unknown",
        "From: <sip:caller@198.51.100.7>",
        "Call-ID: unknown",
    ],
)
@pytest.mark.parametrize("method", ["BYE", "INFO", "INVITE"])
def test_an_unknown_dialog_is_481(ladder: Ladder, method: str, change: str) -> None:
    if change.endswith("7>"):
        method = "INFO"
    ack = "caller -> ACK" if method == "INVITE" else ""
    ladder.play(ANSWERED, f"caller -> {method} | {change}", f"caller <- 481 {method}", ack)


def test_a_dialog_is_known_in_its_own_zone_only(ladder: Ladder) -> None:
    ladder.play(ANSWERED)
    ladder.party("thief", PBX2, "sip:2002@10.0.0.1")
    ladder.parties["thief"].identity = ladder.parties["caller"].identity
    ladder.parties["thief"].cseq = 10
    ladder.play("thief -> BYE", "thief <- 481 BYE", HUNG_UP)
    assert ladder.record.ended_by == "caller"


# -- before the answer -------------------------------------------------------------------------------------------------


def test_a_bye_of_the_callee_in_an_early_dialog_ends_nothing(ladder: Ladder) -> None:
    """RFC 3261 section 15: it must not send one."""
    ladder.play(RINGING)
    request = ladder.parties["callee"].requests["INVITE"]
    ladder.parties["callee"].identity = (
        request.call_id,
        f"{request.headers.get('To')};tag=callee-own-tag",
        request.headers.get("From") or "",
    )
    ladder.play("""
        callee -> BYE
        callee <- 200 BYE
        callee -> 486
        callee <- ACK
        caller <- 486
        caller -> ACK
    """)


# -- after the end -----------------------------------------------------------------------------------------------------


def test_when_the_call_is_over_requests_find_no_dialog(ladder: Ladder) -> None:
    ladder.play(
        ANSWERED,
        """
        caller -> BYE
        caller <- 200 BYE
        callee <- BYE
        callee -> INFO
        callee <- 481 INFO
        callee -> INVITE sdp
        callee <- 481
        callee -> ACK
        caller -> INFO
        caller <- 481 INFO
        callee -> 200 BYE
    """,
    )


def test_requests_under_way_when_the_call_ends_are_answered(ladder: Ladder) -> None:
    """RFC 3261 section 15.1.2."""
    ladder.play(
        ANSWERED,
        """
        caller -> INFO
        callee <- INFO
        callee -> BYE
        callee <- 200 BYE
        caller <- BYE
        caller <- 487 INFO
        caller -> 200 BYE
        callee -> 200 INFO
    """,
    )


def test_a_re_invite_under_way_when_the_call_ends_is_answered_and_cancelled(ladder: Ladder) -> None:
    ladder.play(
        ANSWERED,
        """
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp
        callee -> 180
        caller <- 180
        caller -> BYE
        caller <- 200 BYE
        callee <- BYE
        caller <- 487
        callee <- CANCEL
        caller -> ACK
        callee -> 200 CANCEL
        callee -> 200 BYE
        callee -> 487
        callee <- ACK
    """,
    )


def test_a_re_invite_that_is_answered_after_the_end_is_acknowledged(ladder: Ladder) -> None:
    ladder.play(
        ANSWERED,
        """
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp
        caller -> BYE
        caller <- 200 BYE
        callee <- BYE
        caller <- 487
        caller -> ACK
        callee -> 200 sdp
        callee <- ACK
        callee -> again
        callee <- ACK
        callee -> 200 BYE
    """,
    )
