"""Digits between an element that speaks telephone-events (RFC 4733) and one that uses SIP INFO."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sbc.b2bua import DigitsBy, Interworking, Peer, SendDtmf
from sbc.b2bua.dtmf import LONGEST, PLAIN, RELAY, SHORTEST, USUAL
from sbc.media import Flow, MediaProfile
from sbc.media.flow import DtmfReceived
from sbc.sip import Address
from tests.support.ladder import HUNG_UP, SIPFRAGS, Ladder
from tests.support.world import CALLER, PBX

INFO = " | Allow: INVITE, ACK, BYE, CANCEL, INFO"
NO_INFO = " | Allow: INVITE, ACK, BYE, CANCEL"
WITHOUT_EVENTS = MediaProfile(deny=("telephone-event",))


def description(host: str, events: int = 0) -> tuple[str, bytes]:
    formats, lines = ("0", "") if not events else (f"0 {events}", f"a=rtpmap:{events} telephone-event/8000\r\n")
    start = f"v=0\r\no=user 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n"
    return "application/sdp", f"{start}m=audio 4000 RTP/AVP {formats}\r\n{lines}".encode()


def relay(digit: str, duration: int = 160) -> tuple[str, bytes]:
    return RELAY, f"Signal={digit}\r\nDuration={duration}\r\n".encode()


BODIES = {
    "plain_a": description(CALLER.host),
    "events_a": description(CALLER.host, 101),
    "plain_b": description(PBX.host),
    "events_b": description(PBX.host, 101),
    "five": relay("5"),
    "pound": relay("#", 240),
    "just5": (PLAIN, b"5"),
}
Answered = Callable[..., Ladder]


@pytest.fixture
def answered(new_ladder: Callable[..., Ladder]) -> Answered:
    """A call whose sides speak telephone-events (`a`, `b`: the payload number, 0: they do not) and say what they
    allow; `first`: what comes before it."""

    def call(a: int, b: int, a_allows: str = "", b_allows: str = "", **edge: Any) -> Ladder:
        ladder = new_ladder(**edge)
        ladder.bodies |= BODIES
        for name, host, number in (("events_a", CALLER.host, a), ("events_b", PBX.host, b)):
            if number:
                ladder.bodies[name] = description(host, number)
        ladder.play(
            f"""
            caller -> INVITE {"events_a" if a else "plain_a"}{a_allows}
            caller <- 100
            callee <- INVITE sdp
            callee -> 200 {"events_b" if b else "plain_b"}{b_allows}
            callee <- ACK
            caller <- 200 sdp
            caller -> ACK
            """
        )
        return ladder

    return call


def flow(ladder: Ladder) -> Flow:
    (only,) = ladder.edge.flows.values()
    assert isinstance(only, Flow)
    return only


def told(ladder: Ladder, party: str) -> bool:
    """Whether the last description for a party had telephone-events."""
    invited = ladder.parties[party].requests.get("INVITE")
    message = invited or ladder.parties[party].heard
    assert message is not None
    return b"telephone-event" in message.body


def presses(ladder: Ladder, side: str, digit: str, duration: int = 160) -> None:
    ladder.edge.tell(DtmfReceived(flow(ladder).id, side, digit, duration))
    ladder.wait(0.0)


def sent(ladder: Ladder) -> list[tuple[str, str, int]]:
    """Side, digit and milliseconds of the telephone-events that the plane is to send."""
    return [(c.side, c.digit, c.duration) for c in ladder.edge.commands if isinstance(c, SendDtmf)]


def peer(by: DigitsBy) -> dict[str, Any]:
    media = WITHOUT_EVENTS if by is DigitsBy.INFO else MediaProfile()
    return {"peers": (Peer("pbx", "private", PBX.host, how=Interworking(dtmf=by), media=media),)}


# -- who speaks what ---------------------------------------------------------------------------------------------------


def test_where_both_speak_telephone_events_nobody_touches_their_packets(answered: Answered) -> None:
    ladder = answered(101, 101, INFO, INFO)
    assert flow(ladder).treatments == frozenset()
    assert not any("dtmf" in line for line in ladder.trail)


def test_where_neither_does_info_passes(answered: Answered) -> None:
    ladder = answered(0, 0, NO_INFO, INFO)
    assert flow(ladder).treatments == frozenset()
    ladder.play(
        """
        caller -> INFO five
        callee <- INFO five | Content-Type: application/dtmf-relay
        callee -> 200 INFO
        caller <- 200 INFO
        callee -> INFO pound
        caller <- INFO pound
        caller -> 415 INFO
        callee <- 415 INFO
        """
    )


def test_a_callee_without_telephone_events_gets_info(answered: Answered) -> None:
    ladder = answered(96, 0, "", INFO)
    assert told(ladder, "caller")
    assert flow(ladder).events_a.heard == ((96, 8000),)
    assert flow(ladder).events_a.swallow
    presses(ladder, "a", "5")
    ladder.play("callee <- INFO five | Content-Type: application/dtmf-relay | -Info-Package", "callee -> 200 INFO")
    assert any("RFC 4733 becomes INFO" in line for line in ladder.trail)


def test_a_caller_without_telephone_events_gets_info(answered: Answered) -> None:
    ladder = answered(0, 97, INFO, "")
    assert told(ladder, "callee")
    assert not told(ladder, "caller")
    presses(ladder, "b", "#", 240)
    ladder.play("caller <- INFO pound", "caller -> 200 INFO")


@pytest.mark.parametrize(("a", "b", "asks", "side"), [(101, 0, "callee", "a"), (0, 101, "caller", "b")])
def test_info_becomes_telephone_events_and_is_answered_here(
    answered: Answered, a: int, b: int, asks: str, side: str
) -> None:
    ladder = answered(a, b, INFO, INFO)
    ladder.play(f"{asks} -> INFO five", f"{asks} <- 200 INFO", f"{asks} -> INFO just5", f"{asks} <- 200 INFO", HUNG_UP)
    assert sent(ladder) == [(side, "5", 160), (side, "5", USUAL)]
    assert sum("INFO becomes RFC 4733" in line for line in ladder.trail) == 1


def test_who_cannot_be_told_digits_has_none_negotiated_for_it(answered: Answered) -> None:
    """The caller then plays tones, which cross as any sound."""
    ladder = answered(101, 0, "", NO_INFO)
    assert not told(ladder, "caller")
    assert flow(ladder).treatments == frozenset()


def test_who_says_nothing_of_info_is_not_offered_what_it_could_not_be_told(answered: Answered) -> None:
    ladder = answered(0, 0)
    assert not told(ladder, "callee")


def test_a_callee_that_was_offered_them_for_info_and_has_none_changes_nothing(answered: Answered) -> None:
    ladder = answered(0, 0, INFO, INFO)
    assert told(ladder, "callee")
    assert not told(ladder, "caller")
    assert flow(ladder).treatments == frozenset()


def test_who_has_telephone_events_and_uses_info_all_the_same_is_understood(answered: Answered) -> None:
    ladder = answered(101, 101, INFO, INFO)
    ladder.play("caller -> INFO five", "caller <- 200 INFO")
    assert sent(ladder) == [("b", "5", 160)]
    assert flow(ladder).events_a.report
    assert not flow(ladder).events_a.swallow


def test_who_says_each_digit_both_ways_is_heard_once(answered: Answered) -> None:
    """From the second digit on: of the first nobody can know."""
    ladder = answered(101, 101, INFO, INFO)
    ladder.play("caller -> INFO five", "caller <- 200 INFO")
    presses(ladder, "a", "5")
    ladder.play("caller -> INFO five", "caller <- 200 INFO")
    assert sent(ladder) == [("b", "5", 160)]
    assert any("INFO ignored" in line for line in ladder.trail)


def test_who_says_each_digit_both_ways_is_told_once_to_who_takes_info(answered: Answered) -> None:
    ladder = answered(101, 0, INFO, INFO)
    ladder.play("caller -> INFO five", "callee <- INFO five", "callee -> 200 INFO", "caller <- 200 INFO")
    presses(ladder, "a", "5")
    ladder.play("caller -> INFO five", "callee <- INFO five", "callee -> 200 INFO", "caller <- 200 INFO")
    assert any("telephone-events ignored" in line for line in ladder.trail)


def test_a_new_offer_that_brings_telephone_events_ends_the_conversion(answered: Answered) -> None:
    ladder = answered(101, 0, INFO, INFO)
    ladder.play(
        """
        caller -> INVITE events_a
        caller <- 100
        callee <- INVITE sdp
        callee -> 200 events_b
        callee <- ACK
        caller <- 200 sdp
        caller -> ACK
        """
    )
    assert told(ladder, "caller")
    assert flow(ladder).treatments == frozenset()


def test_a_late_offer_is_bridged_as_well(new_ladder: Callable[..., Ladder]) -> None:
    """The callee offers, in its 2xx, and has telephone-events; the caller answers without."""
    ladder = new_ladder()
    ladder.bodies |= BODIES
    ladder.play(
        f"""
        caller -> INVITE{INFO}
        caller <- 100
        callee <- INVITE
        callee -> 200 events_b
        caller <- 200 sdp
        caller -> ACK plain_a
        callee <- ACK sdp
        """,
    )
    assert b"telephone-event" in ladder.parties["callee"].requests["ACK"].body
    presses(ladder, "b", "5")
    ladder.play("caller <- INFO five", "caller -> 200 INFO")


# -- what the configuration forces -------------------------------------------------------------------------------------


def test_a_peer_of_info_is_not_offered_telephone_events_and_gets_info(answered: Answered) -> None:
    ladder = answered(101, 0, "", NO_INFO, **peer(DigitsBy.INFO))
    assert not told(ladder, "callee")
    assert told(ladder, "caller")
    presses(ladder, "a", "5")
    ladder.play("callee <- INFO five", "callee -> 200 INFO", "callee -> INFO pound", "callee <- 200 INFO")
    assert sent(ladder) == [("a", "#", 240)]


def test_a_peer_of_rtp_is_offered_telephone_events_and_gets_no_info(answered: Answered) -> None:
    ladder = answered(0, 101, "", INFO, **peer(DigitsBy.RTP))
    assert told(ladder, "callee")
    ladder.play("caller -> INFO five", "caller <- 200 INFO")
    assert sent(ladder) == [("b", "5", 160)]
    other = answered(101, 0, "", INFO, **peer(DigitsBy.RTP))
    assert not told(other, "caller")
    assert flow(other).treatments == frozenset()


def test_a_peer_of_rtp_is_not_heard_twice(answered: Answered) -> None:
    ladder = answered(101, 101, INFO, INFO, **peer(DigitsBy.RTP))
    ladder.play("callee -> INFO five", "callee <- 200 INFO")
    assert sent(ladder) == []
    assert flow(ladder).treatments == frozenset()


def test_digits_for_who_takes_none_are_dropped(answered: Answered) -> None:
    ladder = answered(0, 101, NO_INFO, "", **peer(DigitsBy.RTP))
    presses(ladder, "b", "5")
    presses(ladder, "b", "6")
    ladder.play(HUNG_UP)
    assert sum("a digit was dropped" in line for line in ladder.trail) == 1


# -- bodies ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "body", "heard"),
    [
        (RELAY, b"Signal=5\r\nDuration=160\r\n", ("5", 160)),
        (RELAY, b"Signal= *\nDuration= 300", ("*", 300)),
        (RELAY, b"\r\nSIGNAL = a\r\n", ("A", USUAL)),
        (RELAY, b"Signal=10\r\nDuration=1\r\n", ("*", SHORTEST)),
        (RELAY, b"Signal=11\r\nDuration=99999\r\n", ("#", LONGEST)),
        (RELAY, b"Duration=\r\nSignal=15\r\n", ("D", USUAL)),
        (RELAY, b"Signal=!\r\n", ("!", USUAL)),
        (PLAIN, b"16\r\n", ("!", USUAL)),
        (PLAIN, b"#", ("#", USUAL)),
        (PLAIN, b" 0 ", ("0", USUAL)),
    ],
)
def test_digits_as_elements_write_them(answered: Answered, kind: str, body: bytes, heard: tuple[str, int]) -> None:
    ladder = answered(101, 0, "", INFO)
    ladder.bodies["digit"] = (kind, body)
    ladder.play("callee -> INFO digit", "callee <- 200 INFO")
    assert sent(ladder) == [("a", *heard)]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (RELAY, b"Signal=\r\nDuration=160\r\n"),
        (RELAY, b"Duration=160\r\n"),
        (RELAY, b"Signal=E\r\n"),
        (RELAY, b"Signal=17\r\n"),
        (RELAY, b"Signal=05\r\n"),
        (RELAY, b"Signal=5\r\nDuration=-1\r\n"),
        (RELAY, "Signal=5\r\nDuration=\u0661\r\n".encode()),
        (RELAY, b"nonsense\r\n"),
        (RELAY, b"Signal=5\r\n" + b"x=y\r\n" * 60),
        (PLAIN, b"123"),
        (PLAIN, b"\xb2"),
        (PLAIN, b" "),
    ],
)
def test_what_is_no_digit_is_refused(answered: Answered, kind: str, body: bytes) -> None:
    ladder = answered(101, 0, "", INFO)
    ladder.bodies["digit"] = (kind, body)
    ladder.play("callee -> INFO digit", "callee <- 400 INFO", HUNG_UP)
    assert sent(ladder) == []


@pytest.mark.parametrize(
    ("kind", "changes"), [(RELAY, " | Info-Package: dtmf"), ("application/broadsoft", ""), ("text/plain", "")]
)
def test_packages_and_other_bodies_pass_untouched(answered: Answered, kind: str, changes: str) -> None:
    """RFC 6086."""
    ladder = answered(101, 0, "", INFO)
    ladder.bodies["other"] = (kind, b"Signal=5\r\n")
    ladder.play(
        f"""
        callee -> INFO other{changes}
        caller <- INFO other{changes}
        caller -> 469 INFO
        callee <- 469 INFO
        callee -> INFO
        caller <- INFO
        caller -> 200 INFO
        callee <- 200 INFO
        """
    )


def test_an_element_gets_digits_in_the_form_that_it_uses_itself(answered: Answered) -> None:
    ladder = answered(101, 0, "", INFO)
    ladder.play("callee -> INFO just5", "callee <- 200 INFO")
    presses(ladder, "a", "5")
    ladder.play("callee <- INFO just5 | Content-Type: application/dtmf", "callee -> 200 INFO")


def test_two_elements_of_info_that_use_different_forms(answered: Answered) -> None:
    ladder = answered(0, 0, INFO, INFO)
    ladder.play(
        """
        callee -> INFO just5
        caller <- INFO just5
        caller -> 200 INFO
        callee <- 200 INFO
        caller -> INFO five
        caller <- 200 INFO
        callee <- INFO just5
        callee -> 200 INFO
        """
    )


def test_durations_are_held_within_what_elements_take(answered: Answered) -> None:
    ladder = answered(101, 0, "", INFO)
    for number, (heard, said) in enumerate(((40, SHORTEST), (6000, LONGEST))):
        ladder.bodies[f"held{number}"] = relay("1", said)
        presses(ladder, "a", "1", heard)
        ladder.play(f"callee <- INFO held{number}", "callee -> 200 INFO")


# -- one after the other -----------------------------------------------------------------------------------------------


def test_quick_digits_are_told_in_order_one_at_a_time(answered: Answered) -> None:
    ladder = answered(101, 0, "", INFO)
    for digit in "123":
        ladder.bodies[f"digit{digit}"] = relay(digit)
        presses(ladder, "a", digit)
    ladder.play(
        """
        callee <- INFO digit1
        callee -> 200 INFO
        callee <- INFO digit2
        0.5 s
        callee <- INFO digit2
        callee -> 200 INFO
        callee <- INFO digit3
        callee -> 200 INFO
        """
    )


def test_digits_that_nobody_waits_for_are_not_kept_without_end(answered: Answered) -> None:
    ladder = answered(101, 0, "", INFO)
    for _ in range(100):
        presses(ladder, "a", "5")
    ladder.play("callee <- INFO five\ncallee -> 200 INFO\n" * 33)
    assert sum("a digit was dropped" in line for line in ladder.trail) == 1


@pytest.mark.parametrize("status", [405, 415, 501])
def test_who_refuses_digits_gets_no_more(answered: Answered, status: int) -> None:
    ladder = answered(101, 0, "", INFO)
    presses(ladder, "a", "5")
    presses(ladder, "a", "5")
    ladder.play("callee <- INFO five", f"callee -> {status} INFO")
    presses(ladder, "a", "5")
    ladder.play(HUNG_UP)
    assert any(f"{status} to INFO" in line for line in ladder.trail)
    assert ladder.record.cause == "BYE"


def test_a_failure_that_may_pass_costs_one_digit(answered: Answered) -> None:
    ladder = answered(101, 0, "", INFO)
    presses(ladder, "a", "5")
    presses(ladder, "a", "5")
    ladder.play("callee <- INFO five", "callee -> 503 INFO", "callee <- INFO five", "callee -> 200 INFO", HUNG_UP)


def test_who_does_not_know_the_call_any_more_has_lost_it(answered: Answered) -> None:
    ladder = answered(101, 0, "", INFO)
    presses(ladder, "a", "5")
    ladder.play(
        """
        callee <- INFO five
        callee -> 481 INFO
        caller <- BYE
        callee <- BYE
        caller -> 200 BYE
        callee -> 481 BYE
        0.1 s
        """
    )
    assert (ladder.record.ended_by, ladder.record.cause) == ("sbc", "481 to INFO")


def test_no_answer_to_a_digit_ends_the_call(answered: Answered) -> None:
    ladder = answered(101, 0, "", INFO)
    presses(ladder, "a", "5")
    repeats = "\n".join(f"{step} s\ncallee <- INFO" for step in (0.5, 1, 2, 4, 4, 4, 4, 4, 4, 4))
    ladder.play(
        "callee <- INFO five",
        repeats.replace("INFO", "INFO five"),
        "0.5 s\ncaller <- BYE\ncallee <- BYE\ncaller -> 200 BYE\ncallee -> 200 BYE\n0.1 s",
    )
    assert ladder.record.cause == "no answer to INFO"


def test_what_cannot_be_sent_costs_one_digit(answered: Answered) -> None:
    broken = False
    ladder = answered(101, 0, "", INFO, fails=lambda hop: broken and hop.remote.host == PBX.host)
    broken = True
    presses(ladder, "a", "5")
    broken = False
    presses(ladder, "a", "5")
    ladder.play("callee <- INFO five", "callee -> 200 INFO", HUNG_UP)


def test_digits_under_way_when_the_call_ends_are_given_up(answered: Answered) -> None:
    ladder = answered(101, 0, "", INFO)
    presses(ladder, "a", "5")
    presses(ladder, "a", "5")
    ladder.play(
        """
        callee <- INFO five
        caller -> BYE
        caller <- 200 BYE
        callee <- BYE
        callee -> 200 INFO
        callee -> 200 BYE
        0.1 s
        """
    )


# -- elsewhere ---------------------------------------------------------------------------------------------------------


def test_no_digit_is_written_down(answered: Answered) -> None:
    ladder = answered(101, 0, "", INFO)
    ladder.bodies["seven"] = relay("7", 100)
    ladder.bodies["bad"] = (RELAY, b"Signal=7x\r\n")
    presses(ladder, "a", "7", 100)
    ladder.play("callee <- INFO seven", "callee -> 405 INFO")
    ladder.play("callee -> INFO seven", "callee <- 200 INFO", "callee -> INFO bad", "callee <- 400 INFO")
    presses(ladder, "a", "7", 100)
    lines = [line for line in ladder.trail if " dtmf: " in line]
    assert len(lines) == 5
    assert not any("7" in line.replace("4733", "") for line in lines)


def test_who_is_transferred_is_told_digits_of_its_new_partner(new_ladder: Callable[..., Ladder]) -> None:
    """A leg keeps what it speaks when it goes over to another call; an INFO that is out stays behind."""
    ladder = new_ladder()
    dave = Address("198.51.100.9", 5090)
    ladder.party("dave", dave, "sip:1002@192.0.2.1")
    ladder.bodies |= BODIES | {"plain_dave": description(dave.host), "six": relay("6")} | SIPFRAGS
    ladder.play(
        f"""
        caller -> INVITE plain_a{INFO}
        caller <- 100
        callee <- INVITE sdp
        callee -> 200 events_b
        callee <- ACK
        caller <- 200 sdp
        caller -> ACK
        """
    )
    presses(ladder, "b", "5")
    presses(ladder, "b", "6")
    ladder.play(
        f"""
        caller <- INFO five
        callee -> REFER | Refer-To: <sip:2002@198.51.100.9:5090>
        callee <- 202 REFER
        callee <- NOTIFY frag100
        callee -> 200 NOTIFY
        dave <- INVITE sdp
        dave -> 200 plain_dave{INFO}
        dave <- ACK
        callee <- NOTIFY frag200
        callee -> 200 NOTIFY
        caller -> 200 INFO
        callee -> BYE
        callee <- 200 BYE
        caller -> INFO five
        dave <- INFO five
        dave -> 200 INFO
        caller <- 200 INFO
        dave -> INFO six
        caller <- INFO six
        caller -> 200 INFO
        dave <- 200 INFO
        caller -> BYE
        caller <- 200 BYE
        dave <- BYE
        dave -> 200 BYE
        0.1 s
        """
    )


def test_a_partner_after_a_transfer_without_telephone_events_gets_info(new_ladder: Callable[..., Ladder]) -> None:
    ladder = new_ladder()
    dave = Address("198.51.100.9", 5090)
    ladder.party("dave", dave, "sip:1002@192.0.2.1")
    ladder.bodies |= BODIES | {"plain_dave": description(dave.host)} | SIPFRAGS
    ladder.play(
        f"""
        caller -> INVITE events_a
        caller <- 100
        callee <- INVITE sdp
        callee -> 200 events_b
        callee <- ACK
        caller <- 200 sdp
        caller -> ACK
        callee -> REFER | Refer-To: <sip:2002@198.51.100.9:5090>
        callee <- 202 REFER
        callee <- NOTIFY frag100
        callee -> 200 NOTIFY
        dave <- INVITE sdp
        dave -> 200 plain_dave{INFO}
        dave <- ACK
        callee <- NOTIFY frag200
        callee -> 200 NOTIFY
        callee -> BYE
        callee <- 200 BYE
        """
    )
    assert told(ladder, "dave")
    side = "a" if flow(ladder).events_a.swallow else "b"
    presses(ladder, side, "5")
    ladder.play("dave <- INFO five", "dave -> 200 INFO", "dave -> INFO five", "dave <- 200 INFO")
    assert sent(ladder) == [(side, "5", 160)]
