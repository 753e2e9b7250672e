"""From what is written to who is where: zones and peers completed with what can be found out."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import replace

from sbc.b2bua import Access, DigitsBy, Interworking, KeepAlive, Listener, Mode, Network, Peer, Redirection, Refer, Zone
from sbc.media import ANY_MEDIA, Latching, MediaAddress, MediaProfile
from sbc.service import models
from sbc.service.faults import meant, unknown_name
from sbc.service.findings import Findings
from sbc.service.machine import InterfaceAddress, Machine
from sbc.service.values import Endpoint, canonical, endpoint, target_endpoint
from sbc.sip import ALGORITHMS, Address

PUBLIC = "public"
"""The zone of this name is open and not hidden, unless it says otherwise; all others are the other way round."""


def route_zones(document: models.Document, network: Network, findings: Findings, machine: Machine) -> dict[int, str]:
    """For each route whose targets are URIs, by its index: the zone that these are in."""
    found: dict[int, str] = {}
    for index, route in enumerate(document.routes):
        uris = [target_endpoint(target)[0] for _, target in route.targets() if ":" in target]
        path = ("routes", index)
        at = (*path, "zone")
        if not uris:
            if route.zone is not None:
                findings.fault(at, "has no effect: a peer's zone stands with the peer, and there is no URI in to")
        elif route.zone is None:
            peer = network.peers.get(route.from_ or "")
            origin = peer.zone if peer is not None else route.from_
            others = [name for name in network.zones if name != origin]
            if origin in network.zones and len(others) == 1:
                findings.infer(at, others[0], f"the only zone beside {origin}")
                found[index] = others[0]
            elif (zone := _zone_of(uris[0], path, network, findings, machine)) is not None:
                found[index] = zone
        elif route.zone in network.zones:
            found[index] = route.zone
        elif route.zone not in findings.declared:
            findings.fault(at, unknown_name("zone", route.zone, network.zones))
    return found


def completed_network(document: models.Document, findings: Findings, machine: Machine) -> Network:
    """What the core is told of the network. What is wrong goes to `findings`; the result is of use only if that has no
    fault."""
    addresses = machine.addresses()
    zones = {name: _zone(name, zone, findings, addresses) for name, zone in document.zones.items()}
    network = Network(zones, {})
    for name, peer in document.peers.items():
        found = _peer(name, peer, network, findings, machine)
        if found is not None:
            network.peers[name] = found
    return network


LOCAL = "local"
"""What `access.registrar` says where this SBC is the registrar."""
_OF_A_PEER = ("expires_inside", "recheck", "watch", "survive", "rate")
_OF_OUR_OWN = ("algorithms", "without_qop", "wrong_passwords", "strangers", "mode")


def access(document: models.Document, network: Network, findings: Findings) -> Access | None:
    """How phones register, if they do. What is wrong goes to `findings`."""
    written = document.access
    if written is None:
        return None
    path = ("access",)
    zone = written.zone
    local = written.registrar == LOCAL
    for key in _OF_A_PEER if local else _OF_OUR_OWN:
        if getattr(written, key) != models.Access.model_fields[key].default:
            findings.fault((*path, key), f"has no effect with registrar = {written.registrar!r}")
    if zone is None:
        open_zones = [name for name, each in network.zones.items() if each.open]
        if len(open_zones) != 1:
            findings.fault((*path, "zone"), f"must be given: {' and '.join(open_zones) or 'no zone'} may be meant")
            return None
        (zone,) = open_zones
        findings.infer((*path, "zone"), zone, "the only open zone")
    elif zone not in network.zones:
        if zone not in findings.declared:
            findings.fault((*path, "zone"), unknown_name("zone", zone, network.zones))
        return None
    if local:
        return _own_registrar(zone, written, network, findings)
    peer = network.peers.get(written.registrar)
    if peer is None:
        if written.registrar not in findings.declared or written.registrar in document.zones:
            findings.fault((*path, "registrar"), unknown_name("peer", written.registrar, network.peers))
        return None
    if peer.zone == zone:
        findings.fault((*path, "registrar"), f"{peer.name} is in zone {zone}, where the phones are")
        return None
    return Access(
        zone,
        _domains(written, network, zone),
        peer.name,
        expires_udp=written.expires_udp,
        expires_stream=written.expires_stream,
        expires_inside=written.expires_inside,
        recheck=written.recheck,
        watch=written.watch,
        survive=written.survive,
        keepalive=KeepAlive(written.keepalive),
        keepalive_interval=written.keepalive_interval,
        rate=written.rate,
        max_contacts=written.max_contacts,
        max_registrations=written.max_registrations,
    )


def _own_registrar(zone: str, written: models.Access, network: Network, findings: Findings) -> Access | None:
    if LOCAL in network.peers:
        findings.fault(("access", "registrar"), f"a peer is called {LOCAL!r}, too: give it another name")
        return None
    if not network.zones[zone].open:
        findings.fault(("access", "zone"), f"{zone} is not open: phones without a peer's address are refused there")
        return None
    return Access(
        zone,
        _domains(written, network, zone),
        "",
        expires_udp=written.expires_udp,
        expires_stream=written.expires_stream,
        keepalive=KeepAlive(written.keepalive),
        keepalive_interval=written.keepalive_interval,
        max_contacts=written.max_contacts,
        max_registrations=written.max_registrations,
        algorithms=tuple(each for each in ALGORITHMS if each in written.algorithms),
        without_qop=written.without_qop,
        wrong_passwords=written.wrong_passwords,
        strangers=written.strangers,
        redirects=written.mode == "redirect",
    )


def _domains(written: models.Access, network: Network, zone: str) -> tuple[str, ...]:
    """The domains of phones; they mean us."""
    domains = tuple(dict.fromkeys(domain.lower().removesuffix(".") for domain in written.domain))
    where = network.zones[zone]
    network.zones[zone] = replace(where, domains=where.domains | frozenset(domains))
    return domains


# -- zones ------------------------------------------------------------------------------------------------------------


def _zone(name: str, written: models.Zone, findings: Findings, addresses: tuple[InterfaceAddress, ...]) -> Zone:
    path = ("zones", name)
    endpoints = _endpoints(name, written, findings, addresses)
    hosts = [host for host, _ in endpoints]
    advertise = _advertised(written.advertise, hosts, (*path, "advertise"), findings)
    if written.media_address is None:
        media_hosts = tuple({canonical(host)[1]: host for host in reversed(hosts)}.values())[::-1]
        findings.infer((*path, "media_address"), media_hosts, "as address")
    else:
        media_hosts = written.media_address
        _check_own(media_hosts, (*path, "media_address"), findings, addresses)
    if written.media_advertise is None:
        media_advertise: Mapping[str, str] = {host: advertise[host] for host in media_hosts if host in advertise}
        findings.infer((*path, "media_advertise"), dict(media_advertise), "as advertise")
    else:
        media_advertise = _advertised(written.media_advertise, list(media_hosts), (*path, "media_advertise"), findings)
    media = {canonical(host)[1]: MediaAddress(host, media_advertise.get(host, host)) for host in media_hosts}
    if len(media) < len(media_hosts):
        findings.fault((*path, "media_address"), "one IPv4 and one IPv6 address at most")
    for version in {canonical(host)[1] for host in hosts} - set(media):
        findings.fault(
            (*path, "media_address"), f"no IPv{version} address, although the zone speaks SIP over IPv{version}"
        )
    is_public = name == PUBLIC
    why = f"the zone is {'' if is_public else 'not '}named {PUBLIC!r}"
    if written.hidden is None:
        findings.infer((*path, "hidden"), not is_public, why)
    if written.open is None:
        findings.infer((*path, "open"), is_public, why)
    return Zone(
        name,
        tuple(
            Listener(transport.upper(), Address(host, port), Address(advertise.get(host, host), port))
            for host, port in endpoints
            for transport in written.transports
        ),
        media_v4=media.get(4),
        media_v6=media.get(6),
        hidden=not is_public if written.hidden is None else written.hidden,
        open=is_public if written.open is None else written.open,
        latching=Latching(written.latching),
        trusted=written.trusted,
        how=_interworking(written),
        media=_media_profile(written),
        domains=frozenset(written.domains),
    )


def _endpoints(
    name: str, zone: models.Zone, findings: Findings, addresses: tuple[InterfaceAddress, ...]
) -> list[tuple[str, int]]:
    """Each address and port of a zone; an interface stands for all its addresses."""
    found: list[tuple[str, int]] = []
    path = ("zones", name, "address")
    for index, text in enumerate(zone.address):
        given = endpoint(text)
        port = given.port or zone.port
        if given.version:
            found.append((given.host, port))
            continue
        hosts = [address.host for address in addresses if address.interface == given.host]
        if not hosts:
            known = {address.interface for address in addresses}
            findings.fault(
                (*path, index),
                f"neither an IP address nor an interface with one: {given.host!r}{meant(given.host, known)}",
            )
        found += [(host, port) for host in hosts]
    interfaces = [text for text in zone.address if not endpoint(text).version]
    if interfaces:
        findings.infer(path, tuple(host for host, _ in found), f"addresses of {', '.join(interfaces)}")
    _check_own([host for host, _ in found], path, findings, addresses)
    return found


def _check_own(
    hosts: tuple[str, ...] | list[str],
    path: tuple[str | int, ...],
    findings: Findings,
    addresses: tuple[InterfaceAddress, ...],
) -> None:
    own = {address.host for address in addresses}
    for index, host in enumerate(hosts):
        address = ipaddress.ip_address(host)
        if address.is_unspecified or address.is_multicast:
            findings.fault(
                (*path, index),
                f"{host} is no address that others can be told: give the address itself, or the name of its interface",
            )
        elif addresses and host not in own and not _loopback(host):
            here = ", ".join(sorted(own, key=lambda text: (":" in text, text)))
            findings.warn((*path, index), f"{host} is no address of this machine (it has {here})")


def _loopback(host: str) -> bool:
    """All of 127.0.0.0/8 can be bound, whatever the interface says."""
    return host.startswith("127.")


def _advertised(
    written: Mapping[str, str], hosts: list[str], path: tuple[str | int, ...], findings: Findings
) -> dict[str, str]:
    """Our address -> what is said instead."""
    found: dict[str, str] = {}
    for own, said in written.items():
        version = canonical(said)[1]
        if own:
            fitting = [host for host in hosts if host == canonical(own)[0]]
            if not fitting:
                findings.fault((*path, own), f"{own} is no address of the zone{meant(own, hosts)}")
        else:
            fitting = list(dict.fromkeys(host for host in hosts if canonical(host)[1] == version))
            if len(fitting) > 1:
                pairs = ", ".join(f'"{host}" = "..."' for host in fitting)
                findings.fault(path, f"the zone has several IPv{version} addresses; say which: {{ {pairs} }}")
            elif not fitting:
                findings.fault(path, f"{said} is an IPv{version} address, and the zone has none")
        for host in fitting:
            if canonical(host)[1] != version:
                findings.fault((*path, own), f"{host} and {said} are of different families")
            found[host] = said
    return found


def _interworking(written: models.Zone | models.Peer) -> Interworking:
    return Interworking(
        reliable=Mode(written.reliable),
        session_timer=Mode(written.session_timer),
        redirect=Redirection(written.redirect),
        refer=Refer(written.refer),
        dtmf=DigitsBy(written.dtmf),
    )


def _media_profile(written: models.Zone | models.Peer) -> MediaProfile:
    denied = (*written.codecs_denied, "telephone-event") if written.dtmf == "info" else written.codecs_denied
    profile = MediaProfile(written.codecs_allowed, denied, written.codecs_first, written.codecs_offered)
    return ANY_MEDIA if profile == ANY_MEDIA else profile  # which costs nothing to recognise


# -- peers ------------------------------------------------------------------------------------------------------------


def _peer(
    name: str,
    written: models.Peer,
    network: Network,
    findings: Findings,
    machine: Machine,
) -> Peer | None:
    path = ("peers", name)
    given = endpoint(written.address)
    zone = written.zone
    if zone is None:
        zone = _zone_of(given, path, network, findings, machine)
    elif zone not in network.zones:
        if zone not in findings.declared:
            findings.fault((*path, "zone"), unknown_name("zone", zone, network.zones))
        zone = None
    if zone is None:
        return None
    return Peer(
        name,
        zone,
        given.host if given.version else given.host.lower().removesuffix("."),
        given.port,
        tuple(transport.upper() for transport in written.transports),
        Latching(written.latching),
        trusted=written.trusted,
        sources=written.sources,
        how=_interworking(written),
        media=_media_profile(written),
    )


def _zone_of(
    given: Endpoint,
    path: tuple[str | int, ...],
    network: Network,
    findings: Findings,
    machine: Machine,
) -> str | None:
    """The zone that a peer must be in: the only one, the one with a foot in the peer's network, or the one that the
    kernel's route leaves from."""
    at = (*path, "zone")
    if len(network.zones) == 1:
        (zone,) = network.zones
        findings.infer(at, zone, "the only zone")
        return zone
    zones_of = {
        listener.local.host: zone.name for zone in network.zones.values() for listener in zone.listeners
    }  # the cross-checks see to it that no address is listened on in two zones where that matters
    names = " or ".join(sorted(network.zones))
    if not given.version:
        findings.fault(at, f"must be given ({names}): {given.host} is a name, and only an address tells its zone")
        return None
    host = ipaddress.ip_address(given.host)
    connected = {
        zones_of[a.host]: a
        for a in machine.addresses()
        if a.host in zones_of and host in a.network and not host.is_loopback
    }
    if len(connected) == 1:
        ((zone, address),) = connected.items()
        findings.infer(at, zone, f"connected route {address.network} on {address.interface}")
        return zone
    route = machine.route(given.host) if not connected and not host.is_loopback else None
    if route is not None and route.source in zones_of:
        zone = zones_of[route.source]
        findings.infer(at, zone, f"route to {given.host} from {route.source} on {route.interface}")
        return zone
    why = "networks of several zones hold it" if connected else "no zone's address is on the route to it"
    findings.fault(at, f"must be given ({names}): {given.host} does not tell, {why}")
    return None
