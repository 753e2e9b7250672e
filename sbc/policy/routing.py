"""Where a call goes: explicit routes first, then what follows from the peers alone."""

from __future__ import annotations

from dataclasses import dataclass

from sbc.b2bua import (
    CallView,
    Network,
    Peer,
    Reject,
    RouteVerdict,
    Target,
    Targets,
    meaning,
    own_hosts,
    user_without_hosts,
)
from sbc.policy.emergency import emergency_calls
from sbc.policy.numbers import dialled, pattern
from sbc.sip import SipError, Uri, parse_uri

_POLICY = "routing"


@dataclass(frozen=True, slots=True)
class RouteRule:
    """One [[routes]] entry. Empty conditions match all; a call takes the first rule whose conditions all match."""

    name: str
    from_: str = ""
    """Name of a zone or of a peer that the call comes from."""
    numbers: tuple[str, ...] = ()
    """Patterns of the Request-URI's user part: with * and ?, or a regular expression between slashes."""
    domains: tuple[str, ...] = ()
    """Patterns of the Request-URI's host."""
    to: tuple[str | tuple[str, ...], ...] = ()
    """Tried in order: names of peers, or SIP URIs ("sip:10.0.0.9:5070") that are reached in the zone `zone`. Those of a
    tuple are tried together."""
    ring: float = 0.0
    """Seconds that each of them may ring; 0: as long as the caller waits."""
    reject: int = 0
    """Refuse the call with this status instead."""
    zone: str = ""
    """Zone that the URIs in `to` are in; "" where there are none."""
    emergency: bool = False
    """For emergency calls, and for no others."""


@dataclass(frozen=True, slots=True)
class RoutingSettings:
    routes: tuple[RouteRule, ...] = ()
    emergency: tuple[str, ...] = ()
    """Patterns of the numbers of emergency services."""


class Routing:
    """First matching rule; without one: calls of an open zone go to the only peer elsewhere, calls of a peer to the
    host of their Request-URI (another peer's, or any in the open zone), or to the only peer elsewhere when that host is
    the SBC itself.

    An emergency call takes the first rule for such calls that matches; without one it goes where others go, but no rule
    for others refuses it."""

    def __init__(self, settings: RoutingSettings, network: Network) -> None:
        self._network = network
        rules = [(rule, pattern(rule.numbers), pattern(rule.domains)) for rule in settings.routes]
        self._rules = [each for each in rules if not each[0].emergency]
        self._emergency_rules = [each for each in rules if each[0].emergency]
        self._emergency_rules += [each for each in self._rules if not each[0].reject]
        self._is_emergency = emergency_calls(settings.emergency)
        self._own_hosts = own_hosts(network)

    def route(self, call: CallView) -> RouteVerdict | None:
        try:
            uri = call.request.request_uri
        except SipError:
            return Reject(_POLICY, 416, "unreadable Request-URI")
        if call.zone.hidden and uri.user and uri.scheme != "tel":
            uri = uri.replace(user=user_without_hosts(uri.user) or None)
        number = dialled(uri)
        for rule, numbers, domains in self._emergency_rules if self._is_emergency(call.request) else self._rules:
            if not _comes_from(rule, call) or not numbers(number) or not domains(uri.host):
                continue
            if rule.reject:
                return Reject(_POLICY, rule.reject, f"{rule.name} refuses {_what(uri)}")
            return Targets(_POLICY, self._targets(rule, uri), f"{rule.name} matches {_what(uri)} from {_who(call)}")
        return self._without_rule(call, uri)

    def _without_rule(self, call: CallView, uri: Uri) -> RouteVerdict:
        ours = uri.host in self._own_hosts or uri.scheme != "sip"
        peers = [peer for peer in self._network.peers.values() if peer.zone != call.zone.name]
        if call.peer is not None and not ours:
            target = self._by_host(call, peers, uri)
            if target is None:
                return Reject(
                    _POLICY, 404, f"{uri.host} is no peer, nor is there one open zone for the call to leave by"
                )
            return Targets(_POLICY, (target,), f"{_who(call)} calls the host {uri.host}")
        if len(peers) == 1:
            return Targets(
                _POLICY, (_to_peer(peers[0], uri),), f"{peers[0].name} is the only peer outside {call.zone.name}"
            )
        what = "no peer" if not peers else f"{len(peers)} peers and no route that chooses one"
        return Reject(_POLICY, 404, f"{what} outside {call.zone.name} for {_what(uri)}")

    def _by_host(self, call: CallView, peers: list[Peer], uri: Uri) -> Target | None:
        """A configured peer of that host, or any host in the open zone. In other zones nobody is reached by just being
        named: a trunk is to call the PBX behind us, not whatever else has an address there."""
        peer = next((peer for peer in peers if peer.host.lower() == uri.host), None)
        if peer is not None:
            return _to_peer(peer, uri)
        zones = [zone.name for zone in self._network.zones.values() if zone.open and zone.name != call.zone.name]
        at_home = {peer.host.lower() for peer in self._network.peers.values() if peer.zone == call.zone.name}
        if len(zones) != 1 or uri.host in at_home or uri.host == call.hop.remote.host:
            return None
        transport = uri.params.get("transport")
        transports = (transport.upper(),) if transport else ("UDP", "TCP")
        return Target(zones[0], _request_uri(uri, uri.host, uri.port), uri.host, uri.port, transports, None)

    def _targets(self, rule: RouteRule, uri: Uri) -> tuple[Target, ...]:
        targets = []
        for group in rule.to:
            for place, to in enumerate((group,) if isinstance(group, str) else group):
                target = self._target(to, rule.zone, uri)
                targets.append(target._replace(together=place > 0, ring=rule.ring))
        return tuple(targets)

    def _target(self, to: str, zone: str, uri: Uri) -> Target:
        peer = self._network.peers.get(to)
        if peer is not None:
            return _to_peer(peer, uri)
        there = parse_uri(to)
        transport = there.params.get("transport")
        transports = (transport.upper(),) if transport else ("UDP", "TCP")
        user = uri if there.user is None else there
        return Target(zone, _request_uri(user, there.host, there.port), there.host, there.port, transports, None)


def _to_peer(peer: Peer, uri: Uri) -> Target:
    return Target(peer.zone, _request_uri(uri, peer.host, peer.port), peer.host, peer.port, peer.transports, peer.name)


def _request_uri(called: Uri, host: str, port: int | None) -> str:
    """The dialled user at another host, with the URI's parameters that are about the user; a tel: number becomes a user
    part (RFC 3261 section 19.1.6)."""
    if called.scheme == "urn":
        return str(called)  # RFC 6881 section 9.2: the service stays what is asked for; `host` is where it is asked
    bracketed = f"[{host}]" if ":" in host else host
    where = bracketed if port is None else f"{bracketed}:{port}"
    if not called.user:
        return f"sip:{where}"
    if called.scheme == "tel":
        return f"sip:{user_without_hosts(_with_parameters(called))}@{where};user=phone"
    return f"sip:{called.user}@{where}{meaning(called)}"


def _with_parameters(uri: Uri) -> str:
    """A telephone number as a user part has it, with what belongs to it (RFC 3261 section 19.1.6)."""
    return (uri.user or "") + "".join(f";{name}={value}" if value else f";{name}" for name, value in uri.params.items())


def _comes_from(rule: RouteRule, call: CallView) -> bool:
    return not rule.from_ or rule.from_ == call.zone.name or (call.peer is not None and rule.from_ == call.peer.name)


def _who(call: CallView) -> str:
    return call.peer.name if call.peer is not None else call.zone.name


def _what(uri: Uri) -> str:
    return f"{uri.user}@{uri.host}" if uri.user and uri.host else uri.host or uri.user or str(uri)
