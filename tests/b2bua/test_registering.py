"""REGISTER through us to the PBX."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from sbc.b2bua import KeepBinding
from sbc.sip import Address, Request
from tests.support.ladder import Ladder
from tests.support.registered import CALLED, REFRESH, REFRESHED, REGISTERED, TAKEN, TO_THE_PBX, decision, send


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


def register_others(ladder: Ladder, users: Iterable[int]) -> None:
    for user in users:
        send(ladder, f"caller -> REGISTER sip:example.com | To: <sip:{user}@example.com> | Call-ID: {user}")


def test_who_is_new_while_the_registrar_is_silent_is_told_when_to_come_again(access: Ladder) -> None:
    """Three that it leaves without answer are enough to tell the next one at once."""
    register_others(access, (1, 2, 3))
    access.wait(4.5)
    access.parties["callee"].inbox.clear()
    register_others(access, (4,))
    access.play("caller <- 503 REGISTER | Retry-After: *")
    access.wait(32.0)
    access.parties["callee"].inbox.clear()
    access.play(*["caller <- 503 REGISTER | Retry-After: *"] * 3)


def test_the_trouble_of_one_device_is_not_that_of_others(access: Ladder) -> None:
    access.play(
        REFRESH,
        TO_THE_PBX,
        "callee -> 503 REGISTER | Retry-After: 45",
        "caller <- 503 REGISTER | Retry-After: 45",
    )
    register_others(access, (2,))
    access.play("callee <- REGISTER | To: <sip:2@example.com>", "callee -> 503 REGISTER", "caller <- 503 REGISTER")
    register_others(access, (3,))
    access.wait(4.5)  # it is silent about this one
    access.parties["callee"].inbox.clear()
    register_others(access, (4,))
    access.play("caller <- 503 REGISTER | Retry-After: *")
    assert not access.parties["callee"].inbox, "now there were three in a row"


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


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ('401 REGISTER | WWW-Authenticate: Digest realm="10.0.0.5", nonce="x"', "give it a realm without an address"),
        ('407 REGISTER | Proxy-Authenticate: Digest realm="pbx at 10.0.0.5", nonce="x"', "give it a realm without"),
        ("401 REGISTER", "the registrar's 401 has no WWW-Authenticate"),
    ],
)
def test_a_challenge_that_does_not_cross_is_a_clear_refusal_and_the_operator_reads_why(
    access: Ladder, answer: str, why: str
) -> None:
    access.play(
        REFRESH,
        TO_THE_PBX,
        f"callee -> {answer}",
        "caller <- 403 REGISTER | -WWW-Authenticate | -Proxy-Authenticate",
    )
    (line,) = access.trail
    assert "refused: 403" in line
    assert why in line
    assert "10.0.0.5" not in line


def test_auth_int_alone_crosses_where_there_is_no_body(access: Ladder) -> None:
    challenge = 'WWW-Authenticate: Digest realm="example.com", nonce="abc", qop="auth-int"'
    access.play(REFRESH, TO_THE_PBX, f"callee -> 401 REGISTER | {challenge}", f"caller <- 401 REGISTER | {challenge}")
    access.play(
        REFRESH.replace("example.com |", "example.com text |"),
        TO_THE_PBX,
        f"callee -> 401 REGISTER | {challenge}",
        "caller <- 403 REGISTER",
    )
    assert "wants auth-int for a REGISTER with a body" in access.trail[0]


# -- one REGISTER of a device at a time --------------------------------------------------------------------------------

ANEW = f"{REFRESH} | Call-ID: anew"
"""The same phone, which does not remember what it asked before."""


def test_a_second_register_of_a_device_waits_for_the_answer_to_the_first(access: Ladder) -> None:
    access.play(REFRESH, TO_THE_PBX)
    send(access, ANEW)
    access.wait(1.0)
    assert not access.parties["caller"].inbox
    access.parties["callee"].inbox.clear()  # the first one again
    access.play(TAKEN, REFRESHED, REFRESHED)
    assert not access.parties["callee"].inbox, "the second one is a refresh by now"


def test_a_removal_and_a_registration_after_it_do_not_cross(access: Ladder) -> None:
    """A phone that starts takes away what it had, and registers again without waiting."""
    access.play(REGISTERED, f"{REFRESH} | Expires: 0", TO_THE_PBX.replace("3600", "0"))
    send(access, ANEW)
    assert not access.parties["caller"].inbox, "not out of the cache: the removal is under way"
    access.play(
        "callee -> 200 REGISTER | -Contact",
        "caller <- 200 REGISTER | -Contact",
        TO_THE_PBX,
        TAKEN,
        REFRESHED,
    )
    assert access.edge.b2bua.registered.counts() == (1, 1)


def test_of_those_that_wait_the_newest_stays(access: Ladder) -> None:
    access.play(REFRESH, TO_THE_PBX)
    send(access, ANEW)
    send(access, f"{REFRESH} | Call-ID: anew-again")
    access.play("caller <- 500 REGISTER | Retry-After: 1 | Call-ID: anew")
    access.play(TAKEN, REFRESHED, f"{REFRESHED} | Call-ID: anew-again")


def test_nobody_waits_longer_than_four_seconds_and_a_late_answer_changes_nothing(access: Ladder) -> None:
    """The PBX has lost the first one, a removal, and finds it again: nobody knows in which order it takes them."""
    access.play(REGISTERED, f"{REFRESH} | Expires: 0", TO_THE_PBX.replace("3600", "0"))
    removal = access.parties["callee"].requests["REGISTER"]
    send(access, ANEW)
    access.wait(3.0)
    access.parties["callee"].inbox.clear()
    access.wait(1.5)
    passed = [each for each in access.parties["callee"].inbox if isinstance(each, Request)]
    assert passed[-1].headers.get("Contact") != removal.headers.get("Contact"), "the second one is there"
    access.parties["callee"].inbox.clear()
    access.parties["callee"].requests["REGISTER"] = passed[-1]
    access.play(TAKEN, REFRESHED)
    access.parties["callee"].requests["REGISTER"] = removal
    access.play("callee -> 200 REGISTER | -Contact", "caller <- 200 REGISTER | Contact: *;expires=*")
    assert access.edge.b2bua.registered.counts() == (1, 1)
    access.play(f"{REFRESH} | Call-ID: anew | CSeq: 77 REGISTER", TO_THE_PBX, TAKEN, REFRESHED)


def test_two_devices_of_a_user_do_not_wait_for_each_other(access: Ladder) -> None:
    access.play(REFRESH, TO_THE_PBX)
    access.play(f"{ANEW} | Contact: <sip:other@198.51.100.7:5070>", TO_THE_PBX.replace("$token", "$other"))
    access.play("callee -> 200 REGISTER | Contact: <sip:$other@10.0.0.1:5060>;expires=3600", "caller <- 200 REGISTER")
