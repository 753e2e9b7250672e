"""REGISTER that is answered here, out of the cache."""

from __future__ import annotations

import pytest

from tests.support.ladder import Ladder
from tests.support.registered import REFRESH, REFRESHED, REGISTERED, TAKEN, TO_THE_PBX, decision, refresh_until_passed
from tests.support.world import CALLER, OUTSIDE, written


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


def test_a_silent_registrar_costs_nobody_the_registration(access: Ladder) -> None:
    access.play(REGISTERED)
    refresh_until_passed(access)
    access.wait(4.1)
    access.parties["callee"].inbox.clear()
    access.play(REFRESHED)
    assert decision(access) == "refreshed here: the registrar does not answer"
    access.wait(30.0)
    access.parties["callee"].inbox.clear()


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


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ("Require: time-travel", 420),
        ("Proxy-Require: time-travel", 420),
        (f"Call-ID: {'x' * 300}", 400),
    ],
)
def test_a_refresh_that_could_not_have_been_accepted_is_refused(access: Ladder, changes: str, status: int) -> None:
    access.play(REGISTERED, "40 s", f"{REFRESH} | {changes}", f"caller <- {status} REGISTER", REFRESH, REFRESHED)


def test_a_refresh_in_another_domain_is_refused(access: Ladder) -> None:
    elsewhere = REFRESH.replace("sip:example.com", "sip:other.example", 1)
    access.play(REGISTERED, "40 s", elsewhere, "caller <- 404 REGISTER", REFRESH, REFRESHED)


def test_a_refresh_that_brings_another_path_goes_to_the_registrar(access: Ladder) -> None:
    path = "Supported: path | Path: <sip:198.51.100.7;lr>"
    access.play(REGISTERED, "40 s", f"{REFRESH} | {path}", TO_THE_PBX, TAKEN, REFRESHED, "40 s")
    access.play(f"{REFRESH} | {path}", REFRESHED)


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


def test_a_refresh_for_less_time_ends_earlier(access: Ladder) -> None:
    access.play(REGISTERED, f"{REFRESH} | Expires: 30", "caller <- 200 REGISTER | Contact: *;expires=30", "42 s")
    assert access.edge.b2bua.registered.counts() == (1, 0)
