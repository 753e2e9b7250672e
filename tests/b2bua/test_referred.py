"""Where a Refer-To leads. (What crosses is in test_transfer.)"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sbc.b2bua import Peer, Reject, Targets, referred
from sbc.b2bua.call import Call
from sbc.b2bua.context import Context
from sbc.policy import RouteRule
from sbc.sip import parse_uri
from tests.support.ladder import ANSWERED, Ladder
from tests.support.world import PBX

TRUNK = Peer("trunk", "public", "198.51.100.20", 5062)


def under_way(ladder: Ladder) -> tuple[Context, Call]:
    ladder.play(ANSWERED)
    context = ladder.edge.b2bua._context
    (call,) = context.calls.values()
    return context, call


def place(ladder: Ladder, side: str, uri: str) -> str | None:
    """What the element on the other leg is told of `uri`, which that of leg `side` has said."""
    context, call = under_way(ladder)
    assert call.b is not None
    leg, other = (call.a, call.b) if side == "a" else (call.b, call.a)
    return referred.named_for(context, leg, other, parse_uri(uri))


def first_target(ladder: Ladder, side: str, uri: str) -> tuple[str, str, str]:
    """Where a call of the element of leg `side` to `uri` goes."""
    context, call = under_way(ladder)
    leg = call.leg(side)
    assert leg is not None
    route = referred.route_of(context, leg, parse_uri(uri))
    assert isinstance(route, Targets)
    target = route.targets[0]
    return target.zone, target.uri, target.host


def test_a_call_to_us_goes_where_the_transferors_own_call_would(ladder: Ladder) -> None:
    assert first_target(ladder, "a", "sip:7@192.0.2.1") == ("private", "sip:7@10.0.0.5", "10.0.0.5")


def test_a_user_of_the_transferors_own_network_is_called_there(ladder: Ladder) -> None:
    """Its own call would not come through us."""
    assert first_target(ladder, "b", "sip:7@10.0.0.77:5070;method=INVITE?X=y") == (
        "private",
        "sip:7@10.0.0.77:5070",
        "10.0.0.5",
    )


def test_a_neighbour_of_the_transferor_is_called_directly(new_ladder: Callable[..., Ladder]) -> None:
    desk = Peer("desk", "private", "10.0.0.9", 5070, ("TCP",))
    ladder = new_ladder(
        peers=(Peer("pbx", "private", PBX.host, None), desk), routes=(RouteRule("all", "public", to=("pbx",)),)
    )
    context, call = under_way(ladder)
    assert call.b is not None
    route = referred.route_of(context, call.b, parse_uri("sip:7@10.0.0.9:5070"))
    assert isinstance(route, Targets)
    assert route.targets[0][:6] == ("private", "sip:7@10.0.0.9:5070", "10.0.0.9", 5070, ("TCP",), "desk")


def test_so_is_a_user_of_the_peer_by_its_name(new_ladder: Callable[..., Ladder]) -> None:
    ladder = new_ladder(peers=(Peer("pbx", "private", "pbx.example", None),), names={"pbx.example": (PBX.host,)})
    ladder.wait(0.1)
    ladder.play(
        """
        caller -> INVITE sdp
        caller <- 100
        0.1 s
        callee <- INVITE sdp
        callee -> 200 sdp
        callee <- ACK
        caller <- 200 sdp
        caller -> ACK
    """
    )
    context = ladder.edge.b2bua._context
    (call,) = context.calls.values()
    assert call.b is not None
    route = referred.route_of(context, call.b, parse_uri("sip:7@pbx.example"))
    assert isinstance(route, Targets)
    assert route.targets[0][:4] == ("private", "sip:7@pbx.example", "10.0.0.5", 5060)


def test_a_host_outside_is_called_outside(ladder: Ladder) -> None:
    assert first_target(ladder, "b", "sip:7@198.51.100.99") == ("public", "sip:7@198.51.100.99", "198.51.100.99")


def test_what_the_routes_refuse_is_refused(new_ladder: Callable[..., Ladder]) -> None:
    ladder = new_ladder(routes=(RouteRule("none", numbers=("9*",), reject=403),))
    context, call = under_way(ladder)
    refused = referred.route_of(context, call.a, parse_uri("sip:900@192.0.2.1"))
    assert isinstance(refused, Reject)
    assert refused.status == 403
    assert call.b is not None
    assert referred.named_for(context, call.a, call.b, parse_uri("sip:900@192.0.2.1")) is None


@pytest.mark.parametrize("uri", ["sip:7@198.51.100.99", "sip:7@office.example"])
def test_whom_a_hidden_zone_calls_outside_is_not_told(ladder: Ladder, uri: str) -> None:
    """It may be a name of the hidden zone itself."""
    assert place(ladder, "b", uri) is None


def test_unless_the_configuration_knows_it(new_ladder: Callable[..., Ladder]) -> None:
    ladder = new_ladder(peers=(Peer("pbx", "private", PBX.host, None), TRUNK))
    assert place(ladder, "b", "sip:7@198.51.100.20") == "sip:7@198.51.100.20:5062"


def test_a_user_whom_the_other_one_would_not_reach_is_not_told(new_ladder: Callable[..., Ladder]) -> None:
    """Calls from outside to 7 go somewhere else than the PBX that speaks of its user 7."""
    other = Peer("other", "private", "10.0.0.9", None)
    ladder = new_ladder(
        peers=(Peer("pbx", "private", PBX.host, None), other),
        routes=(RouteRule("seven", "public", ("7",), to=("other",)), RouteRule("rest", "public", to=("pbx",))),
    )
    context, call = under_way(ladder)
    assert call.b is not None
    told = [referred.named_for(context, call.b, call.a, parse_uri(f"sip:{user}@10.0.0.5")) for user in (7, 8)]
    assert told == [None, "sip:8@192.0.2.1"]


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("tel:+4930", "tel:+4930"),
        ("tel:7;phone-context=pbx.secret.example", "sip:7@192.0.2.1;user=phone"),
        ("sip:7;phone-context=10.0.0.9@10.0.0.5;user=phone;maddr=10.0.0.9", "sip:7@192.0.2.1;user=phone"),
        ("sip:10.0.0.5", "sip:192.0.2.1"),
    ],
)
def test_nothing_of_a_hidden_zone_is_in_what_is_told(ladder: Ladder, uri: str, told: str) -> None:
    context, call = under_way(ladder)
    assert call.b is not None
    assert referred.named_at_us(context, call.b, call.a, parse_uri(uri)) == told
