"""REGISTER through us to the PBX, and refreshes answered here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sbc.b2bua import Access, FlowLost, ForgetBinding, HoldFlow, KeepBinding, Settings
from sbc.sip import Address, Hop
from tests.support.ladder import Ladder
from tests.support.world import CALLER, OUTSIDE, written

ACCESS = Access("public", ("example.com",), "pbx", expires_udp=60, key=b"site")
REGISTERED = """
    caller -> REGISTER sip:example.com | To: <sip:1001@example.com> | From: <sip:1001@example.com>;tag=phone
    | User-Agent: Phone/1.0
    callee <- REGISTER sip:example.com | Contact: <sip:$token@10.0.0.1:5060>;expires=3600 | To: <sip:1001@example.com>
    callee -> 200 REGISTER | Contact: <sip:$token@10.0.0.1:5060>;expires=3600
    caller <- 200 REGISTER | Contact: <sip:caller@198.51.100.7:5070>;expires=60
"""
REFRESH = "caller -> REGISTER sip:example.com | To: <sip:1001@example.com>"
REFRESHED = "caller <- 200 REGISTER | Contact: <sip:caller@198.51.100.7:5070>;expires=60"
TO_THE_PBX = "callee <- REGISTER sip:example.com | Contact: <sip:$token@10.0.0.1:5060>;expires=3600"
TAKEN = "callee -> 200 REGISTER | Contact: <sip:$token@10.0.0.1:5060>;expires=3600"
CALLED = """
    callee -> INVITE sip:$token@10.0.0.1 sdp
    callee <- 100
    caller <- INVITE sip:caller@198.51.100.7:5070 sdp
    caller -> 486
    caller <- ACK
    callee <- 486
    callee -> ACK
"""
NewAccess = Callable[..., Ladder]


@pytest.fixture
def new_access(new_ladder: Callable[..., Ladder]) -> NewAccess:
    """A world in which phones register, with these properties of its `Access`."""

    def make(edge: dict[str, Any] | None = None, **access: Any) -> Ladder:
        changed = {name: access.get(name, getattr(ACCESS, name)) for name in Access.__slots__}
        return new_ladder(settings=Settings(access=Access(**changed)), **(edge or {}))

    return make


@pytest.fixture
def access(new_access: NewAccess) -> Ladder:
    return new_access()


def decision(ladder: Ladder) -> str:
    (device,) = ladder.edge.b2bua.registered.by_aor("1001@example.com")
    (flow,) = device.flows.values()
    return flow.decision


def send(ladder: Ladder, line: str) -> None:
    """What the SBC does about it is looked at afterwards."""
    words, *changes = line.partition("-> ")[2].split(" | ")
    ladder.parties["caller"].send(words.split(), changes)
    ladder.wait(0.0)


def refresh_until_passed(ladder: Ladder) -> int:
    """How many refreshes were answered here before the PBX saw one, which it has now."""
    for count in range(100):
        ladder.wait(55.0)
        send(ladder, REFRESH)
        if ladder.parties["callee"].inbox:
            return count
        ladder.play(REFRESHED)
    raise AssertionError("the PBX sees none of them")


def test_a_register_goes_to_the_pbx_with_a_contact_of_ours_and_the_phone_gets_the_short_timer(access: Ladder) -> None:
    access.play(REGISTERED)
    assert decision(access) == "registered"
    kept = [command.record for command in access.edge.commands if isinstance(command, KeepBinding)]
    assert [(record.aor, record.contact, record.user_agent) for record in kept] == [
        ("1001@example.com", "sip:caller@198.51.100.7:5070", "Phone/1.0")
    ]


def test_digest_goes_end_to_end_and_auth_int_is_not_offered(access: Ladder) -> None:
    access.play("""
        caller -> REGISTER sip:example.com
        callee <- REGISTER sip:example.com | Call-ID: $id | -Authorization
        callee -> 401 REGISTER | WWW-Authenticate: Digest realm="example.com", nonce="abc", qop="auth,auth-int"
        caller <- 401 REGISTER | WWW-Authenticate: Digest realm="example.com", nonce="abc", qop="auth"
        caller -> REGISTER sip:example.com | Authorization: Digest username="1001", uri="sip:example.com", response="12"
        callee <- REGISTER sip:example.com | Call-ID: $id | CSeq: 2 REGISTER
        | Authorization: Digest username="1001", uri="sip:example.com", response="12"
        callee -> 403 REGISTER
        caller <- 403 REGISTER
    """)
    assert access.edge.b2bua.registered.counts() == (0, 0)


def test_a_refresh_is_answered_here_until_the_registrar_is_due(access: Ladder) -> None:
    access.play(REGISTERED)
    refreshes = refresh_until_passed(access)
    assert 54 < refreshes < 66
    access.play(TO_THE_PBX, TAKEN, REFRESHED)
    assert decision(access) == "renewed"


def test_the_phone_never_gets_longer_than_the_registrar_gives(access: Ladder) -> None:
    access.play("""
        caller -> REGISTER sip:example.com | Expires: 600
        callee <- REGISTER sip:example.com | Contact: <sip:$token@10.0.0.1:5060>;expires=3600
        callee -> 200 REGISTER | Contact: <sip:$token@10.0.0.1:5060>;expires=40
        caller <- 200 REGISTER | Contact: *;expires=40
    """)


def test_a_call_to_our_contact_reaches_the_phone_where_it_registered_from(access: Ladder) -> None:
    access.play(REGISTERED, CALLED)


def test_a_call_goes_where_the_packets_come_from_not_where_the_contact_says(access: Ladder) -> None:
    access.play(
        """
        caller -> REGISTER sip:example.com | Contact: <sip:1001@192.168.1.5:5060;line=1>
        callee <- REGISTER sip:example.com | Contact: <sip:$token@10.0.0.1:5060>;expires=3600
        callee -> 200 REGISTER | Contact: <sip:$token@10.0.0.1:5060>;expires=3600
        caller <- 200 REGISTER | Contact: <sip:1001@192.168.1.5:5060;line=1>;expires=60
        callee -> INVITE sip:$token@10.0.0.1 sdp
        callee <- 100
        caller <- INVITE sip:1001@192.168.1.5:5060;line=1 sdp
        caller -> 200 sdp | Contact: <sip:1001@192.168.1.5:5060>
        caller <- ACK sip:1001@192.168.1.5:5060
        callee <- 200 sdp
        callee -> ACK
        callee -> BYE
        callee <- 200 BYE
        caller <- BYE
        caller -> 200 BYE
        0.1 s
        """
    )


def test_a_contact_of_ours_that_nobody_has_is_404_and_one_without_flow_480(access: Ladder) -> None:
    nobody = "callee -> INVITE sip:0123456789abcdef01234567@10.0.0.1 sdp\ncallee <- 404\ncallee -> ACK"
    access.play(nobody.replace("callee <- 404", "callee <- 100\ncallee <- 404"), REGISTERED, "100 s")
    access.play("callee -> INVITE sip:$token@10.0.0.1 sdp\ncallee <- 100\ncallee <- 480\ncallee -> ACK")
    assert any(isinstance(command, ForgetBinding) for command in access.edge.commands)


def test_unregistering_is_the_registrars_to_allow(access: Ladder) -> None:
    access.play(
        REGISTERED,
        """
        caller -> REGISTER sip:example.com | To: <sip:1001@example.com> | Expires: 0
        callee <- REGISTER sip:example.com | Contact: <sip:$token@10.0.0.1:5060>;expires=0
        callee -> 200 REGISTER | -Contact
        caller <- 200 REGISTER | -Contact
        """,
    )
    assert access.edge.b2bua.registered.counts() == (0, 0)


def test_a_stranger_with_somebodys_contact_gets_nothing_without_the_password(access: Ladder) -> None:
    access.party("thief", Address("198.51.100.66", 5070), "sip:example.com")
    stolen = "| To: <sip:1001@example.com> | Contact: <sip:caller@198.51.100.7:5070>"
    access.play(
        REGISTERED,
        f"""
        thief -> REGISTER sip:example.com {stolen} | CSeq: 50 REGISTER
        callee <- REGISTER sip:example.com
        callee -> 401 REGISTER | WWW-Authenticate: Digest realm="example.com", nonce="abc"
        thief <- 401 REGISTER
        thief -> REGISTER sip:example.com {stolen} | CSeq: 51 REGISTER | Authorization: Digest response="wrong"
        callee <- REGISTER sip:example.com
        callee -> 403 REGISTER
        thief <- 403 REGISTER
        """,
        CALLED,
        REFRESH,
        REFRESHED,
    )


def test_a_phone_whose_address_changes_is_reached_there_once_the_registrar_agrees(access: Ladder) -> None:
    access.play(REGISTERED)
    access.party("moved", Address("198.51.100.7", 6099), "sip:example.com")
    access.parties["moved"].name = "caller"
    access.parties["moved"].registers = 10
    access.play(
        """
        moved -> REGISTER sip:example.com | To: <sip:1001@example.com>
        callee <- REGISTER sip:example.com | Contact: <sip:$token@10.0.0.1:5060>;expires=3600
        callee -> 200 REGISTER | Contact: <sip:$token@10.0.0.1:5060>;expires=3600
        moved <- 200 REGISTER | Contact: <sip:caller@198.51.100.7:6099>;expires=60
        callee -> INVITE sip:$token@10.0.0.1 sdp
        callee <- 100
        moved <- INVITE sip:caller@198.51.100.7:6099 sdp
        moved -> 486
        moved <- ACK
        callee <- 486
        callee -> ACK
        """
    )
    assert decision(access) == "moved to another flow"
    assert access.edge.b2bua.registered.counts() == (1, 1)


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
        callee -> BYE
        callee <- 200 BYE
        moved <- BYE
        moved -> 200 BYE
        0.1 s
        """
    )
    assert any("leg moved" in line for line in access.trail)


def test_a_silent_registrar_costs_nobody_the_registration(access: Ladder) -> None:
    access.play(REGISTERED)
    refresh_until_passed(access)
    access.wait(4.1)
    access.parties["callee"].inbox.clear()
    access.play(REFRESHED)
    assert decision(access) == "refreshed here: the registrar does not answer"
    access.wait(30.0)
    access.parties["callee"].inbox.clear()


def test_who_is_new_while_the_registrar_is_silent_is_told_when_to_come_again(access: Ladder) -> None:
    send(access, REFRESH)
    access.wait(4.5)
    access.parties["callee"].inbox.clear()
    send(access, REFRESH)
    access.play("caller <- 503 REGISTER | Retry-After: *")
    access.wait(32.0)
    access.parties["callee"].inbox.clear()
    access.play("caller <- 503 REGISTER | Retry-After: *")


def test_a_registrar_that_wants_longer_intervals_gets_them_and_the_phone_does_not_notice(access: Ladder) -> None:
    access.play("""
        caller -> REGISTER sip:example.com
        callee <- REGISTER sip:example.com | Contact: <sip:$token@10.0.0.1:5060>;expires=3600
        callee -> 423 REGISTER | Min-Expires: 7200
        callee <- REGISTER sip:example.com | Contact: <sip:$token@10.0.0.1:5060>;expires=7200
        callee -> 200 REGISTER | Contact: <sip:$token@10.0.0.1:5060>;expires=7200
        caller <- 200 REGISTER | Contact: *;expires=60
    """)


def test_intervals_that_are_too_short_get_423_with_the_least(access: Ladder) -> None:
    access.play("caller -> REGISTER sip:example.com | Expires: 5", "caller <- 423 REGISTER | Min-Expires: 30")


def test_an_older_register_changes_nothing(access: Ladder) -> None:
    access.play(REGISTERED, f"{REFRESH} | CSeq: 1 REGISTER", "caller <- 500 REGISTER")


def test_a_refresh_that_is_repeated_is_answered_the_same_and_nothing_is_remembered_of_it(access: Ladder) -> None:
    access.play(REGISTERED)
    access.wait(40.0)
    refresh = [
        "REGISTER sip:example.com SIP/2.0", f"Via: SIP/2.0/UDP {written(CALLER)};branch=z9hG4bKonce",
        "From: <sip:1001@example.com>;tag=phone", "To: <sip:1001@example.com>", "Call-ID: another@phone",
        "CSeq: 7 REGISTER", f"Contact: <sip:caller@{written(CALLER)}>", "Content-Length: 0", "", "",
    ]  # fmt: skip
    answers = []
    for _ in range(2):
        access.edge.receive("\r\n".join(refresh).encode(), CALLER, OUTSIDE)
        assert access.edge.stack.server_count == 0
        answers.append(access.network.sent[-1][3])
        access.wait(0.5)
    assert answers[0].startswith(b"SIP/2.0 200")
    assert answers[0] == answers[1]


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


def test_the_operator_is_told_who_is_refused_and_why_but_not_of_mere_challenges(access: Ladder) -> None:
    access.play(f"""
        caller -> REGISTER sip:example.com | To: <sip:1001@example.com>
        {TO_THE_PBX}
        callee -> 401 REGISTER | WWW-Authenticate: Digest realm="example.com", nonce="x"
        caller <- 401 REGISTER
    """)
    assert access.trail == []
    access.play(f"""
        caller -> REGISTER sip:example.com | To: <sip:1001@example.com>
        {TO_THE_PBX}
        callee -> 403 REGISTER
        caller <- 403 REGISTER
    """)
    who = "REGISTER of sip:1001@example.com from 198.51.100.7 refused"
    assert access.trail == [f"admit registrations: {who}: 403 (by the registrar)"]
    access.play("caller -> REGISTER sip:example.com | Expires: 5", "caller <- 423 REGISTER")
    assert access.trail[1].endswith("refused: 423 (wants 5 s only)")


def test_another_domain_is_not_ours(access: Ladder) -> None:
    access.play("caller -> REGISTER sip:elsewhere.example", "caller <- 404 REGISTER")
    access.play("caller -> REGISTER sip:example.com | To: <sip:1001@elsewhere.example>", "caller <- 404 REGISTER")


def test_calls_of_a_registered_phone_take_the_route_that_its_registrar_names(access: Ladder) -> None:
    access.play(
        REFRESH,
        TO_THE_PBX,
        f"{TAKEN} | Service-Route: <sip:orig@10.0.0.5;lr>",
        f"{REFRESHED} | -Service-Route",
        """
        caller -> INVITE sip:2002@example.com sdp | From: <sip:1001@example.com>;tag=a
        caller <- 100
        callee <- INVITE sdp | Route: <sip:orig@10.0.0.5;lr>
        callee -> 486
        callee <- ACK
        caller <- 486
        caller -> ACK
        """,
    )


def test_a_refresh_for_less_time_ends_earlier(access: Ladder) -> None:
    access.play(REGISTERED, f"{REFRESH} | Expires: 30", "caller <- 200 REGISTER | Contact: *;expires=30", "42 s")
    assert access.edge.b2bua.registered.counts() == (1, 0)


def test_a_sender_that_cannot_be_read_is_told_to_the_pbx_as_the_user_that_it_registers(access: Ladder) -> None:
    access.play(
        "caller -> REGISTER sip:example.com | To: <sip:a%3E%3Bb@example.com> | From: <sip:>;tag=phone",
        "callee <- REGISTER sip:example.com | From: <sip:a%3E;b@example.com>;tag=* | To: <sip:a%3E%3Bb@example.com>",
    )


def test_the_pbx_sees_no_address_in_what_a_phone_says_of_its_contact(access: Ladder) -> None:
    contact = '<sip:1001@198.51.100.7:5070>;+sip.instance="<urn:uuid:1>";methods="INVITE";lan="192.168.1.5";x=caller'
    access.play(
        f'caller -> REGISTER sip:example.com | Contact: {contact};alias=198.51.100.7~5070~1;x6="[2001:db8::1]"',
        "callee <- REGISTER sip:example.com"
        ' | Contact: <sip:*>;+sip.instance="<urn:uuid:1>";methods="INVITE";x=caller;expires=3600',
    )


def test_devices_that_only_the_registrar_knows_of_take_a_place_too(new_access: NewAccess) -> None:
    """They stay in the table until the registrar's binding ends, long after their flows."""
    access = new_access(max_registrations=1)
    access.play(REGISTERED)
    access.wait(100.0)
    access.play("""
        caller -> REGISTER sip:example.com | To: <sip:1002@example.com>
        caller <- 503 REGISTER
    """)
