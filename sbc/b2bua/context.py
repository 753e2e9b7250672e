"""What the functions of this room have in hand while they handle one event."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field

from sbc.b2bua.alive import Watch
from sbc.b2bua.attempts import Attempts
from sbc.b2bua.call import Call, Exchange, Input, Leg, Purpose, Replaced, Sent, TakenOver
from sbc.b2bua.commands import ApplyFlow, CallId, Command, Decided, RemoveFlow, Respond, SendRequest
from sbc.b2bua.deadlines import Deadlines
from sbc.b2bua.gruus import dereferenced
from sbc.b2bua.hooks import Hooks, LegView
from sbc.b2bua.hosts import Border
from sbc.b2bua.intake import Intake
from sbc.b2bua.mappings import Mappings
from sbc.b2bua.network import Access, Listener, Network, Peer, Settings, Users, Zone, own_hosts
from sbc.b2bua.passages import Outside
from sbc.b2bua.registrations import Registrations
from sbc.b2bua.turns import Turns
from sbc.media import Exchange as MediaExchange
from sbc.media import Media
from sbc.sip import Address, Headers, Hop, Nonces, Request, Response, Tokens, TransactionId, make_response


@dataclass(slots=True)
class Context:
    """Settings, tables and the commands gathered so far. One for each `B2bua`; each event sets `now` and `out`."""

    network: Network
    settings: Settings
    hooks: Hooks
    media: Media
    tokens: Tokens
    step: Callable[[Call, Input, object], None]
    """Feed an input to a call's machine."""
    exchanged: Callable[[Call, Exchange, Response], None]
    """An offer of our own got its final response."""
    deadlines: Deadlines = field(default_factory=Deadlines)
    calls: dict[str, Call] = field(default_factory=dict)
    dialogs: dict[tuple[str, str], tuple[Call, Leg]] = field(default_factory=dict)
    """(Call-ID, our tag) -> the call and the leg."""
    questions: dict[str, tuple[Call, int]] = field(default_factory=dict)
    """Token of an Ask under way -> the call, and the number of the attempt, that wait for it."""
    aliases: dict[str, Replaced | TakenOver] = field(default_factory=dict)
    """Our names of dialogs in Replaces values that crossed, each as long as the call that it belongs to."""
    registrations: Registrations = field(default_factory=Registrations)
    intake: Intake = field(default_factory=Intake)
    """How much the registrar inside gets to do."""
    turns: Turns = field(default_factory=Turns)
    """Devices whose REGISTER is with it."""
    mappings: Mappings = field(default_factory=Mappings)
    """Flows that are kept alive."""
    alive: Watch = field(default_factory=Watch)
    """Whether the registrar inside answers."""
    users: Users = field(default_factory=dict)
    """Of our own registrar."""
    nonces: Nonces = field(init=False)
    attempts: Attempts = field(default_factory=Attempts)
    """Wrong passwords of our own registrar's users."""
    pending: dict[TransactionId, object] = field(default_factory=dict)
    """Client transactions outside calls -> what waits for their response: a dataclass of the module that sent the
    request."""
    outside: Outside = field(init=False)
    """What is no call."""
    places: Places = field(init=False)
    now: float = 0.0
    out: list[Command] = field(default_factory=list)
    draining: bool = False
    drain_ends: float = 0.0
    """When calls in progress are ended, while draining."""

    def __post_init__(self) -> None:
        self.places = Places(self.network)
        self.outside = Outside(self.settings.key or self.tokens.user().encode())
        if self.settings.access is not None:
            self.registrations = Registrations(self.settings.access.key)
            self.intake = Intake(self.settings.access.rate)
            self.mappings = Mappings(self.settings.access.keepalive_interval)
            self.attempts = Attempts(self.settings.access.wrong_passwords)
            self.nonces = Nonces(self.tokens.tag().encode())  # not kept: what was used before a start is too old then

    @property
    def access(self) -> Access:
        """For what happens only where phones register."""
        access = self.settings.access
        assert access is not None
        return access

    def goes_along(self, leg: Leg, dialog: tuple[str, str]) -> None:
        """Requests of `dialog` go where the device of `leg` is."""
        device = self.registrations.by_token(leg.device)
        if device is not None:
            if device.dialogs is None:
                device.dialogs = {}
            device.dialogs[dialog] = None

    def decided(self, call: Call, hook: str, policy: str, verdict: str, reason: str) -> None:
        self.out.append(Decided(call.id, self.now, hook, policy, verdict, reason))

    def left_out(self, call: Call | None, what: str) -> None:
        """Say what of a body did not cross, if anything (see `sbc.b2bua.bodies.put`); `call` is None for a message
        outside calls."""
        if what:
            self.out.append(Decided(call.id if call else "", self.now, "rewrite", "bodies", "left out", what))

    def send(
        self,
        call: Call,
        leg: Leg,
        purpose: Purpose,
        request: Request,
        alternative: Hop | None = None,
        received: Request | None = None,
        attempt: int = 0,
    ) -> TransactionId:
        """Send `request` on `leg`; what comes back finds it in `call.clients`."""
        branch = self.tokens.branch()
        request.uri = dereferenced(self.registrations, request.uri, leg.hop, leg.device)
        if alternative is None and request.body and leg.peer is not None and leg.hop.transport == "UDP":
            alternative = self.places.over_tcp(leg.hop, leg.peer)
        call.clients[branch] = Sent(purpose, leg.side, request, leg.hop, attempt)
        self.rewrite(call, leg, request, received)
        self.out.append(SendRequest(call.id, branch, request, leg.hop, alternative))
        return branch

    def rewrite(self, call: Call, leg: Leg, message: Request | Response, received: Request | Response | None) -> None:
        if self.hooks.rewrites:
            other = call.b if leg is call.a else call.a
            source = other.zone if other is not None else leg.zone
            view = LegView(leg.zone, leg.peer, source, leg.listener.advertised, leg.hop.remote.host)
            self.hooks.rewrite(message, view, received)

    def rewrite_alone(self, hop: Hop, message: Request | Response) -> None:
        """The same for a message of our own that belongs to no leg and goes over `hop`."""
        if self.hooks.rewrites:
            zone, listener = self.network.zones[hop.zone], self.places.listener_of(hop)
            advertised = listener.advertised if listener is not None else hop.local
            peer = self.places.peer(hop.zone, hop.remote.host)
            self.hooks.rewrite(message, LegView(zone, peer, zone, advertised, hop.remote.host), None)

    def apply(self, call: Call, exchange: MediaExchange) -> None:
        """Have the plane follow what an offer or answer changed."""
        for flow in exchange.flows:
            self.out.append(ApplyFlow(flow))
            call.silent_flows.discard(flow.id)  # it is watched anew
        for flow_id in exchange.removed:
            self.out.append(RemoveFlow(flow_id))

    def offered(self, call: Call, exchange: MediaExchange) -> bytes:
        """The offer to be sent, after the plane was told what it opens."""
        self.apply(call, exchange)
        return exchange.sdp

    def forget(self, call: Call) -> None:
        """Nothing of the call is under way any more."""
        self.deadlines.clear_all(call.id)
        for leg in (call.a, call.b or call.a, *call.b_legs):
            dialog = (leg.invite.call_id, leg.local_tag)
            held = self.dialogs.get(dialog)
            if held is not None and held[0] is call:  # else the leg has gone over to another call
                del self.dialogs[dialog]
                device = self.registrations.by_token(leg.device)
                if device is not None and device.dialogs is not None:
                    device.dialogs.pop(dialog, None)
        for alias in call.aliases:
            del self.aliases[alias]
        del self.calls[call.id]


class Places:
    """Answers about the network that are the same for every message, worked out once."""

    __slots__ = (
        "_by_local",
        "_learned",
        "_listeners",
        "_names",
        "_networks",
        "_own",
        "_peers",
        "_said",
        "network",
        "own_hosts",
    )

    def __init__(self, network: Network) -> None:
        self.network = network
        self._listeners: dict[tuple[str, str, bool], Listener] = {}
        self._by_local: dict[tuple[str, str, Address], Listener] = {}
        self._own: dict[str, set[str]] = {}
        self._learned: dict[str, tuple[Hop, ...]] = {}
        said: set[str] = {"anonymous.invalid"}
        for zone in network.zones.values():
            for listener in zone.listeners:
                self._listeners.setdefault((zone.name, listener.transport, ":" in listener.local.host), listener)
                self._by_local[(zone.name, listener.transport, listener.local)] = listener
            own = {a.host for listener in zone.listeners for a in (listener.local, listener.advertised)}
            self._own[zone.name] = own | _media_hosts(zone)
            if not zone.hidden:
                said |= own | zone.domains
        self._said = frozenset(said)
        self.own_hosts = own_hosts(network)
        """What a URI says as host when it means us."""
        self._networks = [
            (peer.zone, ipaddress.ip_network(source), peer)
            for peer in network.peers.values()
            for source in peer.sources
        ]
        self._find_peers()

    def learn(self, peer: Peer, ways: tuple[Hop, ...]) -> None:
        """These are the ways to `peer`, which is configured by name; those that it had before are not."""
        self._learned[peer.name] = ways
        self._find_peers()

    def learned(self, peer: Peer) -> tuple[Hop, ...]:
        """The ways to `peer`, best first, as far as they had to be learned."""
        return self._learned.get(peer.name, ())

    def _find_peers(self) -> None:
        self._peers: dict[tuple[str, str], Peer] = {}
        for peer in self.network.peers.values():
            for host in (peer.host.lower(), *(way.remote.host for way in self._learned.get(peer.name, ()))):
                self._peers.setdefault((peer.zone, host), peer)
        self._names = {
            zone: tuple(sorted(own | {host for name, host in self._peers if name == zone}))
            for zone, own in self._own.items()
        }

    def peer(self, zone: str, host: str) -> Peer | None:
        """The configured peer that requests from `host` (an IP address) come from."""
        peer = self._peers.get((zone, host))
        if peer is None and self._networks:
            address = ipaddress.ip_address(host.partition("%")[0])
            return next((p for name, network, p in self._networks if name == zone and address in network), None)
        return peer

    def listener(self, zone: str, transport: str, remote_host: str) -> Listener | None:
        """Our socket in `zone` for reaching `remote_host` (an IP address) over `transport`."""
        return self._listeners.get((zone, transport, ":" in remote_host))

    def listener_of(self, hop: Hop) -> Listener | None:
        """The listener whose socket `hop` names."""
        return self._by_local.get((hop.zone, hop.transport, hop.local))

    def over_tcp(self, hop: Hop, peer: Peer) -> Hop | None:
        """The same element over TCP, for what is too long for UDP (18.1.1); None where `peer` has no TCP."""
        if "TCP" not in peer.transports:
            return None
        listener = self._listeners.get((hop.zone, "TCP", ":" in hop.remote.host))
        return None if listener is None else Hop(hop.zone, "TCP", listener.local, hop.remote)

    def names(self, zone: Zone) -> tuple[str, ...]:
        """What names us and the configured peers in `zone`."""
        return self._names[zone.name]

    def is_secret(self, host: str) -> bool:
        """Whether a host may be one of a hidden zone: neither ours where nothing is hidden, nor a host at all."""
        return host not in self._said and host != ""


def _media_hosts(zone: Zone) -> set[str]:
    return {host for media in (zone.media_v4, zone.media_v6) if media is not None for host in media}


def uri_host(host: str) -> str:
    """An IP address or host name as a URI writes it."""
    return f"[{host}]" if ":" in host else host


def border(source: Leg, target: Leg) -> Border:
    """How contents of `source` cross to `target`."""
    our_host = uri_host(target.listener.advertised.host)
    there = target.hop.remote.host
    return Border(source.zone.hidden, source.trusted, source.names, our_host, target.trusted, there=there)


def border_between(source: Zone, trusted: bool, listener: Listener, to_trusted: bool) -> Border:
    """How contents cross that belong to no call: out of `source`, by `listener`."""
    return Border(source.hidden, trusted, (), uri_host(listener.advertised.host), to_trusted)


def leaving(source: Leg) -> Border:
    """How contents of `source` cross, as far as that is the same whereto."""
    return Border(source.zone.hidden, source.trusted, source.names, "")


def contact(listener: Listener) -> str:
    """Our Contact on legs that use `listener`. Requests are matched by dialog, so it needs no user part."""
    host, port = listener.advertised
    transport = "" if listener.transport == "UDP" else f";transport={listener.transport.lower()}"
    return f"<sip:{uri_host(host)}:{port}{transport}>"


def own_agent(context: Context, headers: Headers, name: str) -> None:
    """Our own Server or User-Agent, where the configuration wants one."""
    if context.settings.user_agent:
        headers.set(name, context.settings.user_agent)  # in place of one that crossed


def own_question(context: Context, hop: Hop, uri: str) -> Request | None:
    """An OPTIONS of our own (RFC 3261 section 11.1) to `uri`, over `hop`; None: it is no way of ours."""
    listener = context.places.listener_of(hop)
    if listener is None:
        return None
    us = f"sip:{uri_host(listener.advertised.host)}:{listener.advertised.port}"
    headers = Headers()
    headers.add("Max-Forwards", "70")
    headers.add("From", f"<{us}>;tag={context.tokens.tag()}")
    headers.add("To", f"<{uri}>")
    headers.add("Call-ID", context.tokens.call_id())
    headers.add("CSeq", "1 OPTIONS")
    headers.add("Contact", f"<{us}>")
    own_agent(context, headers, "User-Agent")
    return Request("OPTIONS", uri, headers)


def answer(
    context: Context,
    call: CallId,
    request: Request,
    transaction: TransactionId,
    status: int,
    phrase: str = "",
    headers: tuple[tuple[str, str], ...] = (),
    to_tag: str | None = None,
    hop: Hop | None = None,
) -> None:
    """A final response of our own to a request; `call` is "" for one outside calls, which came over `hop`."""
    response = make_response(request, status, phrase or None, to_tag=to_tag, headers=headers)
    own_agent(context, response.headers, "Server")
    if hop is not None:
        context.rewrite_alone(hop, response)
    elif context.hooks.rewrites and (found := context.dialogs.get((request.call_id, request.to.tag or ""))) is not None:
        context.rewrite(*found, response, None)
    context.out.append(Respond(call, transaction, response))
