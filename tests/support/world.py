"""A whole world without sockets or clock: the SBC's two cores between two phones, over a network that loses, repeats
and delays datagrams. Time jumps from event to event; everything is drawn from one seed."""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sbc.b2bua import (
    Abandon,
    Answer,
    ApplyFlow,
    Ask,
    B2bua,
    BindingRecord,
    BindPorts,
    CallEnded,
    CallOpened,
    CancelRequest,
    Command,
    Decided,
    FlowLost,
    Hooks,
    Listener,
    Network,
    Peer,
    RemoveFlow,
    Respond,
    SendAck,
    SendRequest,
    Settings,
    SubscriptionRecord,
    UsersChanged,
    Zone,
)
from sbc.media import FlowEvent, Media, MediaAddress, MediaSettings, PortsReady, StatsReport, StreamStats
from sbc.policy import AdmissionSettings, RouteRule, build_chain
from sbc.sip import (
    Absorbed,
    Address,
    Deliver,
    Effect,
    Hop,
    Limits,
    Packet,
    Refused,
    SipStack,
    Timers,
    Tokens,
    Transmit,
    parse,
)

OUTSIDE = Address("192.0.2.1", 5060)
OUTSIDE6 = Address("2001:db8::1", 5060)
INSIDE = Address("10.0.0.1", 5060)
CALLER = Address("198.51.100.7", 5070)
CALLER6 = Address("2001:db8:7::7", 5070)
PBX = Address("10.0.0.5", 5060)
PBX2 = Address("10.0.0.6", 5060)


def written(address: Address) -> str:
    """host:port as messages write it."""
    return f"[{address.host}]:{address.port}" if ":" in address.host else f"{address.host}:{address.port}"


def _listeners(*locals_: Address) -> tuple[Listener, ...]:
    return tuple(Listener(transport, local, local) for local in locals_ for transport in ("UDP", "TCP"))


def tokens(seed: int) -> Tokens:
    return Tokens(random.Random(seed).randbytes)


@dataclass
class Weather:
    """What happens to a datagram: probabilities, and the largest delay in seconds."""

    loss: float = 0.0
    repeat: float = 0.0
    delay: float = 0.001


class Events:
    """What is to happen, in the order of time."""

    def __init__(self) -> None:
        self.now = 100.0
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def at(self, when: float, what: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._heap, (max(when, self.now), self._count, what))

    def after(self, delay: float, what: Callable[[], None]) -> None:
        self.at(self.now + delay, what)

    def step(self, until: float) -> bool:
        """Do the next thing, if it comes before `until`."""
        if not self._heap or self._heap[0][0] > until:
            return False
        self.now, _, what = heapq.heappop(self._heap)
        what()
        return True


class Wires:
    """Carries datagrams between addresses, in some weather."""

    def __init__(self, events: Events, rng: random.Random, weather: Weather) -> None:
        self.events, self.rng, self.weather = events, rng, weather
        self.hosts: dict[Address, Callable[[bytes, Address], None]] = {}
        self.sent: list[tuple[float, Address, Address, bytes]] = []
        """Every datagram that was sent: time, from, to, octets."""

    def send(self, source: Address, target: Address, data: bytes) -> None:
        self.sent.append((self.events.now, source, target, data))
        times = 0 if self.rng.random() < self.weather.loss else 1
        if times and self.rng.random() < self.weather.repeat:
            times = 2
        for _ in range(times):
            self.events.after(self.rng.random() * self.weather.delay, lambda: self._arrive(source, target, data))

    def _arrive(self, source: Address, target: Address, data: bytes) -> None:
        host = self.hosts.get(target)
        if host is not None:
            host(data, source)


@dataclass
class Edge:
    """The SBC: stack and session layer, driven as the service's driver does, with a plane that has all ports."""

    events: Events
    network: Wires
    seed: int
    settings: Settings = field(default_factory=Settings)
    routes: tuple[RouteRule, ...] = ()
    hidden: bool = True
    peers: tuple[Peer, ...] = (Peer("pbx", "private", PBX.host, None),)
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """What the resolver knows."""
    answer_after: Callable[[], float | None] = lambda: 0.02
    """How long the resolver takes, in seconds; None: it never answers."""
    fails: Callable[[Hop], bool] = lambda hop: False
    """Whether a message that belongs to a transaction cannot be sent to this hop."""
    max_calls: int = 10000
    emergency: tuple[str, ...] = ()
    reports: bool = True
    """The plane tells its last figures of a flow."""
    open: bool = True
    """The public zone serves everybody."""
    open_inside: bool = False
    """The private zone does, too."""
    hooks: Hooks | None = None
    bindings: tuple[BindingRecord, ...] = ()
    """What was registered before."""
    subscribed: tuple[SubscriptionRecord, ...] = ()
    """What was subscribed to before."""

    def __post_init__(self) -> None:
        zones = {
            "public": Zone(
                "public",
                _listeners(OUTSIDE, OUTSIDE6),
                MediaAddress(OUTSIDE.host, OUTSIDE.host),
                MediaAddress(OUTSIDE6.host, OUTSIDE6.host),
                hidden=False,
                open=self.open,
            ),
            "private": Zone(
                "private",
                _listeners(INSIDE),
                MediaAddress(INSIDE.host, INSIDE.host),
                hidden=self.hidden,
                open=self.open_inside,
            ),
        }
        network = Network(zones, {peer.name: peer for peer in self.peers})
        source = tokens(self.seed)
        sent_by = {
            (zone.name, listener.transport, listener.local): written(listener.local)
            for zone in zones.values()
            for listener in zone.listeners
        }
        self.stack = SipStack(self.settings.timers, Limits(), source, sent_by, 100_000)
        self.media = Media(MediaSettings(hosts=(OUTSIDE.host, OUTSIDE6.host, INSIDE.host)), source)
        chain = self.hooks or build_chain(
            network, self.routes, AdmissionSettings(self.max_calls, emergency=self.emergency)
        )
        self.b2bua = B2bua(network, self.settings, chain, self.media, source)
        self.zone_of = {OUTSIDE: "public", OUTSIDE6: "public", INSIDE: "private"}
        self.streams: dict[Address, Callable[[bytes, Hop], None]] = {}
        """Who listens, or is connected, over TCP; what is sent to anybody else fails."""
        self.flows: dict[str, Any] = {}
        self.commands: list[Command] = []
        self.next_port: Counter[str] = Counter()
        self._armed = float("inf")
        for local in self.zone_of:
            self.network.hosts[local] = lambda data, source, local=local: self.receive(data, source, local)
        self.run(self.b2bua.start(self.events.now, self.bindings, self.subscribed))

    def receive(
        self, data: bytes, source: Address, local: Address, transport: str = "UDP", connection: int | None = None
    ) -> None:
        packet = Packet(data, Hop(self.zone_of[local], transport, local, source, connection))
        seen = self.stack.glance(packet)
        recognised = None if seen is None else self.b2bua.recognise(seen, self.events.now)
        self.run(self.stack.receive(packet, self.events.now) if recognised is None else recognised)

    def tell(self, event: FlowEvent | Answer | FlowLost | UsersChanged) -> None:
        """Something happens outside SIP."""
        self.run(self.b2bua.handle(event, self.events.now))

    def _transmit(self, data: bytes, hop: Hop, transaction: str | None) -> None:
        stream = self.streams.get(hop.remote) if hop.transport != "UDP" else None
        if transaction is not None and (self.fails(hop) or (hop.transport != "UDP" and stream is None)):
            self.events.after(0, lambda: self.run(self.stack.transport_failed(transaction, self.events.now)))
        elif hop.transport == "UDP":
            self.network.send(hop.local, hop.remote, data)
        elif stream is not None:
            self.network.sent.append((self.events.now, hop.local, hop.remote, data))
            self.events.after(0, lambda: stream(data, hop))

    def run(self, wanted: list[Effect] | list[Command] | list[Effect | Command]) -> None:
        for each in wanted:
            self._carry_out(each)
        self._arm()

    def _carry_out(self, each: Effect | Command) -> None:
        now = self.events.now
        match each:
            case Transmit(data, hop, transaction, _):
                self._transmit(data, hop, transaction)
            case Deliver(event):
                self.run(self.b2bua.handle(event, now))
            case Absorbed() | Refused():
                pass
            case _:
                self.commands.append(each)
                self._command(each, now)

    def _command(self, command: Command, now: float) -> None:
        stack = self.stack
        match command:
            case SendRequest(call, branch, request, hop, alternative):
                self.run(stack.send_request(request, hop, now, branch=branch, label=call, alternative=alternative)[1])
            case SendAck(call, request, hop):
                self.run(stack.send_ack(request, hop, now, label=call))
            case CancelRequest(_, branch, reasons):
                self.run(stack.cancel(branch, now, reasons))
            case Respond(call, transaction, response):
                self.run(stack.respond(transaction, response, now, label=call))
            case ApplyFlow(flow):
                self.flows[flow.id] = flow
            case RemoveFlow(flow_id):
                del self.flows[flow_id]  # a flow is removed once
                report = StatsReport(flow_id, StreamStats(), StreamStats(), True)
                if self.reports:
                    self.events.after(0.01, lambda: self.tell(report))
            case BindPorts(host, pairs):
                first = 20000 + 2 * self.next_port[host]
                self.next_port[host] += pairs
                ready = PortsReady(host, tuple(range(first, first + 2 * pairs, 2)))
                self.events.after(0, lambda: self.tell(ready))
            case Abandon(transaction):
                stack.abandon(transaction)
            case Ask(token, query):
                hosts = self.names.get(query.host, ())
                ours = OUTSIDE if query.zone == "public" else INSIDE
                hops = tuple(Hop(query.zone, "UDP", ours, Address(host, query.port or 5060)) for host in hosts)
                answer = Answer(token, hops, "" if hops else "no such name")
                delay = self.answer_after()
                if delay is not None:
                    self.events.after(delay, lambda: self.tell(answer))

    def _arm(self) -> None:
        deadlines = [d for d in (self.stack.next_deadline(), self.b2bua.next_deadline()) if d is not None]
        earliest = min(deadlines, default=float("inf"))
        if earliest < self._armed:
            self._armed = earliest
            self.events.at(earliest, self._timer)

    def _timer(self) -> None:
        if self.events.now < self._armed:
            return  # an earlier arming
        self._armed = float("inf")
        now = self.events.now
        deadline = self.stack.next_deadline()
        if deadline is not None and deadline <= now:
            self.run(self.stack.handle_timeout(now))
        deadline = self.b2bua.next_deadline()
        if deadline is not None and deadline <= now:
            self.run(self.b2bua.handle_timeout(now))
        self._arm()

    def trail(self) -> list[str]:
        return [f"{d.hook} {d.policy}: {d.verdict} ({d.reason})" for d in self.commands if isinstance(d, Decided)]

    def left_over(self) -> dict[str, int]:
        """Whatever is left in any table: empty when every call has ended."""
        sizes = {
            **self.b2bua.table_sizes(),
            "client transactions": self.stack.client_count,
            "server transactions": self.stack.server_count,
            "flows": len(self.flows),
            "calls without an end": sum(isinstance(c, CallOpened) for c in self.commands)
            - sum(isinstance(c, CallEnded) for c in self.commands),
        }
        return {name: size for name, size in sizes.items() if size}


__all__ = [
    "CALLER",
    "CALLER6",
    "INSIDE",
    "OUTSIDE",
    "OUTSIDE6",
    "PBX",
    "PBX2",
    "Edge",
    "Events",
    "Timers",
    "Weather",
    "Wires",
    "parse",
    "tokens",
    "written",
]
