"""The SBC as registrar: REGISTER answered here, and calls to who has registered."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator

import pytest

from sbc.b2bua import ForgetBinding, KeepBinding, UsersChanged
from sbc.sip import Address
from tests.b2bua.test_authentication import DOMAIN, USERS, credentials, new_registrar
from tests.support.ladder import Ladder
from tests.support.world import CALLER

__all__ = ["new_registrar"]

BOB = Address("198.51.100.8", 5080)
BOBS_DESK = Address("10.0.0.80", 5060)
PLACE = "sip:caller@198.51.100.7:5070"


def register(
    ladder: Ladder, *lines: str, party: str = "caller", user: str = "alice", answer: str = "200", to: str = ""
) -> None:
    """One REGISTER of `user`, challenged and answered: with `lines` as header fields, and what the answer holds after
    `answer`."""
    ladder.parties[party].identity = None
    aor = f"sip:{user}@{DOMAIN}"
    identity = f"From: <{aor}>;tag=x | To: <{to or aor}>"
    changes = "".join(f" | {line}" for line in lines)
    ladder.play(f"""
        {party} -> REGISTER sip:{DOMAIN} | {identity}{changes}
        {party} <- 401 REGISTER | WWW-Authenticate: Digest realm="{DOMAIN}", *
    """)
    proof = credentials(ladder, "REGISTER", f"sip:{DOMAIN}", party=party, user=user)
    status, *told = answer.split(" | ")
    ladder.play(f"""
        {party} -> REGISTER sip:{DOMAIN} | {identity}{changes} | {proof}
        {party} <- {status} REGISTER{"".join(f" | {each}" for each in told)}
    """)


@pytest.fixture
def phones(new_registrar: Callable[..., Ladder]) -> Generator[Ladder, None, None]:
    """Alice outside, Bob outside with a second phone inside."""
    registrar = new_registrar(edge={"open_inside": True})
    registrar.party("bob", BOB, "sip:alice@example.com")
    registrar.party("desk", BOBS_DESK, "sip:alice@example.com")
    yield registrar
    registrar.wait(700.0)
    assert registrar.edge.b2bua.registered.counts() == (0, 0)


def test_a_user_registers_for_a_short_time_and_both_timers_are_one(phones: Ladder) -> None:
    register(phones, "Expires: 3600", answer=f"200 | Contact: <{PLACE}>;expires=90")
    (device,) = phones.edge.b2bua.registered.by_aor("alice@example.com")
    (flow,) = device.flows.values()
    assert device.inside_until == flow.until
    assert any(isinstance(command, KeepBinding) for command in phones.edge.commands)
    phones.wait(101.0)
    assert any(isinstance(command, ForgetBinding) for command in phones.edge.commands)
    register(
        phones, "Contact: <sip:new@198.51.100.7>;expires=60", answer="200 | Contact: <sip:new@198.51.100.7>;expires=60"
    )


def test_several_contacts_are_told_and_can_be_fetched(phones: Ladder) -> None:
    register(phones, "Contact: <sip:a@198.51.100.7:5070>;q=0.5", "+Contact: <sip:b@198.51.100.7:5070>;q=1.0")
    both = "Contact: <sip:a@198.51.100.7:5070>;q=0.5;expires=* | Contact: <sip:b@198.51.100.7:5070>;q=1.0;expires=*"
    register(phones, "-Contact", answer=f"200 | {both}")


def test_a_phone_outside_is_not_told_of_those_inside(phones: Ladder) -> None:
    register(phones, party="desk", user="bob")
    register(phones, party="bob", user="bob", answer="200 | Contact: <sip:bob@198.51.100.8:5080>;expires=90")
    register(phones, party="desk", user="bob", answer="200 | Contact: <sip:bob@198.51.100.8:5080>;expires=90")


def test_what_is_taken_back_is_gone(phones: Ladder) -> None:
    register(phones)
    register(phones, f"Contact: <{PLACE}>;expires=0", answer="200 | -Contact")
    register(phones, "Contact: <sip:a@198.51.100.7:5070>", "+Contact: <sip:b@198.51.100.7:5070>")
    register(phones, "Contact: *", "Expires: 0", answer="200 | -Contact")
    assert phones.edge.b2bua.registered.counts()[1] == 0


@pytest.mark.parametrize(
    ("lines", "answer"),
    [
        (["Expires: 5"], "423 | Min-Expires: 30"),
        (["Contact: *"], "400"),
        (["Require: x-odd"], "420 | Unsupported: x-odd"),
        (["Contact: <sips:a@b>"], "400"),
        ([f"Contact: <sip:{'a' * 600}@b>"], "400"),
        ([f"+Contact: <sip:{number}@198.51.100.7>" for number in range(11)], "403"),
    ],
)
def test_what_cannot_be_registered_is_refused(phones: Ladder, lines: list[str], answer: str) -> None:
    register(phones, *lines, answer=answer)


def test_nobody_registers_for_somebody_else(phones: Ladder) -> None:
    register(phones, to=f"sip:bob@{DOMAIN}", answer="403")
    register(phones, to="sip:alice@elsewhere.net", answer="404")


def test_out_of_order_registers_change_nothing(phones: Ladder) -> None:
    register(phones, "Call-ID: one", "CSeq: 10 REGISTER")
    register(phones, "Call-ID: one", "CSeq: 9 REGISTER", f"Contact: <{PLACE}>;expires=0", answer="500")
    register(phones, "Call-ID: one", "CSeq: 9 REGISTER", "Contact: *", "Expires: 0", answer="500")
    register(phones, "-Contact", answer=f"200 | Contact: <{PLACE}>;expires=*")


def test_the_operator_is_told_of_wrong_passwords_and_not_of_challenges(phones: Ladder) -> None:
    register(phones)
    assert phones.trail == []
    phones.play(f"""
        caller -> REGISTER sip:{DOMAIN} | From: <sip:alice@{DOMAIN}>;tag=x | To: <sip:alice@{DOMAIN}>
        caller <- 401 REGISTER | WWW-Authenticate: Digest realm="{DOMAIN}", *
    """)
    guess = credentials(phones, "REGISTER", f"sip:{DOMAIN}", user="alice")
    guess = re.sub(r'(response=")(.)', lambda found: found[1] + ("1" if found[2] == "0" else "0"), guess)
    phones.play(f"""
        caller -> REGISTER sip:{DOMAIN} | From: <sip:alice@{DOMAIN}>;tag=x | To: <sip:alice@{DOMAIN}> | {guess}
        caller <- 401 REGISTER
    """)
    who = f"REGISTER of sip:alice@{DOMAIN} from 198.51.100.7 refused"
    assert phones.trail == [f"admit registrar: {who}: 401 (wrong user or password)"]


def test_a_path_is_kept_and_taken(phones: Ladder) -> None:
    register(phones, "Path: <sip:edge@198.51.100.7:5070;lr>", "Supported: path", answer="200 | Path: <sip:edge@*;lr>")
    phones.play("""
        callee -> INVITE sip:alice@example.com sdp
        callee <- 100
        caller <- INVITE sip:caller@198.51.100.7:5070 sdp | Route: <sip:edge@198.51.100.7:5070;lr>
        caller -> 486
        caller <- ACK
        callee <- 486
        callee -> ACK
    """)


def test_credentials_of_a_register_are_good_once(phones: Ladder) -> None:
    register(phones)
    sent = phones.parties["caller"].sent["REGISTER"]
    proof = next(line for line in sent if line.startswith("Authorization:"))
    phones.party("thief", CALLER._replace(port=5099), "sip:x")
    phones.play(f"""
        thief -> REGISTER sip:{DOMAIN} | From: <sip:alice@{DOMAIN}>;tag=x | To: <sip:alice@{DOMAIN}> | {proof}
        thief <- 401 REGISTER | WWW-Authenticate: *stale=true*
    """)
    assert phones.edge.b2bua.registered.counts() == (1, 1)


def call_bob(ladder: Ladder) -> str:
    """The INVITE of Alice to Bob, challenged; the words and header fields of the one that will pass."""
    caller = f"From: <sip:alice@{DOMAIN}>;tag=alice"
    ladder.play(f"""
        caller -> INVITE sip:bob@{DOMAIN} sdp | {caller}
        caller <- 407
        caller -> ACK
    """)
    return f"INVITE sip:bob@{DOMAIN} sdp | {caller} | {credentials(ladder, 'INVITE', f'sip:bob@{DOMAIN}')}"


def test_a_user_calls_another_one(phones: Ladder) -> None:
    register(phones)
    register(phones, party="bob", user="bob")
    phones.play(f"""
        caller -> {call_bob(phones)}
        caller <- 100
        bob <- INVITE sip:bob@198.51.100.8:5080 sdp | From: *<sip:alice@*>;tag=* | -Proxy-Authorization
        bob -> 200 sdp
        bob <- ACK
        caller <- 200 sdp
        caller -> ACK | From: <sip:alice@{DOMAIN}>;tag=alice
        caller -> BYE | From: <sip:alice@{DOMAIN}>;tag=alice
        caller <- 200 BYE
        bob <- BYE
        bob -> 200 BYE
        0.1 s
    """)
    assert phones.record.status == 200


def test_all_phones_of_a_user_ring_and_the_first_to_answer_has_the_call(phones: Ladder) -> None:
    register(phones, party="bob", user="bob")
    phones.party("second", BOB._replace(port=5090), "sip:x")
    register(phones, "Contact: <sip:second@198.51.100.8:5090>", party="second", user="bob")
    phones.play(f"""
        caller -> {call_bob(phones)}
        caller <- 100
        bob <- INVITE sdp
        second <- INVITE sdp
        second -> 200 sdp
        second <- ACK
        caller <- 200 sdp
        caller -> ACK | From: <sip:alice@{DOMAIN}>;tag=alice
        bob -> 100
        bob <- CANCEL
        bob -> 200 CANCEL
        bob -> 487
        bob <- ACK
    """)


def test_phones_of_a_lower_q_ring_when_the_others_have_not_answered(phones: Ladder) -> None:
    register(phones, "Contact: <sip:bob@198.51.100.8:5080>;q=0.3", party="bob", user="bob")
    phones.party("second", BOB._replace(port=5090), "sip:x")
    register(phones, "Contact: <sip:second@198.51.100.8:5090>;q=0.9", party="second", user="bob")
    phones.play(f"""
        caller -> {call_bob(phones)}
        caller <- 100
        second <- INVITE sdp
        second -> 486
        second <- ACK
        bob <- INVITE sdp
        bob -> 486
        bob <- ACK
        caller <- 486
        caller -> ACK
    """)


def test_a_phone_that_is_not_answered_rings_for_a_while(phones: Ladder) -> None:
    register(phones, party="desk", user="bob")
    phones.wait(1.0)
    register(phones, party="bob", user="bob")
    phones.play(f"""
        caller -> {call_bob(phones)}
        caller <- 100
        bob <- INVITE sdp
        bob -> 180
        caller <- 180
        20.1 s
        bob <- CANCEL
        bob -> 200 CANCEL
        bob -> 487
        bob <- ACK
        desk <- INVITE sdp
        desk -> 603
        desk <- ACK
        caller <- 603
        caller -> ACK
    """)


def test_a_phone_inside_is_called_from_outside_and_stays_hidden(phones: Ladder) -> None:
    """The ladder looks for its address in all that goes outside."""
    register(
        phones,
        party="desk",
        user="bob",
    )
    phones.play(f"""
        caller -> {call_bob(phones)}
        caller <- 100
        desk <- INVITE sip:desk@10.0.0.80:5060 sdp
        desk -> 180
        caller <- 180 | Contact: <sip:192.0.2.1:5060>
        desk -> 486
        desk <- ACK
        caller <- 486
        caller -> ACK
    """)


def test_a_message_is_from_who_it_says_and_reaches_the_users_phone(phones: Ladder) -> None:
    register(phones, party="bob", user="bob")
    phones.parties["caller"].identity = None
    identity = f"From: <sip:alice@{DOMAIN}>;tag=m | To: <sip:bob@{DOMAIN}>"
    phones.play(f"""
        caller -> MESSAGE sip:bob@{DOMAIN} text | {identity}
        caller <- 407 MESSAGE
    """)
    proof = credentials(phones, "MESSAGE", f"sip:bob@{DOMAIN}")
    phones.parties["caller"].identity = None
    phones.play(f"""
        caller -> MESSAGE sip:bob@{DOMAIN} text | {identity} | {proof}
        bob <- MESSAGE sip:bob@198.51.100.8:5080 text | -Proxy-Authorization
        bob -> 200 MESSAGE
        caller <- 200 MESSAGE
    """)


def test_who_is_not_registered_is_not_there(phones: Ladder) -> None:
    phones.play(f"""
        caller -> {call_bob(phones)}
        caller <- 100
        caller <- 480
        caller -> ACK
    """)


def test_who_loses_the_account_is_not_registered_any_more(phones: Ladder) -> None:
    register(phones, party="bob", user="bob")
    phones.edge.tell(UsersChanged({aor: user for aor, user in USERS.items() if user.name != "bob"}))
    assert phones.edge.b2bua.registered.counts() == (0, 0)


def test_callers_are_redirected_to_who_is_where_they_are(new_registrar: Callable[..., Ladder]) -> None:
    ladder = new_registrar(edge={"open_inside": True}, redirects=True)
    ladder.party("bob", BOB, "sip:x")
    ladder.party("desk", BOBS_DESK, "sip:x")
    register(ladder, "Contact: <sip:bob@198.51.100.8:5080>;q=0.5", party="bob", user="bob")
    ladder.play(f"""
        caller -> {call_bob(ladder)}
        caller <- 100
        caller <- 302 | Contact: <sip:bob@198.51.100.8:5080>;q=0.5
        caller -> ACK
    """)
    # who is inside is not told of, and who is behind a NAT cannot be reached
    register(ladder, "Contact: <sip:bob@192.168.7.7>", party="bob", user="bob")
    ladder.wait(1.0)
    register(ladder, party="desk", user="bob")
    ladder.play(f"""
        caller -> {call_bob(ladder)}
        caller <- 100
        desk <- INVITE sdp
        desk -> 486
        desk <- ACK
        bob <- INVITE sip:bob@192.168.7.7 sdp
        bob -> 486
        bob <- ACK
        caller <- 486
        caller -> ACK
    """)


def test_one_flow_of_two_is_taken_back_and_the_device_ends_with_the_other_one(phones: Ladder) -> None:
    outbound, place = "Supported: outbound", "sip:caller@198.51.100.7:5070"
    flow = f'Contact: <{place}>;+sip.instance="<urn:uuid:1>";reg-id='
    register(phones, f"{flow}1", outbound, "Expires: 90", "Call-ID: one")
    register(phones, f"{flow}2", outbound, "Expires: 30", "Call-ID: two")
    register(phones, f"{flow}3;expires=0", outbound, "Call-ID: three")  # there is no such flow
    assert phones.edge.b2bua.registered.counts() == (1, 2)
    register(phones, f"{flow}1;expires=0", outbound, "Call-ID: one", "CSeq: 99 REGISTER")
    assert phones.edge.b2bua.registered.counts() == (1, 1)
    phones.wait(42.0)
    assert phones.edge.b2bua.registered.counts() == (0, 0)


def test_who_comes_for_shorter_and_for_longer_again_and_again_makes_nothing_grow(phones: Ladder) -> None:
    for number in range(300):
        register(phones, f"Expires: {90 - number % 2 * 60}", f"CSeq: {number + 1} REGISTER")
        phones.wait(1.0)
    table = phones.edge.b2bua.registered
    assert table.counts() == (1, 1)
    assert table._entries < 100
