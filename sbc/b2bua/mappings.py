"""How long the NATs before phones keep a mapping, and when each flow through them needs a packet so that it lives.

A NAT is known by the address that it shows. All flows through it get a packet each `interval`; now and then that is a
question, whose answer proves that the mapping lives. A mapping that is found dead makes the interval shorter for all of
them. Whether a longer one would do is tried on one flow at a time, so that the question falls just before the phone
registers again: if the mapping does not live so long, nobody misses it.

No clock and no messages here: what is due goes out by `sbc.b2bua.keeping`.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from math import inf
from typing import NamedTuple
from zlib import crc32

from sbc.sip import Hop

START = 25.0
"""Seconds between two packets over a flow, to begin with: many NATs forget UDP after 30 (RFC 4787 asks for 120)."""
LEAST, MOST = 10.0, 120.0
"""Bounds of the interval, in seconds."""
GROWTH = 1.25
"""What is tried is so much longer than what is known to do."""
MARGIN = 0.9
"""So much of a silence that a mapping has lived through is taken for the interval."""
CEILING_HOLDS = 3600.0
"""For so many seconds nothing is tried that is as long as what was too long."""
QUESTION_EVERY = 8
"""Of the packets over a flow one in so many is a question."""
AHEAD = 3.0
"""Seconds that the question of a trial comes before the phone is expected to register again."""


@dataclass(slots=True, eq=False)
class Nat:
    """What is known of one NAT."""

    interval: float
    ceiling: float = inf
    """The shortest time that was too long, as far as remembered."""
    ceiling_until: float = 0.0
    flows: int = 0
    proved: bool = False
    """Some question was answered through it."""
    trial: Mapping | None = None
    """The flow on which a longer interval is being tried."""


@dataclass(slots=True, eq=False)
class Mapping:
    """One flow through a NAT."""

    hop: Hop
    contact: str
    """Request-URI of questions."""
    nat: Nat
    until: float
    """When the registration over it ends."""
    due: float
    """When the next packet is to go."""
    gap: float
    """Seconds between the packet before and the one that is due."""
    seen: float
    """When the phone last registered over it."""
    sent: int = 0
    trial_at: float = 0.0
    """When the question of a trial goes; 0: there is none."""
    asked: float = 0.0
    """The silence before the question that is under way; 0: none is."""
    answers: bool = False
    """The phone has answered a question over this flow."""
    dead: bool = False
    """The mapping was found dead, and the NAT has been judged for it."""
    queued: float = inf
    """The time of its entry in the queue; inf: it has none."""


class Due(NamedTuple):
    """What goes out now over one flow: a question, or just something."""

    mapping: Mapping
    question: bool


class Mappings:
    """The flows that are kept alive. Bounded by the registrations, of which each has at most one."""

    def __init__(self, start: float = START) -> None:
        self._start = start
        self._least = min(LEAST, start)
        self._flows: dict[Hop, Mapping] = {}
        self._nats: dict[str, Nat] = {}
        self._queue: list[tuple[float, int, Mapping]] = []
        """A heap. Each flow has one entry that counts, which is not later than it is due."""
        self._number = 0

    def __len__(self) -> int:
        return len(self._flows)

    def interval(self, hop: Hop) -> float:
        """Seconds between packets over a flow; 0: it is not kept alive."""
        mapping = self._flows.get(hop)
        return 0.0 if mapping is None else mapping.nat.interval

    def bears(self, hop: Hop) -> float:
        """Seconds of silence that the NAT before `hop` is known to bear, or is taken to."""
        nat = self._nats.get(hop.remote.host)
        return self._start if nat is None else nat.interval

    def next(self) -> float | None:
        """When to call `take` next; None: never."""
        return self._queue[0][0] if self._queue else None

    # -- what registrations tell ---------------------------------------------------------------------------------------

    def keep(self, hop: Hop, contact: str, until: float, now: float, spread: bool = False) -> None:
        """A phone has registered over `hop`, or again, until then. `spread`: it did so in a former life of this
        process, like all the others."""
        mapping = self._flows.get(hop)
        if mapping is None:
            self._new(hop, contact, until, now, spread)
            return
        cadence, mapping.seen = now - mapping.seen, now
        mapping.contact, mapping.until = contact, max(mapping.until, until)
        nat = mapping.nat
        if mapping.asked > nat.interval:
            self._found_dead(mapping, mapping.asked, now)
        mapping.asked = 0.0  # the answer comes over a mapping that may be new
        mapping.dead = False
        self._end_trial(mapping)
        mapping.due, mapping.gap = now + nat.interval, nat.interval
        longer = self._worth_trying(nat, now)
        begins = cadence - AHEAD - longer
        if longer and begins > 0.0 and mapping.answers:
            nat.trial = mapping
            mapping.trial_at = now + begins + longer
            if begins < nat.interval:
                mapping.due, mapping.gap = now + begins, begins
        if mapping.due < mapping.queued:
            self._push(mapping)

    def moved(self, former: Hop, hop: Hop, now: float) -> None:
        """A phone that was behind `former` has registered over `hop` now."""
        mapping = self._flows.get(former)
        if mapping is None or former == hop:
            return
        if former.remote.host == hop.remote.host:  # else it is in another network now
            self._found_dead(mapping, mapping.asked or mapping.gap, now)
            self.keep(hop, mapping.contact, mapping.until, now)
            self._flows[hop].answers |= mapping.answers
        self.drop(former)

    def drop(self, hop: Hop) -> None:
        """Nobody is registered over this flow any more."""
        mapping = self._flows.pop(hop, None)
        if mapping is None:
            return
        self._end_trial(mapping)
        mapping.queued = inf
        nat = mapping.nat
        nat.flows -= 1
        if not nat.flows:
            del self._nats[hop.remote.host]
        if len(self._queue) > 64 + 2 * len(self._flows):
            self._queue = [entry for entry in self._queue if entry[0] == entry[2].queued]
            heapq.heapify(self._queue)

    def _new(self, hop: Hop, contact: str, until: float, now: float, spread: bool) -> None:
        nat = self._nats.get(hop.remote.host)
        if nat is None:
            nat = self._nats[hop.remote.host] = Nat(self._start)
        nat.flows += 1
        place = crc32(f"{hop.remote.host} {hop.remote.port}".encode()) / 2**32
        gap = nat.interval * (place if spread else 1.0)
        mapping = Mapping(hop, contact, nat, until, now + gap, gap, now)
        if nat.proved or spread:
            mapping.sent = 1 + int(place * (QUESTION_EVERY - 1))
        self._flows[hop] = mapping
        self._push(mapping)

    # -- what goes out -------------------------------------------------------------------------------------------------

    def take(self, now: float, most: int) -> list[Due]:
        """What is to go out now, at most so much of it; and when it is for the next time."""
        taken: list[Due] = []
        while self._queue and self._queue[0][0] <= now and len(taken) < most:
            when, _, mapping = heapq.heappop(self._queue)
            if when != mapping.queued:
                continue
            if mapping.until <= now:
                self.drop(mapping.hop)
                continue
            if mapping.due <= now:
                taken.append(Due(mapping, self._send(mapping, now)))
            self._push(mapping)
        return taken

    def _send(self, mapping: Mapping, now: float) -> bool:
        """Whether what goes out now is a question; settles when the next one goes."""
        interval, gap = mapping.nat.interval, mapping.gap
        of_trial = mapping.trial_at != 0.0 and now >= mapping.trial_at
        question = not mapping.asked and (of_trial or mapping.sent % QUESTION_EVERY == 0)
        mapping.sent += 1
        if question:
            mapping.asked = gap
        if of_trial or mapping.trial_at == 0.0:
            mapping.trial_at = 0.0
            next_gap = interval
        else:  # in silence up to the question, or up to where that silence begins
            longer = interval * GROWTH
            next_gap = mapping.trial_at - now
            if next_gap > longer + 0.5:
                next_gap = min(interval, next_gap - longer)
        mapping.gap = next_gap
        mapping.due = now + next_gap
        return question

    def answered(self, hop: Hop) -> None:
        """The phone has answered: the mapping has lived through the silence before the question."""
        mapping = self._flows.get(hop)
        if mapping is None:
            return
        nat, silence = mapping.nat, mapping.asked
        mapping.answers = nat.proved = True
        mapping.asked = 0.0
        if nat.trial is mapping and not mapping.trial_at:
            nat.trial = None
            if silence < nat.ceiling:
                nat.interval = min(MOST, max(nat.interval, silence * MARGIN))

    def unanswered(self, hop: Hop, now: float) -> None:
        """A question got no answer. That of a phone that never answers says nothing, where others do."""
        mapping = self._flows.get(hop)
        if mapping is None:
            return
        silence, mapping.asked = mapping.asked, 0.0
        if mapping.answers or not mapping.nat.proved:
            self._found_dead(mapping, silence, now)

    # -- what is learned -----------------------------------------------------------------------------------------------

    def _found_dead(self, mapping: Mapping, silence: float, now: float) -> None:
        nat = mapping.nat
        if mapping.dead or silence <= 0.0:
            return
        mapping.dead = True
        if silence <= nat.ceiling:
            nat.ceiling, nat.ceiling_until = silence, now + CEILING_HOLDS
        if nat.trial is mapping and silence > nat.interval:
            nat.trial = None  # what all the others have is not in doubt
        else:
            nat.interval = max(self._least, min(nat.interval, silence / 2))

    def _worth_trying(self, nat: Nat, now: float) -> float:
        """A longer interval that may do; 0: none."""
        if nat.trial is not None or not nat.proved or nat.interval >= MOST:
            return 0.0
        if nat.ceiling_until <= now:
            nat.ceiling = inf
        longer = nat.interval * GROWTH
        return longer if longer < nat.ceiling else 0.0

    def _end_trial(self, mapping: Mapping) -> None:
        mapping.trial_at = 0.0
        if mapping.nat.trial is mapping:
            mapping.nat.trial = None

    def _push(self, mapping: Mapping) -> None:
        self._number += 1
        mapping.queued = mapping.due
        heapq.heappush(self._queue, (mapping.due, self._number, mapping))
