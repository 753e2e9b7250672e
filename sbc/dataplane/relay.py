"""The packet path of the worker: flows, and the sockets that are heard for them."""

from __future__ import annotations

import select
import socket
from math import inf
from typing import Any, Protocol

from sbc.dataplane.ports import Pair, Ports
from sbc.dataplane.side import BUFFER, Hear, Side

Event = list[Any]


class Timed(Protocol):
    """What has something to do at a time of its own."""

    def tick(self, now: float) -> float | None:
        """Do what is due; gives the time of the next thing, None if there is none."""


IDLE_LIMIT = 1000
"""Datagrams read and dropped on an idle pair before the kernel is left to drop them."""


class RelayedFlow:
    """A flow as the worker has it."""

    __slots__ = ("a", "activity", "b", "id", "is_rtp", "quiet_since", "silence")

    def __init__(self, relay: Relay, flow_id: str, is_rtp: bool, clock_rate: int) -> None:
        self.id = flow_id
        self.is_rtp = is_rtp
        self.a = Side(relay, self, "a", clock_rate)
        self.b = Side(relay, self, "b", clock_rate)
        self.a.other = self.b
        self.b.other = self.a
        self.silence = 0.0
        self.activity = 0
        self.quiet_since = 0.0


class Relay:
    """All flows and port pairs of the worker. `hears` says what to call for a readable descriptor."""

    def __init__(self, ports: Ports, epoll: select.epoll) -> None:
        self._ports = ports
        self._epoll = epoll
        self._flows: dict[str, RelayedFlow] = {}
        self._watched: dict[str, RelayedFlow] = {}
        self._look_at = 0.0
        self.hears: dict[int, Hear] = {}
        self.events: list[Event] = []
        self.now = 0.0
        self.due = False
        """Whether there is something new to wait for, so that the next wait must be reckoned anew."""
        self.timed: dict[Timed, None] = {}
        """In a fixed order."""
        self.garbage = 0
        """Datagrams on RTP ports that were neither RTP nor RTCP."""
        self.unsent = 0
        """Datagrams that the kernel would not take."""

    # -- commands -----------------------------------------------------------------------------------------------------

    def bind(self, host: str, count: int) -> None:
        """Raises OSError if `host` is not ours; that there are no ports is told all the same."""
        pairs: list[Pair] = []
        try:
            pairs = self._ports.bind(host, count)
        finally:
            self.events.append(["p", host, [pair.port for pair in pairs]])
        for pair in pairs:
            self._watch_pair(pair)

    def apply(self, flow_id: str, is_rtp: bool, clock_rate: int, silence: float, sides: list[Any]) -> None:
        """`sides` is the rest of the command. Raises CommandError or OSError if a side cannot be served; the other side
        is served all the same."""
        flow = self._flows.get(flow_id)
        if flow is None:
            flow = self._flows[flow_id] = RelayedFlow(self, flow_id, is_rtp, clock_rate)
        elif clock_rate != flow.a.reception.clock_rate:
            flow.a.reception.clock_rate = flow.b.reception.clock_rate = clock_rate
        told_a, told_b, latched_a, latched_b, *treatments = sides
        try:
            flow.a.set(told_a, latched_a, self.now)
        finally:
            flow.b.set(told_b, latched_b, self.now)
        if is_rtp != flow.is_rtp:  # audio became fax, or fax audio again
            flow.is_rtp = is_rtp
            flow.a.aim()
            flow.b.aim()
        if treatments or flow.a.passage is not None or flow.b.passage is not None:
            from_a, from_b = treatments or (None, None)
            flow.a.treat(from_a, from_b[2] if from_b else None)
            flow.b.treat(from_b, from_a[2] if from_a else None)
        if silence != flow.silence:
            flow.silence = silence
            self._watch_silence(flow)

    def remove(self, flow_id: str, report: bool = True) -> None:
        """Without `report` it becomes something else than datagrams."""
        flow = self._flows.pop(flow_id, None)
        if flow is None:
            return
        self._watched.pop(flow_id, None)
        if report:
            self.events.append(["s", flow_id, flow.a.report(), flow.b.report(), True])
        flow.a.end()
        flow.b.end()

    def say(self, flow_id: str, side: str, digit: str, duration: int) -> None:
        """Send an event to a side, where its flow has treatment "dtmf" and it takes events."""
        flow = self._flows.get(flow_id)
        if flow is not None:
            speaker = flow.b if side == "a" else flow.a
            if speaker.passage is not None:
                speaker.passage.say(digit, duration, self.now)

    # -- silence ------------------------------------------------------------------------------------------------------

    def _watch_silence(self, flow: RelayedFlow) -> None:
        flow.quiet_since = self.now
        flow.activity = flow.a.activity() + flow.b.activity()
        if flow.silence <= 0:
            self._watched.pop(flow.id, None)
            return
        self._watched[flow.id] = flow
        look_at = self.now + flow.silence / 8
        if look_at < self._look_at:
            self._look_at = look_at
            self.due = True

    def look_for_silence(self) -> float:
        """Announce the flows that have been silent too long; gives the time to look again. All are looked at together,
        eight times in the shortest term, so that packets need no timestamp of their own and waking up is rare."""
        now = self.now
        if now < self._look_at:
            return self._look_at
        shortest = 480.0
        for flow in self._watched.values():
            activity = flow.a.activity() + flow.b.activity()
            if activity != flow.activity:
                flow.activity = activity
                flow.quiet_since = now
            elif 0 <= flow.quiet_since <= now - flow.silence:
                self.events.append(["q", flow.id])
                flow.quiet_since = -1.0  # told; only packets make it count again
            shortest = min(shortest, flow.silence)
        self._look_at = now + shortest / 8
        return self._look_at

    # -- what has its time --------------------------------------------------------------------------------------------

    def keep_time(self, timed: Timed) -> None:
        """`timed` has something to do at a time of its own."""
        if timed not in self.timed:
            self.timed[timed] = None
            self.due = True

    def tick(self) -> float:
        """Let those do what is due; gives the time of the next thing."""
        soonest = inf
        for timed in list(self.timed):
            at = timed.tick(self.now)
            if at is None:
                self.timed.pop(timed, None)
            elif at < soonest:
                soonest = at
        return soonest

    # -- sockets ------------------------------------------------------------------------------------------------------

    def take(self, host: str, port: int, side: Side) -> Pair:
        """The pair for a side, bound if it is not. Raises OSError if that fails."""
        pair, fresh = self._ports.pair(host, port)
        if pair.dropped and not fresh:
            _drain(pair)  # somebody still sends there, and may have since we last looked
        if not pair.watched:
            self._watch_pair(pair)
        if pair.side is not None and pair.side is not side:
            pair.side.release()  # its call went over to another one, and its flow is about to be removed
        pair.side = side
        hears = self.hears
        hears[pair.rtp.fileno()] = side.hear
        hears[pair.rtcp.fileno()] = side.hear_rtcp
        return pair

    def give_back(self, pair: Pair, side: Side) -> None:
        if pair.side is side:  # not if another flow was given these ports meanwhile
            pair.side = None
            pair.dropped = 0
            self._idle(pair)

    def _watch_pair(self, pair: Pair) -> None:
        pair.watched = True
        pair.dropped = 0
        pair.drops = _dropping(self, pair, pair.rtp), _dropping(self, pair, pair.rtcp)
        self._idle(pair)
        self._epoll.register(pair.rtp.fileno(), select.EPOLLIN)
        self._epoll.register(pair.rtcp.fileno(), select.EPOLLIN)

    def _idle(self, pair: Pair) -> None:
        """Packets that come to an idle pair are read and dropped, so that none waits there for the next flow. Somebody
        who does not stop is left to the kernel: the buffer fills, and nothing reaches us any more."""
        self.hears[pair.rtp.fileno()], self.hears[pair.rtcp.fileno()] = pair.drops

    def stop_watching(self, pair: Pair) -> None:
        pair.watched = False
        for sock in (pair.rtp, pair.rtcp):
            self.hears.pop(sock.fileno(), None)
            self._epoll.unregister(sock.fileno())

    def watch(self, sock: socket.socket, hear: Hear, mask: int = select.EPOLLIN) -> None:
        """Have `hear` called when there is what `mask` says; a socket that is watched already is watched for that from
        now on."""
        number = sock.fileno()
        (self._epoll.modify if number in self.hears else self._epoll.register)(number, mask)
        self.hears[number] = hear

    def forget(self, sock: socket.socket) -> None:
        self.hears.pop(sock.fileno(), None)
        sock.close()  # which takes it out of epoll as well


def _dropping(relay: Relay, pair: Pair, sock: socket.socket) -> Hear:
    def drop(_now: float) -> None:
        try:
            sock.recv_into(BUFFER, 1)
        except OSError:
            return
        pair.dropped += 1
        if pair.dropped >= IDLE_LIMIT:
            relay.stop_watching(pair)

    return drop


def _drain(pair: Pair) -> None:
    for sock in (pair.rtp, pair.rtcp):
        for _ in range(100_000):  # a flood must not hold us here
            try:
                sock.recv_into(BUFFER, 1)
            except OSError:
                break
