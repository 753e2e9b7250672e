"""The userspace plane: starts the media worker, watches over it, and talks to it (`sbc.dataplane.wire`).

Commands that change what packets do are written when the turn of the reactor ends that gave them, straight to the
socket: Twisted's write path costs more than the system call. Removals can wait a moment and go together. While no
worker is connected the newest command for each flow is kept, and sent when one is.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.interfaces import IReadWriteDescriptor
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

import sbc
from sbc.dataplane.wire import MAX_LINE, encode_apply, encode_bind, encode_digit, encode_remove
from sbc.media import (
    DtmfReceived,
    Flow,
    FlowEvent,
    FlowId,
    Latched,
    PlaneLost,
    PortsReady,
    Silent,
    SourceMismatch,
    StatsReport,
    StreamStats,
)
from sbc.sip import Address

_log = Logger()

MAX_TURN = 64 << 10
"""Bytes of commands that are not kept to the end of a turn."""
MAX_UNSENT = 4 << 20
"""Bytes of commands that the worker may leave unread before it is taken for lost."""
REMOVE_DELAY = 0.1
"""Seconds for which removals are collected: each message to the worker, and each answer, wakes a process up."""
READ_SIZE = 1 << 16
"""Bytes of events read at once; much more, and the C library would map and unmap memory for each read."""
FIRST_DELAY, LONGEST_DELAY = 0.1, 5.0
"""Seconds before a worker that died is started again; doubled each time it dies young."""
YOUNG = 10.0
"""Seconds after which a worker counts as having worked."""
READY_TIMEOUT = 10.0
"""Seconds that a worker may take until it listens."""
STOP_TIMEOUT = 2.0
"""Seconds between asking the worker to end and killing it."""


class PortRange(NamedTuple):
    """UDP ports from `low` to `high`, both included, on the address `host`, or on every one ("*")."""

    low: int
    high: int
    host: str = "*"


class UserspacePlane:
    """A `DataPlane` in a worker process of its own."""

    treatments: frozenset[str] = frozenset({"payload-map", "dtmf", "msrp"})

    def __init__(self, reactor: Any, *ranges: PortRange, directory: str | None = None, linger: float = 10.0) -> None:
        """`directory` is where the control socket goes: it is made, for our user alone, and must be no one else's;
        None: a temporary one. `linger`: seconds that the worker outlives us."""
        self._reactor = reactor
        self._ranges = ranges
        self._directory = directory
        self._linger = linger
        self._made: str | None = None
        self._listeners: list[Callable[[FlowEvent], None]] = []
        self._worker: _WorkerProcess | None = None
        self._control: _Control | None = None
        self._flows: set[FlowId] = set()
        self._removing: Counter[FlowId] = Counter()  # final reports that are due; an id may be used again at once
        self._to_remove: list[FlowId] = []
        self._remove_timer: Any = None
        self._waiting: dict[FlowId, bytes] = {}
        self._waiting_binds: dict[str, int] = {}
        self._delay = FIRST_DELAY
        self._restart: Any = None
        self._started: Deferred[None] | None = None
        self._stopped: Deferred[None] | None = None

    # -- the DataPlane ------------------------------------------------------------------------------------------------

    def subscribe(self, listener: Callable[[FlowEvent], None]) -> None:
        self._listeners.append(listener)

    def bind(self, host: str, count: int) -> None:
        if self._control is None:
            self._waiting_binds[host] = self._waiting_binds.get(host, 0) + count
        else:
            self._control.send(encode_bind(host, count))

    def apply(self, flow: Flow) -> None:
        """Raises ValueError for a treatment that this plane does not have."""
        if not flow.treatments <= self.treatments:
            raise ValueError(f"no such treatment: {sorted(flow.treatments - self.treatments)}")
        command = encode_apply(flow)
        self._flows.add(flow.id)
        if self._control is None:
            self._waiting[flow.id] = command
            return
        if flow.id in self._removing:
            self._send_removals()  # the same id again: what came first must go first
        self._control.send(command)
        if flow.paths is not None:
            self._control.flush()  # whoever is about to be told of a port may connect at once

    def remove(self, flow_id: FlowId) -> None:
        if flow_id not in self._flows:
            return
        self._flows.remove(flow_id)
        self._waiting.pop(flow_id, None)
        self._removing[flow_id] += 1
        self._to_remove.append(flow_id)
        if self._remove_timer is None:
            self._remove_timer = self._reactor.callLater(REMOVE_DELAY, self._removals_due)

    def send_dtmf(self, flow_id: FlowId, side: str, digit: str, duration: int) -> None:
        if self._control is not None and flow_id in self._flows:  # without a worker nobody would hear it in time
            self._control.send(encode_digit(flow_id, side, digit, duration))

    @property
    def flow_count(self) -> int:
        return len(self._flows)

    # -- the worker's life --------------------------------------------------------------------------------------------

    def start(self) -> Deferred[None]:
        """Start the worker; fires when it is connected. Commands may be given before that."""
        started: Deferred[None] = Deferred()
        self._started = started
        self._spawn()
        return started

    def stop(self) -> Deferred[None]:
        """End the worker; fires when its process is gone and nothing is left behind. No events come after this call."""
        if self._stopped is not None:
            waiter: Deferred[None] = Deferred()
            self._stopped.addCallback(lambda _: waiter.callback(None))
            return waiter
        self._listeners.clear()
        for timer in (self._restart, self._remove_timer):
            if timer is not None and timer.active():
                timer.cancel()
        self._stopped = Deferred()
        self._drop_control()
        worker = self._worker
        if worker is None:
            self._clean_up()
            self._stopped = succeed(None)
            return succeed(None)
        result: Deferred[None] = Deferred()
        self._stopped.addCallback(lambda _: result.callback(None))
        worker.end()
        return result

    def _spawn(self) -> None:
        self._restart = None
        if self._made is None:
            self._made = self._make_directory()
        path = os.path.join(self._made, "media.sock")
        command = [sys.executable, "-m", "sbc.dataplane.worker", "--socket", path, "--linger", str(self._linger)]
        for low, high, host in self._ranges:
            command += ["--range", host, str(low), str(high)]
        root = os.path.dirname(os.path.dirname(os.path.abspath(sbc.__file__)))
        paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        self._worker = _WorkerProcess(self, path)
        self._reactor.spawnProcess(self._worker, command[0], command, environment)

    def _make_directory(self) -> str:
        if self._directory is None:
            return tempfile.mkdtemp(prefix="sbc-media-")  # mode 0700
        os.makedirs(self._directory, mode=0o700, exist_ok=True)
        os.chmod(self._directory, 0o700)
        return self._directory

    def _clean_up(self) -> None:
        if self._made is not None and self._directory is None:
            shutil.rmtree(self._made, ignore_errors=True)
            self._made = None

    def _worker_ready(self, worker: _WorkerProcess) -> None:
        if worker is not self._worker or self._stopped is not None:
            return
        try:
            self._control = _Control(self._reactor, worker.path, self._lines_received, self._control_lost)
        except OSError as error:
            worker.kill(f"its socket could not be connected: {error}")
            return
        # Flows first: they own their ports, and a bind must not give these to somebody else.
        for command in self._waiting.values():
            self._control.send(command)
        self._waiting.clear()
        for host, count in self._waiting_binds.items():
            self.bind(host, count)
        self._waiting_binds.clear()
        if self._started is not None:
            started, self._started = self._started, None
            started.callback(None)

    def _control_lost(self, reason: str) -> None:
        if self._worker is not None:
            self._worker.kill(reason)

    def _worker_ended(self, worker: _WorkerProcess, reason: str) -> None:
        self._worker = None
        was_connected = self._control is not None
        self._drop_control()
        if self._stopped is not None:
            self._clean_up()
            self._stopped.callback(None)
            return
        if worker.age >= YOUNG:
            self._delay = FIRST_DELAY
        _log.error("media worker ended: {reason}; again in {delay} s", reason=reason, delay=self._delay)
        self._restart = self._reactor.callLater(self._delay, self._spawn)
        self._delay = min(LONGEST_DELAY, self._delay * 2)
        if was_connected:
            self._lose(reason)

    def _lose(self, reason: str) -> None:
        """All flows are gone. What was being removed gets the report that it is due; the rest will be applied again."""
        orphans, self._removing = self._removing, Counter()
        self._to_remove.clear()
        for flow_id in orphans.elements():
            self._emit(StatsReport(flow_id, StreamStats(), StreamStats(), True))
        self._emit(PlaneLost(reason))

    def _drop_control(self) -> None:
        if self._control is not None:
            control, self._control = self._control, None
            control.close()

    # -- removals -----------------------------------------------------------------------------------------------------

    def _removals_due(self) -> None:
        self._remove_timer = None
        self._send_removals()

    def _send_removals(self) -> None:
        flow_ids, self._to_remove = self._to_remove, []
        if not flow_ids:
            return
        if self._control is not None:
            self._control.send(encode_remove(flow_ids))
            return
        for flow_id in flow_ids:  # no worker: nothing was relayed
            self._event(StatsReport(flow_id, StreamStats(), StreamStats(), True))

    # -- events -------------------------------------------------------------------------------------------------------

    def _lines_received(self, lines: list[bytes]) -> None:
        for line in lines:
            try:
                events = [_flow_event(raw) for raw in json.loads(line)]
            except (ValueError, TypeError, KeyError, IndexError) as error:
                self._control_lost(f"it said what cannot be understood: {error}")
                return
            for event in events:
                self._event(event)

    def _event(self, event: FlowEvent | str) -> None:
        if isinstance(event, str):
            _log.error("media worker: {text}", text=event)
            return
        if isinstance(event, StatsReport) and event.final:
            due = self._removing[event.flow_id]
            if due > 1:
                self._removing[event.flow_id] = due - 1
            elif due:
                del self._removing[event.flow_id]
            else:
                return
        self._emit(event)

    def _emit(self, event: FlowEvent) -> None:
        for listener in tuple(self._listeners):
            listener(event)


def _address(raw: Any) -> Address | None:
    return None if raw is None else Address(raw[0], raw[1])


def _stats(raw: Any) -> StreamStats:
    return StreamStats._make([*raw[:-1], _address(raw[-1])])


_EVENTS: dict[str, Callable[..., FlowEvent | str]] = {
    "p": lambda host, ports: PortsReady(host, tuple(ports)),
    "l": lambda flow_id, side, source: Latched(flow_id, side, Address(*source)),
    "m": lambda flow_id, side, source, count: SourceMismatch(flow_id, side, Address(*source), count),
    "q": Silent,
    "k": DtmfReceived,
    "s": lambda flow_id, a, b, final: StatsReport(flow_id, _stats(a), _stats(b), final),
    "e": str,
}


def _flow_event(raw: list[Any]) -> FlowEvent | str:
    """Raises KeyError or TypeError for what is no event."""
    return _EVENTS[raw[0]](*raw[1:])


class _WorkerProcess(ProcessProtocol):
    """The worker as a child process."""

    def __init__(self, plane: UserspacePlane, path: str) -> None:
        self._plane = plane
        self.path = path
        self._ready_at: float | None = None
        self._reason = ""
        self._timer = plane._reactor.callLater(READY_TIMEOUT, self.kill, "it did not get ready")

    @property
    def age(self) -> float:
        """Seconds since it was ready; 0 if it never was."""
        return 0.0 if self._ready_at is None else self._plane._reactor.seconds() - self._ready_at

    def outReceived(self, data: bytes) -> None:
        if self._ready_at is None and b"ready" in data:
            self._ready_at = self._plane._reactor.seconds()
            self._disarm()
            self._plane._worker_ready(self)

    def errReceived(self, data: bytes) -> None:
        _log.error("media worker: {text}", text=data.decode("utf-8", "replace").rstrip()[:2000])

    def processEnded(self, reason: Failure) -> None:
        self._disarm()
        self._plane._worker_ended(self, self._reason or reason.getErrorMessage())

    def kill(self, reason: str) -> None:
        self._reason = self._reason or reason
        self._signal("KILL")

    def end(self) -> None:
        self._disarm()
        self._signal("TERM")
        self._timer = self._plane._reactor.callLater(STOP_TIMEOUT, self.kill, "it did not end when asked to")

    def _signal(self, name: str) -> None:
        with suppress(ProcessExitedAlready):
            self.transport.signalProcess(name)  # type: ignore[union-attr]

    def _disarm(self) -> None:
        if self._timer.active():
            self._timer.cancel()


@implementer(IReadWriteDescriptor)
class _Control:
    """The control connection: a non-blocking Unix socket. What is sent in one turn of the reactor goes in one write,
    which wakes the worker once; what the kernel does not take waits until it does."""

    def __init__(
        self,
        reactor: Any,
        path: str,
        lines_received: Callable[[list[bytes]], None],
        lost: Callable[[str], None],
    ) -> None:
        """Raises OSError if nobody listens at `path`."""
        self._reactor = reactor
        self._lines_received = lines_received
        self._lost = lost
        self._inbound = b""
        self._outbound = bytearray()
        self._blocked = False
        self._turn: Any = None
        self._closed = False
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._sock.connect(path)  # never waits: the worker listens already
        except OSError:
            self._sock.close()
            raise
        self._sock.setblocking(False)
        reactor.addReader(self)

    def send(self, command: bytes) -> None:
        if self._closed:
            return
        self._outbound += command
        if self._blocked:
            self._check()
        elif len(self._outbound) > MAX_TURN:
            self._flush()
        elif self._turn is None:
            self._turn = self._reactor.callLater(0, self._turn_ends)

    def _turn_ends(self) -> None:
        self._turn = None
        self.flush()

    def flush(self) -> None:
        """Write now what waits for the turn to end."""
        if self._outbound and not self._blocked:
            self._flush()

    def _flush(self) -> None:
        try:
            sent = self._sock.send(self._outbound)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._fail(f"its connection broke: {error}")
            return
        del self._outbound[:sent]
        blocked = bool(self._outbound)
        if blocked != self._blocked:
            self._blocked = blocked
            (self._reactor.addWriter if blocked else self._reactor.removeWriter)(self)
        self._check()

    def _check(self) -> None:
        if len(self._outbound) > MAX_UNSENT:
            self._fail("it does not read its commands")

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            if self._turn is not None:
                self._turn.cancel()
            self._reactor.removeReader(self)
            self._reactor.removeWriter(self)
            self._sock.close()

    def _fail(self, reason: str) -> None:
        if not self._closed:
            self.close()
            self._lost(reason)

    # What the reactor calls.

    def fileno(self) -> int:
        return self._sock.fileno()

    def logPrefix(self) -> str:
        return "media control"

    def doRead(self) -> None:
        try:
            data = self._sock.recv(READ_SIZE)
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(f"its connection broke: {error}")
            return
        if not data:
            self._fail("it closed its connection")
            return
        *lines, self._inbound = (self._inbound + data).split(b"\n")
        if len(self._inbound) > 8 * MAX_LINE:
            self._fail("it sent a line without an end")
            return
        self._lines_received(lines)

    def doWrite(self) -> None:
        self._flush()

    def connectionLost(self, reason: Failure) -> None:
        self._fail(f"its connection was lost: {reason.getErrorMessage()}")
