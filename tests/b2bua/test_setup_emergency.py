"""Emergency calls: not limited, by their own way, and not refused for what they bring along."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sbc.policy import RouteRule
from tests.support.ladder import HUNG_UP, Ladder

HELP = RouteRule("help", to=("pbx",), emergency=True)


def called(uri: str, more: str = "") -> str:
    return f"""
    caller -> INVITE {uri} sdp
    caller <- 100
    callee <- INVITE {uri.replace("192.0.2.1", "10.0.0.5")} sdp{more}
    callee -> 200 sdp
    callee <- ACK
    caller <- 200 sdp
    caller -> ACK
"""


@pytest.mark.parametrize("uri", ["sip:112@192.0.2.1", "sip:%3112@192.0.2.1"])
def test_a_number_is_called_while_there_is_no_room_for_others(new_ladder: Callable[..., Ladder], uri: str) -> None:
    ladder = new_ladder(max_calls=0, emergency=("112",), routes=(HELP,))
    ladder.play("caller -> INVITE sdp", "caller <- 503 | Retry-After: 10", "caller -> ACK", "0.1 s")
    ladder.play(called(uri), HUNG_UP)
    assert any("emergency call" in line for line in ladder.trail)


@pytest.mark.parametrize("uri", ["urn:service:sos", "urn:service:sos.ambulance"])
def test_a_service_is_called_by_its_name(new_ladder: Callable[..., Ladder], uri: str) -> None:
    """RFC 5031, RFC 6881 section 9.2."""
    ladder = new_ladder(max_calls=0)
    ladder.play(called(uri, f" | To: <{uri}> | Route: <sip:10.0.0.5;lr>"), HUNG_UP)


def test_other_urns_are_no_places_to_call(ladder: Ladder) -> None:
    ladder.play("caller -> INVITE urn:service:counseling sdp", "caller <- 416", "caller -> ACK", "0.1 s")
    ladder.play("caller -> OPTIONS urn:service:counseling", "caller <- 416 OPTIONS")
    ladder.play("caller -> OPTIONS urn:service:sos", "caller <- 200 OPTIONS")


def test_a_service_that_ends_still_serves_it_as_long_as_it_lasts(new_ladder: Callable[..., Ladder]) -> None:
    ladder = new_ladder(emergency=("112",))
    ladder.edge.run(ladder.edge.b2bua.drain(ladder.events.now, 30.0))
    ladder.play("caller -> INVITE sdp", "caller <- 503", "caller -> ACK", "10 s")
    ladder.play(
        called("sip:112@192.0.2.1"),
        """
        19 s
        1 s
        caller <- BYE
        callee <- BYE
        caller -> 200 BYE
        callee -> 200 BYE
        0.1 s
    """,
    )
    assert ladder.record.cause == "drain"


@pytest.mark.parametrize("body", ["closed", "broken"])
def test_what_cannot_cross_is_left_out_rather_than_refused(new_ladder: Callable[..., Ladder], body: str) -> None:
    ladder = new_ladder(emergency=("112",))
    ladder.bodies["broken"] = ("multipart/mixed;boundary=x", b"--x")
    ladder.play(
        f"""
        caller -> INVITE sip:112@192.0.2.1 {body}
        caller <- 100
        callee <- INVITE
        callee -> 486
        callee <- ACK
        caller <- 486
        caller -> ACK
        0.1 s
        caller -> INVITE {body}
        caller <- {415 if body == "closed" else 400}
        caller -> ACK
    """
    )


def test_priority_and_place_cross(ladder: Ladder) -> None:
    """RFC 4412, RFC 6442."""
    pidf = b"--x\r\nContent-Type: application/sdp\r\n\r\n%s\r\n--x\r\nContent-Type: application/pidf+xml\r\n"
    pidf += b"Content-ID: <here@phone.example>\r\n\r\n<presence/>\r\n--x--\r\n"
    ladder.bodies["place"] = (
        "multipart/mixed;boundary=x",
        pidf % b"v=0\r\no=- 1 1 IN IP4 198.51.100.7\r\ns=-\r\nt=0 0\r\n",
    )
    ladder.play(
        """
        caller -> INVITE urn:service:sos place | Geolocation: <cid:here@phone.example> | Geolocation-Routing: yes
               | Resource-Priority: esnet.1 | Priority: emergency | Require: resource-priority
        caller <- 100
        callee <- INVITE body | Geolocation: <cid:here@phone.example> | Geolocation-Routing: yes
               | Resource-Priority: esnet.1 | Priority: emergency | Require: resource-priority
        callee -> 417 | Accept-Resource-Priority: esnet.0
        callee <- ACK urn:service:sos | Route: <sip:10.0.0.5;lr>
        caller <- 417 | Accept-Resource-Priority: esnet.0
        caller -> ACK
    """
    )
    assert b"<presence/>" in ladder.parties["callee"].requests["INVITE"].body
    assert b"198.51.100.7" not in ladder.parties["callee"].requests["INVITE"].body
