"""What follows from changes of the table of registrations."""

from __future__ import annotations

from sbc.b2bua import FlowLost, ForgetBinding, HoldFlow
from sbc.sip import Address, Hop
from tests.support.ladder import Ladder
from tests.support.registered import REFRESH, REGISTERED, NewAccess
from tests.support.world import CALLER, OUTSIDE


def test_a_contact_of_ours_that_nobody_has_is_404_and_one_without_flow_480(access: Ladder) -> None:
    nobody = "callee -> INVITE sip:0123456789abcdef01234567@10.0.0.1 sdp\ncallee <- 404\ncallee -> ACK"
    access.play(nobody.replace("callee <- 404", "callee <- 100\ncallee <- 404"), REGISTERED, "100 s")
    access.play("callee -> INVITE sip:$token@10.0.0.1 sdp\ncallee <- 100\ncallee <- 480\ncallee -> ACK")
    assert any(isinstance(command, ForgetBinding) for command in access.edge.commands)


def test_a_call_in_progress_follows_its_phone_to_the_new_flow(access: Ladder) -> None:
    access.play(REGISTERED)
    access.play(
        """
        callee -> INVITE sip:$token@10.0.0.1 sdp
        callee <- 100
        caller <- INVITE sdp
        caller -> 200 sdp
        caller <- ACK
        callee <- 200 sdp
        callee -> ACK
        """
    )
    access.party("moved", Address("203.0.113.99", 1024), "sip:example.com")
    access.parties["moved"].registers = 10
    same = "| Contact: <sip:caller@198.51.100.7:5070> | Call-ID: caller-registers@198.51.100.7"
    access.play(
        f"""
        moved -> REGISTER sip:example.com | To: <sip:1001@example.com> {same}
        callee <- REGISTER sip:example.com
        callee -> 200 REGISTER | Contact: <sip:$token@10.0.0.1:5060>;expires=3600
        moved <- 200 REGISTER
        """
    )
    (flow,) = access.edge.flows.values()
    assert (flow.b.signalling, flow.b.moves) == ("203.0.113.99", 1), "its media may come from there"
    assert flow.b.remote == Address("198.51.100.7", 4000), "it has said nothing else about them"
    access.play(
        """
        callee -> BYE
        callee <- 200 BYE
        moved <- BYE
        moved -> 200 BYE
        0.1 s
        """
    )
    assert any("leg moved" in line for line in access.trail)


def test_a_register_that_is_not_accepted_moves_nothing(access: Ladder) -> None:
    access.play(REGISTERED)
    access.play("""
        callee -> INVITE sip:$token@10.0.0.1 sdp
        callee <- 100
        caller <- INVITE sdp
        caller -> 200 sdp
        caller <- ACK
        callee <- 200 sdp
        callee -> ACK
    """)
    access.party("thief", Address("203.0.113.99", 1024), "sip:example.com")
    same = "| Contact: <sip:caller@198.51.100.7:5070> | Call-ID: caller-registers@198.51.100.7 | CSeq: 9 REGISTER"
    access.play(
        f"""
        thief -> REGISTER sip:example.com | To: <sip:1001@example.com> {same}
        callee <- REGISTER sip:example.com
        callee -> 401 REGISTER | WWW-Authenticate: Digest realm="example.com", nonce="n"
        thief <- 401 REGISTER
        callee -> BYE
        callee <- 200 BYE
        caller <- BYE
        caller -> 200 BYE
        0.1 s
        """
    )
    assert not any("leg moved" in line for line in access.trail)


def test_an_older_register_changes_nothing(access: Ladder) -> None:
    access.play(REGISTERED, f"{REFRESH} | CSeq: 1 REGISTER", "caller <- 500 REGISTER")


def test_a_stream_that_ends_takes_its_registration_along(access: Ladder) -> None:
    access.party("caller", CALLER, "sip:example.com", "TCP", 7)
    access.play("""
        caller -> REGISTER sip:example.com | To: <sip:1001@example.com>
        callee <- REGISTER sip:example.com | Contact: <sip:$token@10.0.0.1:5060>;expires=3600
        callee -> 200 REGISTER | Contact: <sip:$token@10.0.0.1:5060>;expires=3600
        caller <- 200 REGISTER | Contact: *;expires=600
    """)
    assert [c.hop.connection for c in access.edge.commands if isinstance(c, HoldFlow)] == [7]
    access.edge.tell(FlowLost(Hop("public", "TCP", OUTSIDE, CALLER, 7)))
    access.play("callee -> INVITE sip:$token@10.0.0.1 sdp\ncallee <- 100\ncallee <- 480\ncallee -> ACK")


def test_devices_that_only_the_registrar_knows_of_take_a_place_too(new_access: NewAccess) -> None:
    """They stay in the table until the registrar's binding ends, long after their flows."""
    access = new_access(max_registrations=1)
    access.play(REGISTERED)
    access.wait(100.0)
    access.play("""
        caller -> REGISTER sip:example.com | To: <sip:1002@example.com>
        caller <- 503 REGISTER
    """)
