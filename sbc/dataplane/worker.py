"""The media worker: a process of its own that relays packets between port pairs. `python -m sbc.dataplane.worker
--help`.

No Twisted: raw sockets and one epoll. It obeys whoever connects to its Unix socket (`sbc.dataplane.wire`) and tells
every connection what happens. It outlives the signalling process for `--linger` seconds, so that a new one can take
it over.
"""

from __future__ import annotations

import argparse
import gc
import os
import resource
import select
import signal
import socket
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

from sbc.dataplane.messages import Messages
from sbc.dataplane.ports import Ports
from sbc.dataplane.relay import Relay
from sbc.dataplane.wire import MAX_LINE, decode, encode

MAX_CONNECTIONS = 4
MAX_UNREAD = 4 << 20
"""Bytes of events that a connection may leave unread before it is closed."""
EVENT_PAUSE = 0.01
"""Seconds between two writes of events: they are collected, so that a busy signalling process wakes seldom."""
BATCH = 512
"""Descriptors taken from epoll at once."""
PAUSE = 0.001
"""Packets come fast when they make us wait for less than this many seconds. Then so much is slept before the sockets
are looked at again: it is nothing to a listener, and one wake for several packets costs half of one for each."""
READ_SIZE = 1 << 16
"""Bytes of commands read at once; much more, and the C library would map and unmap memory for each read."""


class _Connection:
    """One control connection: what was read of an unfinished line, what is still to be written."""

    __slots__ = ("inbound", "outbound", "sock")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.inbound = b""
        self.outbound = b""


class Worker:
    """The process: its loop, its control connections, its end."""

    def __init__(self, path: str, ranges: Iterable[tuple[str, int, int]], linger: float) -> None:
        """Raises OSError if the control socket cannot be made at `path`, ValueError for an empty range."""
        self._path = path
        self._linger = linger
        self._epoll = select.epoll()
        self._ports = Ports(ranges)
        self.relay = Relay(self._ports, self._epoll)
        self.messages = Messages(self.relay)
        self._connections: dict[int, _Connection] = {}
        self._listener = _listen(path)
        self._hear(self._listener, self._accept)
        self._alone_since = time.monotonic()
        self._flushed_at = 0.0
        self._stopping = False
        self._signals: tuple[socket.socket, ...] = ()

    def stop(self, *_signal: object) -> None:
        self._stopping = True

    def obey_signals(self) -> None:
        """End at SIGTERM. Python resumes a wait that a signal broke off, so the signal must make a socket readable."""
        reader, writer = socket.socketpair()
        reader.setblocking(False)
        writer.setblocking(False)
        self._signals = (reader, writer)
        signal.set_wakeup_fd(writer.fileno())
        self._hear(reader, lambda now: None)
        signal.signal(signal.SIGTERM, self.stop)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for the whole group; signalling decides

    def run(self) -> None:
        """Until `stop`, or until nobody has been connected for `linger` seconds."""
        relay, hears = self.relay, self.relay.hears
        poll, clock = self._epoll.poll, time.monotonic
        wake_at = 0.0
        busy = False
        while not self._stopping:
            ready = poll(0, BATCH) if busy else []
            if not ready:  # everything has been read: now there is time to wait
                if busy:
                    time.sleep(PAUSE)
                before = clock()
                ready = poll(max(0.0, wake_at - before), BATCH)
                now = clock()
                busy = now - before < PAUSE
            else:
                now = clock()
            relay.now = now
            for descriptor, _ in ready:
                hear = hears.get(descriptor)  # None: closed by an earlier one of this batch
                if hear is not None:
                    try:
                        hear(now)
                    except Exception as error:  # a packet must never end the process
                        self._complain(error)
            if now >= wake_at or relay.events or relay.due:
                wake_at = self._look_around(now)
        self._end()

    def _look_around(self, now: float) -> float:
        """Do what is due; gives the time at which the next thing is."""
        self.relay.due = False
        wake_at = self.relay.look_for_silence()
        if self.relay.timed:
            try:
                wake_at = min(wake_at, self.relay.tick())
            except Exception as error:  # no digit may end the process either
                self.relay.timed.clear()
                self._complain(error)
        if self.relay.events:
            if now - self._flushed_at < EVENT_PAUSE:
                wake_at = min(wake_at, self._flushed_at + EVENT_PAUSE)
            else:
                self._flushed_at = now
                self._tell(self.relay.events)
                self.relay.events.clear()
        if not self._connections:
            if now - self._alone_since >= self._linger:
                self._stopping = True
            wake_at = min(wake_at, self._alone_since + self._linger)
        return wake_at

    def _complain(self, error: Exception) -> None:
        self.relay.events.append(["e", f"{type(error).__name__}: {error}"[:300]])
        del self.relay.events[10_000:]  # nobody may be there to read them

    # -- control ------------------------------------------------------------------------------------------------------

    def _hear(self, sock: socket.socket, hear: Any) -> None:
        self.relay.hears[sock.fileno()] = hear
        self._epoll.register(sock.fileno(), select.EPOLLIN)

    def _accept(self, _now: float) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return
        if len(self._connections) >= MAX_CONNECTIONS:
            sock.close()
            return
        sock.setblocking(False)
        descriptor = sock.fileno()
        self._connections[descriptor] = _Connection(sock)
        self._hear(sock, lambda now: self._converse(descriptor))

    def _converse(self, descriptor: int) -> None:
        """A control connection is readable, or writable again."""
        connection = self._connections[descriptor]
        if connection.outbound:
            self._write(connection, b"")
            if descriptor not in self._connections:
                return
        try:
            data = connection.sock.recv(READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._close(descriptor)
            return
        *lines, connection.inbound = (connection.inbound + data).split(b"\n")
        for line in lines:
            self._obey(line)
        if len(connection.inbound) > MAX_LINE:
            self._close(descriptor)

    def _obey(self, line: bytes) -> None:
        try:
            what, *arguments = decode(line.decode())
            if what == "a":
                flow_id, is_rtp, clock_rate, silence, *sides = arguments
                self.messages.remove(flow_id, report=False)
                self.relay.apply(str(flow_id), bool(is_rtp), int(clock_rate), float(silence), sides)
            elif what == "m":
                flow_id, silence, *sides = arguments
                self.relay.remove(flow_id, report=False)
                self.messages.apply(str(flow_id), float(silence), *sides)
            elif what == "r":
                for flow_id in arguments:
                    self.relay.remove(flow_id)
                    self.messages.remove(flow_id)
            elif what == "d":
                flow_id, side, digit, duration = arguments
                self.relay.say(str(flow_id), str(side), str(digit), int(duration))
            elif what == "b":
                host, count = arguments
                self.relay.bind(str(host), int(count))
            else:
                raise ValueError(f"no such command: {what!r}")
        except (ValueError, TypeError, OSError, RecursionError) as error:
            self._complain(error)

    def _tell(self, events: list[Any]) -> None:
        line = encode(events).encode() + b"\n"
        for connection in list(self._connections.values()):
            self._write(connection, line)

    def _write(self, connection: _Connection, line: bytes) -> None:
        descriptor = connection.sock.fileno()
        blocked = bool(connection.outbound)
        data = connection.outbound + line
        try:
            sent = connection.sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._close(descriptor)
            return
        connection.outbound = data[sent:]
        if len(connection.outbound) > MAX_UNREAD:
            self._close(descriptor)
        elif blocked != bool(connection.outbound):
            wanted = select.EPOLLIN | (select.EPOLLOUT if connection.outbound else 0)
            self._epoll.modify(descriptor, wanted)

    def _close(self, descriptor: int) -> None:
        connection = self._connections.pop(descriptor)
        self.relay.hears.pop(descriptor, None)
        connection.sock.close()
        if not self._connections:
            self._alone_since = time.monotonic()
            self.relay.due = True

    def _end(self) -> None:
        with suppress(OSError):
            os.unlink(self._path)
        for connection in self._connections.values():
            connection.sock.close()
        self._listener.close()
        self.messages.close()
        self._ports.close()
        self._epoll.close()


def _listen(path: str) -> socket.socket:
    """A Unix stream socket that only our user can reach: in a directory of mode 0700, itself 0600."""
    directory = os.path.dirname(os.path.abspath(path))
    os.makedirs(directory, mode=0o700, exist_ok=True)
    if os.stat(directory).st_mode & 0o077:
        raise PermissionError(f"others can get into {directory}: it must have mode 0700")
    with suppress(FileNotFoundError):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    listener.bind(path)
    os.chmod(path, 0o600)
    listener.listen(MAX_CONNECTIONS)
    return listener


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="sbc.dataplane.worker", description=__doc__)
    parser.add_argument("--socket", required=True, help="where to listen for control, in a directory of mode 0700")
    parser.add_argument(
        "--range",
        nargs=3,
        action="append",
        default=[],
        metavar=("HOST", "LOW", "HIGH"),
        help="ports that may be taken; HOST * is any",
    )
    parser.add_argument(
        "--linger", type=float, default=10.0, help="seconds without a connection until the process ends"
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _arguments(argv)
    try:
        ranges = [(host, int(low), int(high)) for host, low, high in arguments.range]
        worker = Worker(arguments.socket, ranges, arguments.linger)
    except (OSError, ValueError) as error:
        print(f"worker: {error}", file=sys.stderr)
        return 1
    worker.obey_signals()
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)  # flows leave no cycles behind: looking for them seldom is enough
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    print("ready", flush=True)
    worker.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
