"""Where a Refer-To leads: what its sender means by it, and how the other element of the call can say the same.

A user agent means by a URI what its own call to it would reach. So that call is routed as its own (the `route` hook);
what comes out is called by that element's name where the other element is in the same zone, by our name else, if the
other one's own call to us would come to the same place.
"""

from __future__ import annotations

from sbc.b2bua import locating, watching
from sbc.b2bua.call import Leg
from sbc.b2bua.context import Context, border, uri_host
from sbc.b2bua.hooks import CallView, Reject, RouteVerdict, Target, Targets
from sbc.b2bua.hosts import masked_uri, meaning
from sbc.b2bua.network import Peer
from sbc.b2bua.whereabouts import is_private
from sbc.sip import Headers, NameAddress, Request, Uri

_SIP = 5060


def route_of(context: Context, leg: Leg, uri: Uri) -> RouteVerdict:
    """Where a call to `uri` of the element of `leg` goes."""
    if not _is_at_home(context, leg, uri):
        return watching.route(context, as_call(context, leg, bare(uri)))
    # a user of its own network, which it would not call through us
    peer = _neighbour(context, leg, uri.host)
    if peer is not None:
        target = Target(peer.zone, bare(uri), peer.host, peer.port, peer.transports, peer.name)
    else:  # its next hop knows
        remote = leg.hop.remote
        name = leg.peer.name if leg.peer is not None else None
        target = Target(leg.zone.name, bare(uri), remote.host, remote.port, (leg.hop.transport,), name)
    return watching.without_silent(context, Targets("transfer", (target,), "a user of the transferor's own network"))


def _neighbour(context: Context, leg: Leg, host: str) -> Peer | None:
    """Another configured peer of the zone that `leg` is in."""
    peers = context.network.peers.values()
    own = leg.peer.name if leg.peer is not None else ""
    return next((p for p in peers if p.zone == leg.zone.name and p.host.lower() == host and p.name != own), None)


def as_call(context: Context, leg: Leg, uri: str) -> CallView:
    """A call to `uri` by the element of `leg`, as policies see it."""
    assert leg.dialog is not None
    fields = (
        ("From", f"{leg.dialog.remote};tag={leg.dialog.remote_tag}"),
        ("To", f"<{uri}>"),
        ("Call-ID", leg.dialog.call_id),
        ("CSeq", "1 INVITE"),
    )
    request = Request("INVITE", uri, Headers(fields))
    return CallView(request, leg.hop, leg.zone, leg.peer, len(context.calls), context.draining)


def bare(uri: Uri) -> str:
    """`uri` as a Request-URI: without what says how to call it (RFC 3261 section 19.1.1)."""
    if uri.scheme == "tel":
        return str(uri)
    kept = {name: value for name, value in uri.params.items() if name != "method"}
    return str(uri.replace(headers="", password=None, params=kept))


def named_for(context: Context, leg: Leg, other: Leg, uri: Uri) -> str | None:
    """What the element of `other` can call to reach whom that of `leg` means by `uri`; None if it cannot."""
    if uri.scheme == "sip" and not leg.zone.hidden and uri.host not in context.places.own_hosts:
        return bare(uri)
    verdict = route_of(context, leg, uri)
    if isinstance(verdict, Reject):
        return None
    target = verdict.targets[0]
    if target.zone == other.zone.name and target.hop is None:
        # what a hidden zone calls somebody there is told only where the configuration says it, too
        known = target.peer is not None or uri.host in context.places.own_hosts
        return target.uri if known or not leg.zone.hidden else None
    ours = named_at_us(context, leg, other, uri)
    there = locating.route(context, as_call(context, other, ours))
    return ours if isinstance(there, Targets) and _same_place(there.targets[0], target) else None


def named_at_us(context: Context, leg: Leg, other: Leg, uri: Uri) -> str:
    """The same user, at the address by which the element of `other` knows us."""
    masked = _masked(leg, other, uri) if leg.zone.hidden else uri
    if masked.scheme == "tel":
        return str(masked)
    parameters = meaning(uri if uri.scheme == masked.scheme else masked)
    uri = masked
    where = our_place(context, other)
    return f"sip:{uri.user}@{where}{parameters}" if uri.user else f"sip:{where}{parameters}"


def _masked(leg: Leg, other: Leg, uri: Uri) -> Uri:
    address = NameAddress("", bare(uri), {})
    return NameAddress("", masked_uri(address, border(leg, other)), {}).uri


def our_place(context: Context, leg: Leg) -> str:
    """Host, port and transport by which the element of `leg` finds us."""
    if leg.invite.raw:  # it called us
        uri = leg.invite.request_uri
        if uri.host in context.places.own_hosts:
            return f"{uri_host(uri.host)}{f':{uri.port}' if uri.port else ''}{_transport(uri.params.get('transport'))}"
    listener = leg.listener
    host, port = listener.advertised
    return f"{uri_host(host)}{f':{port}' if port != _SIP else ''}{_transport(listener.transport)}"


def _transport(name: str | None) -> str:
    return f";transport={name.lower()}" if name and name.upper() != "UDP" else ""


def _is_at_home(context: Context, leg: Leg, uri: Uri) -> bool:
    """Whether `uri` names a place in the hidden network of the element of `leg`."""
    host = uri.host
    if not leg.zone.hidden or not host or host in context.places.own_hosts:
        return False
    if (leg.peer is not None and host == leg.peer.host.lower()) or _neighbour(context, leg, host) is not None:
        return True
    elsewhere = any(peer.host.lower() == host for peer in context.network.peers.values() if peer.zone != leg.zone.name)
    return not elsewhere and (host in leg.names or is_private(host))


def _same_place(one: Target, other: Target) -> bool:
    return one.zone == other.zone and one.peer == other.peer and (one.peer is not None or one.uri == other.uri)
