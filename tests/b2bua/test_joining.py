"""Two calls exchange a leg: what goes along with it, and what the two learn of each other."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from sbc.b2bua.call import Call
from sbc.sip import Address
from tests.support.ladder import SIPFRAGS, Ladder

CALL = """
    caller -> INVITE {caller} | Supported: timer | Session-Expires: 90;refresher=uac
    caller <- 100
    callee <- INVITE sdp
    callee -> 200 {callee}
    callee <- ACK
    caller <- 200 sdp
    caller -> ACK
"""
CONSULTATION = """
    third -> INVITE {third}
    third <- 100
    dave <- INVITE sdp
    dave -> 200 {dave} | Require: timer | Session-Expires: 100;refresher=uac
    dave <- ACK
    third <- 200 sdp
    third -> ACK
"""
LET_GO = """
    third <- BYE
    third -> 200 BYE
    callee -> BYE
    callee <- 200 BYE
    0.1 s
"""


def description(host: str, *formats: int) -> tuple[str, bytes]:
    listed = " ".join(map(str, formats))
    text = f"v=0\r\no=x 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\nm=audio 4000 RTP/AVP {listed}\r\n"
    return "application/sdp", text.encode()


HOSTS = {"caller": "198.51.100.7", "callee": "10.0.0.5", "dave": "198.51.100.9", "third": "10.0.0.5"}


def joined(ladder: Ladder, **formats: tuple[int, ...]) -> None:
    """The PBX, which has been called and has called dave, joins its two parties; each speaks PCMU and PCMA or what
    `formats` says."""
    ladder.bodies |= SIPFRAGS
    for name, host in HOSTS.items():
        ladder.bodies[f"of-{name}"] = description(host, *formats.get(name, (0, 8)))
    ladder.party("dave", Address(HOSTS["dave"], 5090), "sip:1002@192.0.2.1")
    ladder.party("third", Address(HOSTS["third"], 5062), "sip:2002@198.51.100.9:5090")
    bodies = {name: f"of-{name}" for name in HOSTS}
    ladder.play(CALL.format(**bodies), CONSULTATION.format(**bodies))
    identity = ladder.parties["third"].identity
    assert identity is not None
    call_id, ours, theirs = identity
    value = quote(f"{call_id};to-tag={theirs.rpartition('tag=')[2]};from-tag={ours.rpartition('tag=')[2]}")
    ladder.parties["callee"].send(["REFER"], [f"Refer-To: <sip:2002@10.0.0.1?Replaces={value}>", "Refer-Sub: false"])


def call_of(ladder: Ladder, name: str) -> Call:
    """The call that a party's leg is in."""
    context = ladder.edge.b2bua._context
    (found,) = [
        call
        for call in context.calls.values()
        for leg in (call.a, call.b)
        if leg is not None and leg.hop.remote == ladder.parties[name].address and not leg.told_the_end
    ]
    return found


def test_legs_keep_their_dialogs_and_are_found_in_their_new_call(ladder: Ladder) -> None:
    joined(ladder)
    ladder.play("callee <- 200 REFER", LET_GO)
    call = call_of(ladder, "caller")
    assert call is call_of(ladder, "dave")
    context = ladder.edge.b2bua._context
    for leg in (call.a, call.b):
        assert leg is not None
        assert context.dialogs[(leg.invite.call_id, leg.local_tag)] == (call, leg)
        assert call.leg(leg.side) is leg
    assert context.calls == {call.id: call}


def test_their_session_timers_run_on(ladder: Ladder) -> None:
    """The caller refreshes at us, and we at dave; both were agreed on in their old calls."""
    joined(ladder)
    ladder.play(
        "callee <- 200 REFER",
        LET_GO,
        """
        45 s
        caller -> UPDATE | Supported: timer | Session-Expires: 90;refresher=uac
        caller <- 200 UPDATE | Session-Expires: 90;refresher=uac
        4.9 s
        dave <- INVITE sdp | Session-Expires: 100;refresher=uac
        dave -> 200 sdp | Require: timer | Session-Expires: 100;refresher=uac
        dave <- ACK
        50.1 s
        dave <- INVITE sdp
        dave -> 200 sdp | Require: timer | Session-Expires: 100;refresher=uac
        dave <- ACK
        5.2 s
        caller <- BYE
        caller -> 200 BYE
        dave <- BYE
        dave -> 200 BYE
        0.1 s
    """,
    )
    assert ladder.record.cause == "session timer"


def test_what_both_knew_already_needs_no_offer(ladder: Ladder) -> None:
    joined(ladder)
    ladder.play("callee <- 200 REFER", LET_GO)
    (flow,) = ladder.edge.flows.values()
    assert {flow.a.remote.host, flow.b.remote.host} == {HOSTS["caller"], HOSTS["dave"]}  # type: ignore[union-attr]


def test_who_knows_a_codec_that_the_other_one_has_is_offered_it(ladder: Ladder) -> None:
    """Dave had agreed on PCMA with the PBX, the caller knows PCMU only."""
    joined(ladder, caller=(0,), callee=(0,), third=(8,))
    ladder.play(
        "callee <- 200 REFER",
        """
        dave <- INVITE sdp
        dave -> 200 of-caller
        dave <- ACK
    """,
        LET_GO,
    )
    assert b"RTP/AVP 0\r\n" in ladder.parties["dave"].requests["INVITE"].body
    assert len(ladder.edge.flows) == 1


def test_two_who_speak_nothing_in_common_are_not_left_in_silence(ladder: Ladder) -> None:
    joined(ladder, caller=(0,), dave=(8,))
    ladder.play(
        "callee <- 200 REFER",
        """
        caller <- INVITE sdp
        third <- BYE
        third -> 200 BYE
        caller -> 488
        caller <- ACK
        caller <- BYE | Reason: SIP;cause=488;text="No common media"
        dave <- BYE
        caller -> 200 BYE
        dave -> 200 BYE
        callee -> BYE
        callee <- 200 BYE
        0.1 s
    """,
    )
    assert ladder.edge.flows == {}
    assert any("no common media after a transfer" in line for line in ladder.trail)


def test_a_2xx_that_comes_again_after_it_is_acknowledged_again(ladder: Ladder) -> None:
    """Its transaction was that of the old call."""
    joined(ladder)
    ladder.play("callee <- 200 REFER", "third <- BYE", "third -> 200 BYE")
    dave = ladder.parties["dave"]
    dave.send(["200", "of-dave"], ["Require: timer", "Session-Expires: 100;refresher=uac"])
    ladder.play("dave <- ACK")


@pytest.mark.parametrize("name", ["caller", "dave"])
def test_either_may_change_the_session_afterwards(ladder: Ladder, name: str) -> None:
    joined(ladder)
    other = "dave" if name == "caller" else "caller"
    ladder.play(
        "callee <- 200 REFER",
        LET_GO,
        f"""
        {name} -> INVITE sdp
        {name} <- 100
        {other} <- INVITE sdp
        {other} -> 200 sdp
        {other} <- ACK
        {name} <- 200 sdp
        {name} -> ACK
    """,
    )
