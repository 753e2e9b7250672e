"""GRUUs of our own registrar, and those that the registrar inside gives: each means one device."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from sbc.b2bua import Access, FlowLost, KeepBinding, Reject, Settings, UsersChanged
from sbc.b2bua.alive import State
from sbc.b2bua.gruus import dereferenced, given, meant
from sbc.b2bua.registrations import Device, Registrations
from sbc.sip import Address, Headers, Request, parse_name_address, parse_uri, unquote
from tests.b2bua.test_authentication import DOMAIN, USERS, credentials, new_registrar
from tests.b2bua.test_registrar import BOB, BOBS_DESK, register
from tests.support.ladder import Ladder
from tests.support.world import CALLER

__all__ = ["new_registrar"]

INSTANCE = '+sip.instance="<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>"'
OTHER = '+sip.instance="<urn:uuid:00000000-7dec-11d0-a765-00a0c91e6bf6>"'
DESK, MOBILE = "sip:bob@198.51.100.8:5080", "sip:bob@198.51.100.9:5090"
GRUU = "Supported: gruu"


@pytest.fixture
def phones(new_registrar: Callable[..., Ladder]) -> Ladder:
    """Alice, and Bob with two phones."""
    ladder = new_registrar(edge={"open_inside": True}, strangers=True)
    ladder.party("bob", BOB, "sip:x")
    ladder.party("mobile", Address("198.51.100.9", 5090), "sip:x")
    return ladder


def registered(
    ladder: Ladder, *lines: str, party: str = "bob", contact: str = DESK, instance: str = INSTANCE
) -> dict[str, str]:
    """Bob's phone registers; the GRUUs that it is told."""
    register(ladder, f"Contact: <{contact}>;{instance}", *(lines or (GRUU,)), party=party, user="bob")
    message = ladder.parties[party].heard
    assert message is not None
    told = next(each for each in map(parse_name_address, message.headers.values("Contact")) if each.uri_text == contact)
    return {name: unquote(told.params[name] or "") for name in ("pub-gruu", "temp-gruu") if name in told.params}


def called(ladder: Ladder, uri: str, *lines: str) -> None:
    """What a call of a peer to `uri` comes to."""
    ladder.play(f"callee -> INVITE {uri} sdp", "callee <- 100", *lines)


def ringing(party: str, contact: str) -> str:
    return f"""
        {party} <- INVITE {contact} sdp
        {party} -> 486
        {party} <- ACK
        callee <- 486
        callee -> ACK
    """


def refused(status: int) -> str:
    return f"""
        callee <- {status}
        callee -> ACK
    """


def test_a_device_that_knows_gruus_is_told_a_public_and_a_temporary_one(phones: Ladder) -> None:
    first, second = registered(phones), registered(phones)
    assert first["pub-gruu"] == second["pub-gruu"]
    assert re.fullmatch(r"sip:bob@example\.com;gr=[0-9a-f]{40}", first["pub-gruu"])
    assert first["temp-gruu"] != second["temp-gruu"]
    assert re.fullmatch(r"sip:tgruu\.[\w-]{40}@example\.com;gr", first["temp-gruu"])
    assert registered(phones, "Supported: path") == {}
    register(phones, f"Contact: <{DESK}>", GRUU, party="bob", user="bob", answer="200")
    heard = phones.parties["bob"].heard
    assert heard is not None
    assert "gruu" not in (heard.headers.values("Contact") or [""])[-1], "it has no instance"


@pytest.mark.parametrize("kind", ["pub-gruu", "temp-gruu"])
def test_a_call_to_a_gruu_rings_that_device_and_no_other(phones: Ladder, kind: str) -> None:
    desk = registered(phones)
    mobile = registered(phones, party="mobile", contact=MOBILE, instance=OTHER)
    called(phones, desk[kind], ringing("bob", DESK))
    called(phones, mobile[kind], ringing("mobile", MOBILE))


def test_a_message_and_a_stranger_reach_it_too(phones: Ladder) -> None:
    desk = registered(phones)
    registered(phones, party="mobile", contact=MOBILE, instance=OTHER)
    phones.play(f"""
        caller -> MESSAGE {desk["pub-gruu"]} text | From: <sip:carol@elsewhere.net>;tag=x
        bob <- MESSAGE {DESK} text
        bob -> 200 MESSAGE
        caller <- 200 MESSAGE
    """)


def test_the_flows_of_the_device_are_tried_the_newest_first(phones: Ladder) -> None:
    registered(phones, f"Contact: <{DESK}>;{INSTANCE};reg-id=1", "Supported: gruu, outbound")
    phones.wait(1.0)
    second = f"Contact: <{MOBILE}>;{INSTANCE};reg-id=2"
    told = registered(phones, second, "Supported: gruu, outbound", party="mobile", contact=MOBILE)
    heard = phones.parties["mobile"].heard
    assert heard is not None
    assert len({parse_name_address(each).params["temp-gruu"] for each in heard.headers.values("Contact")}) == 1
    called(phones, told["temp-gruu"], f"mobile <- INVITE {MOBILE} sdp", "mobile -> 430", "mobile <- ACK",
           ringing("bob", DESK))  # fmt: skip


def test_a_public_gruu_outlives_its_registration_and_a_temporary_one_does_not(phones: Ladder) -> None:
    desk = registered(phones)
    phones.wait(101.0)
    called(phones, desk["pub-gruu"], refused(480))
    called(phones, desk["temp-gruu"], refused(404))
    again = registered(phones)
    assert again["pub-gruu"] == desk["pub-gruu"]
    called(phones, desk["temp-gruu"], refused(404))
    called(phones, desk["pub-gruu"], ringing("bob", DESK))


def test_another_call_id_ends_the_temporary_ones_and_refreshes_do_not(phones: Ladder) -> None:
    first = registered(phones, GRUU, "Call-ID: one", "CSeq: 1 REGISTER")
    second = registered(phones, GRUU, "Call-ID: one", "CSeq: 3 REGISTER")
    for told in (first, second):
        called(phones, told["temp-gruu"], ringing("bob", DESK))
    third = registered(phones, GRUU, "Call-ID: two", "CSeq: 1 REGISTER")
    for told in (first, second):
        called(phones, told["temp-gruu"], refused(404))
    called(phones, third["temp-gruu"], ringing("bob", DESK))


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("pub-gruu", ("gr=", "gr=0")),
        ("pub-gruu", ("bob", "alice")),
        ("pub-gruu", ("bob", "carol")),
        ("pub-gruu", (";gr=", ";gr;x=")),
        ("temp-gruu", ("tgruu.", "tgruu.A")),
        ("temp-gruu", ("@", "AAA@")),
        ("temp-gruu", ("tgruu.", "")),
        ("temp-gruu", (";gr", ";gr=0")),
    ],
)
def test_what_is_not_of_our_making_means_nobody(phones: Ladder, kind: str, change: tuple[str, str]) -> None:
    called(phones, registered(phones)[kind].replace(*change), refused(404))


def test_who_loses_the_account_loses_its_gruus(phones: Ladder) -> None:
    desk = registered(phones)
    phones.edge.tell(UsersChanged({aor: user for aor, user in USERS.items() if user.name != "bob"}))
    for uri in desk.values():
        called(phones, uri, refused(404))


def test_a_gruu_is_no_contact_and_the_address_of_record_neither(phones: Ladder) -> None:
    desk = registered(phones)
    for contact in (desk["pub-gruu"], desk["temp-gruu"], f"sip:bob@{DOMAIN}"):
        register(phones, f"Contact: <{contact}>;{OTHER}", party="bob", user="bob", answer="403")
    assert phones.edge.b2bua.registered.counts() == (1, 1)


@pytest.mark.parametrize("kind", ["pub-gruu", "temp-gruu"])
def test_in_a_call_the_phone_is_asked_at_its_contact_whatever_gruu_it_has_given(phones: Ladder, kind: str) -> None:
    """As the target of INVITE, PRACK, ACK, re-INVITE and BYE, and as the one who calls."""
    gruu = registered(phones)[kind]
    called(phones, f"sip:bob@{DOMAIN}", f"""
        bob <- INVITE {DESK} sdp
        bob -> 180 rel | Contact: <{gruu}>
        bob <- PRACK {DESK}
        bob -> 200 PRACK
        callee <- 180
        bob -> 200 sdp | Contact: <{gruu}>
        bob <- ACK {DESK}
        callee <- 200 sdp
        callee -> ACK
        callee -> INVITE sdp
        callee <- 100
        bob <- INVITE {DESK} sdp
        bob -> 200 sdp | Contact: <{gruu}>
        bob <- ACK {DESK}
        callee <- 200 sdp
        callee -> ACK
        callee -> BYE
        callee <- 200 BYE
        bob <- BYE {DESK}
        bob -> 200 BYE
        1 s
    """)  # fmt: skip
    phones.parties["bob"].identity = phones.parties["callee"].identity = None
    caller = f"From: <sip:bob@{DOMAIN}>;tag=bob | Contact: <{gruu}>"
    phones.play(f"bob -> INVITE sip:2002@192.0.2.1 sdp | {caller}", "bob <- 407", "bob -> ACK")
    proof = credentials(phones, "INVITE", "sip:2002@192.0.2.1", party="bob", user="bob")
    phones.play(f"""
        bob -> INVITE sip:2002@192.0.2.1 sdp | {caller} | {proof}
        bob <- 100
        callee <- INVITE sdp
        callee -> 200 sdp
        callee <- ACK
        bob <- 200 sdp
        bob -> ACK | From: <sip:bob@{DOMAIN}>;tag=bob
        callee -> BYE
        callee <- 200 BYE
        bob <- BYE {DESK}
        bob -> 200 BYE
    """)


def test_gruus_outlive_the_process(phones: Ladder, new_registrar: Callable[..., Ladder]) -> None:
    desk = registered(phones)
    kept = [command.record for command in phones.edge.commands if isinstance(command, KeepBinding)]
    again = new_registrar(edge={"open_inside": True, "bindings": tuple(kept)})
    again.party("bob", BOB, "sip:x")
    for uri in desk.values():
        called(again, uri, ringing("bob", DESK))


def test_a_stream_that_has_ended_leaves_the_device_unreachable_and_known(phones: Ladder) -> None:
    phones.party("bob", BOB, "sip:x", "TCP", 7)
    desk = registered(phones)
    (device,) = phones.edge.b2bua.registered.by_aor(f"bob@{DOMAIN}")
    phones.edge.tell(FlowLost(next(iter(device.flows.values())).hop))
    called(phones, desk["pub-gruu"], refused(480))


@drawn(st.binary(min_size=9, max_size=9), st.text(max_size=60))
def test_temporary_ones_are_found_by_who_made_them_and_others_are_not(random: bytes, noise: str) -> None:
    table = Registrations(b"key")
    device = table.device("bob@example.com", "instance")
    request = Request("REGISTER", "sip:example.com", Headers([("Supported", "GRUU"), ("Call-ID", "c")]))
    told = given(table, request, device, 0, f"0000{random.hex()}")
    table._by_token[device.token] = device
    uri = parse_uri(unquote(told["temp-gruu"]))
    assert meant(table, {}, uri, f"{uri.user}@example.com") is device
    for user in (noise, f"tgruu.{noise}", f"{uri.user}{noise}x"):
        assert isinstance(meant(table, {}, uri, f"{user}@example.com"), Reject)
    foreign = Registrations(b"other key")
    foreign._by_token[device.token] = device
    assert isinstance(meant(foreign, {}, uri, f"{uri.user}@example.com"), Reject)


def test_two_temporary_ones_of_a_device_have_nothing_in_common() -> None:
    table = Registrations(b"key")
    request = Request("REGISTER", "sip:example.com", Headers([("Supported", "gruu"), ("Call-ID", "c")]))
    device = Device("bob@example.com", "i", table.disguised("x"))
    users = [given(table, request, device, 0, f"{number:024x}")["temp-gruu"][11:51] for number in range(200)]
    for place in range(12, 40):  # behind what is different because we made it so
        assert len({user[place] for user in users}) > 30


def test_without_a_flow_or_a_gruu_the_remote_target_stays(phones: Ladder) -> None:
    table = phones.edge.b2bua.registered
    registered(phones)
    (device,) = table.by_aor(f"bob@{DOMAIN}")
    hop = next(iter(device.flows.values())).hop
    assert dereferenced(table, "sip:b@x;gr=1", hop) == DESK
    assert dereferenced(table, "sip:b@x;gr=1", hop._replace(remote=CALLER)) == "sip:b@x;gr=1"
    assert dereferenced(table, "sip:b@x;grade=1", hop) == "sip:b@x;grade=1"
    assert dereferenced(table, "sip:b@x;gr;gr", hop) == "sip:b@x;gr;gr"


@pytest.mark.parametrize("kind", ["address of record", "pub-gruu", "temp-gruu"])
def test_who_is_transferred_to_a_user_of_ours_is_connected_with_its_phone(phones: Ladder, kind: str) -> None:
    wanted = {"address of record": f"sip:bob@{DOMAIN}", **registered(phones)}[kind]
    register(phones, party="caller", user="alice")
    phones.parties["caller"].identity = None
    phones.bodies["trying"] = ("message/sipfrag;version=2.0", b"SIP/2.0 100 Trying\r\n")
    phones.bodies["busy"] = ("message/sipfrag;version=2.0", b"SIP/2.0 486 Busy Here\r\n")
    called(phones, f"sip:alice@{DOMAIN}", f"""
        caller <- INVITE sdp
        caller -> 200 sdp
        caller <- ACK
        callee <- 200 sdp
        callee -> ACK
        caller -> REFER | Refer-To: <{wanted}>
        caller <- 202 REFER
        caller <- NOTIFY trying
        caller -> 200 NOTIFY
        bob <- INVITE {DESK} sdp | From: *callee*
        bob -> 486
        bob <- ACK
        caller <- NOTIFY busy
        caller -> 200 NOTIFY
    """)  # fmt: skip


# -- the registrar inside gives them ----------------------------------------------------------------------------------


@pytest.fixture
def edge(new_ladder: Callable[..., Ladder]) -> Ladder:
    """Two devices of 1001, registered at the PBX, which has given each a GRUU."""
    ladder = new_ladder(settings=Settings(access=Access("public", (DOMAIN,), "pbx", key=b"site")))
    ladder.party("mobile", BOB, "sip:x")
    for party, contact, number in (("caller", "sip:1001@192.168.1.5", 1), ("mobile", "sip:1001@192.168.1.6", 2)):
        ours, gruu = f"<sip:$token{number}@10.0.0.1:5060>", f"sip:1001@%s;gr=urn:uuid:{number}"
        ladder.play(f"""
            {party} -> REGISTER sip:{DOMAIN} | Contact: <{contact}>;+sip.instance="<urn:uuid:{number}>" | {GRUU}
            callee <- REGISTER sip:{DOMAIN} | Contact: {ours};*
            callee -> 200 REGISTER | Contact: {ours};expires=3600;pub-gruu="{gruu % "10.0.0.5"}"
            {party} <- 200 REGISTER | Contact: <{contact}>;*pub-gruu="{gruu % DOMAIN}"*
        """)
    return ladder


def test_from_outside_a_gruu_goes_to_the_pbx_whole_and_comes_back_for_one_device(edge: Ladder) -> None:
    edge.party("carol", BOBS_DESK._replace(host="198.51.100.20"), "sip:x")
    edge.play(f"""
        carol -> INVITE sip:1001@{DOMAIN};gr=urn:uuid:2 sdp
        carol <- 100
        callee <- INVITE sip:1001@10.0.0.5;gr=urn:uuid:2 sdp
        callee -> 486
        callee <- ACK
        carol <- 486
        carol -> ACK
    """)
    called(edge, "sip:$token2@10.0.0.1", ringing("mobile", "sip:1001@192.168.1.6"))


def test_a_phone_that_is_watched_is_asked_at_its_contact(edge: Ladder) -> None:
    """A subscription to its dialogs; it names its GRUU as the remote target."""
    gruu = f"sip:1001@{DOMAIN};gr=urn:uuid:2"
    told = f"Event: dialog | Subscription-State: active;expires=60 | Contact: <{gruu}>"
    edge.play(f"""
        callee -> SUBSCRIBE sip:$token2@10.0.0.1 | Event: dialog | Expires: 60
        mobile <- SUBSCRIBE sip:1001@192.168.1.6 | Event: dialog
        mobile -> 200 SUBSCRIBE | Expires: 60 | Contact: <{gruu}>
        callee <- 200 SUBSCRIBE
        mobile -> NOTIFY text | {told}
        callee <- NOTIFY text
        callee -> 200 NOTIFY
        mobile <- 200 NOTIFY
        callee -> SUBSCRIBE | Event: dialog | Expires: 0
        mobile <- SUBSCRIBE sip:1001@192.168.1.6 | Event: dialog | Expires: 0
        mobile -> 200 SUBSCRIBE | Expires: 0
        callee <- 200 SUBSCRIBE
    """)


def test_while_the_pbx_is_away_phones_call_one_device_of_a_user_all_the_same(edge: Ladder) -> None:
    edge.edge.b2bua._context.alive.state = State.DOWN
    edge.play(f"""
        caller -> INVITE sip:1001@{DOMAIN};gr=urn:uuid:2 sdp | From: <sip:1001@{DOMAIN}>;tag=x
        caller <- 100
        mobile <- INVITE sip:1001@192.168.1.6 sdp
        mobile -> 486
        mobile <- ACK
        caller <- 486
        caller -> ACK
        caller -> INVITE sip:1001@{DOMAIN};gr=urn:uuid:3 sdp | From: <sip:1001@{DOMAIN}>;tag=x
        caller <- 100
        caller <- 503
        caller -> ACK
    """)


def test_from_inside_a_gruu_reaches_its_device_alone(edge: Ladder) -> None:
    called(edge, f"sip:1001@{DOMAIN};gr=urn:uuid:2", ringing("mobile", "sip:1001@192.168.1.6"))
    called(edge, f"sip:1001@{DOMAIN};gr=urn:uuid:1", ringing("caller", "sip:1001@192.168.1.5"))
    called(edge, f"sip:1001@{DOMAIN};gr=urn:uuid:3", refused(404))
