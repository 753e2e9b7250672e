from __future__ import annotations

import pytest

from sbc.sip import Address, Hop, Request, parse, parse_via
from sbc.sip.matching import fallback_address, is_rfc2543, is_unicast, note_source, response_hop, server_key
from tests.support.sip_stack import LIMITS, LOCAL, PEER, TCP, UDP, request_bytes


def key(data: bytes, zone: str = "public", method: str = "INVITE") -> str:
    request = parse(data, LIMITS)
    assert isinstance(request, Request)
    return server_key(request, request.via, zone, method, request.to.tag or "")


def test_with_the_magic_cookie_branch_sent_by_and_method_identify_a_transaction() -> None:
    assert key(request_bytes()) == key(request_bytes(cseq=9, call_id="other", from_tag="other", uri="sip:x@y"))
    assert key(request_bytes()) != key(request_bytes(branch="z9hG4bKtwo"))
    assert key(request_bytes()) != key(request_bytes(sent_by="10.9.9.9:5063"))
    assert key(request_bytes()) != key(request_bytes(sent_by="10.9.9.8:5062"))
    assert key(request_bytes()) != key(request_bytes(), method="BYE")


def test_two_zones_never_share_a_transaction() -> None:
    assert key(request_bytes()) != key(request_bytes(), zone="private")


@pytest.mark.parametrize("branch", [None, "1", "z9hg4"])
def test_without_the_magic_cookie_all_of_17_2_3_identify_a_transaction(branch: str | None) -> None:
    first = key(request_bytes(branch=branch))
    assert first == key(request_bytes(branch=branch))
    assert first != key(request_bytes(branch=branch, uri="sip:carol@sbc.example.com"))
    assert first != key(request_bytes(branch=branch, from_tag="other"))
    assert first != key(request_bytes(branch=branch, to_tag="other"))
    assert first != key(request_bytes(branch=branch, call_id="other"))
    assert first != key(request_bytes(branch=branch, cseq=2))
    assert first != key(request_bytes(branch=branch, parameters=";ttl=1"))


def test_a_branch_without_the_cookie_is_of_rfc_2543() -> None:
    assert is_rfc2543(parse_via("SIP/2.0/UDP a.example"))
    assert is_rfc2543(parse_via("SIP/2.0/UDP a.example;branch=1"))
    assert not is_rfc2543(parse_via("SIP/2.0/UDP a.example;branch=z9hG4bK1"))


@pytest.mark.parametrize(
    ("sent", "noted"),
    [
        # 18.2.1: the host of sent-by differs from the source
        ("SIP/2.0/UDP 10.9.9.9:5062;branch=b", "SIP/2.0/UDP 10.9.9.9:5062;branch=b;received=198.51.100.7"),
        ("SIP/2.0/UDP phone.example", "SIP/2.0/UDP phone.example;received=198.51.100.7"),
        # it is the same
        ("SIP/2.0/UDP 198.51.100.7;branch=b", "SIP/2.0/UDP 198.51.100.7;branch=b"),
        # RFC 3581 section 4: with rport both are written, also when it is the same
        (
            "SIP/2.0/UDP 198.51.100.7;rport;branch=b",
            "SIP/2.0/UDP 198.51.100.7;rport=40123;branch=b;received=198.51.100.7",
        ),
        # what the sender forged is replaced
        (
            "SIP/2.0/UDP 10.9.9.9;received=203.0.113.1;rport=1",
            "SIP/2.0/UDP 10.9.9.9;received=198.51.100.7;rport=40123",
        ),
        ("SIP/2.0/UDP 198.51.100.7;received=203.0.113.1;branch=b", "SIP/2.0/UDP 198.51.100.7;branch=b"),
        # only the topmost is ours to write in
        (
            "SIP/2.0/UDP 10.9.9.9;rport, SIP/2.0/TCP below.example;rport",
            "SIP/2.0/UDP 10.9.9.9;rport=40123;received=198.51.100.7, SIP/2.0/TCP below.example;rport",
        ),
        ("SIP/2.0/UDP [2001:db8::9]:5062", "SIP/2.0/UDP [2001:db8::9]:5062;received=198.51.100.7"),
    ],
)
def test_the_source_is_noted_in_the_topmost_via(sent: str, noted: str) -> None:
    request = parse(request_bytes(), LIMITS)
    assert isinstance(request, Request)
    request.headers.set("Via", sent)
    note_source(request, request.via, PEER)
    assert request.headers.get("Via") == noted


@pytest.mark.parametrize(
    ("via", "port"),
    [
        ("SIP/2.0/UDP 10.9.9.9:5062;rport", 40123),
        ("SIP/2.0/UDP 10.9.9.9:5062", 5062),
        ("SIP/2.0/UDP 10.9.9.9", 5060),
        ("SIP/2.0/UDP 10.9.9.9:5062;maddr=203.0.113.9", 5062),
    ],
)
def test_a_response_in_a_datagram_goes_to_the_source_host(via: str, port: int) -> None:
    assert response_hop(UDP, parse_via(via)) == Hop("public", "UDP", LOCAL, Address(PEER.host, port))


def test_a_response_on_a_stream_goes_back_on_its_connection() -> None:
    assert response_hop(TCP, parse_via("SIP/2.0/TCP 10.9.9.9:5062")) == TCP


def test_a_new_connection_for_a_response_goes_to_the_source_host_and_the_port_of_sent_by() -> None:
    assert fallback_address(TCP, parse_via("SIP/2.0/TCP 10.9.9.9:5062")) == Address(PEER.host, 5062)
    assert fallback_address(TCP, parse_via("SIP/2.0/TCP 10.9.9.9")) == Address(PEER.host, 5060)
    assert fallback_address(TCP._replace(transport="WS"), parse_via("SIP/2.0/WS x.invalid")) is None


@pytest.mark.parametrize("host", ["192.0.2.1", "127.0.0.1", "2001:db8::1", "::1", "fe80::1", "::ffff:192.0.2.1"])
def test_unicast_addresses_may_be_sent_to(host: str) -> None:
    assert is_unicast(Address(host, 5060))
    assert not is_unicast(Address(host, 0))


@pytest.mark.parametrize(
    "host", ["224.0.1.75", "239.1.1.1", "255.255.255.255", "0.0.0.0", "ff02::1", "::", "::ffff:224.0.0.1"]
)
def test_multicast_broadcast_and_unspecified_addresses_may_not(host: str) -> None:
    assert not is_unicast(Address(host, 5060))
