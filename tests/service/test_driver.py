"""The loop, with everything around it made up: what is fed to whom, in which order, and what an exception costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

from sbc.b2bua import (
    Abandon,
    Answer,
    ApplyFlow,
    Ask,
    BindPorts,
    CallChanged,
    CallEnded,
    CallOpened,
    CallRecord,
    CancelRequest,
    Command,
    Decided,
    HoldFlow,
    Listener,
    MessageSeen,
    Noticed,
    Ping,
    RemoveFlow,
    Resolve,
    Respond,
    SendAck,
    SendDtmf,
    SendRequest,
    Zone,
)
from sbc.media import Flow, PortsReady, Silent
from sbc.service.driver import TICK, Driver
from sbc.sip import (
    Absorbed,
    Address,
    Deliver,
    Effect,
    Hop,
    Packet,
    Refused,
    Request,
    RequestReceived,
    Response,
    TransactionFailed,
    Transmit,
    parse,
)
from sbc.sip import Limits as SipLimits
from sbc.transport import ResolveError

WALL = 1_000_000.0
HOP = Hop("outside", "UDP", Address("127.0.0.1", 5060), Address("127.0.0.9", 5060))
RAW = (
    b"INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP c;branch=z9hG4bKx\r\nFrom: <sip:c@d>;tag=1\r\nTo: <sip:a@b>\r\n"
    b"Call-ID: known-by-this\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
)
PACKET = Packet(RAW, HOP)
ZONE = Zone("outside", (Listener("UDP", HOP.local, HOP.local),))


def request() -> Request:
    message = parse(RAW, SipLimits())
    assert isinstance(message, Request)
    return message


RECEIVED = RequestReceived(request(), "server-1", PACKET)
OK = Response(200, "OK", request().headers)


class World:
    """Everything around the driver. `said` is what was done, in order."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.said: list[Any] = []
        self.effects: dict[str, list[Effect] | Exception] = {}
        self.commands: dict[type, list[Command] | Exception] = {}
        self.deadlines: dict[str, float | None] = {"stack": None, "session": None}
        self.recognised: list[Command] | None = None
        self.idle = False
        self.on_write: Callable[[], None] = lambda: None
        self.answer: Deferred[tuple[Hop, ...]] = succeed((HOP,))
        self.driver = Driver(
            Stack(self),  # type: ignore[arg-type]
            Session(self),
            self,
            self,  # type: ignore[arg-type]
            self,
            self,
            {"outside": ZONE},
            self.clock,
            self.clock.seconds,
            lambda: WALL + self.clock.seconds(),
        )

    def effect(self, name: str, *arguments: Any) -> list[Effect]:
        self.said.append((name, *arguments))
        wanted = self.effects.get(name, [])
        if isinstance(wanted, Exception):
            raise wanted
        return wanted

    # transports
    def write(self, data: bytes, hop: Hop, transaction: str | None) -> None:
        self.said.append(("write", data, transaction))
        self.on_write()

    def ping(self, hop: Hop) -> None:
        self.said.append(("ping", hop))

    def hold(self, hop: Hop, seconds: float) -> None:
        self.said.append(("hold", hop, seconds))

    # resolver
    def resolve(self, query: Resolve, zone: Zone) -> Deferred[tuple[Hop, ...]]:
        assert zone is ZONE
        return self.answer

    # plane
    treatments: frozenset[str] = frozenset()

    def subscribe(self, listener: Any) -> None:
        self.said.append("subscribe")

    def bind(self, host: str, count: int) -> None:
        self.said.append(("bind", host, count))

    def apply(self, flow: Any) -> None:
        self.said.append(("apply", flow))

    def remove(self, flow_id: str) -> None:
        self.said.append(("remove", flow_id))

    def send_dtmf(self, *words: Any) -> None:
        self.said.append(("send_dtmf", *words))

    # recorder
    def message(self, call: str, at: float, sent: bool, hop: Hop, data: bytes) -> None:
        self.said.append(("record", call, at, sent, data))

    def decided(self, decided: Decided, at: float) -> None:
        self.said.append(("decided", decided, at))

    def opened(self, record: CallRecord, offset: float) -> None:
        self.said.append(("opened", record.call, offset))

    def changed(self, record: CallRecord, offset: float) -> None:
        self.said.append(("changed", record.call, offset))

    def ended(self, record: CallRecord, offset: float) -> None:
        self.said.append(("ended", record.call, offset))


class Stack:
    def __init__(self, world: World) -> None:
        self._world = world

    def glance(self, packet: Packet) -> object:
        return packet.data if packet.data.startswith(b"REGISTER") else None

    def receive(self, packet: Packet, now: float) -> list[Effect]:
        return self._world.effect("receive", packet.data)

    def send_request(self, request: Request, hop: Hop, now: float, **options: Any) -> tuple[str, list[Effect]]:
        return options["branch"], self._world.effect("send_request", options)

    def send_ack(self, request: Request, hop: Hop, now: float, *, label: str) -> list[Effect]:
        return self._world.effect("send_ack", label)

    def cancel(self, transaction: str, now: float, reasons: tuple[str, ...]) -> list[Effect]:
        return self._world.effect("cancel", transaction, reasons)

    def respond(self, transaction: str, response: Response, now: float, *, label: str | None) -> list[Effect]:
        return self._world.effect("respond", transaction, response.status, label)

    def abandon(self, transaction: str) -> None:
        self._world.said.append(("abandon", transaction))

    def transport_failed(self, transaction: str, now: float) -> list[Effect]:
        return self._world.effect("transport_failed", transaction)

    def next_deadline(self) -> float | None:
        return self._world.deadlines["stack"]

    def handle_timeout(self, now: float) -> list[Effect]:
        self._world.deadlines["stack"] = None
        return self._world.effect("stack timeout", now)


class Session:
    def __init__(self, world: World) -> None:
        self._world = world

    def _commands(self, kind: type) -> list[Command]:
        wanted = self._world.commands.get(kind, [])
        if isinstance(wanted, Exception):
            raise wanted
        return wanted

    def start(self, now: float, records: object = (), subscribed: object = ()) -> list[Command]:
        return [BindPorts("127.0.0.1", 8), BindPorts("127.0.0.2", 8)]

    def handle(self, event: Any, now: float) -> list[Command]:
        self._world.said.append(("handle", type(event).__name__))
        if isinstance(event, Answer):
            self._world.said.append(event)
        return self._commands(type(event))

    def recognise(self, seen: object, now: float) -> list[Command] | None:
        return self._world.recognised

    def next_deadline(self) -> float | None:
        return self._world.deadlines["session"]

    def handle_timeout(self, now: float) -> list[Command]:
        self._world.deadlines["session"] = None
        self._world.said.append(("session timeout", now))
        return []

    def drain(self, now: float, grace: float) -> list[Command]:
        self._world.said.append(("drain", grace))
        return []

    def hang_up_all(self, now: float) -> list[Command]:
        self._world.said.append("hang up")
        return []

    @property
    def idle(self) -> bool:
        return self._world.idle


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def logged() -> Any:
    events: list[dict[str, Any]] = []
    globalLogPublisher.addObserver(events.append)  # type: ignore[arg-type]
    yield events
    globalLogPublisher.removeObserver(events.append)  # type: ignore[arg-type]


# -- one message in ---------------------------------------------------------------------------------------------------


def test_effects_are_carried_out_before_the_event_is_handled(world: World) -> None:
    world.effects["receive"] = [Deliver(RECEIVED), Transmit(b"100", HOP, None, "")]
    world.driver.receive(PACKET)
    assert world.said == [("receive", RAW), ("write", b"100", None), ("handle", "RequestReceived")]


def test_all_commands_of_an_event_are_carried_out_before_the_next_event_is_handled(world: World) -> None:
    """What a command brings forth at once waits its turn."""
    world.effects["receive"] = [Deliver(RECEIVED)]
    world.effects["send_request"] = [Deliver(TransactionFailed("b", "call-1"))]
    world.commands[RequestReceived] = [
        SendRequest("call-1", "b", request(), HOP),
        Respond("call-1", "server-1", OK),
    ]
    world.driver.receive(PACKET)
    assert world.said[2:] == [
        ("send_request", {"branch": "b", "label": "call-1", "alternative": None}),
        ("respond", "server-1", 200, "call-1"),
        ("handle", "TransactionFailed"),
    ]


def test_what_the_session_layer_recognises_is_not_read(world: World) -> None:
    for world.recognised in [[Transmit(b"200", HOP, None, "")], None]:
        world.driver.receive(Packet(b"REGISTER sip:a SIP/2.0\r\n\r\n", HOP))
    assert [said[:2] for said in world.said] == [("write", b"200"), ("receive", b"REGISTER sip:a SIP/2.0\r\n\r\n")]


def test_a_request_that_is_not_to_be_answered_is_forgotten(world: World) -> None:
    world.effects["receive"] = [Deliver(RECEIVED)]
    world.commands[RequestReceived] = [Abandon("server-1")]
    world.driver.receive(PACKET)
    assert world.said[2:] == [("abandon", "server-1")]


def test_a_failure_from_within_a_write_waits_until_the_effects_are_carried_out(world: World) -> None:
    world.effects["receive"] = [Transmit(b"one", HOP, "t", ""), Transmit(b"two", HOP, None, "")]
    world.effects["transport_failed"] = [Deliver(TransactionFailed("t", ""))]

    def refuse() -> None:
        world.on_write = lambda: None
        world.driver.failed("t", "ECONNREFUSED")

    world.on_write = refuse
    world.driver.receive(PACKET)
    assert [said[0] for said in world.said] == ["receive", "write", "write", "transport_failed", "handle"]
    assert world.driver.undeliverable == 1


def test_a_failure_that_comes_by_itself_is_told_at_once(world: World) -> None:
    world.effects["transport_failed"] = [Deliver(TransactionFailed("t", ""))]
    world.driver.failed("t", "ECONNREFUSED")
    assert world.said == [("transport_failed", "t"), ("handle", "TransactionFailed")]


def test_every_command_goes_where_it_belongs(world: World) -> None:
    flow: Flow = object()  # type: ignore[assignment]
    record = CallRecord("call-1", 1.0)
    decided = Decided("call-1", 2.0, "route", "routing", "to", "because")
    world.clock.advance(10)
    world.effects["receive"] = [Deliver(RECEIVED)]
    world.commands[RequestReceived] = [
        CallOpened(record),
        MessageSeen("call-1", PACKET),
        decided,
        BindPorts("127.0.0.1", 4),
        ApplyFlow(flow),
        SendDtmf("call-1/0", "a", "5", 250),
        SendAck("call-1", request(), HOP),
        CancelRequest("call-1", "b", ("SIP;cause=200",)),
        Respond("", "server-1", OK),
        CallChanged(record),
        RemoveFlow("call-1/0"),
        CallEnded(record),
    ]
    world.driver.receive(PACKET)
    assert world.said[2:] == [
        ("opened", "call-1", WALL),
        ("record", "call-1", WALL + 10, False, RAW),
        ("decided", decided, WALL + 2),
        ("bind", "127.0.0.1", 4),
        ("apply", flow),
        ("send_dtmf", "call-1/0", "a", "5", 250),
        ("send_ack", "call-1"),
        ("cancel", "b", ("SIP;cause=200",)),
        ("respond", "server-1", 200, None),
        ("changed", "call-1", WALL),
        ("remove", "call-1/0"),
        ("ended", "call-1", WALL),
    ]
    assert world.driver.bugs == 0


def test_what_is_sent_and_what_is_absorbed_is_recorded_under_its_call(world: World) -> None:
    world.effects["receive"] = [
        Absorbed(PACKET, "call-1"),
        Absorbed(PACKET, ""),
        Transmit(b"again", HOP, None, "call-1"),
        Transmit(b"nobody's", HOP, None, ""),
    ]
    world.driver.receive(PACKET)
    assert [said for said in world.said if said[0] == "record"] == [
        ("record", "call-1", WALL, False, RAW),
        ("record", "call-1", WALL, True, b"again"),
    ]


def test_packets_that_nobody_understands_are_counted_and_do_not_fill_the_log(world: World, logged: Any) -> None:
    world.effects["receive"] = [Refused(PACKET, "no CSeq")]
    for _ in range(100):
        world.driver.receive(PACKET)
    assert world.driver.refused == 100
    assert len(logged) == 1
    world.clock.advance(11)
    world.driver.receive(PACKET)
    assert len(logged) == 2


@pytest.mark.parametrize("detailed", [False, True])
def test_a_call_logs_one_line_at_its_end_and_in_detail_one_at_its_start_and_all_name_it(
    world: World, logged: Any, detailed: bool
) -> None:
    world.driver._detailed = detailed
    world.effects["receive"] = [Deliver(RECEIVED)]
    record = CallRecord("call-1", 1.0)
    world.commands[RequestReceived] = [CallOpened(record), CallChanged(record), CallEnded(record)]
    world.driver.receive(PACKET)
    assert [event["log_level"].name for event in logged] == ["debug", "info"][not detailed :]
    assert {event["call"] for event in logged} == {"call-1"}
    assert "ended by" in logged[-1]["text"]


def test_what_the_operator_is_to_know_at_once_is_logged_as_a_warning(world: World, logged: Any) -> None:
    world.effects["receive"] = [Deliver(RECEIVED)]
    world.commands[RequestReceived] = [Noticed("peer pbx does not answer")]
    world.driver.receive(PACKET)
    assert [(event["log_level"].name, event["text"]) for event in logged] == [("warn", "peer pbx does not answer")]


@pytest.mark.parametrize("detailed", [False, True])
def test_what_is_decided_of_a_request_outside_calls_is_logged_in_detail_and_stands_in_no_trail(
    world: World, logged: Any, detailed: bool
) -> None:
    world.driver._detailed = detailed
    world.effects["receive"] = [Deliver(RECEIVED)]
    world.commands[RequestReceived] = [Decided("", 1.0, "route", "relay", "MESSAGE of pbx refused: 404", "no route")]
    world.driver.receive(PACKET)
    assert [event["text"] for event in logged] == ["MESSAGE of pbx refused: 404: no route"] * detailed
    assert not any(said[0] == "decided" for said in world.said)


def test_who_is_not_let_in_is_logged_but_a_crowd_does_not_fill_the_log(world: World, logged: Any) -> None:
    world.effects["receive"] = [Deliver(RECEIVED)]
    refused = Decided(
        "", 1.0, "admit", "registrar", "REGISTER of sip:a@b from 192.0.2.1 refused: 401", "wrong password"
    )
    world.commands[RequestReceived] = [refused] * 30
    world.driver.receive(PACKET)
    assert [event["log_level"].name for event in logged] == ["info"] * 20
    assert logged[0]["text"] == f"{refused.verdict}: wrong password"
    world.clock.advance(10)
    world.driver.receive(PACKET)
    assert logged[20]["text"] == f"{refused.verdict}: wrong password (10 more before)"
    assert len(logged) == 40


# -- questions --------------------------------------------------------------------------------------------------------


def test_flows_are_pinged_and_held_and_their_end_is_told_in_its_turn(world: World) -> None:
    world.effects["receive"] = [Deliver(RECEIVED), Transmit(b"100", HOP, None, "")]
    world.commands[RequestReceived] = [Ping(HOP), HoldFlow(HOP, 600.0)]
    world.on_write = lambda: world.driver.stream_ended(HOP)
    world.driver.receive(PACKET)
    assert world.said[1:] == [
        ("write", b"100", None),
        ("handle", "RequestReceived"),
        ("ping", HOP),
        ("hold", HOP, 600.0),
        ("handle", "FlowLost"),
    ]


def test_a_question_is_answered_with_hops(world: World) -> None:
    world.effects["receive"] = [Deliver(RECEIVED)]
    world.commands[RequestReceived] = [Ask("q", Resolve("outside", "a.example", None, ("UDP",)))]
    world.driver.receive(PACKET)
    assert world.said[-1] == Answer("q", (HOP,))


def test_a_question_without_answer_comes_back_with_the_reason(world: World) -> None:
    world.answer = fail(ResolveError("no such name"))
    world.effects["receive"] = [Deliver(RECEIVED)]
    world.commands[RequestReceived] = [Ask("q", Resolve("outside", "a.example", None, ("UDP",)))]
    world.driver.receive(PACKET)
    assert world.said[-1] == Answer("q", (), "no such name")


def test_an_answer_that_takes_its_time_is_handled_when_it_comes(world: World) -> None:
    world.answer = Deferred()
    world.effects["receive"] = [Deliver(RECEIVED)]
    world.commands[RequestReceived] = [Ask("q", Resolve("outside", "a.example", None, ("UDP",)))]
    world.driver.receive(PACKET)
    assert world.said[-1] == ("handle", "RequestReceived")
    world.answer.callback((HOP,))
    assert world.said[-1] == Answer("q", (HOP,))


# -- time -------------------------------------------------------------------------------------------------------------


def test_one_timer_serves_all_deadlines_and_is_armed_for_the_earliest(world: World) -> None:
    world.deadlines = {"stack": 0.5, "session": 180.0}
    for _ in range(5):
        world.driver.receive(PACKET)
    assert [call.getTime() for call in world.clock.getDelayedCalls()] == [0.5]
    world.deadlines["session"] = 0.25
    world.driver.receive(PACKET)
    assert [call.getTime() for call in world.clock.getDelayedCalls()] == [0.25]


def test_a_timer_that_fires_too_early_only_arms_itself_again(world: World) -> None:
    world.deadlines["stack"] = 0.5
    world.driver.receive(PACKET)
    world.deadlines["stack"] = 4.0
    world.driver.receive(PACKET)
    assert [call.getTime() for call in world.clock.getDelayedCalls()] == [0.5]
    del world.said[:]
    world.clock.advance(0.5)
    assert world.said == []
    assert [call.getTime() for call in world.clock.getDelayedCalls()] == [4.0]
    world.clock.advance(3.5)
    assert world.said == [("stack timeout", 4.0)]
    assert world.clock.getDelayedCalls() == []


def test_many_deadlines_share_one_timer_a_tick(world: World) -> None:
    fired = 0
    for number in range(1, 201):
        world.deadlines["stack"] = number / 1000
        world.driver.receive(PACKET)
        del world.said[:]
        world.clock.advance(0.001)
        fired += len([said for said in world.said if said[0] == "stack timeout"])
    world.clock.advance(TICK)
    assert 5 <= fired <= 0.2 / TICK + 1
    assert world.deadlines["stack"] is None


def test_a_deadline_is_late_by_a_tick_at_most(world: World) -> None:
    world.deadlines["stack"] = 1.0
    world.driver.receive(PACKET)
    world.clock.advance(1.0)
    world.deadlines["session"] = 1.001
    world.driver.receive(PACKET)
    world.clock.advance(TICK)
    assert world.deadlines["session"] is None


def test_what_a_timeout_brings_is_handled(world: World) -> None:
    world.deadlines = {"stack": 1.0, "session": 1.0}
    world.effects["stack timeout"] = [Deliver(TransactionFailed("t", ""))]
    world.driver.receive(PACKET)
    del world.said[:]
    world.clock.advance(1.0)
    assert world.said == [("stack timeout", 1.0), ("session timeout", 1.0), ("handle", "TransactionFailed")]


def test_a_stopped_driver_leaves_no_timer(world: World) -> None:
    world.deadlines["stack"] = 1.0
    world.driver.receive(PACKET)
    world.driver.stop()
    assert world.clock.getDelayedCalls() == []


# -- beginning and end ------------------------------------------------------------------------------------------------


def test_it_is_ready_when_every_address_has_media_ports(world: World) -> None:
    ready = world.driver.start()
    world.driver.flow_event(PortsReady("127.0.0.1", (20000,)))
    assert not ready.called
    world.driver.flow_event(PortsReady("127.0.0.2", (20000,)))
    assert ready.called


def test_draining_is_over_when_the_last_call_is(world: World) -> None:
    drained = world.driver.drain(30.0)
    assert world.said == [("drain", 30.0)]
    world.driver.receive(PACKET)
    assert not drained.called
    ended = world.driver.hang_up()
    world.idle = True
    world.driver.flow_event(Silent("call-1/0"))
    assert drained.called
    assert ended.called


# -- bugs -------------------------------------------------------------------------------------------------------------


def test_a_bug_in_the_stack_costs_one_message_and_is_told_with_its_call_id(world: World, logged: Any) -> None:
    world.effects["receive"] = KeyError("bug")
    world.driver.receive(PACKET)
    assert world.driver.bugs == 1
    assert logged[0]["call"] == "known-by-this"
    assert logged[0]["log_failure"].type is KeyError
    world.effects["receive"] = [Deliver(RECEIVED)]
    world.driver.receive(PACKET)
    assert world.said[-1] == ("handle", "RequestReceived")


def test_a_request_whose_handling_fails_is_answered_500(world: World, logged: Any) -> None:
    world.effects["receive"] = [Deliver(RECEIVED)]
    world.commands[RequestReceived] = KeyError("bug")
    world.driver.receive(PACKET)
    assert world.said[-1] == ("respond", "server-1", 500, None)
    assert world.driver.bugs == 1


def test_a_bug_in_one_command_leaves_the_others_alone(world: World, logged: Any) -> None:
    world.effects["receive"] = [Deliver(RECEIVED), Deliver(TransactionFailed("t", ""))]
    world.effects["send_ack"] = KeyError("bug")
    world.commands[RequestReceived] = [SendAck("call-1", request(), HOP), Respond("", "server-1", OK)]
    world.driver.receive(PACKET)
    assert [said[0] for said in world.said[-2:]] == ["respond", "handle"]
    assert logged[0]["call"] == "call-1"
    assert world.driver.bugs == 1


def test_a_bug_in_a_timeout_does_not_stop_the_clock(world: World, logged: Any) -> None:
    world.deadlines = {"stack": 1.0, "session": 1.0}
    world.effects["stack timeout"] = KeyError("bug")
    world.driver.receive(PACKET)
    world.clock.advance(1.0)
    assert world.said[-1] == ("session timeout", 1.0)
    world.deadlines["session"] = 2.0
    world.driver.receive(PACKET)
    world.clock.advance(1.0)
    assert world.said[-1] == ("session timeout", 2.0)
    assert world.driver.bugs == 1
