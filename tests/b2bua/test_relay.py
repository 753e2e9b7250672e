"""Requests outside calls that are for somebody behind us."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sbc.b2bua import Access, Peer, Settings
from sbc.sip import Address
from tests.support.ladder import Ladder
from tests.support.world import OUTSIDE, PBX, PBX2

NewLadder = Callable[..., Ladder]
OUT = "sip:phone@198.51.100.7:5070"
TWO = (Peer("pbx", "private", "pbx.secret.example"),)
NAMES = {"pbx.secret.example": (PBX.host, PBX2.host)}


def test_a_message_crosses_and_its_answer_comes_back(ladder: Ladder) -> None:
    ladder.play(
        """
        caller -> MESSAGE text | Subject: lunch | Accept-Language: en
        callee <- MESSAGE text sip:1001@10.0.0.5 | Max-Forwards: 69 | -Contact | Subject: lunch | Call-ID: $inside
               | From: "Caller" <sip:caller@198.51.100.7>;tag=* | To: <sip:1001@10.0.0.5> | CSeq: 1 MESSAGE
        callee -> 202 MESSAGE | Date: now
        caller <- 202 MESSAGE | To: <sip:1001@192.0.2.1>;tag=* | -Contact | -Server | Date: now
    """
    )
    assert ladder.trail == ["route relay: MESSAGE of 198.51.100.7 to pbx answered: 202 (as it came)"]


def test_a_message_of_the_pbx_crosses_outwards_with_our_host(ladder: Ladder) -> None:
    ladder.play(
        f"""
        callee -> MESSAGE text {OUT} | Organization: secret.example
        caller <- MESSAGE text {OUT} | From: "Callee" <sip:callee@192.0.2.1>;tag=* | -Organization | -User-Agent
        caller -> 200 MESSAGE
        callee <- 200 MESSAGE | Server: Phone/2.0
    """
    )


def test_digest_is_between_the_ends_without_auth_int(ladder: Ladder) -> None:
    ladder.play(
        """
        caller -> PUBLISH text | Event: presence
        callee <- PUBLISH text | -Authorization
        callee -> 401 PUBLISH | WWW-Authenticate: Digest realm="office", nonce="n", qop="auth,auth-int"
        caller <- 401 PUBLISH | WWW-Authenticate: Digest realm="office", nonce="n", qop="auth"
        caller -> PUBLISH text | Event: presence | Authorization: Digest username="a", realm="office", response="00"
        callee <- PUBLISH text | Authorization: Digest username="a", realm="office", response="00"
        callee -> 200 PUBLISH
               | Expires: 1800 | SIP-ETag: a.1700000000.123.1.0 | Authentication-Info: nextnonce="m"
        caller <- 200 PUBLISH | Expires: 1800 | SIP-ETag: a.1700000000.123.1.0 | Authentication-Info: nextnonce="m"
        caller -> PUBLISH | Event: presence | Expires: 0 | SIP-If-Match: a.1700000000.123.1.0
        callee <- PUBLISH | Event: presence | Expires: 0 | SIP-If-Match: a.1700000000.123.1.0 | -Contact
        callee -> 412 PUBLISH
        caller <- 412 PUBLISH
    """
    )


def test_a_challenge_that_names_a_hidden_host_says_nothing_any_more(ladder: Ladder) -> None:
    ladder.play(
        """
        caller -> MESSAGE text
        callee <- MESSAGE text
        callee -> 407 MESSAGE | Proxy-Authenticate: Digest realm="10.0.0.5", nonce="n"
        caller <- 403 MESSAGE
    """
    )


@pytest.mark.parametrize(
    ("event", "more"), [("message-summary", "text"), ("check-sync;reboot=false", ""), ("keep-alive", "")]
)
def test_the_pbx_notifies_of_what_nobody_has_subscribed_to(ladder: Ladder, event: str, more: str) -> None:
    ladder.play(
        f"""
        callee -> NOTIFY {more} {OUT} | Event: {event} | Subscription-State: active
        caller <- NOTIFY {more} {OUT} | Event: {event} | Subscription-State: active | Contact: <sip:192.0.2.1:5060>
        caller -> 200 NOTIFY
        callee <- 200 NOTIFY | Contact: <sip:10.0.0.1:5060>
    """
    )


def test_a_stranger_notifies_nobody(ladder: Ladder) -> None:
    """Phones restart when they are told so."""
    ladder.play("caller -> NOTIFY | Event: check-sync", "caller <- 481 NOTIFY")


def test_a_notify_of_nothing_is_malformed(ladder: Ladder) -> None:
    ladder.play(f"callee -> NOTIFY {OUT}", "callee <- 400 NOTIFY")


def test_options_for_somebody_else_cross(ladder: Ladder) -> None:
    ladder.play(
        f"""
        callee -> OPTIONS {OUT} | Accept: application/sdp
        caller <- OPTIONS {OUT} | Accept: application/sdp
        caller -> 200 OPTIONS | Allow: INVITE, ACK, BYE, CANCEL, MESSAGE | Supported: replaces, x-mine
        callee <- 200 OPTIONS | Allow: *INVITE*MESSAGE* | Supported: replaces | -Contact
        callee -> OPTIONS {OUT} | Max-Forwards: 0
        callee <- 200 OPTIONS | Allow: INVITE*
    """
    )


@pytest.mark.parametrize(
    ("change", "answer"),
    [
        ("| Max-Forwards: 0", "483 MESSAGE"),
        ("| Require: x-new", "420 MESSAGE | Unsupported: x-new"),
        ("im:a@192.0.2.1", "416 MESSAGE"),
        ("closed", "415 MESSAGE"),
        ("sdp", "415 MESSAGE"),
    ],
)
def test_what_cannot_cross_is_refused(ladder: Ladder, change: str, answer: str) -> None:
    ladder.play(f"caller -> MESSAGE {change}", f"caller <- {answer} | To: *;tag=*")


def test_a_stranger_is_served_where_the_zone_is_open_only(new_ladder: NewLadder) -> None:
    ladder = new_ladder(open=False)
    ladder.play("caller -> MESSAGE text", "caller <- 403 MESSAGE")
    assert ladder.trail == [
        "call admission: MESSAGE of 198.51.100.7 refused: 403 (198.51.100.7 is no peer of zone public)"
    ]


def test_where_nothing_leads_is_not_found(ladder: Ladder) -> None:
    ladder.play("callee -> MESSAGE text sip:1001@10.0.0.5", "callee <- 404 MESSAGE")


# -- one place after the other -----------------------------------------------------------------------------------------


def test_the_next_address_is_tried_when_one_says_nothing(new_ladder: NewLadder) -> None:
    new_ladder(peers=TWO, names=NAMES, answer_after=lambda: 0.0).play(
        """
        caller -> MESSAGE text
        callee <- MESSAGE text | Call-ID: $first
        0.6 s
        callee <- MESSAGE text
        1.1 s
        callee <- MESSAGE text
        1.9 s
        callee <- MESSAGE text
        caller <- 100 MESSAGE
        0.5 s
        other <- MESSAGE text
        other -> 200 MESSAGE
        caller <- 200 MESSAGE
        callee -> 200 MESSAGE
    """
    )


def test_the_next_address_is_tried_when_one_cannot_serve(new_ladder: NewLadder) -> None:
    new_ladder(peers=TWO, names=NAMES).play(
        """
        caller -> MESSAGE text
        0.1 s
        callee <- MESSAGE text
        callee -> 503 MESSAGE | Retry-After: 60
        other <- MESSAGE text
        other -> 404 MESSAGE
        caller <- 404 MESSAGE
    """
    )


def test_of_those_who_cannot_serve_the_last_is_heard_without_its_pause(new_ladder: NewLadder) -> None:
    new_ladder(peers=TWO, names=NAMES).play(
        """
        caller -> MESSAGE text
        0.1 s
        callee <- MESSAGE text
        callee -> 500 MESSAGE
        other <- MESSAGE text
        other -> 503 MESSAGE | Retry-After: 60
        caller <- 503 MESSAGE | -Retry-After
    """
    )


def test_who_cannot_be_reached_is_503(new_ladder: NewLadder) -> None:
    new_ladder(fails=lambda hop: hop.remote == PBX).play("caller -> MESSAGE text", "caller <- 503 MESSAGE")


def test_who_is_not_found_is_503(new_ladder: NewLadder) -> None:
    new_ladder(peers=TWO).play("caller -> MESSAGE text", "0.1 s", "caller <- 503 MESSAGE")


def test_a_redirection_names_places_of_the_other_side(ladder: Ladder) -> None:
    ladder.play("caller -> MESSAGE", "callee <- MESSAGE", "callee -> 302 MESSAGE", "caller <- 480 MESSAGE | -Contact")


def test_405_says_what_is_allowed(ladder: Ladder) -> None:
    ladder.play(
        "caller -> MESSAGE", "callee <- MESSAGE", "callee -> 405 MESSAGE", "caller <- 405 MESSAGE | Allow: INVITE*"
    )


def test_who_hears_nothing_has_stopped_waiting_and_is_told_nothing(ladder: Ladder) -> None:
    """RFC 4320: 100 after the time that Timer E takes to reach T2, and no 408."""
    ladder.play("caller -> MESSAGE", "callee <- MESSAGE")
    ladder.wait(3.4)
    assert not ladder.parties["caller"].inbox
    ladder.wait(0.2)
    ladder.parties["callee"].inbox.clear()
    ladder.play("caller <- 100 MESSAGE")
    ladder.wait(40)
    ladder.parties["callee"].inbox.clear()
    ladder.play("")


def test_no_more_than_so_many_are_under_way(new_ladder: NewLadder) -> None:
    ladder = new_ladder(settings=Settings(max_passages=1))
    ladder.play(
        """
        caller -> MESSAGE
        callee <- MESSAGE
        callee -> MESSAGE sip:phone@198.51.100.7:5070
        callee <- 503 MESSAGE | Retry-After: 10
    """
    )
    ladder.play("callee -> 200 MESSAGE", "caller <- 200 MESSAGE")


def test_a_repeated_request_is_answered_again_and_crosses_once(ladder: Ladder) -> None:
    ladder.play(
        """
        caller -> MESSAGE
        callee <- MESSAGE
        caller -> again
        callee -> 200 MESSAGE
        caller <- 200 MESSAGE
        caller -> again
        caller <- 200 MESSAGE
    """
    )


def test_what_is_too_long_for_udp_goes_over_tcp_where_the_peer_has_it(new_ladder: NewLadder) -> None:
    ladder = new_ladder(peers=(Peer("pbx", "private", PBX.host, None, ("UDP", "TCP")),))
    ladder.bodies["long"] = ("text/plain", b"x" * 1400)
    heard: list[bytes] = []
    ladder.edge.streams[PBX] = lambda data, hop: heard.append(data)
    ladder.play("caller -> MESSAGE long")
    assert len(heard) == 1
    assert b"Via: SIP/2.0/TCP 10.0.0.1" in heard[0]


def test_a_policy_sees_what_leaves(new_ladder: NewLadder) -> None:
    class Marked:
        rewrites = True

        def __init__(self, inner: Any) -> None:
            self._inner = inner

        def admit(self, call: Any) -> Any:
            return self._inner.admit(call)

        def route(self, call: Any) -> Any:
            return self._inner.route(call)

        def rewrite(self, message: Any, leg: Any, received: Any) -> None:
            message.headers.add("Subject", f"{leg.source.name} to {leg.zone.name}")

    ladder = new_ladder()
    context = ladder.edge.b2bua._context
    context.hooks = Marked(context.hooks)
    ladder.play(
        """
        caller -> MESSAGE
        callee <- MESSAGE | Subject: public to private
        callee -> 200 MESSAGE
        caller <- 200 MESSAGE | Subject: private to public
    """
    )


# -- registered phones -------------------------------------------------------------------------------------------------

REGISTERED = """
    caller -> REGISTER sip:example.com | To: <sip:1001@example.com> | From: <sip:1001@example.com>;tag=phone
    callee <- REGISTER sip:example.com | Contact: <sip:$token@10.0.0.1:5060>;expires=3600
    callee -> 200 REGISTER | Contact: <sip:$token@10.0.0.1:5060>;expires=3600
    caller <- 200 REGISTER
"""


@pytest.fixture
def access(new_ladder: NewLadder) -> Ladder:
    """A registered phone outside."""
    ladder = new_ladder(
        settings=Settings(access=Access("public", ("example.com",), "pbx", expires_udp=60, key=b"site"))
    )
    ladder.play(REGISTERED)
    ladder.party("caller", ladder.parties["caller"].address, "sip:1001@example.com")
    return ladder


@pytest.mark.parametrize(("method", "more"), [("MESSAGE", "text"), ("OPTIONS", ""), ("NOTIFY", "")])
def test_what_is_for_the_contact_of_a_registered_phone_goes_where_it_is(access: Ladder, method: str, more: str) -> None:
    event = "| Event: check-sync" if method == "NOTIFY" else ""
    access.play(
        f"""
        callee -> {method} {more} sip:$token@10.0.0.1 {event}
        caller <- {method} {more} sip:caller@198.51.100.7:5070 {event}
        caller -> 200 {method}
        callee <- 200 {method}
    """.replace("$token", access["token"])
    )


def test_what_is_for_a_phone_that_is_not_there_any_more_is_not_found(access: Ladder) -> None:
    access.wait(4000)
    access.parties["callee"].inbox.clear()
    access.play(f"callee -> OPTIONS sip:{access['token']}@10.0.0.1", "callee <- 404 OPTIONS")


def test_a_registered_phone_that_has_moved_keeps_its_subscription(access: Ladder) -> None:
    access.play(
        """
        caller -> SUBSCRIBE sip:1001@example.com | Event: message-summary
        callee <- SUBSCRIBE sip:1001@10.0.0.5
        callee -> 200 SUBSCRIBE | Expires: 3000
        caller <- 200 SUBSCRIBE
    """
    )
    phone, subscribed = access.parties["caller"], access.parties["callee"].identity
    moved = access.party("moved", Address("198.51.100.7", 40404), "sip:1001@example.com")
    moved.identity = None
    access.parties["callee"].identity = None
    access.edge.receive(
        b"REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.168.1.2;branch=z9hG4bKmoved;rport\r\n"
        b"From: <sip:1001@example.com>;tag=phone\r\nTo: <sip:1001@example.com>\r\nCall-ID: caller-call-1@198.51.100.7"
        b"\r\nCSeq: 9 REGISTER\r\nContact: <sip:caller@198.51.100.7:5070>\r\nContent-Length: 0\r\n\r\n",
        moved.address,
        OUTSIDE,
    )
    access.wait(0.0)
    if access.parties["callee"].inbox:  # the PBX is asked whether it may
        access.parties["callee"].inbox.popleft()
        access.parties["callee"].send(
            ["200", "REGISTER"], [f"Contact: <sip:{access['token']}@10.0.0.1:5060>;expires=3600"]
        )
        access.wait(0.0)
    moved.inbox.clear()
    access.parties["callee"].identity = subscribed
    access.play(
        """
        callee -> NOTIFY | Event: message-summary | Subscription-State: terminated
        moved <- NOTIFY | Event: message-summary
        moved -> 200 NOTIFY
        callee <- 200 NOTIFY
    """
    )
    assert not phone.inbox
