"""The loop between the cores and the world: one message in, its effects carried out, then the next.

Nothing is decided here. What the SIP stack and the session layer return is dispatched by its type; what comes back from
sockets, resolver, plane and clock is fed to them. One `callLater` serves every deadline of the signalling process.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from sbc.b2bua import (
    Abandon,
    Answer,
    ApplyFlow,
    Ask,
    BindingKey,
    BindingRecord,
    BindPorts,
    CallChanged,
    CallEnded,
    CallOpened,
    CallRecord,
    CancelRequest,
    Command,
    Decided,
    FlowLost,
    ForgetBinding,
    ForgetSubscription,
    HoldFlow,
    KeepBinding,
    KeepSubscription,
    LegRecord,
    MessageSeen,
    Noticed,
    Ping,
    RemoveFlow,
    Resolve,
    Respond,
    SendAck,
    SendDtmf,
    SendRequest,
    SubscriptionKey,
    SubscriptionRecord,
    UsersChanged,
    Zone,
)
from sbc.media import DataPlane, FlowEvent, PortsReady
from sbc.service.log import WRITTEN
from sbc.sip import (
    Absorbed,
    Deliver,
    Effect,
    Glance,
    Hop,
    Packet,
    Refused,
    Request,
    RequestReceived,
    Response,
    SipError,
    SipEvent,
    SipStack,
    TransactionId,
    Transmit,
    make_response,
)

log = Logger()

TICK = 0.02
"""Seconds by which a deadline may be served late while the timer fires often: timers of SIP are counted in hundreds of
milliseconds, and under load there is a deadline every few microseconds."""
REFUSED_LINES_EVERY = 10.0
"""Seconds between log lines about packets that nobody could understand."""
TURNED_AWAY_LINES = 20
"""Lines in that time about who was not let in."""
SIP_CALL_ID = re.compile(rb"^(?:call-id|i)[ \t]*:[ \t]*([^\s]{1,128})", re.IGNORECASE | re.MULTILINE)


Event = SipEvent | FlowEvent | Answer | FlowLost | UsersChanged
"""What the session layer is fed."""


class Session(Protocol):
    """The session layer (`sbc.b2bua.B2bua`), as far as the driver needs it."""

    def start(
        self, now: float, records: Iterable[BindingRecord] = (), subscribed: Iterable[SubscriptionRecord] = ()
    ) -> list[Command]: ...

    def handle(self, event: Event, now: float) -> list[Command]: ...

    def recognise(self, seen: Glance, now: float) -> list[Command] | None: ...

    def next_deadline(self) -> float | None: ...

    def handle_timeout(self, now: float) -> list[Command]: ...

    def drain(self, now: float, grace: float) -> list[Command]: ...

    def hang_up_all(self, now: float) -> list[Command]: ...

    @property
    def idle(self) -> bool: ...


class Writer(Protocol):
    """What sends (`sbc.transport.Transports`)."""

    def write(self, data: bytes, hop: Hop, transaction: TransactionId | None) -> None: ...

    def ping(self, hop: Hop) -> None: ...

    def hold(self, hop: Hop, seconds: float) -> None: ...


class NameResolver(Protocol):
    """What finds addresses (`sbc.transport.Resolver`)."""

    def resolve(self, query: Resolve, zone: Zone) -> Deferred[tuple[Hop, ...]]: ...


class Recorder(Protocol):
    """What keeps the record of calls (`sbc.store.CallStore`), in wall-clock times; `offset` makes a record's so."""

    def message(self, call: str, at: float, sent: bool, hop: Hop, data: bytes) -> None: ...

    def decided(self, decided: Decided, at: float) -> None: ...

    def opened(self, record: CallRecord, offset: float) -> None: ...

    def changed(self, record: CallRecord, offset: float) -> None: ...

    def ended(self, record: CallRecord, offset: float) -> None: ...


Record = TypeVar("Record")
Key = TypeVar("Key", contravariant=True)


class Keeper(Protocol[Record, Key]):
    """What keeps records for the next process (`sbc.store.RegistrationStore`, `sbc.store.SubscriptionStore`), in
    wall-clock times; `offset` makes a record's so."""

    def keep(self, record: Record, offset: float) -> None: ...

    def forget(self, key: Key) -> None: ...

    def restored(self, offset: float) -> Iterable[Record]:
        """All that was kept, in the times of the core: `offset` is the same."""


class Driver:
    """Feeds `stack` and `session`, and carries out what they want done.

    `clock` is a reactor's `callLater`; `now` reads monotonic seconds; `wall` reads seconds since the epoch, once.
    `detailed` logs the beginning of each call as well, at debug.
    """

    def __init__(
        self,
        stack: SipStack,
        session: Session,
        transports: Writer,
        plane: DataPlane,
        resolver: NameResolver,
        recorder: Recorder,
        zones: Mapping[str, Zone],
        clock: Any,
        now: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        detailed: bool = False,
        bindings: Keeper[BindingRecord, BindingKey] | None = None,
        subscriptions: Keeper[SubscriptionRecord, SubscriptionKey] | None = None,
    ) -> None:
        self._stack = stack
        self._session = session
        self._write = transports.write
        self._plane = plane
        self._resolver = resolver
        self._recorder = recorder
        self._record_message = recorder.message
        self._bindings, self._subscriptions = bindings, subscriptions
        self._zones = zones
        self._clock = clock
        self._now = now
        self._detailed = detailed
        self._to_wall = wall() - now()
        self._events: deque[Event] = deque()
        self._failures: deque[TransactionId] = deque()
        self._busy = False
        self._armed: Any = None
        self._armed_at = 0.0
        self._fired_at = -TICK
        self._ready: Deferred[None] = Deferred()
        self._without_ports: set[str] = set()
        self._leaving: list[Deferred[None]] = []
        self._refused_line_at = 0.0
        self._turned_away = FewLines()
        self.bugs = 0
        """Exceptions that reached this loop: each one is a bug somewhere, and cost one message's handling."""
        self.refused = 0
        """Packets that could not be understood."""
        self.undeliverable = 0
        """Messages of a transaction that the transport could not send."""
        self._by_type = {**self._effects_of_the_stack(), **self._commands_of(stack, transports, plane, recorder)}

    def _effects_of_the_stack(self) -> dict[type, Callable[[Any, float], None]]:
        return {
            Transmit: self._transmit,
            Deliver: self._deliver,
            Absorbed: self._absorbed,
            Refused: self._refuse,
        }

    def _commands_of(
        self, stack: SipStack, transports: Writer, plane: DataPlane, recorder: Recorder
    ) -> dict[type, Callable[[Any, float], None]]:
        """What each command of the session layer comes to."""
        return {
            SendRequest: self._send_request,
            SendAck: self._send_ack,
            CancelRequest: self._cancel,
            Respond: self._respond,
            Abandon: lambda command, now: stack.abandon(command.transaction),
            ApplyFlow: lambda command, now: plane.apply(command.flow),
            RemoveFlow: lambda command, now: plane.remove(command.flow_id),
            SendDtmf: lambda command, now: plane.send_dtmf(*command),
            BindPorts: self._bind,
            Ask: self._ask,
            Ping: lambda command, now: transports.ping(command.hop),
            HoldFlow: lambda command, now: transports.hold(command.hop, command.seconds),
            MessageSeen: self._seen,
            Decided: self._decided,
            Noticed: lambda command, now: log.warn(WRITTEN, text=command.text, call=""),
            CallOpened: self._opened,
            CallChanged: lambda command, now: recorder.changed(command.record, self._to_wall),
            CallEnded: self._ended,
            **self._keeping(self._bindings, KeepBinding, ForgetBinding),
            **self._keeping(self._subscriptions, KeepSubscription, ForgetSubscription),
        }

    def _keeping(
        self, keeper: Keeper[Any, Any] | None, keep: type, forget: type
    ) -> dict[type, Callable[[Any, float], None]]:
        """What the commands `keep` and `forget` come to."""
        if keeper is None:
            return dict.fromkeys((keep, forget), lambda command, now: None)
        return {
            keep: lambda command, now: keeper.keep(command.record, self._to_wall),
            forget: lambda command, now: keeper.forget(command.key),
        }

    def start(self) -> Deferred[None]:
        """Let the session layer begin; fires when every address that it wants media ports on has some."""
        self._plane.subscribe(self.flow_event)
        now = self._now()
        self._busy = True
        bindings = self._bindings.restored(self._to_wall) if self._bindings is not None else ()
        subscribed = self._subscriptions.restored(self._to_wall) if self._subscriptions is not None else ()
        self._carry_out(self._session.start(now, bindings, subscribed), now)
        self._settle(now)
        self._check_ports()
        return self._ready

    # -- what comes in ------------------------------------------------------------------------------------------------

    def receive(self, packet: Packet) -> None:
        """One whole message from a socket."""
        now = self._now()
        self._busy = True
        try:
            seen = self._stack.glance(packet)
            wanted: Iterable[Effect | Command] | None = None if seen is None else self._session.recognise(seen, now)
            if wanted is None:
                wanted = self._stack.receive(packet, now)
        except Exception:
            self._bug("receiving", sip_call_id(packet.data))
        else:
            self._carry_out(wanted, now)
        self._settle(now)

    def failed(self, transaction: TransactionId, reason: str) -> None:
        """The transport could not send this transaction's message. May be called while effects are carried out."""
        self.undeliverable += 1
        self._failures.append(transaction)
        if not self._busy:
            self._settle(self._now())

    def stream_ended(self, hop: Hop) -> None:
        """A stream is no more. May be called while effects are carried out."""
        self._later(FlowLost(hop))

    def users_changed(self, event: UsersChanged) -> None:
        """Other accounts than before."""
        self._later(event)

    def flow_event(self, event: FlowEvent) -> None:
        """News of the data plane."""
        if type(event) is PortsReady and self._without_ports:
            self._without_ports.discard(event.host)
            self._check_ports()
        self._later(event)

    def _later(self, event: Event) -> None:
        """Hand `event` to the session layer after what is under way, if anything is."""
        self._events.append(event)
        if not self._busy:
            self._settle(self._now())

    def _check_ports(self) -> None:
        if not self._without_ports and not self._ready.called:
            self._ready.callback(None)

    def drain(self, grace: float) -> Deferred[None]:
        """Take no new call, end those in progress after `grace` seconds; fires when none is left."""
        return self._leave(partial(self._session.drain, grace=grace))

    def hang_up(self) -> Deferred[None]:
        """End every call now; fires when none is left."""
        return self._leave(self._session.hang_up_all)

    def _leave(self, way: Callable[[float], list[Command]]) -> Deferred[None]:
        now = self._now()
        self._busy = True
        idle: Deferred[None] = Deferred()
        self._leaving.append(idle)
        self._carry_out(way(now), now)
        self._settle(now)
        return idle

    # -- the loop -----------------------------------------------------------------------------------------------------

    def _carry_out(self, wanted: Iterable[Effect | Command], now: float) -> None:
        by_type = self._by_type
        for each in wanted:
            try:
                by_type[type(each)](each, now)
            except Exception:
                self._bug(
                    f"carrying out {type(each).__name__}", getattr(each, "call", "") or getattr(each, "label", "")
                )

    def _settle(self, now: float) -> None:
        """Hand the session layer what has come up meanwhile, one event at a time; then see to the timer."""
        self._busy = True
        events, failures = self._events, self._failures
        while events or failures:
            if events:
                self._handle(events.popleft(), now)
            else:
                try:
                    effects = self._stack.transport_failed(failures.popleft(), now)
                except Exception:
                    self._bug("telling of a transport failure", "")
                else:
                    self._carry_out(effects, now)
        self._busy = False
        if self._armed is None or self._armed_at > now + TICK:
            self._arm(now)
        if self._leaving and self._session.idle:
            leaving, self._leaving = self._leaving, []
            for idle in leaving:
                idle.callback(None)

    def _handle(self, event: Event, now: float) -> None:
        try:
            commands = self._session.handle(event, now)
        except Exception:
            self._bug(f"handling {type(event).__name__}", getattr(event, "label", "") or call_id_of(event))
            if type(event) is RequestReceived:
                self._apologise(event, now)
        else:
            self._carry_out(commands, now)

    def _apologise(self, event: RequestReceived, now: float) -> None:
        """The peer must not wait for what never comes."""
        try:
            response = make_response(event.request, 500)
        except SipError:
            return
        self._carry_out((Respond("", event.transaction, response),), now)

    def _arm(self, now: float) -> None:
        """Let the one timer fire by the earliest deadline, or a `TICK` later. A timer that fires too early only arms
        itself again, so that a deadline that moves away costs nothing."""
        deadline = self._stack.next_deadline()
        other = self._session.next_deadline()
        if deadline is None or (other is not None and other < deadline):
            deadline = other
        if deadline is None:
            return
        deadline = max(deadline, self._fired_at + TICK)
        if self._armed is None:
            self._armed = self._clock.callLater(max(0.0, deadline - now), self._fire)
        elif deadline < self._armed_at:
            self._armed.reset(max(0.0, deadline - now))
        else:
            return
        self._armed_at = deadline

    def _fire(self) -> None:
        self._armed = None
        now = self._fired_at = self._now()
        self._busy = True
        for source in (self._stack, self._session):
            deadline = source.next_deadline()
            if deadline is None or deadline > now:
                continue
            try:
                wanted: Iterable[Effect | Command] = source.handle_timeout(now)
            except Exception:
                self._bug(f"a deadline of {type(source).__name__}", "")
            else:
                self._carry_out(wanted, now)
        self._settle(now)

    def stop(self) -> None:
        """Leave no timer behind."""
        if self._armed is not None:
            self._armed.cancel()
            self._armed = None

    def _bug(self, doing: str, call: str) -> None:
        self.bugs += 1
        log.failure("bug while {doing}", doing=doing, call=call)

    # -- effects of the stack -----------------------------------------------------------------------------------------

    def _transmit(self, effect: Transmit, now: float) -> None:
        data, hop, transaction, label = effect
        self._write(data, hop, transaction)
        if label:
            self._record_message(label, now + self._to_wall, True, hop, data)

    def _deliver(self, effect: Deliver, now: float) -> None:
        self._events.append(effect.event)

    def _absorbed(self, effect: Absorbed, now: float) -> None:
        if effect.label:
            packet = effect.packet
            self._record_message(effect.label, now + self._to_wall, False, packet.hop, packet.data)

    def _refuse(self, effect: Refused, now: float) -> None:
        self.refused += 1
        if now >= self._refused_line_at:
            self._refused_line_at = now + REFUSED_LINES_EVERY
            hop = effect.packet.hop
            log.info(
                "not understood, from {host}:{port}/{transport} in zone {zone}: {reason} ({refused} so far)",
                host=hop.remote.host,
                port=hop.remote.port,
                transport=hop.transport,
                zone=hop.zone,
                reason=effect.reason,
                refused=self.refused,
            )

    # -- commands of the session layer --------------------------------------------------------------------------------

    def _send_request(self, command: SendRequest, now: float) -> None:
        call, branch, request, hop, alternative = command
        _, effects = self._stack.send_request(request, hop, now, branch=branch, label=call, alternative=alternative)
        self._carry_out(effects, now)

    def _send_ack(self, command: SendAck, now: float) -> None:
        self._carry_out(self._stack.send_ack(command.request, command.hop, now, label=command.call), now)

    def _cancel(self, command: CancelRequest, now: float) -> None:
        self._carry_out(self._stack.cancel(command.branch, now, command.reasons), now)

    def _respond(self, command: Respond, now: float) -> None:
        effects = self._stack.respond(command.transaction, command.response, now, label=command.call or None)
        self._carry_out(effects, now)

    def _bind(self, command: BindPorts, now: float) -> None:
        if not self._ready.called:
            self._without_ports.add(command.host)
        self._plane.bind(command.host, command.pairs)

    def _ask(self, command: Ask, now: float) -> None:
        token, query = command
        answer = self._resolver.resolve(query, self._zones[query.zone])
        answer.addCallbacks(
            lambda hops: self._later(Answer(token, hops)),
            lambda failure: self._later(Answer(token, (), failure.getErrorMessage())),
        )

    def _seen(self, command: MessageSeen, now: float) -> None:
        call, (data, hop) = command
        self._record_message(call, now + self._to_wall, False, hop, data)

    def _decided(self, command: Decided, now: float) -> None:
        """Of a call into its trail; of a request outside calls there is none, so that a log line says it: who was not
        let in to everybody, as long as there are few of them, the rest to who looks for it."""
        if command.call:
            self._recorder.decided(command, command.at + self._to_wall)
        elif command.hook == "admit" and self._turned_away.admits(now):
            skipped = f" ({self._turned_away.skipped} more before)" if self._turned_away.skipped else ""
            log.info(WRITTEN, text=f"{command.verdict}: {command.reason}{skipped}", call="")
            self._turned_away.skipped = 0
        elif self._detailed:
            log.debug(WRITTEN, text=f"{command.verdict}: {command.reason}", call="")

    def _opened(self, command: CallOpened, now: float) -> None:
        record = command.record
        self._recorder.opened(record, self._to_wall)
        if self._detailed:
            log.debug(WRITTEN, text=f"call {between(record)}", call=record.call)

    def _ended(self, command: CallEnded, now: float) -> None:
        record = command.record
        self._recorder.ended(record, self._to_wall)
        talked = (record.ended or now) - record.answered if record.answered is not None else 0.0
        end = f"ended by {record.ended_by}: {record.cause}, status {record.status}, {talked:.1f} s"
        log.info(WRITTEN, text=f"call {between(record)} {end}", call=record.call)


class FewLines:
    """Lets `TURNED_AWAY_LINES` through in `REFUSED_LINES_EVERY` seconds: an attacker must not fill the log."""

    def __init__(self) -> None:
        self._until = 0.0
        self._left = 0
        self.skipped = 0
        """Lines that were not let through since this was 0."""

    def admits(self, now: float) -> bool:
        if now >= self._until:
            self._until, self._left = now + REFUSED_LINES_EVERY, TURNED_AWAY_LINES
        if self._left:
            self._left -= 1
            return True
        self.skipped += 1
        return False


def between(record: CallRecord) -> str:
    """Who called whom, in the words of the A leg."""
    leg = record.a or LegRecord("")
    return f"from {leg.from_uri} to {leg.request_uri}, zone {leg.zone} ({leg.remote})"


def sip_call_id(data: bytes) -> str:
    """The Call-ID of a message that may be anything, for the log."""
    found = SIP_CALL_ID.search(data)
    return found[1].decode("ascii", "backslashreplace") if found else ""


def call_id_of(event: Any) -> str:
    """The SIP Call-ID of what an event is about, or "": for the log, where no call has a name of its own yet."""
    message: Request | Response | None = getattr(event, "request", None) or getattr(event, "response", None)
    return sip_call_id(message.raw) if message is not None else ""
