"""Faults that no single key shows: two values that cannot both be meant."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from itertools import combinations

from sbc.b2bua import Network
from sbc.service import models
from sbc.service.faults import unknown_name
from sbc.service.findings import Findings
from sbc.service.values import canonical, port_range, target_endpoint
from sbc.sip import Address

DEFAULT_PORT = 5060


def check(document: models.Document, network: Network, route_zones: Mapping[int, str], findings: Findings) -> None:
    """Tell `findings` all that does not go together. `route_zones`: index of a route -> zone of its URIs."""
    _listeners(network, findings)
    _media_ports(document, network, findings)
    _names(document, findings)
    _session_timers(document, findings)
    _peers(network, findings)
    _sources(network, findings)
    _routes(document, network, route_zones, findings)


def _listeners(network: Network, findings: Findings) -> None:
    taken: dict[tuple[str, Address], str] = {}
    for zone in network.zones.values():
        for listener in zone.listeners:
            first = taken.setdefault((listener.transport, listener.local), zone.name)
            if first != zone.name:
                host, port = listener.local
                findings.fault(
                    ("zones", zone.name, "address"), f"{host} port {port} over {listener.transport} is zone {first}'s"
                )
        sockets = [(listener.transport, listener.local) for listener in zone.listeners]
        for transport, local in sorted({each for each in sockets if sockets.count(each) > 1}):
            findings.fault(("zones", zone.name, "address"), f"{local.host} port {local.port} over {transport} twice")
    hosts: dict[str, str] = {}
    for zone in network.zones.values():
        for media in (zone.media_v4, zone.media_v6):
            first = hosts.setdefault(media.bind, zone.name) if media is not None else zone.name
            if first != zone.name:
                findings.warn(
                    ("zones", zone.name, "address"),
                    f"shares an address with zone {first}: nothing but ports tells the two sides apart",
                )


def _media_ports(document: models.Document, network: Network, findings: Findings) -> None:
    low, high = port_range(document.media.ports)
    for zone in network.zones.values():
        media_hosts = {media.bind for media in (zone.media_v4, zone.media_v6) if media is not None}
        for host, port in sorted({listener.local for listener in zone.listeners if listener.transport == "UDP"}):
            if host in media_hosts and low <= port <= high:
                findings.fault(
                    ("media", "ports"), f"{low}-{high} holds port {port}, on which zone {zone.name} speaks SIP"
                )


def _names(document: models.Document, findings: Findings) -> None:
    for name in document.peers:
        if name in document.zones:
            findings.fault(("peers", name), "a zone has this name; [[routes]] could not tell the two apart")


def _peers(network: Network, findings: Findings) -> None:
    places: dict[tuple[str, str], dict[int, str]] = {}
    for peer in network.peers.values():
        path = ("peers", peer.name)
        zone = network.zones[peer.zone]
        port = peer.port or DEFAULT_PORT
        same_host = places.setdefault((peer.zone, peer.host), {})
        if port in same_host:
            findings.fault((*path, "address"), f"{peer.host} port {port} is peer {same_host[port]}")
        elif same_host:
            others = ", ".join(same_host.values())
            findings.warn(
                (*path, "address"), f"calls that come from {peer.host} count as {peer.name}'s, not as {others}'s"
            )
        same_host[port] = peer.name
        if any(
            listener.local == Address(peer.host, port) for each in network.zones.values() for listener in each.listeners
        ):
            findings.fault((*path, "address"), f"{peer.host} port {port} is this SBC itself")
        version = canonical(peer.host)[1]
        families = {canonical(listener.local.host)[1] for listener in zone.listeners}
        if version and families and version not in families:
            findings.fault(
                (*path, "address"), f"zone {zone.name} has no IPv{version} address to reach {peer.host} from"
            )
        for transport in peer.transports:
            if transport not in {listener.transport for listener in zone.listeners}:
                findings.fault((*path, "transports"), f"zone {zone.name} does not speak {transport.lower()}")
    for zone in network.zones.values():
        if not zone.open and not any(peer.zone == zone.name for peer in network.peers.values()):
            findings.warn(("zones", zone.name), "nobody can call from here: it is not open and no peer is in it")


def _sources(network: Network, findings: Findings) -> None:
    """Each request must count as one peer's."""
    held = [
        (peer, ipaddress.ip_network(text), index)
        for peer in network.peers.values()
        for index, text in enumerate(peer.sources)
    ]
    for (first, network_1, _), (second, network_2, index) in combinations(held, 2):
        if first.zone == second.zone and first is not second and network_1.version == network_2.version:
            if network_1.overlaps(network_2):
                findings.fault(
                    ("peers", second.name, "sources", index), f"{network_2} overlaps {network_1} of peer {first.name}"
                )


def _target_uri(
    network: Network, zone: str | None, path: tuple[str | int, ...], target: str, findings: Findings
) -> None:
    if zone is None:
        return
    given, transport = target_endpoint(target)
    listeners = network.zones[zone].listeners
    families = {canonical(listener.local.host)[1] for listener in listeners}
    if given.version and families and given.version not in families:
        findings.fault(path, f"zone {zone} has no IPv{given.version} address to reach {given.host} from")
    if transport and transport.upper() not in {listener.transport for listener in listeners}:
        findings.fault(path, f"zone {zone} does not speak {transport}")


def _together(
    route: models.Route, network: Network, zone: str, path: tuple[str | int, ...], findings: Findings
) -> None:
    """Targets that are tried together share the ports of their side."""
    for place, group in enumerate(route.to):
        if isinstance(group, str):
            continue
        zones = {
            zone if ":" in each else network.peers[each].zone for each in group if ":" in each or each in network.peers
        }
        if len(zones - {""}) > 1:
            names = " and ".join(sorted(zones))
            findings.warn((*path, "to", place), f"not all of them are tried together: they are in zones {names}")


def _session_timers(document: models.Document, findings: Findings) -> None:
    calls = document.calls
    if calls.session_expires < calls.min_session_expires:
        findings.fault(
            ("calls", "session_expires"), f"is less than calls.min_session_expires ({calls.min_session_expires})"
        )
    if calls.min_session_expires < 90:
        findings.warn(("calls", "min_session_expires"), "RFC 4028 section 5 allows no less than 90 seconds")


def _routes(document: models.Document, network: Network, routes: Mapping[int, str], findings: Findings) -> None:
    names = [*document.zones, *document.peers]
    earlier: dict[tuple[object, ...], int] = {}
    for index, route in enumerate(document.routes):
        path = ("routes", index)
        if route.from_ is not None and route.from_ not in findings.declared:
            findings.fault((*path, "from"), unknown_name("zone or peer", route.from_, names))
        for place, target in route.targets():
            if ":" in target:
                _target_uri(network, routes.get(index), (*path, "to", *place), target, findings)
            elif target not in document.peers and (target in document.zones or target not in findings.declared):
                findings.fault((*path, "to", *place), unknown_name("peer", target, document.peers))
        _together(route, network, routes.get(index, ""), path, findings)
        if route.emergency and not document.calls.emergency:
            findings.warn((*path, "emergency"), "only urn:service:sos goes this way: calls.emergency names no number")
        asked = (route.emergency, route.from_, frozenset(route.number), frozenset(route.domain))
        if asked in earlier:
            first = findings.place(("routes", earlier[asked]))
            findings.fault(path, f"never used: the route at {first} takes the same calls before it")
        earlier.setdefault(asked, index)
