"""Where requests go, and what names those who are there."""

from __future__ import annotations

from collections.abc import Callable

from sbc.b2bua.whereabouts import is_address
from sbc.policy import RouteRule
from sbc.sip import Address
from tests.support.ladder import ANSWERED, HUNG_UP, Ladder
from tests.support.world import CALLER, PBX

RE_INVITE = """
    callee -> INVITE sdp
    callee <- 100
    {who} <- INVITE {uri} sdp
    {who} -> 488
    {who} <- ACK
    callee <- 488
    callee -> ACK
"""


def calls_with(ladder: Ladder, header: str) -> None:
    ladder.play(ANSWERED.replace("-> INVITE sdp", f"-> INVITE sdp | {header}"))


def test_requests_go_to_the_contact(ladder: Ladder) -> None:
    ladder.party("desk", Address("198.51.100.8", 5090), "")
    calls_with(ladder, "Contact: <sip:desk@198.51.100.8:5090>")
    ladder.play(RE_INVITE.format(who="desk", uri="sip:desk@198.51.100.8:5090"))


def test_a_route_goes_before_the_contact(ladder: Ladder) -> None:
    ladder.party("proxy", Address("198.51.100.8", 5060), "")
    calls_with(ladder, "+Record-Route: <sip:198.51.100.8;lr>, <sip:198.51.100.9;lr>")
    ladder.play("""
        callee -> INFO
        proxy <- INFO sip:caller@198.51.100.7:5070
            | Route: <sip:198.51.100.8;lr> | Route: <sip:198.51.100.9;lr>
        proxy -> 200 INFO
        callee <- 200 INFO
    """)


def test_the_callees_route_is_gone_in_reverse(ladder: Ladder) -> None:
    ladder.party("proxy", Address("10.0.0.8", 5060), "")
    ladder.play("""
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp
        callee -> 200 sdp | +Record-Route: <sip:10.0.0.9;lr> | +Record-Route: <sip:10.0.0.8;lr>
        proxy <- ACK | Route: <sip:10.0.0.8;lr> | Route: <sip:10.0.0.9;lr>
        caller <- 200 sdp | -Record-Route
        caller -> ACK
    """)


def test_a_strict_router_gets_its_own_uri(ladder: Ladder) -> None:
    """RFC 3261 section 12.2.1.1."""
    ladder.party("proxy", Address("198.51.100.8", 5060), "")
    calls_with(ladder, "+Record-Route: <sip:198.51.100.8>")
    ladder.play("""
        callee -> INFO
        proxy <- INFO sip:198.51.100.8 | Route: <sip:caller@198.51.100.7:5070>
        proxy -> 200 INFO
        callee <- 200 INFO
    """)


def test_a_phone_behind_a_nat_gets_its_requests_where_they_come_from(ladder: Ladder) -> None:
    ladder.play("""
        caller -> INVITE sdp | Via: SIP/2.0/UDP 192.168.1.7:5060;branch=z9hG4bKnat;rport
            | Contact: <sip:phone@192.168.1.7:5060>
        caller <- 100 | Via: *;received=198.51.100.7*
        callee <- INVITE sdp
        callee -> 200 sdp
        callee <- ACK
        caller <- 200 sdp
        caller -> ACK
        callee -> INFO
        caller <- INFO sip:phone@192.168.1.7:5060
        caller -> 200 INFO
        callee <- 200 INFO
    """)
    # its NAT gives it another port
    was = ladder.parties["caller"]
    now = ladder.party("caller", CALLER._replace(port=40000), was.uri)
    now.identity, now.cseq, now.target = was.identity, was.cseq, was.target
    ladder.play("""
        caller -> INFO | Via: SIP/2.0/UDP 192.168.1.7:5060;branch=z9hG4bKnat2;rport
        callee <- INFO
        callee -> 200 INFO
        caller <- 200 INFO
        callee -> BYE
        callee <- 200 BYE
        caller <- BYE
        caller -> 200 BYE
    """)


def test_a_repeated_old_request_moves_nobody(ladder: Ladder) -> None:
    ladder.play("""
        caller -> INVITE sdp | Via: SIP/2.0/UDP 192.168.1.7:5060;branch=z9hG4bKnat;rport
        caller <- 100
        callee <- INVITE sdp
        callee -> 200 sdp
        callee <- ACK
        caller <- 200 sdp
        caller -> ACK
        caller -> INFO | CSeq: 9 INFO
        callee <- INFO
        callee -> 200 INFO
        caller <- 200 INFO
    """)
    was = ladder.parties["caller"]
    thief = ladder.party("thief", Address("203.0.113.66", 5060), was.uri)
    thief.identity, thief.target = was.identity, was.target
    ladder.play("""
        thief -> INFO | CSeq: 8 INFO
        thief <- 500 INFO
        callee -> BYE
        callee <- 200 BYE
        caller <- BYE
        caller -> 200 BYE
    """)


def test_what_an_element_behind_a_nat_calls_itself_is_nowhere(ladder: Ladder) -> None:
    """A callee in the public zone that names its private address in its Contact."""
    ladder.party("callee", PBX, f"sip:2002@{CALLER.host}:{CALLER.port}")
    ladder.play("""
        callee -> INVITE sdp
        callee <- 100
        caller <- INVITE sdp
        caller -> 200 sdp | Contact: <sip:phone@192.168.1.7:5060>
        caller <- ACK sip:phone@192.168.1.7:5060
        callee <- 200 sdp
        callee -> ACK
        callee -> BYE
        callee <- 200 BYE
        caller <- BYE sip:phone@192.168.1.7:5060
        caller -> 200 BYE
    """)


def test_a_contact_that_is_a_name_or_cannot_be_read_moves_nobody(ladder: Ladder) -> None:
    for contact in ("<sip:caller@phone.example>", "<tel:+4930>", "<sip:caller@198.51.100.8;transport=sctp>"):
        ladder.party("caller", CALLER, "sip:1001@192.0.2.1")
        ladder.party("callee", PBX, "")
        calls_with(ladder, f"Contact: {contact}")
        ladder.play("callee -> BYE", "callee <- 200 BYE", "caller <- BYE", "caller -> 200 BYE")


def test_a_malformed_contact_of_the_callee_costs_nothing(ladder: Ladder) -> None:
    ladder.play(
        """
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp
        callee -> 200 sdp | Contact: <sip:@@@> | Record-Route: <sip:@@@>
        callee <- ACK sip:1001@10.0.0.5
        caller <- 200 sdp
        caller -> ACK
    """,
        HUNG_UP,
    )


# -- streams -----------------------------------------------------------------------------------------------------------


def test_a_caller_over_tcp_is_reached_on_its_stream(ladder: Ladder) -> None:
    streams = []
    party = ladder.party("caller", Address("198.51.100.7", 45000), "sip:1001@192.0.2.1", "TCP", 7)
    original = ladder.edge.streams[party.address]
    for address in (party.address, Address("198.51.100.7", 5070)):
        ladder.edge.streams[address] = lambda data, hop: (streams.append(hop.connection), original(data, hop))[1]
    ladder.play("""
        caller -> INVITE sdp | Contact: <sip:caller@198.51.100.7:5070;transport=tcp>
        caller <- 100
        callee <- INVITE sdp
        callee -> 200 sdp
        callee <- ACK
        caller <- 200 sdp | Contact: <sip:192.0.2.1:5060;transport=tcp>
        caller -> ACK
        callee -> INFO
        caller <- INFO
        caller -> 200 INFO
        callee <- 200 INFO
    """)
    party.connection = 8  # it lost its stream and opened another one
    ladder.play("""
        caller -> INFO
        callee <- INFO
        callee -> 200 INFO
        caller <- 200 INFO
        callee -> BYE
        callee <- 200 BYE
        caller <- BYE
        caller -> 200 BYE
    """)
    assert streams == [7, 7, 7, 8, 8]


# -- names -------------------------------------------------------------------------------------------------------------


def test_whatever_an_element_says_of_itself_is_known_as_its_name(ladder: Ladder) -> None:
    ladder.play("""
        caller -> INVITE sdp
        caller <- 100
        callee <- INVITE sdp
        callee -> 200 sdp | Contact: <sip:x@desk.secret> | Record-Route: <sip:edge.secret;lr> | +Subject: by desk.secret
            | +User-to-User: edge.secret | +Priority: urgent
        callee <- ACK
        caller <- 200 sdp | -Subject | -User-to-User | Priority: urgent
        caller -> ACK
    """)


def test_what_an_element_called_itself_is_still_its_name_after_it_has_moved(new_ladder: Callable[..., Ladder]) -> None:
    rule = RouteRule("by name", to=("sip:desk.secret",), zone="private")
    ladder = new_ladder(routes=(rule,), names={"desk.secret": (PBX.host,)})
    ladder.play("""
        caller -> INVITE sdp
        caller <- 100
        0.1 s
        callee <- INVITE sip:1001@desk.secret sdp
        callee -> 200 sdp
        callee <- ACK
        caller <- 200 sdp
        caller -> ACK
        callee -> INVITE sdp | Contact: <sip:x@moved.secret>
        callee <- 100
        caller <- INVITE sdp
        caller -> 488
        caller <- ACK
        callee <- 488
        callee -> ACK
        callee -> INFO | User-to-User: desk.secret
        caller <- INFO | -User-to-User
        caller -> 200 INFO
        callee <- 200 INFO
        callee -> INFO | User-to-User: moved.secret
        caller <- INFO | -User-to-User
        caller -> 200 INFO
        callee <- 200 INFO
    """)


def test_addresses_are_told_from_names() -> None:
    assert is_address("10.0.0.1")
    assert is_address("2001:db8::1")
    assert not is_address("010.0.0.1")
    assert not is_address("host.example")
    assert not is_address("")
