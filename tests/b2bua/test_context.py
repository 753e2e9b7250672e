"""What the network looks like, worked out once."""

from __future__ import annotations

from dataclasses import replace

from sbc.b2bua import Listener, Network, Peer, Zone
from sbc.b2bua.context import Places, contact, uri_host
from sbc.media import MediaAddress
from sbc.sip import Address, Hop

PUBLIC = Listener("UDP", Address("172.31.0.1", 5060), Address("192.0.2.1", 5062))
PUBLIC_TCP = replace(PUBLIC, transport="TCP")
PUBLIC6 = Listener("UDP", Address("2001:db8::1", 5060), Address("2001:db8::1", 5060))
PRIVATE = Listener("UDP", Address("10.0.0.1", 5060), Address("10.0.0.1", 5060))
ZONES = {
    "public": Zone("public", (PUBLIC, PUBLIC_TCP, PUBLIC6), hidden=False, domains=frozenset({"example.com"})),
    "private": Zone("private", (PRIVATE,), MediaAddress("10.0.0.2", "10.0.0.3")),
}
PBX = Peer("pbx", "private", "PBX.example", sources=("10.1.0.0/16", "fd00::/8"))
DESK = Peer("desk", "private", "10.0.0.7", None, ("UDP", "TCP"))
TRUNK = Peer("trunk", "public", "203.0.113.1", None, ("UDP", "TCP"))


def places() -> Places:
    return Places(Network(ZONES, {peer.name: peer for peer in (PBX, DESK, TRUNK)}))


def test_a_peer_is_known_by_its_address_in_its_own_zone() -> None:
    assert places().peer("private", "10.0.0.7") == DESK
    assert places().peer("public", "10.0.0.7") is None
    assert places().peer("private", "10.0.0.8") is None


def test_a_peer_is_known_by_its_further_sources() -> None:
    assert places().peer("private", "10.1.2.3") == PBX
    assert places().peer("private", "fd00::1%eth0") == PBX
    assert places().peer("public", "10.1.2.3") is None


def ways(*hosts: str) -> tuple[Hop, ...]:
    return tuple(Hop("private", "UDP", Address("10.0.0.1", 5060), Address(host, 5060)) for host in hosts)


def test_a_peer_by_name_is_where_it_was_found_last_and_nowhere_else() -> None:
    known = places()
    assert known.peer("private", "10.0.0.5") is None
    known.learn(PBX, ways("10.0.0.5", "10.0.0.6"))
    assert known.peer("private", "10.0.0.5") == known.peer("private", "10.0.0.6") == PBX
    assert {"10.0.0.5", "pbx.example"} <= set(known.names(ZONES["private"]))
    known.learn(PBX, ways("10.0.0.6"))
    assert known.peer("private", "10.0.0.5") is None
    assert "10.0.0.5" not in known.names(ZONES["private"])


def test_learning_for_a_year_takes_no_room() -> None:
    known = places()
    for number in range(1000):
        known.learn(PBX, ways(f"10.9.{number // 256}.{number % 256}"))
    assert len(known.names(ZONES["private"])) < 10


def test_an_address_that_two_peers_share_is_the_first_ones_and_stays_with_the_other() -> None:
    known = places()
    known.learn(PBX, ways("10.0.0.7"))
    assert known.peer("private", "10.0.0.7") == PBX
    known.learn(PBX, ())
    assert known.peer("private", "10.0.0.7") == DESK


def test_names_of_a_zone_are_ours_and_the_peers_there() -> None:
    assert set(places().names(ZONES["private"])) == {"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.7", "pbx.example"}


def test_what_we_show_anyway_is_no_secret() -> None:
    known = places()
    assert not any(map(known.is_secret, ("192.0.2.1", "example.com", "anonymous.invalid", "")))
    assert all(map(known.is_secret, ("10.0.0.1", "pbx.example", "unknown.example")))


def test_listeners_are_found_by_transport_and_family() -> None:
    known = places()
    assert known.listener("public", "UDP", "203.0.113.1") == PUBLIC
    assert known.listener("public", "UDP", "2001:db8::7") == PUBLIC6
    assert known.listener("public", "TCP", "2001:db8::7") is None
    assert known.listener_of(Hop("public", "TCP", PUBLIC.local, Address("203.0.113.1", 1))) == PUBLIC_TCP


def test_a_peer_is_reached_over_tcp_where_both_have_it() -> None:
    known = places()
    hop = Hop("public", "UDP", PUBLIC.local, Address("203.0.113.1", 5060))
    assert known.over_tcp(hop, TRUNK) == hop._replace(transport="TCP")
    assert known.over_tcp(hop, PBX) is None
    assert known.over_tcp(Hop("private", "UDP", PRIVATE.local, Address("10.0.0.7", 5060)), DESK) is None


def test_our_contact_says_the_advertised_address_and_the_transport() -> None:
    assert contact(PUBLIC) == "<sip:192.0.2.1:5062>"
    assert contact(PUBLIC_TCP) == "<sip:192.0.2.1:5062;transport=tcp>"
    assert contact(PUBLIC6) == "<sip:[2001:db8::1]:5060>"
    assert uri_host("2001:db8::1") == "[2001:db8::1]"
