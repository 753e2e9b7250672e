from __future__ import annotations

import pytest

from sbc.b2bua import Network, Peer, Reject, Target, Targets
from sbc.policy import RouteRule, Routing, RoutingSettings
from sbc.sip import Address
from tests.support.calls import PBX, TRUNK, network, view, zone

PBX2 = Peer("pbx2", "private", "10.0.0.6", 5070, ("UDP", "TCP"))
ALL = network(PBX, PBX2, TRUNK)


def route(where: Network, *rules: RouteRule, **call: object) -> Targets | Reject | None:
    return Routing(RoutingSettings(rules), where).route(view(where, **call))  # type: ignore[arg-type]


def targets(where: Network, *rules: RouteRule, **call: object) -> list[Target]:
    verdict = route(where, *rules, **call)
    assert isinstance(verdict, Targets), verdict
    assert verdict.policy == "routing"
    assert verdict.reason
    return list(verdict.targets)


def uris(where: Network, *rules: RouteRule, **call: object) -> list[str]:
    return [target.uri for target in targets(where, *rules, **call)]


def status(where: Network, *rules: RouteRule, **call: object) -> int:
    verdict = route(where, *rules, **call)
    assert isinstance(verdict, Reject), verdict
    assert verdict.reason
    return verdict.status


# -- without a rule ----------------------------------------------------------------------------------------------------


def test_strangers_reach_the_only_peer_elsewhere_whatever_host_they_name() -> None:
    for uri in ("sip:1001@192.0.2.1", "sip:1001@example.com", "sip:1001@10.0.0.99", "tel:1001"):
        (target,) = targets(network(PBX), uri=uri)
        assert (target.zone, target.host, target.port, target.peer) == ("private", "10.0.0.5", None, "pbx")
        assert target.uri.startswith("sip:1001@10.0.0.5")


def test_without_a_peer_elsewhere_or_with_more_than_one_strangers_reach_nobody() -> None:
    assert status(network()) == 404
    assert status(network(TRUNK)) == 404
    assert status(ALL) == 404


def test_a_peer_reaches_any_host_in_the_open_zone() -> None:
    (target,) = targets(network(PBX), zone="private", peer=PBX, uri="sip:bob@198.51.100.9:5090;transport=tcp")
    assert target == Target("public", "sip:bob@198.51.100.9:5090", "198.51.100.9", 5090, ("TCP",), None)
    (target,) = targets(network(PBX), zone="private", peer=PBX, uri="sip:bob@Other.Example")
    assert (target.host, target.transports) == ("other.example", ("UDP", "TCP"))


def test_a_peer_reaches_another_peer_by_its_host() -> None:
    (target,) = targets(network(PBX, TRUNK, open=False), zone="private", peer=PBX, uri="sip:1@sip.carrier.example")
    assert target == Target("public", "sip:1@sip.carrier.example:5080", "sip.carrier.example", 5080, ("TCP",), "trunk")


def test_a_peer_that_calls_itself_or_its_neighbour_is_not_sent_outside() -> None:
    """Their names are none outside."""
    where = network(PBX, PBX2)
    assert [status(where, zone="private", peer=PBX, uri=f"sip:1@{host}") for host in ("10.0.0.5", "10.0.0.6")] == [
        404
    ] * 2


def test_nobody_in_a_zone_that_is_not_open_is_reached_by_being_named() -> None:
    assert status(network(PBX, TRUNK), peer=TRUNK, uri="sip:root@10.0.0.99") == 404
    assert status(network(PBX, TRUNK, open=False), zone="private", peer=PBX, uri="sip:1@198.51.100.9") == 404


@pytest.mark.parametrize("host", ["192.0.2.1", "192.0.2.1:5060", "example.com", "10.0.0.1"])
def test_a_peer_that_calls_the_sbc_itself_reaches_the_only_peer_elsewhere(host: str) -> None:
    assert uris(network(PBX, TRUNK), zone="private", peer=PBX, uri=f"sip:1@{host}") == [
        "sip:1@sip.carrier.example:5080"
    ]
    assert uris(network(PBX, TRUNK), peer=TRUNK, uri=f"sip:1@{host}") == ["sip:1@10.0.0.5"]
    assert status(network(PBX), zone="private", peer=PBX, uri=f"sip:1@{host}") == 404


def test_with_two_open_zones_a_host_alone_tells_no_way() -> None:
    where = network(PBX)
    where.zones["guests"] = zone("guests", Address("203.0.113.1", 5060), open=True)
    assert status(where, zone="private", peer=PBX, uri="sip:1@198.51.100.9") == 404


# -- rules -------------------------------------------------------------------------------------------------------------


def test_the_first_rule_that_matches_decides_and_its_targets_are_in_order() -> None:
    rules = (
        RouteRule("never", numbers=("9*",), to=("pbx",)),
        RouteRule("both", numbers=("1*",), to=("pbx2", "pbx")),
        RouteRule("all", to=("pbx",)),
    )
    assert uris(ALL, *rules) == ["sip:1001@10.0.0.6:5070", "sip:1001@10.0.0.5"]
    assert [target.peer for target in targets(ALL, *rules, uri="sip:2001@192.0.2.1")] == ["pbx"]


def test_a_rule_may_ask_where_the_call_comes_from() -> None:
    by_zone, by_peer = RouteRule("z", from_="public", to=("pbx",)), RouteRule("p", from_="trunk", to=("pbx2",))
    assert uris(ALL, by_peer, by_zone) == ["sip:1001@10.0.0.5"]
    assert uris(ALL, by_peer, by_zone, peer=TRUNK) == ["sip:1001@10.0.0.6:5070"]
    assert uris(ALL, by_zone, zone="private", peer=PBX, uri="sip:1@sip.carrier.example") == [
        "sip:1@sip.carrier.example:5080"
    ]


def test_a_rule_may_ask_for_the_host() -> None:
    rule = RouteRule("domain", domains=("*.example.com",), to=("pbx2",))
    assert uris(ALL, rule, uri="sip:1@Sales.Example.COM") == ["sip:1@10.0.0.6:5070"]
    assert status(ALL, rule, uri="sip:1@example.com") == 404


def test_all_conditions_of_a_rule_must_hold() -> None:
    rule = RouteRule("both", from_="public", numbers=("1*",), domains=("a.example",), to=("pbx",))
    assert status(ALL, rule, uri="sip:1@b.example") == 404
    assert status(ALL, rule, uri="sip:2@a.example") == 404
    assert uris(ALL, rule, uri="sip:1@a.example") == ["sip:1@10.0.0.5"]


def test_a_rule_may_refuse() -> None:
    assert status(ALL, RouteRule("no", numbers=("0900*",), reject=403), uri="sip:0900123@192.0.2.1") == 403


@pytest.mark.parametrize(
    "user", ["0900123", "%30900123", "%30%39%30%30123", "0900123;phone-context=+49", "0900123%3bx"]
)
def test_no_spelling_of_a_number_is_a_way_around_a_rule(user: str) -> None:
    assert status(ALL, RouteRule("no", numbers=("0900*",), reject=403), uri=f"sip:{user}@192.0.2.1") == 403
    exact = RouteRule("no", numbers=("/^0900123(;.*)?$/",), reject=403)
    assert status(ALL, exact, uri=f"sip:{user}@192.0.2.1") == 403


def test_visual_separators_of_a_tel_uri_are_not_part_of_the_number() -> None:
    rule = RouteRule("home", numbers=("+4930123",), to=("pbx",))
    assert uris(ALL, rule, uri="tel:+49-(30)-1.23") == ["sip:+49-(30)-1.23@10.0.0.5;user=phone"]


def test_a_target_may_be_a_uri() -> None:
    rule = RouteRule("uri", to=("sip:10.0.0.9:5070", "sip:desk@[2001:db8::9];transport=tcp"), zone="private")
    assert targets(ALL, rule) == [
        Target("private", "sip:1001@10.0.0.9:5070", "10.0.0.9", 5070, ("UDP", "TCP"), None),
        Target("private", "sip:desk@[2001:db8::9]", "2001:db8::9", None, ("TCP",), None),
    ]


# -- what is dialled ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dialled", "sent"),
    [
        ("sip:1001@192.0.2.1", "sip:1001@10.0.0.5"),
        ("sip:1001:secret@192.0.2.1;transport=tcp;maddr=10.0.0.9;user=phone;x=y", "sip:1001@10.0.0.5;user=phone"),
        ("sip:1001@192.0.2.1;user=10.0.0.9", "sip:1001@10.0.0.5"),
        ("sip:192.0.2.1", "sip:10.0.0.5"),
        ("tel:+4930123;phone-context=x.example", "sip:+4930123@10.0.0.5;user=phone"),
        ("tel:7042;phone-context=+4930;ext=5;npdi", "sip:7042;phone-context=+4930;ext=5;npdi@10.0.0.5;user=phone"),
        ("sip:1001;ext=5@192.0.2.1", "sip:1001;ext=5@10.0.0.5"),
    ],
)
def test_the_user_stays_and_the_host_is_the_target(dialled: str, sent: str) -> None:
    assert uris(network(PBX), uri=dialled) == [sent]


def test_what_is_dialled_in_a_hidden_zone_names_none_of_its_hosts_outside() -> None:
    uri = "sip:1001;phone-context=corp.example;ext=5@198.51.100.9"
    assert uris(network(PBX), zone="private", peer=PBX, uri=uri) == ["sip:1001;ext=5@198.51.100.9"]
    uri = "sip:10.0.0.9@198.51.100.9"
    assert uris(network(PBX), zone="private", peer=PBX, uri=uri) == ["sip:198.51.100.9"]


def test_targets_of_a_list_of_their_own_are_tried_together_and_each_may_ring_so_long() -> None:
    rule = RouteRule("find me", to=("trunk", ("pbx", "sip:10.0.0.9"), "pbx2"), zone="private", ring=20.0)
    found = targets(ALL, rule)
    assert [(target.host, target.together, target.ring) for target in found] == [
        ("sip.carrier.example", False, 20.0),
        ("10.0.0.5", False, 20.0),
        ("10.0.0.9", True, 20.0),
        ("10.0.0.6", False, 20.0),
    ]


# -- emergency calls ---------------------------------------------------------------------------------------------------

HELP = RouteRule("help", to=("trunk", "sip:112@10.0.0.112"), zone="private", emergency=True)
NO_SHORT = RouteRule("short", numbers=("1??",), reject=403)
REST = RouteRule("rest", to=("pbx2",))


def emergency(*rules: RouteRule, uri: str, **call: object) -> list[str] | int:
    routing = Routing(RoutingSettings(rules, ("112", "/^911$/")), ALL)
    verdict = routing.route(view(ALL, uri=uri, **call))  # type: ignore[arg-type]
    assert verdict is not None
    return verdict.status if isinstance(verdict, Reject) else [target.uri for target in verdict.targets]


@pytest.mark.parametrize("user", ["112", "911", "%3112"])
def test_an_emergency_call_has_a_route_of_its_own(user: str) -> None:
    number = f"sip:{user}@192.0.2.1"
    assert emergency(NO_SHORT, REST, HELP, uri=number) == [
        f"sip:{user}@sip.carrier.example:5080",
        "sip:112@10.0.0.112",
    ]


def test_no_other_call_takes_that_route() -> None:
    assert emergency(HELP, REST, uri="sip:1120@192.0.2.1") == ["sip:1120@10.0.0.6:5070"]
    assert emergency(HELP, NO_SHORT, uri="sip:113@192.0.2.1") == 403


def test_its_conditions_hold_as_those_of_others() -> None:
    police = RouteRule("police", numbers=("urn:service:sos.police", "110"), to=("pbx",), emergency=True)
    inside = RouteRule("inside", from_="private", to=("pbx2",), emergency=True)
    assert emergency(police, inside, HELP, uri="urn:service:sos.police") == ["urn:service:sos.police"]
    assert emergency(police, inside, HELP, uri="sip:112@192.0.2.1")[0] == "sip:112@sip.carrier.example:5080"  # type: ignore[index]


def test_without_a_route_of_its_own_it_goes_as_others_but_is_not_refused() -> None:
    assert emergency(NO_SHORT, REST, uri="sip:112@192.0.2.1") == ["sip:112@10.0.0.6:5070"]
    only = Routing(RoutingSettings((NO_SHORT,), ("112",)), network(PBX)).route(view(network(PBX), uri="sip:112@x"))
    assert isinstance(only, Targets)


def test_a_route_for_emergency_calls_may_refuse_them() -> None:
    refused = RouteRule("not from outside", from_="public", reject=403, emergency=True)
    assert emergency(refused, HELP, uri="sip:112@192.0.2.1") == 403


def test_a_service_stays_what_it_is_and_is_asked_for_at_the_target() -> None:
    """RFC 6881 section 9.2."""
    where = network(PBX, TRUNK)
    (target,) = targets(where, zone="private", peer=PBX, uri="urn:service:sos.fire")
    assert target == Target("public", "urn:service:sos.fire", "sip.carrier.example", 5080, ("TCP",), "trunk")
    (target,) = targets(network(PBX), uri="URN:service:SOS")
    assert (target.uri, target.peer) == ("urn:service:SOS", "pbx")
    uri = RouteRule("uri", to=("sip:10.0.0.9:5070", "sip:112@10.0.0.9"), zone="private")
    assert uris(ALL, uri, uri="urn:service:sos") == ["urn:service:sos", "sip:112@10.0.0.9"]
