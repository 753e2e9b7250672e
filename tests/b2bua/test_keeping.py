"""Flows of phones behind NAT get keep-alives, and what the phones answer is learned from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sbc.b2bua import Access, HoldFlow, KeepAlive, KeepBinding, Ping, Settings
from sbc.b2bua.keeping import signs_of_nat
from sbc.b2bua.mappings import START
from sbc.sip import Address, Headers, Hop, Request, parse_uri
from tests.support.ladder import Ladder
from tests.support.world import CALLER, OUTSIDE

HOME = "192.168.1.5:5060"
REGISTER = "caller -> REGISTER sip:example.com | Contact: <sip:caller@192.168.1.5:5060>"
REGISTERED = """
    callee <- REGISTER sip:example.com | Contact: <sip:$token@10.0.0.1:5060>;expires=3600
    callee -> 200 REGISTER | Contact: <sip:$token@10.0.0.1:5060>;expires=3600
    caller <- 200 REGISTER | Contact: <sip:caller@192.168.1.5:5060>;expires=90
"""
ASKED = "caller <- OPTIONS sip:caller@192.168.1.5:5060 | -User-Agent"


@pytest.fixture
def access(new_ladder: Callable[..., Ladder]) -> Callable[..., Ladder]:
    def make(keepalive: KeepAlive = KeepAlive.NAT, **edge: Any) -> Ladder:
        of_phones = Access("public", ("example.com",), "pbx", keepalive=keepalive, key=b"site")
        return new_ladder(settings=Settings(access=of_phones), **edge)

    return make


def pings(ladder: Ladder) -> list[Hop]:
    return [command.hop for command in ladder.edge.commands if isinstance(command, Ping)]


def interval(ladder: Ladder) -> float:
    (device,) = ladder.edge.b2bua.registered.by_aor("1001@example.com")
    (flow,) = device.flows.values()
    return ladder.edge.b2bua._context.mappings.interval(flow.hop)


@pytest.mark.parametrize(
    ("contact", "via", "source", "signs"),
    [
        ("192.168.1.5", "192.168.1.5", "198.51.100.7", "contact, via"),
        ("198.51.100.7", "198.51.100.7", "198.51.100.7", ""),
        ("192.168.1.5", "192.168.1.5", "192.168.1.5", ""),
        ("198.51.100.7", "10.0.0.9", "198.51.100.7", "via"),
        ("100.64.0.9", "198.51.100.7", "198.51.100.7", "contact"),
        ("phone.example.com", "phone.example.com", "198.51.100.7", ""),
        ("[2001:db8:0::7]", "[2001:db8::7]", "2001:db8::7", ""),
        ("[2001:db8::9]", "[2001:db8::7]", "2001:db8::7", "contact"),
        ("192.168.1.5", "192.168.1.5", "2001:db8::7", "contact, via"),
    ],
)
def test_a_phone_that_gives_another_address_than_it_comes_from_is_behind_a_nat(
    contact: str, via: str, source: str, signs: str
) -> None:
    request = Request(
        "REGISTER", "sip:example.com", Headers([("Via", f"SIP/2.0/UDP {via}:5060;branch=z9hG4bK1;rport")])
    )
    hop = Hop("public", "UDP", OUTSIDE, Address(source, 1024))
    assert signs_of_nat(request, parse_uri(f"sip:a@{contact}").host, hop) == signs


def test_the_first_keep_alive_is_a_question_and_the_next_ones_are_four_octets(access: Callable[..., Ladder]) -> None:
    ladder = access()
    ladder.play(REGISTER, REGISTERED, "24.9 s")
    assert pings(ladder) == []
    ladder.play("0.2 s", ASKED, "caller -> 200 OPTIONS", "25 s")
    assert [hop.remote for hop in pings(ladder)] == [CALLER]
    kept = [command.record.nat for command in ladder.edge.commands if isinstance(command, KeepBinding)]
    assert kept == ["contact"]
    assert ladder.edge.b2bua.table_sizes()["registrations under way"] == 0


def test_a_question_without_an_answer_makes_the_interval_shorter(access: Callable[..., Ladder]) -> None:
    ladder = access()
    ladder.play(REGISTER, REGISTERED)
    assert interval(ladder) == START
    ladder.network.hosts.pop(CALLER)
    ladder.wait(START + 35.0)
    assert interval(ladder) == START / 2
    assert len(pings(ladder)) == 1


def test_a_phone_that_comes_from_another_port_shows_that_its_mapping_died(access: Callable[..., Ladder]) -> None:
    ladder = access()
    ladder.play(REGISTER, REGISTERED)
    ladder.party("caller", Address(CALLER.host, 40000), "sip:1001@192.0.2.1").registers = 1
    ladder.play(REGISTER, REGISTERED)
    assert interval(ladder) == START / 2
    ladder.wait(START)
    assert {hop.remote.port for hop in pings(ladder)} | {40000} == {40000}


def test_who_has_gone_gets_nothing_more(access: Callable[..., Ladder]) -> None:
    ladder = access()
    ladder.play(REGISTER, REGISTERED)
    ladder.play(
        REGISTER + " | Expires: 0",
        """
        callee <- REGISTER sip:example.com | Contact: <sip:$token@10.0.0.1:5060>;expires=0
        callee -> 200 REGISTER | -Contact
        caller <- 200 REGISTER
        """,
        "200 s",
    )
    assert pings(ladder) == []
    assert ladder.edge.b2bua.table_sizes()["flows kept alive"] == 0


def test_a_registration_that_is_not_refreshed_takes_its_keep_alives_with_it(access: Callable[..., Ladder]) -> None:
    ladder = access()
    ladder.play(REGISTER, REGISTERED, "25.1 s", ASKED, "caller -> 200 OPTIONS", "300 s")
    assert len(pings(ladder)) == 2
    assert ladder.edge.b2bua.table_sizes()["flows kept alive"] == 0


@pytest.mark.parametrize("keepalive", [KeepAlive.NAT, KeepAlive.ALL, KeepAlive.OFF])
def test_phones_that_no_nat_is_seen_before_are_kept_alive_if_all_are(
    access: Callable[..., Ladder], keepalive: KeepAlive
) -> None:
    ladder = access(keepalive)
    asked = "caller <- OPTIONS sip:caller@198.51.100.7:5070" if keepalive is KeepAlive.ALL else ""
    ladder.play(
        REGISTER.partition(" | ")[0], REGISTERED.replace("192.168.1.5:5060", "198.51.100.7:5070"), "25.1 s", asked
    )


def test_a_phone_that_numbers_its_flows_keeps_them_alive_itself(access: Callable[..., Ladder]) -> None:
    ladder = access()
    params = ';+sip.instance="<urn:uuid:1>";reg-id=1'
    ladder.play(
        f"{REGISTER}{params} | Supported: outbound",
        """
        callee <- REGISTER sip:example.com | Contact: <sip:$token@10.0.0.1:5060>*
        callee -> 200 REGISTER | Contact: <sip:$token@10.0.0.1:5060>;expires=3600
        caller <- 200 REGISTER | Flow-Timer: 25
        """,
        "80 s",
    )
    assert pings(ladder) == []
    assert not ladder.parties["caller"].inbox


def test_a_stream_is_held_and_needs_nothing_else(access: Callable[..., Ladder]) -> None:
    ladder = access()
    ladder.party("caller", Address("198.51.100.7", 40001), "sip:1001@192.0.2.1", "TCP", 5)
    ladder.play(REGISTER, REGISTERED.replace("expires=90", "expires=600"), "100 s")
    held = [command for command in ladder.edge.commands if isinstance(command, HoldFlow)]
    assert [(hold.hop.connection, hold.seconds) for hold in held] == [(5, 610.0)]
    assert pings(ladder) == []


def test_a_restart_spreads_the_keep_alives_of_all(access: Callable[..., Ladder]) -> None:
    ladder = access()
    ladder.play(REGISTER, REGISTERED)
    (record,) = [command.record for command in ladder.edge.commands if isinstance(command, KeepBinding)]
    record = record._replace(inside_until=ladder.events.now + 3000.0)
    devices = ladder.edge.b2bua.registered
    records = [
        record._replace(
            aor=f"{number}@example.com",
            token=devices.device(f"{number}@example.com", record.device).token,
            hop=record.hop._replace(remote=Address("198.51.100.8", 1024 + number)),
        )
        for number in range(100)
    ]
    again = access(bindings=tuple(records))
    again.wait(START / 2)
    assert 30 < len(pings(again)) < 60
    again.wait(START / 2 + 1)
    assert len(pings(again)) >= 80


# -- phones that say that they do it themselves (RFC 6223) -------------------------------------------------------------


def via(number: int, more: str = ";keep") -> str:
    return f"Via: SIP/2.0/UDP 198.51.100.7:5070;branch=z9hG4bK-keeps-{number};rport{more}"


def test_a_phone_that_is_willing_to_keep_its_flow_alive_is_told_how_often_and_left_alone(
    access: Callable[..., Ladder],
) -> None:
    ladder = access()
    told = REGISTERED.rstrip() + " | Via: *;keep=25*"
    ladder.play(f"{REGISTER} | {via(1)}", told, "80 s")
    assert pings(ladder) == []
    ladder.play(f"{REGISTER} | {via(2)}", "caller <- 200 REGISTER | Via: *;keep=25*")
    assert ladder.edge.b2bua.table_sizes()["flows kept alive"] == 0
    # "a subsequent registration refresh ... MUST be re-negotiated"
    ladder.play(f"{REGISTER} | {via(3, '')}", "caller <- 200 REGISTER", "25.1 s", ASKED, "caller -> 200 OPTIONS")
    ladder.play(f"{REGISTER} | {via(4)}", "caller <- 200 REGISTER | Via: *;keep=25*", "80 s")
    assert pings(ladder) == []


def test_what_is_told_is_what_the_nat_was_found_to_bear(access: Callable[..., Ladder]) -> None:
    """Phones behind one NAT: it forgot one of them, so that the others are told to come more often."""
    ladder = access()
    ladder.play(REGISTER, REGISTERED)
    ladder.party("caller", Address(CALLER.host, 40000), "sip:1001@192.0.2.1").registers = 1
    ladder.play(REGISTER, REGISTERED)
    ladder.party("second", Address(CALLER.host, 40002), "sip:x")
    flow = ';+sip.instance="<urn:uuid:2>";reg-id=1'
    ladder.play(f"""
        second -> REGISTER sip:example.com | Contact: <sip:b@192.168.1.6>{flow} | Supported: outbound | {via(1)}
        callee <- REGISTER sip:example.com | Contact: <sip:$second@10.0.0.1:5060>*
        callee -> 200 REGISTER | Contact: <sip:$second@10.0.0.1:5060>;expires=3600
        second <- 200 REGISTER | Flow-Timer: 12 | Via: *;keep=12*
    """)


def test_over_a_stream_it_is_asked_less_often(access: Callable[..., Ladder]) -> None:
    ladder = access()
    ladder.party("caller", Address("198.51.100.7", 40001), "sip:1001@192.0.2.1", "TCP", 5)
    over_tcp = via(1).replace("UDP", "TCP")
    ladder.play(f"{REGISTER} | {over_tcp}", REGISTERED.replace("expires=90", "expires=600 | Via: *;keep=120*"))


def test_a_refusal_asks_nobody_to_keep_anything(access: Callable[..., Ladder]) -> None:
    ladder = access()
    ladder.play(f"""
        {REGISTER} | {via(1)}
        callee <- REGISTER sip:example.com
        callee -> 403 REGISTER
        caller <- 403 REGISTER | Via: *;keep;*
    """)


def test_without_a_registration_a_call_is_what_the_flow_is_kept_for(ladder: Ladder) -> None:
    """RFC 6223 section 4.4: the same value in all responses to the INVITE."""
    ladder.play(f"""
        caller -> INVITE sdp | {via(1)}
        caller <- 100 | Via: *;keep=25*
        callee <- INVITE sdp
        callee -> 180
        caller <- 180 | Via: *;keep=25*
        callee -> 200 sdp
        callee <- ACK
        caller <- 200 sdp | Via: *;keep=25*
        caller -> ACK | {via(2)}
        caller -> INVITE sdp | {via(3)}
        caller <- 100 | Via: *;keep;*
        callee <- INVITE sdp
        callee -> 200 sdp
        callee <- ACK
        caller <- 200 sdp | Via: *;keep;*
        caller -> ACK
    """)


def test_a_subscription_is_such_a_dialog_too(ladder: Ladder) -> None:
    ladder.play(f"""
        caller -> SUBSCRIBE sip:1001@192.0.2.1 | Event: presence | Expires: 60 | {via(1)}
        callee <- SUBSCRIBE | Event: presence
        callee -> 200 SUBSCRIBE | Expires: 60
        caller <- 200 SUBSCRIBE | Via: *;keep=25*
    """)
