"""The session layer: the transaction user, and the only owner of calls. One event and `now` in, commands out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from sbc.b2bua import (
    answers,
    authentication,
    bindings,
    dtmf,
    exchange,
    in_dialog,
    joining,
    keeping,
    outside,
    refreshing,
    registering,
    registrar,
    reliable,
    replies,
    session_timer,
    setup,
    subscriptions,
    surviving,
    taking_over,
    targets,
    teardown,
    transferred,
    watching,
    whereabouts,
)
from sbc.b2bua.call import (
    IGNORED,
    TRANSITIONS,
    Action,
    Call,
    CallState,
    Ending,
    Exchange,
    Input,
    Leg,
    Purpose,
    Role,
    Sent,
)
from sbc.b2bua.commands import (
    Answer,
    ApplyFlow,
    Ask,
    BindingRecord,
    BindPorts,
    Command,
    FlowLost,
    MessageSeen,
    SubscriptionRecord,
    UsersChanged,
)
from sbc.b2bua.context import Context
from sbc.b2bua.hooks import Hooks, Resolve
from sbc.b2bua.network import Network, Settings
from sbc.b2bua.registrations import Registrations
from sbc.media import (
    DtmfReceived,
    FlowEvent,
    Latched,
    Media,
    PlaneLost,
    PortsReady,
    Silent,
    SourceMismatch,
    StatsReport,
)
from sbc.sip import (
    AckReceived,
    CancelReceived,
    Glance,
    Packet,
    RequestReceived,
    Response,
    ResponseReceived,
    SipEvent,
    Tokens,
    TransactionFailed,
    TransactionTimedOut,
)

_ACTIONS: dict[Action, Callable[[Context, Call, object], None]] = {
    Action.PASS_PROVISIONAL: replies.pass_provisional,
    Action.PASS_ANSWER: replies.pass_answer,
    Action.KEEP_ANSWER: replies.keep_answer,
    Action.TAKE_BACK: replies.take_back,
    Action.REFUSE_ANSWER: replies.refuse_answer,
    Action.PASS_REFUSAL: replies.pass_refusal,
    Action.CANCEL_TARGETS: replies.cancel_targets,
    Action.GIVE_UP: replies.give_up,
    Action.REFUSE_CALL: replies.refuse_call,
    Action.CONFIRM: replies.confirm,
    Action.END_BY_PEER: teardown.end_by_peer,
    Action.END_BY_SBC: teardown.end_by_sbc,
}

_ACTIONS_OF = {Role.PLACED: transferred.ACTIONS, Role.TAKING: {**_ACTIONS, **taking_over.ACTIONS}}
"""Of calls whose A leg is nobody's, or whose B leg is another one's."""

_OUTSIDE: dict[type, tuple[Callable[[Context, Any, Any], None], Callable[[Context, Any, Any], None]]] = {
    registering.Pending: (registering.response_received, registering.lost),
    keeping.Question: (keeping.answered, keeping.lost),
    watching.Probe: (watching.response_received, watching.lost),
}
"""For what stands in `Context.pending`: what is told of a response, and what of its loss; both are given the event."""

_PEER_REFRESH = 300.0
"""Seconds after which the addresses of peers that are configured by name are looked up again."""
_PEER_RETRY = 15.0
"""The same where a look-up has failed."""

_SILENCE = Ending("sbc", "silence", 408, reason='SIP;cause=408;text="Media timeout"')
_LONGEST = Ending("sbc", "longest call", 408, reason='SIP;cause=408;text="Call duration limit"')
_DRAIN = Ending("sbc", "drain", 503, headers=(("Retry-After", "10"),), reason='SIP;cause=503;text="Service ends"')
_UNACKED = Ending("sbc", "no ACK", 408, reason='SIP;cause=408;text="No ACK"')


class B2bua:
    """Feed it one event, carry out the commands in their order, then feed the next."""

    def __init__(self, network: Network, settings: Settings, hooks: Hooks, media: Media, tokens: Tokens) -> None:
        self._context = Context(network, settings, hooks, media, tokens, self._step, self._exchanged)
        self._take: dict[type, Callable[..., None]] = {
            RequestReceived: self._request,
            ResponseReceived: self._response,
            AckReceived: self._ack,
            CancelReceived: self._cancel,
            TransactionTimedOut: self._transaction_lost,
            TransactionFailed: self._transaction_lost,
            Answer: self._answer,
            PortsReady: self._ports,
            PlaneLost: self._plane_lost,
            Latched: self._latched,
            SourceMismatch: self._mismatch,
            Silent: self._silent,
            DtmfReceived: self._digit,
            StatsReport: self._stats,
            UsersChanged: lambda event: registrar.users_changed(self._context, event.users),
            FlowLost: lambda event: bindings.flow_lost(self._context, event.hop),
        }
        self._on_deadline: dict[str, Callable[[Call, str], None]] = {
            "no answer": lambda call, _: self._step(call, Input.NO_ANSWER, None),
            "silent": self._target_silent,
            "ring": self._target_rang_out,
            "2xx": self._repeat_2xx,
            "exchange": lambda call, _: exchange.late(self._context, call),
            "session": lambda call, side: session_timer.due(self._context, call, call.leg(side)),
            "1xx": lambda call, _: reliable.repeat(self._context, call),
            "own offer": lambda call, _: exchange.ask_again(self._context, call),
            "longest": lambda call, _: self._step(call, Input.ENDED_HERE, _LONGEST),
            "transfer": lambda call, _: transferred.due(self._context, call),
            "take": lambda call, _: taking_over.go_on(self._context, call),
            "agree": lambda call, _: joining.agree(self._context, call),
            "drain": lambda call, _: self._step(call, Input.ENDED_HERE, _DRAIN),
            "last figures": lambda call, _: call.draining_flows.clear(),
            "strays": lambda call, _: teardown.drop_strays(call),
        }
        self._on_own_deadline: dict[str, Callable[[str], None]] = {
            "peers": lambda _: self._ask_for_peers(),
            bindings.DEADLINE: lambda _: bindings.due(self._context),
            keeping.DEADLINE: lambda _: keeping.due(self._context),
            watching.DEADLINE: lambda _: watching.due(self._context),
            registering.PATIENCE: lambda branch: registering.impatient(self._context, branch),
        }

    # -- what the driver calls -----------------------------------------------------------------------------------------

    def start(
        self, now: float, records: Iterable[BindingRecord] = (), subscribed: Iterable[SubscriptionRecord] = ()
    ) -> list[Command]:
        """The first commands: ports to bind, and the addresses of peers that are configured by name. `records` and
        `subscribed` are of what was registered, and subscribed to, when the service ended last time."""
        context = self._begin(now)
        bindings.restore(context, records)
        surviving.restore(context, subscribed)
        watching.begin(context)
        self._ask_for_peers()
        return self._commands(context)

    def handle(self, event: SipEvent | FlowEvent | Answer | FlowLost | UsersChanged, now: float) -> list[Command]:
        context = self._begin(now)
        self._take[type(event)](event)
        return self._commands(context)

    def recognise(self, seen: Glance, now: float) -> list[Command] | None:
        """Answer a request that was only glanced at; None: it has to be read."""
        context = self._begin(now)
        return self._commands(context) if refreshing.recognised(context, seen) else None

    def next_deadline(self) -> float | None:
        return self._context.deadlines.next()

    def handle_timeout(self, now: float) -> list[Command]:
        context = self._begin(now)
        while (due := context.deadlines.due(now)) is not None:
            owner, kind = due
            if owner == _NOBODY:
                kind, _, of = kind.partition(" ")
                self._on_own_deadline[kind](of)
                continue
            call = context.calls.get(owner)
            if call is None:
                outside.due(context, owner, kind)
                continue
            handler = self._on_deadline.get(kind)
            if handler is None:  # "silent 2", "2xx a": of one attempt, of one leg
                kind, _, of = kind.partition(" ")
                self._on_deadline[kind](call, of)
            else:
                handler(call, "")
            teardown.settle(context, call)
        return self._commands(context)

    def drain(self, now: float, grace: float) -> list[Command]:
        """From now on new calls get 503 with Retry-After; calls in progress end after `grace` seconds."""
        context = self._begin(now)
        context.draining = True
        context.drain_ends = now + grace
        for call in context.calls.values():
            context.deadlines.set(call.id, "drain", context.drain_ends)
        subscriptions.end_all(context)
        return self._commands(context)

    def hang_up_all(self, now: float) -> list[Command]:
        """End every call at once."""
        context = self._begin(now)
        watching.end(context)
        for call in list(context.calls.values()):
            self._step(call, Input.ENDED_HERE, _DRAIN)
            teardown.settle(context, call)
        subscriptions.end_all(context)
        return self._commands(context)

    @property
    def idle(self) -> bool:
        return not self._context.calls

    @property
    def calls(self) -> int:
        """Calls of which anything is left, also those that wait for a last answer."""
        return len(self._context.calls)

    @property
    def registered(self) -> Registrations:
        """Who is registered; to be looked at only."""
        return self._context.registrations

    def table_sizes(self) -> dict[str, int]:
        """How much every table holds; all are 0 when no call is left (peers' refresh deadline apart)."""
        context = self._context
        return {
            "calls": len(context.calls),
            "dialogs": len(context.dialogs),
            "questions": len(context.questions),
            "aliases": len(context.aliases),
            "registrations under way": len(context.pending) + len(context.turns),
            **context.outside.sizes(),
            "flows kept alive": len(context.mappings),
            "deadlines": len(context.deadlines) - len(context.deadlines.of(_NOBODY)),
            "media sessions": context.media.session_count,
            "ports in use": context.media.ports_in_use,
        }

    # -- the machine ---------------------------------------------------------------------------------------------------

    def _step(self, call: Call, event: Input, detail: object) -> None:
        """One input of a call's machine (`sbc.b2bua.call.TRANSITIONS`)."""
        transition = TRANSITIONS.get((call.state, event))
        if transition is None:
            assert (call.state, event) in IGNORED
            return
        call.state, action = transition
        actions = _ACTIONS_OF[call.role] if call.role else _ACTIONS
        actions[action](self._context, call, detail)
        if call.transfer is not None and call.state is CallState.CLOSING:
            transferred.ended(self._context, call)

    def _exchanged(self, call: Call, done: Exchange, response: Response) -> None:
        """An offer of our own got its final response."""
        if done.purpose == exchange.REFRESH and response.status >= 300:
            session_timer.not_refreshed(self._context, call, call.leg(done.target))
        elif done.purpose == taking_over.PURPOSE:
            taking_over.offered(self._context, call, done, response)
        elif done.purpose == joining.PURPOSE:
            joining.agreed(self._context, call, response)

    def _begin(self, now: float) -> Context:
        context = self._context
        context.now = now
        context.out = []
        return context

    def _commands(self, context: Context) -> list[Command]:
        wanted = context.media.wanted_binds()
        if wanted:
            context.out += [BindPorts(host, count) for host, count in wanted]
        return context.out

    # -- SIP events ----------------------------------------------------------------------------------------------------

    def _request(self, event: RequestReceived) -> None:
        context, request = self._context, event.request
        given = authentication.take(context, request)
        tag = request.to.tag
        if tag is None:
            if request.method == "INVITE":
                opened = setup.open_call(context, request, event.transaction, event.packet, given)
                if opened is not None:  # it may have been refused at once
                    teardown.settle(context, opened)
            else:
                outside.request_received(context, request, event.transaction, event.packet, given)
            return
        found = self._leg_of(request.call_id, tag, request.from_.tag, event.packet)
        if found is None:
            outside.dialog_request_received(context, request, event.transaction, event.packet)
            return
        call, leg = found
        in_dialog.request_received(context, call, leg, request, event.transaction, event.packet.hop, given)
        teardown.settle(context, call)

    def _leg_of(self, call_id: str, local_tag: str, remote_tag: str | None, packet: Packet) -> tuple[Call, Leg] | None:
        """The call and leg whose dialog a request belongs to (12.2.2); the message goes into the call's record."""
        found = self._context.dialogs.get((call_id, local_tag))
        if found is None:
            return None
        call, leg = found
        if leg.dialog_with(remote_tag or "") is None or leg.zone.name != packet.hop.zone:
            return None
        self._context.out.append(MessageSeen(call.id, packet))
        return call, leg

    def _ack(self, event: AckReceived) -> None:
        request = event.request
        authentication.take(self._context, request)
        tag = request.to.tag
        found = None if tag is None else self._leg_of(request.call_id, tag, request.from_.tag, event.packet)
        if found is not None:
            call, leg = found
            in_dialog.ack_received(self._context, call, leg, request, event.packet.hop)
            teardown.settle(self._context, call)

    def _cancel(self, event: CancelReceived) -> None:
        call = self._context.calls.get(event.label)
        if call is None:
            return
        self._context.out.append(MessageSeen(call.id, event.packet))
        if event.transaction == call.a.transaction:
            self._step(call, Input.CANCEL, event.request)
        else:
            exchange.cancelled(self._context, call, event.transaction)
        teardown.settle(self._context, call)

    def _response(self, event: ResponseReceived) -> None:
        context = self._context
        call = self._call_of(event)
        if call is None:
            waiting = context.pending.get(event.transaction)
            if waiting is not None:
                _OUTSIDE[type(waiting)][0](context, event, waiting)
            else:
                outside.response_received(context, event.transaction, event.response)
            return
        context.out.append(MessageSeen(call.id, event.packet))
        sent = call.clients.get(event.transaction)
        # 8.1.3.3: what is no answer to our request, though it names our transaction, is an error of the other side
        if sent is not None and event.response.cseq.number == sent.request.cseq.number:
            self._responses[sent.purpose](self, call, event, sent)
            teardown.settle(context, call)

    def _call_of(self, event: ResponseReceived | TransactionTimedOut | TransactionFailed) -> Call | None:
        """The call that has the client transaction: the one that sent it, or the one that its leg has gone over to."""
        calls = self._context.calls
        call = calls.get(event.label)
        if call is not None and call.partner and event.transaction not in call.clients:
            partner = calls.get(call.partner)
            if partner is not None and event.transaction in partner.clients:
                return partner
        return call

    def _invite_response(self, call: Call, event: ResponseReceived, sent: Sent) -> None:
        attempt = call.attempts.get(sent.attempt)
        if attempt is not None:
            targets.invite_response(self._context, call, attempt, event.response)
            return
        leg = call.leg(sent.side)
        if leg is None or leg.dialog is None or not 200 <= event.response.status < 300:
            return
        if event.response.to.tag == leg.dialog.remote_tag and leg.transaction == event.transaction:
            answers.repeat_ack(self._context, call, leg, event.response)
        else:
            teardown.stray_answer(self._context, call, sent, event.response)

    def _stray_response(self, call: Call, event: ResponseReceived, sent: Sent) -> None:
        if event.response.status >= 300:
            call.clients.pop(event.transaction, None)
        elif event.response.status >= 200:
            teardown.stray_answer(self._context, call, sent, event.response)

    def _relay_response(self, call: Call, event: ResponseReceived, sent: Sent) -> None:
        in_dialog.response_received(self._context, call, event.transaction, event.response)

    def _exchange_response(self, call: Call, event: ResponseReceived, sent: Sent) -> None:
        exchange.response_received(self._context, call, event.transaction, sent, event.response)

    def _prack_response(self, call: Call, event: ResponseReceived, sent: Sent) -> None:
        reliable.prack_answered(self._context, call, event.transaction, event.response)

    def _notify_response(self, call: Call, event: ResponseReceived, sent: Sent) -> None:
        transferred.notified(self._context, call, event.transaction, event.response)

    def _digit_response(self, call: Call, event: ResponseReceived, sent: Sent) -> None:
        dtmf.answered(self._context, call, event.transaction, event.response)

    def _bye_response(self, call: Call, event: ResponseReceived, sent: Sent) -> None:
        if event.response.status >= 200:
            call.clients.pop(event.transaction, None)

    _responses: ClassVar[dict[Purpose, Callable[[B2bua, Call, ResponseReceived, Sent], None]]] = {
        Purpose.INVITE: _invite_response,
        Purpose.STRAY: _stray_response,
        Purpose.EXCHANGE: _exchange_response,
        Purpose.PRACK: _prack_response,
        Purpose.RELAY: _relay_response,
        Purpose.BYE: _bye_response,
        Purpose.NOTIFY: _notify_response,
        Purpose.DIGIT: _digit_response,
    }

    def _transaction_lost(self, event: TransactionTimedOut | TransactionFailed) -> None:
        """No answer, or no way to send. A server transaction's time-out (timer H) matters to nobody here."""
        context = self._context
        call = self._call_of(event)
        sent = call.clients.pop(event.transaction, None) if call is not None else None
        if call is None or sent is None:
            waiting = context.pending.pop(event.transaction, None)
            if waiting is not None:
                _OUTSIDE[type(waiting)][1](context, event, waiting)
            elif call is None:
                outside.lost(context, event.transaction, isinstance(event, TransactionTimedOut))
            return
        if sent.purpose is Purpose.INVITE:
            attempt = call.attempts.get(sent.attempt)
            if attempt is not None:
                timed_out = isinstance(event, TransactionTimedOut)
                targets.lost(context, call, attempt, "did not answer" if timed_out else "cannot be reached")
        elif sent.purpose is Purpose.EXCHANGE:
            exchange.lost(context, call, event.transaction, isinstance(event, TransactionTimedOut))
        elif sent.purpose is Purpose.PRACK:
            reliable.prack_lost(context, call, event.transaction)
        elif sent.purpose is Purpose.RELAY:
            in_dialog.lost(context, call, event.transaction, isinstance(event, TransactionTimedOut))
        elif sent.purpose is Purpose.DIGIT:
            dtmf.lost(context, call, event.transaction, isinstance(event, TransactionTimedOut))
        teardown.settle(context, call)

    # -- answers from outside and media events -------------------------------------------------------------------------

    def _answer(self, event: Answer) -> None:
        context = self._context
        call, number = context.questions.pop(event.token, (None, 0))
        if call is None:
            if not outside.resolved(context, event.token, event.hops):
                self._peer_found(event)
            return
        attempt = call.attempts.get(number)
        if attempt is not None:
            targets.resolved(context, call, attempt, event.hops, event.error)
        teardown.settle(context, call)

    def _peer_found(self, event: Answer) -> None:
        """Where a peer is that is configured by name; or an answer that comes too late for its call."""
        context = self._context
        prefix, _, name = event.token.partition(":")
        peer = context.network.peers.get(name)
        if prefix + ":" != _PEER_QUESTION or peer is None:
            return
        if event.hops:
            context.places.learn(peer, event.hops)
        else:  # what was known of it stands
            context.deadlines.set(_NOBODY, "peers", context.now + _PEER_RETRY)

    def _ask_for_peers(self) -> None:
        context = self._context
        named = [peer for peer in context.network.peers.values() if not whereabouts.is_address(peer.host)]
        for peer in named:
            query = Resolve(peer.zone, peer.host, peer.port, peer.transports)
            context.out.append(Ask(_PEER_QUESTION + peer.name, query))
        if named:
            context.deadlines.set(_NOBODY, "peers", context.now + _PEER_REFRESH)

    def _ports(self, event: PortsReady) -> None:
        self._context.media.handle(event, self._context.now)

    def _plane_lost(self, event: PlaneLost) -> None:
        """Every flow is applied again; the calls go on (house plan, section 6)."""
        context = self._context
        for flow in context.media.handle(event, context.now):
            context.out.append(ApplyFlow(flow))
            call = self._call_of_flow(flow.id)
            if call is not None:
                context.decided(call, "observe", "media", f"flow {flow.id[-1]} applied again", event.reason)
        for call in list(context.calls.values()):
            call.draining_flows.clear()  # the last figures died with the plane
            teardown.settle(context, call)

    def _latched(self, event: Latched) -> None:
        call = self._call_of_flow(event.flow_id)
        if call is not None:
            source = f"{event.source.host} {event.source.port}"
            self._context.decided(
                call, "observe", "media", "latched", f"flow {event.flow_id[-1]} leg {event.side} to {source}"
            )

    def _mismatch(self, event: SourceMismatch) -> None:
        call = self._call_of_flow(event.flow_id)
        if call is not None and (event.flow_id, event.side) not in call.mismatches:
            call.mismatches.add((event.flow_id, event.side))
            self._context.decided(
                call,
                "observe",
                "media",
                "dropped",
                f"leg {event.side}: packets from {event.source.host} {event.source.port}",
            )

    def _silent(self, event: Silent) -> None:
        """One silent stream is no reason to end a call whose other streams flow (a muted camera)."""
        call = self._call_of_flow(event.flow_id)
        if call is None or call.media is None:
            return
        call.silent_flows.add(event.flow_id)
        watched = {flow.id for flow in call.media.flows() if flow.silence}
        if watched <= call.silent_flows:
            self._step(call, Input.ENDED_HERE, _SILENCE)
            teardown.settle(self._context, call)
        else:
            self._context.decided(call, "observe", "media", "silent", f"flow {event.flow_id[-1]}; others still flow")

    def _digit(self, event: DtmfReceived) -> None:
        call = self._call_of_flow(event.flow_id)
        if call is not None:
            dtmf.heard(self._context, call, event)
            teardown.settle(self._context, call)

    def _stats(self, event: StatsReport) -> None:
        call = self._call_of_flow(event.flow_id)
        if call is not None and event.final:
            teardown.figures(self._context, call, event)
            teardown.settle(self._context, call)

    def _call_of_flow(self, flow_id: str) -> Call | None:
        return self._context.calls.get(flow_id.rpartition("/")[0])

    # -- deadlines -----------------------------------------------------------------------------------------------------

    def _target_silent(self, call: Call, number: str) -> None:
        attempt = call.attempts.get(int(number))
        if attempt is not None:
            targets.silent(self._context, call, attempt)

    def _target_rang_out(self, call: Call, number: str) -> None:
        attempt = call.attempts.get(int(number))
        if attempt is not None:
            targets.rang_out(self._context, call, attempt)

    def _repeat_2xx(self, call: Call, side: str) -> None:
        """13.3.1.4: at T1, doubling up to T2, until the ACK comes; after 64*T1 the call ends."""
        leg = call.leg(side)
        if leg is None or leg.unacked is None:
            return
        context, unacked = self._context, leg.unacked
        if context.now >= unacked.give_up:
            leg.unacked = None
            self._step(call, Input.UNACKED, _UNACKED)
            teardown.send_owed_bye(context, call, leg)
            return
        answers.repeat_2xx(context, call, leg, unacked)


_NOBODY = ""
_PEER_QUESTION = "peer:"
