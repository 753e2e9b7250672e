"""Where an element is, and what names it."""

from __future__ import annotations

import ipaddress
from functools import lru_cache

from sbc.b2bua import hooks, network
from sbc.b2bua.call import Call, Leg
from sbc.b2bua.context import Context
from sbc.media import Exchange, moved
from sbc.sip import Address, Dialog, Hop, Request, Response, SipError, parse_name_address, parse_uri, parse_via

NOT_FROM_THERE = hooks.Reject(
    "registrations", 500, "its device is not registered there", "Register First", (("Retry-After", "2"),)
)
"""For a request in the dialog of a registered device that came from elsewhere."""


def names_of(context: Context, leg: Leg, message: Request | Response) -> tuple[str, ...]:
    """What names the element of `leg` and its network, as far as `message` tells; nothing where nobody is hidden."""
    if not leg.zone.hidden:
        return ()
    names = {*context.places.names(leg.zone), leg.hop.remote.host}
    if leg.side == "b":
        names.add(leg.invite.request_uri.host)
    headers = message.headers
    addresses = [*headers.values("Contact"), *headers.values("Record-Route")]
    if isinstance(message, Request):
        addresses.append(headers.get("From") or "")
        names.update(via.host for via in map(parse_via, headers.values("Via")))
    for value in addresses:
        try:
            names.add(parse_name_address(value).uri.host)
        except SipError:  # whatever it is, it names nobody
            continue
    call_id = headers.get("Call-ID") or ""
    if "@" in call_id:
        names.add(call_id.rpartition("@")[2].lower())
    return tuple(filter(context.places.is_secret, names))


def follow_target(context: Context, leg: Leg, message: Request | Response) -> None:
    """Point `leg.hop` to where requests inside its dialog go: the route set, else the remote target that `message` has
    just set (12.2.1.1).

    An element behind a NAT, or one whose next hop is a host name, keeps getting them where its signalling comes from:
    the name is the one that led there.
    """
    if not leg.fixed_hop and leg.dialog is not None:
        leg.hop = hop_to(context, leg.hop, leg.dialog, message)


def retarget(context: Context, leg: Leg, request: Request) -> None:
    """A target refresh request of the element of `leg` (12.2.2)."""
    assert leg.dialog is not None
    leg.dialog.refresh_target(request)
    follow_target(context, leg, request)
    leg.names = names_of(context, leg, request)


def is_expected(context: Context, leg: Leg, hop: Hop) -> bool:
    """Whether a request in a dialog of `leg` that came over `hop` may be taken for its element's without proof.

    That of a registered device may come from where it is, from another port there (its NAT has forgotten it, its stream
    was opened again), or over a flow that it has registered. Of others nothing is known but the dialog.
    """
    if hop == leg.hop or not leg.device or hop.remote.host == leg.hop.remote.host:
        return True
    device = context.registrations.by_token(leg.device)
    return device is not None and any(flow.hop == hop for flow in device.flows.values())


def seen(context: Context, call: Call, leg: Leg, hop: Hop) -> None:
    """A request of the element of `leg` came over `hop`: if it has moved it is there now."""
    if hop != leg.hop and leg.fixed_hop:
        move(context, call, leg, hop)
    else:
        leg.seen_from(hop)


def move(context: Context, call: Call, leg: Leg, hop: Hop) -> None:
    """The element of `leg` is behind `hop` now: its requests go there, and its media may come from there (RFC 7362)."""
    leg.hop = hop
    leg.fixed_hop = True
    context.decided(
        call,
        "call",
        "registrations" if leg.device else "call",
        "leg moved",
        f"leg {leg.side} is at {hop.remote.host} {hop.remote.port} now",
    )
    if call.media is not None and (leg is call.a or leg is call.b):
        context.apply(call, Exchange(b"", moved(call.media, leg.side, hop.remote.host)))


def believe(context: Context, call: Call, leg: Leg, request: Request, hop: Hop) -> None:
    """`request`, which came over `hop` and was doubted, is proven to be the element's."""
    if leg.dialog is not None and leg.dialog.accept(request):
        move(context, call, leg, hop)
        retarget(context, leg, request)


def hop_to(context: Context, hop: Hop, dialog: Dialog, message: Request | Response) -> Hop:
    """The way to where requests of `dialog` go, as `message` set it; `hop` where that is no other way, or none."""
    try:
        if dialog.route_set:
            uri = parse_name_address(dialog.route_set[0]).uri
        elif message.contact is not None:
            uri = message.contact.uri
        else:
            return hop
    except SipError:
        return hop
    transport = (uri.params.get("transport") or "UDP").upper()
    remote = Address(uri.host, uri.port or 5060)
    if (remote == hop.remote and transport == hop.transport) or not is_address(uri.host):
        return hop
    if is_private(uri.host) and not is_private(hop.remote.host):
        return hop  # what it calls itself behind its NAT is nowhere from here
    local = hop.local
    if transport != hop.transport or (":" in uri.host) != (":" in local.host):
        listener = context.places.listener(hop.zone, transport, uri.host)
        if listener is None:
            return hop
        local = listener.local
    same_stream = transport == hop.transport and uri.host == hop.remote.host
    return Hop(hop.zone, transport, local, remote, hop.connection if same_stream else None)


def direct_hops(context: Context, target: hooks.Target) -> list[Hop]:
    """Ways to a target that is named by IP address, in the order of its transports."""
    hops = []
    for transport in target.transports:
        listener = context.places.listener(target.zone, transport, target.host)
        if listener is not None:
            remote = Address(target.host, target.port or 5060)
            hops.append(Hop(target.zone, transport, listener.local, remote))
    return hops


def ways_to(context: Context, peer: network.Peer) -> list[Hop]:
    """Ways to a configured peer, best first; none while nobody knows where one is that is configured by name."""
    learned = context.places.learned(peer)
    if learned or not is_address(peer.host):
        return list(learned)
    return direct_hops(context, hooks.Target(peer.zone, "", peer.host, peer.port, peer.transports, peer.name))


_PRIVATE = tuple(
    map(
        ipaddress.ip_network,
        ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "fc00::/7", "fe80::/10"),
    )
)
"""RFC 1918, 6598, 3927, 4193, 4291."""


@lru_cache(4096)
def is_private(host: str) -> bool:
    """Whether `host` is an IP address that means something else in every network."""
    if not is_address(host):
        return False
    address = ipaddress.ip_address(host.partition("%")[0])
    return any(address in network for network in _PRIVATE)


def behind_nat(leg: Leg) -> bool:
    """Whether the element of `leg` can be reached only where its signalling comes from."""
    if leg.fixed_hop or leg.dialog is None:
        return leg.fixed_hop
    try:
        host = parse_uri(leg.dialog.remote_target).host
    except SipError:
        return True
    return is_private(host) and not is_private(leg.hop.remote.host)


@lru_cache(4096)
def is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
