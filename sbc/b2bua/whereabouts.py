"""Where an element is, and what names it."""

from __future__ import annotations

import ipaddress
from functools import lru_cache

from sbc.b2bua.call import Leg
from sbc.b2bua.context import Context
from sbc.b2bua.hooks import Target
from sbc.sip import Address, Hop, Request, Response, SipError, parse_name_address, parse_via


def names_of(context: Context, leg: Leg, message: Request | Response) -> tuple[str, ...]:
    """What names the element of `leg` and its network, as far as `message` tells; nothing where nobody is hidden."""
    if not leg.zone.hidden:
        return ()
    names = {*context.places.names(leg.zone), leg.hop.remote.host}
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
    if leg.fixed_hop or leg.dialog is None:
        return
    try:
        if leg.dialog.route_set:
            uri = parse_name_address(leg.dialog.route_set[0]).uri
        elif message.contact is not None:
            uri = message.contact.uri
        else:
            return
    except SipError:
        return
    hop = leg.hop
    transport = (uri.params.get("transport") or "UDP").upper()
    remote = Address(uri.host, uri.port or 5060)
    if (remote == hop.remote and transport == hop.transport) or not is_address(uri.host):
        return
    listener = leg.listener
    if transport != hop.transport or (":" in uri.host) != (":" in hop.local.host):
        found = context.places.listener(leg.zone.name, transport, uri.host)
        if found is None:
            return
        listener = found
    same_stream = transport == hop.transport and uri.host == hop.remote.host
    leg.hop = Hop(leg.zone.name, transport, listener.local, remote, hop.connection if same_stream else None)


def direct_hops(context: Context, target: Target) -> list[Hop]:
    """Ways to a target that is named by IP address, in the order of its transports."""
    hops = []
    for transport in target.transports:
        listener = context.places.listener(target.zone, transport, target.host)
        if listener is not None:
            remote = Address(target.host, target.port or 5060)
            hops.append(Hop(target.zone, transport, listener.local, remote))
    return hops


@lru_cache(4096)
def is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
