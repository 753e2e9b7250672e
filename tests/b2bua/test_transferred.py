"""Transfers that are done here: the SBC serves the REFER itself."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

import pytest

from sbc.b2bua import Interworking, Peer, Refer, Settings
from sbc.b2bua.alive import State
from sbc.b2bua.transfer_state import TransferInput, TransferState
from sbc.b2bua.transferred import IGNORED, TRANSITIONS
from sbc.policy import RouteRule
from sbc.sip import Address
from tests.support.ladder import ANSWERED, HUNG_UP, SIPFRAGS, Ladder
from tests.support.registered import NewAccess
from tests.support.world import PBX


@pytest.fixture
def call(ladder: Ladder) -> Ladder:
    """A call between elements that say nothing of REFER."""
    return prepared(ladder)


def prepared(ladder: Ladder) -> Ladder:
    ladder.bodies |= SIPFRAGS
    ladder.party("dave", Address("198.51.100.9", 5090), "sip:1002@192.0.2.1")
    ladder.party("third", Address("10.0.0.5", 5062), "sip:2002@198.51.100.9:5090")
    ladder.play(ANSWERED)
    return ladder


def told(who: str, status: int, final: bool = False) -> str:
    state = "terminated;reason=noresource" if final else "active;expires=*"
    return f"""
        {who} <- NOTIFY frag{status} | Event: refer;id=* | Subscription-State: {state}
        {who} -> 200 NOTIFY
    """


# -- the machine -------------------------------------------------------------------------------------------------------


def test_every_input_in_every_state_is_decided() -> None:
    pairs = {(state, given) for state in TransferState for given in TransferInput}
    assert pairs == TRANSITIONS.keys() | IGNORED
    assert not TRANSITIONS.keys() & IGNORED


# -- blind -------------------------------------------------------------------------------------------------------------

REFERRED = f"""
    callee -> REFER | Refer-To: <sip:2002@198.51.100.9:5090> | Referred-By: "Ann" <sip:ann@pbx.secret.example>
    callee <- 202 REFER | Contact: <sip:*>
    {told("callee", 100)}
    dave <- INVITE sdp sip:2002@198.51.100.9:5090
        | From: "Caller" <sip:caller@198.51.100.7>;tag=* | Referred-By: "Ann" <sip:ann@192.0.2.1>
"""
"""The PBX refers its caller, a phone outside, to another one."""
JOINED = f"""
    dave -> 200 sdp
    dave <- ACK
    {told("callee", 200, True)}
"""
LET_GO = """
    callee -> BYE
    callee <- 200 BYE
    0.1 s
"""
TALKING = """
    caller -> INFO text
    dave <- INFO text
    dave -> 200 INFO
    caller <- 200 INFO
    dave -> INFO
    caller <- INFO
    caller -> 200 INFO
    dave <- 200 INFO
    dave -> BYE
    dave <- 200 BYE
    caller <- BYE
    caller -> 200 BYE
    0.1 s
"""


def test_who_is_wanted_is_called_in_the_transferees_name_and_joined_with_it(call: Ladder) -> None:
    call.play(
        REFERRED,
        "dave -> 180",
        told("callee", 180),
        JOINED,
        LET_GO,
    )
    assert (call.record.ended_by, call.record.cause) == ("callee", "transfer")
    assert call.edge.b2bua.calls == 1
    (flow,) = call.edge.flows.values()
    assert {flow.a.remote, flow.b.remote} == {Address("198.51.100.7", 4000), Address("198.51.100.9", 4000)}
    call.play(TALKING)
    record = call.record
    assert record.a is not None
    assert record.b is not None
    assert (record.a.remote, record.b.remote) == ("198.51.100.7:5070/UDP", "198.51.100.9:5090/UDP")
    assert (record.ended_by, record.cause) == ("callee", "BYE")
    assert any("transfer done here (leg a allows no REFER)" in line for line in call.trail)


def test_so_does_a_phone_that_the_pbx_has_been_called_by(call: Ladder) -> None:
    """The transferee is the B leg: who is wanted is a user of the PBX that it calls itself."""
    call.play(
        f"""
        caller -> REFER | Refer-To: <sip:1002@192.0.2.1>
        caller <- 202 REFER
        {told("caller", 100)}
        callee <- INVITE sdp sip:1002@10.0.0.5 | From: <sip:1001@10.0.0.1>;tag=* | Referred-By: "Caller" <sip:caller@*>
    """
    )


def test_a_transferor_that_does_not_hang_up_is_let_go(call: Ladder) -> None:
    call.play(
        REFERRED,
        JOINED,
        """
        3.9 s
        0.2 s
        callee <- BYE | Reason: SIP;cause=200;text="Transferred"
        callee -> 200 BYE
        0.1 s
    """,
        TALKING,
    )


def test_a_transferor_may_hang_up_at_once(call: Ladder) -> None:
    call.play(
        REFERRED,
        "callee -> BYE",
        "callee <- 200 BYE",
        "caller -> INFO text",  # there is nobody for it now
        "caller <- 500 INFO",
        "caller -> INVITE sdp",
        "caller <- 500",
        "caller -> ACK",
        JOINED,
        "0.1 s",
    )
    assert (call.record.ended_by, call.record.cause) == ("callee", "transfer")
    call.play(TALKING)


def test_norefersub(call: Ladder) -> None:
    """RFC 4488: nobody is told anything."""
    call.play(
        """
        callee -> REFER | Refer-To: <sip:2002@198.51.100.9:5090> | Refer-Sub: false | Require: norefersub
        callee <- 200 REFER | Refer-Sub: false
        dave <- INVITE sdp
        dave -> 180
        dave -> 200 sdp
        dave <- ACK
        4 s
        callee <- BYE
        callee -> 200 BYE
    """,
        TALKING,
    )


@pytest.mark.parametrize("status", [404, 486, 487, 503])
def test_a_failed_transfer_changes_nothing(call: Ladder, status: int) -> None:
    call.play(REFERRED, f"dave -> {status}", "dave <- ACK", told("callee", status, True))
    assert call.record.cause.startswith(f"{status} ")
    call.play("caller -> INFO", "callee <- INFO", "callee -> 200 INFO", "caller <- 200 INFO")
    call.play(REFERRED, "dave -> 486", "dave <- ACK", told("callee", 486, True), HUNG_UP)
    assert any(f"transfer failed ({status})" in line for line in call.trail)


def test_nobody_answers(new_ladder: Callable[..., Ladder]) -> None:
    call = prepared(new_ladder(settings=Settings(no_answer=20.0)))
    call.play(
        REFERRED,
        "dave -> 180",
        told("callee", 180),
        "20 s",
        "dave <- CANCEL",
        told("callee", 408, True),
        "dave -> 200 CANCEL",
        "dave -> 487",
        "dave <- ACK",
        HUNG_UP,
    )


def test_a_failed_transfer_ends_the_call_of_a_transferor_that_has_left(call: Ladder) -> None:
    call.play(
        REFERRED,
        LET_GO,
        "dave -> 486",
        "dave <- ACK",
        told("callee", 486, True),
        'caller <- BYE | Reason: SIP;cause=487;text="Transfer given up"',
        "caller -> 200 BYE",
        "0.1 s",
    )
    assert (call.record.ended_by, call.record.cause) == ("sbc", "transfer failed")


def test_a_transferee_that_hangs_up_ends_it_all(call: Ladder) -> None:
    call.play(
        REFERRED,
        "dave -> 180",
        told("callee", 180),
        "caller -> BYE",
        "caller <- 200 BYE",
        "callee <- BYE",
        "dave <- CANCEL",
        told("callee", 487, True),
        "callee -> 200 BYE",
        "dave -> 200 CANCEL",
        "dave -> 487",
        "dave <- ACK",
    )


def test_who_answers_and_hangs_up_before_it_is_joined(call: Ladder) -> None:
    """A re-INVITE is under way between the first two."""
    call.play(
        REFERRED,
        "caller -> INVITE sdp",
        "caller <- 100",
        "callee <- INVITE sdp",
        "dave -> 200 sdp",
        "dave <- ACK",
        "dave -> BYE",
        "dave <- 200 BYE",
        told("callee", 480, True),
        "callee -> 200 sdp",
        "callee <- ACK",
        "caller <- 200 sdp",
        "caller -> ACK",
        HUNG_UP,
    )


def test_joining_waits_for_what_is_under_way(call: Ladder) -> None:
    call.play(
        REFERRED,
        "callee -> INVITE sdp",
        "callee <- 100",
        "caller <- INVITE sdp",
        "caller -> 100",
        "dave -> 200 sdp",
        "dave <- ACK",
        "1 s",
        "caller -> 200 sdp",
        "caller <- ACK",
        "callee <- 200 sdp",
        "callee -> ACK",
        "0.2 s",
        told("callee", 200, True),
        LET_GO,
        TALKING,
    )


def test_a_held_call_is_joined_with_media_both_ways(call: Ladder) -> None:
    held = b"v=0\r\no=x 1 2 IN IP4 10.0.0.5\r\ns=-\r\nc=IN IP4 10.0.0.5\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
    call.bodies["hold"] = ("application/sdp", held + b"a=sendonly\r\n")
    call.bodies["held"] = ("application/sdp", held.replace(b"10.0.0.5", b"198.51.100.7") + b"a=recvonly\r\n")
    call.play(
        """
        callee -> INVITE hold
        callee <- 100
        caller <- INVITE sdp
        caller -> 200 held
        caller <- ACK
        callee <- 200 sdp
        callee -> ACK
    """,
        REFERRED,
    )
    offered = call.parties["dave"].requests["INVITE"].body
    assert b"a=sendrecv" in offered
    call.play(
        JOINED,
        """
        caller <- INVITE sdp
        caller -> 200 sdp
        caller <- ACK
    """,
        LET_GO,
    )
    assert b"a=sendrecv" in call.parties["caller"].requests["INVITE"].body
    call.play(TALKING)


def test_who_is_wanted_speaks_other_codecs(call: Ladder) -> None:
    """It answers with fewer: what the transferee knows is put right, if it must."""
    only = b"v=0\r\no=x 1 1 IN IP4 198.51.100.9\r\ns=-\r\nc=IN IP4 198.51.100.9\r\nt=0 0\r\n"
    call.bodies["pcma"] = ("application/sdp", only + b"m=audio 4000 RTP/AVP 8\r\n")
    call.play(
        REFERRED,
        "dave -> 200 pcma",
        "dave <- ACK",
        told("callee", 200, True),
        """
        caller <- INVITE sdp
        caller -> 200 sdp
        caller <- ACK
    """,
    )
    assert b"RTP/AVP 8\r\n" in call.parties["caller"].requests["INVITE"].body


def test_the_offer_after_it_meets_one_of_the_element(call: Ladder) -> None:
    """Glare: ours waits, and is made again."""
    only = b"v=0\r\no=x 1 1 IN IP4 198.51.100.9\r\ns=-\r\nc=IN IP4 198.51.100.9\r\nt=0 0\r\n"
    call.bodies["pcma"] = ("application/sdp", only + b"m=audio 4000 RTP/AVP 8\r\n")
    call.play(
        REFERRED,
        "dave -> 200 pcma",
        "dave <- ACK",
        told("callee", 200, True),
        "caller <- INVITE sdp",
        "caller -> 491",
        "caller <- ACK",
        LET_GO,
    )
    while not call.parties["caller"].inbox:
        call.wait(0.05)
    call.play("caller <- INVITE sdp", "caller -> 200 sdp", "caller <- ACK", TALKING)


def test_a_transferee_that_refuses_what_is_new_stays_joined_if_they_understand_each_other(call: Ladder) -> None:
    only = b"v=0\r\no=x 1 1 IN IP4 198.51.100.9\r\ns=-\r\nc=IN IP4 198.51.100.9\r\nt=0 0\r\n"
    call.bodies["pcma"] = ("application/sdp", only + b"m=audio 4000 RTP/AVP 8\r\n")
    call.play(
        REFERRED,
        "dave -> 200 pcma",
        "dave <- ACK",
        told("callee", 200, True),
        "caller <- INVITE sdp",
        "caller -> 488",
        "caller <- ACK",
        LET_GO,
        TALKING,
    )


def test_who_cannot_be_called_is_told(call: Ladder) -> None:
    """The PBX refers to somebody whom no route leads to; nobody notices but itself."""
    call.play(
        "callee -> REFER | Refer-To: <sip:1002@10.0.0.1>",
        "callee <- 202 REFER",
        told("callee", 100),
        told("callee", 404, True),
        HUNG_UP,
    )


def test_whom_the_routes_refuse(new_ladder: Callable[..., Ladder]) -> None:
    call = prepared(new_ladder(routes=(RouteRule("no", numbers=("2*",), reject=403),)))
    call.play(REFERRED.partition("dave <-")[0], told("callee", 403, True), HUNG_UP)


def test_no_more_calls_than_there_may_be(new_ladder: Callable[..., Ladder]) -> None:
    call = prepared(new_ladder(max_calls=1))
    call.play(REFERRED.partition("dave <-")[0], told("callee", 503, True), HUNG_UP)


def test_one_transfer_at_a_time(call: Ladder) -> None:
    call.play(REFERRED, "callee -> REFER | Refer-To: <sip:2002@198.51.100.9:5090>", "callee <- 491 REFER")


def test_not_before_the_call_is_answered(ladder: Ladder) -> None:
    ladder.play(
        """
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp
        callee -> 180
        caller <- 180
        caller -> REFER | Refer-To: <sip:1002@192.0.2.1>
        caller <- 500 REFER
    """
    )


def test_after_a_481_it_is_told_no_more(call: Ladder) -> None:
    call.play(
        REFERRED.replace("callee -> 200 NOTIFY", "callee -> 481 NOTIFY"),
        "dave -> 180",
        "dave -> 200 sdp",
        "dave <- ACK",
        LET_GO,
        TALKING,
    )


# -- what is passed and what is not ------------------------------------------------------------------------------------

ALLOWING = ANSWERED.replace("caller -> INVITE sdp", "caller -> INVITE sdp | Allow: INVITE, REFER")


@pytest.mark.parametrize(
    ("how", "allows", "said", "passed"),
    [
        (Refer.AUTO, True, "<sip:7@10.0.0.5>", True),
        (Refer.AUTO, False, "<sip:7@10.0.0.5>", False),
        # a name that may be one of the hidden zone: we call it, and nobody is told
        (Refer.AUTO, True, "<sip:7@198.51.100.9:5090>", False),
        (Refer.PASS, False, "<sip:7@10.0.0.5>", True),
        (Refer.PASS, False, "<sip:7@198.51.100.9:5090>", True),
        (Refer.END, True, "<sip:7@10.0.0.5>", False),
        # its Replaces would come to nothing
        (Refer.AUTO, True, "<sip:7@10.0.0.77?Replaces=x%3Bto-tag%3D1%3Bfrom-tag%3D2>", False),
    ],
)
def test_where_a_transfer_is_done(
    new_ladder: Callable[..., Ladder], how: Refer, allows: bool, said: str, passed: bool
) -> None:
    trunk = Peer("trunk", "public", "198.51.100.7", None, how=Interworking(refer=how))
    ladder = prepared_with(new_ladder(peers=(Peer("pbx", "private", PBX.host, None), trunk)), allows)
    who = "dave" if "198" in said else "callee"
    here = f"callee <- 202 REFER\n{told('callee', 100)}\n{who} <- INVITE sdp"
    ladder.play(
        f"callee -> REFER | Refer-To: {said}",
        "caller <- REFER\ncaller -> 202 REFER\ncallee <- 202 REFER" if passed else here,
    )


def prepared_with(ladder: Ladder, allows: bool) -> Ladder:
    ladder.bodies |= SIPFRAGS
    ladder.party("dave", Address("198.51.100.9", 5090), "sip:1002@192.0.2.1")
    ladder.play(ALLOWING if allows else ANSWERED)
    return ladder


# -- attended ----------------------------------------------------------------------------------------------------------

CONSULTATION = """
    third -> INVITE sdp
    third <- 100
    dave <- INVITE sdp
    dave -> 200 sdp
    dave <- ACK
    third <- 200 sdp
    third -> ACK
"""


def held_by(ladder: Ladder, name: str, flag: str = "") -> str:
    """The Replaces, escaped, by which a party names its call to the element at the other end of it."""
    identity = ladder.parties[name].identity
    assert identity is not None
    call_id, ours, theirs = identity
    return quote(f"{call_id};to-tag={theirs.rpartition('tag=')[2]};from-tag={ours.rpartition('tag=')[2]}{flag}")


def test_two_calls_are_joined_without_a_new_one(call: Ladder) -> None:
    """The PBX has called dave and joins him with its caller."""
    call.play(CONSULTATION)
    call.play(
        f"""
        callee -> REFER | Refer-To: <sip:2002@10.0.0.1?Replaces={held_by(call, "third")}>
        callee <- 202 REFER
        {told("callee", 100)}
        {told("callee", 200, True)}
        third <- BYE | Reason: SIP;cause=200;text="Transferred"
        third -> 200 BYE
    """,
        LET_GO,
        TALKING,
    )


def test_so_they_are_from_outside(call: Ladder) -> None:
    """Dave, whom the PBX has called, was called by the caller's phone, too: both ends are of the PBX."""
    call.play(CONSULTATION)
    call.play(
        f"""
        caller -> REFER | Refer-To: <sip:1002@192.0.2.1?Replaces={held_by(call, "dave")}>
        caller <- 202 REFER
        {told("caller", 100)}
        {told("caller", 200, True)}
        dave <- BYE
        dave -> 200 BYE
        caller -> BYE
        caller <- 200 BYE
        0.1 s
        third -> INFO
        callee <- INFO
        callee -> 200 INFO
        third <- 200 INFO
        callee -> BYE
        callee <- 200 BYE
        third <- BYE
        third -> 200 BYE
    """
    )


def test_a_consultation_that_rings_is_waited_for(call: Ladder) -> None:
    call.play(
        """
        third -> INVITE sdp
        third <- 100
        dave <- INVITE sdp
        dave -> 180
        third <- 180 | To: *;tag=$far
    """
    )
    identity = call.parties["third"].identity
    assert identity is not None
    value = quote(f"{identity[0]};to-tag={call['far']};from-tag={identity[1].rpartition('tag=')[2]}")
    call.play(
        f"""
        callee -> REFER | Refer-To: <sip:2002@10.0.0.1?Replaces={value}>
        callee <- 202 REFER
        {told("callee", 100)}
        2 s
        dave -> 200 sdp
        dave <- ACK
        third <- 200 sdp
        third -> ACK
        0.2 s
        {told("callee", 200, True)}
        third <- BYE
        third -> 200 BYE
    """,
        LET_GO,
        TALKING,
    )


def test_a_call_cannot_be_joined_with_itself(call: Ladder) -> None:
    call.play(
        f"""
        callee -> REFER | Refer-To: <sip:1@10.0.0.1?Replaces={held_by(call, "callee")}>
        callee <- 202 REFER
        {told("callee", 100)}
        {told("callee", 482, True)}
    """,
        HUNG_UP,
    )


def test_a_call_that_it_knows_nothing_of_is_called_with_its_replaces(call: Ladder) -> None:
    call.play(
        f"""
        callee -> REFER | Refer-To: <sip:1002@10.0.0.77?Replaces={quote("own@10.0.0.77;to-tag=a;from-tag=b")}>
        callee <- 202 REFER
        {told("callee", 100)}
        callee <- INVITE sdp sip:1002@10.0.0.77 | Replaces: own@10.0.0.77;to-tag=a;from-tag=b
    """
    )


def test_a_transfer_to_a_registrar_that_is_away_fails_at_once(new_access: NewAccess) -> None:
    ladder = prepared(new_access(watch=10.0))
    watch = ladder.edge.b2bua._context.alive
    watch.state = State.DOWN
    ladder.play(
        f"""
        caller -> REFER | Refer-To: <sip:2002@192.0.2.1>
        caller <- 202 REFER
        {told("caller", 100)}
        {told("caller", 503, True)}
        """
    )
    assert any("has not answered for" in line for line in ladder.trail)
    watch.state = State.UP
    ladder.play(HUNG_UP)
