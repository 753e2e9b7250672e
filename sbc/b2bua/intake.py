"""How many registrations the registrar inside gets to do, whose they are, and when others are told to come again.

After an outage thousands of phones come at once; and anybody may send any number of REGISTERs, from any address.
So what the registrar can take is given out by claim, and who has the better one finds room that the others cannot take:
the answer to a challenge; a device that is known where it comes from; who comes when he was told to, and so has shown
that he can be answered; everybody else; and whoever has had more than its share.

Nothing here says that the registrar is away because one device has trouble: see `trouble`.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from enum import Enum
from math import ceil
from typing import NamedTuple

_PROBES = 1.0
"""Seconds between the registrations that are passed to a registrar that did not answer the last ones."""
_PAUSE = 5.0
"""Seconds that a registrar is left in peace that is silent, or says 503 and not for how long."""
_LONGEST_PAUSE = 60.0
_FARTHEST = 540.0
"""Seconds from when it could be that nobody is told to wait longer than."""
_FARTHEST_UNSEEN = 30.0
"""The same for who has not shown yet that he comes back: most of them may be nobody at all."""
_PROOF = 10.0
"""Seconds that somebody who was challenged has to come back as such."""
_EARLY, _LATE = 1.0, 120.0
"""Seconds that somebody may come before and after his time."""
_SEVERAL = 3
"""Devices that have trouble one after the other before it is taken for the registrar's."""
_TOGETHER = 30.0
"""Seconds within which they have it."""
_MOST_PLACES = 32768
_SMALLEST = 4.0
"""Requests at once that are let in at the smallest rate."""


class Claim(Enum):
    """What part of the bucket is kept for those with better claims."""

    PROOF = 0.0
    KNOWN = 0.2
    BACK = 0.3
    FIRST = 0.4
    EXCESS = 0.5


class Comer(NamedTuple):
    """Who wants to register."""

    source: str
    """The network that it comes from, see `sbc.b2bua.hosts.source_of`."""
    device: str
    """The token of the device, known or not."""
    known: bool
    """It is in the table, and came from this network when the registrar accepted it last."""
    call_id: str


@dataclass(slots=True)
class _Place:
    """What is remembered of a source, or of a known device."""

    spent: float = 0.0
    """When it has its whole share again."""
    line: float = 0.0
    """The last time that was told to somebody there in a line of its own."""
    owing: int = 0
    """How many there were told when to come, and have not come yet,"""
    since: float = 0.0
    """the first of them at this time,"""
    told: float = 0.0
    """and the last of them at this one."""
    came: float = -1.0
    """When somebody came last who was told to."""


@dataclass(slots=True)
class _Lane:
    """Of known devices, or of strangers."""

    shut_until: float = 0.0
    probe_at: float = 0.0
    troubled: dict[str, float] = field(default_factory=dict)
    """Devices that had trouble since the registrar has answered somebody, and when; `_SEVERAL` at most."""
    line: float = 0.0
    """The last time that was told."""

    def shut(self, now: float, seconds: float, probes: bool) -> None:
        if now >= self.shut_until or not probes:
            self.probe_at = now + (_PROBES if probes else seconds)
        self.shut_until = max(self.shut_until, now + seconds)

    def trouble(self, device: str, now: float) -> bool:
        """Whether it is the registrar's by now. Once it was, one more device is enough, until it has answered."""
        troubled = self.troubled
        if len(troubled) < _SEVERAL:
            for name in [name for name, when in troubled.items() if now - when > _TOGETHER]:
                del troubled[name]
            troubled[device] = now
        return len(troubled) >= _SEVERAL


@dataclass(slots=True)
class Intake:
    """A token bucket, and lines of those who found it empty. All is O(1), and bounded."""

    rate: float = 100.0
    """Requests a second."""
    level: float = -1.0
    """What may go at once; below 0: full."""
    at: float = 0.0
    """When `level` was so."""
    least: int = 0
    """Seconds that the registrar wants registrations to last at least (its last 423)."""
    known: _Lane = field(default_factory=_Lane)
    strangers: _Lane = field(default_factory=_Lane)
    back: float = 0.0
    """The line of strangers who came when they were told to, and still found no room."""
    challenged: OrderedDict[str, float] = field(default_factory=OrderedDict)
    """Call-IDs of phones that owe the answer to a challenge, and until when; less than 0: it has come, and another one
    would be one of many."""
    devices: OrderedDict[str, _Place] = field(default_factory=OrderedDict)
    """Known ones, by token; those that came longest ago are forgotten first."""
    sources: OrderedDict[str, _Place] = field(default_factory=OrderedDict)
    """The same of everybody else."""

    def admit(self, comer: Comer, now: float) -> bool:
        """Whether this REGISTER goes to the registrar now."""
        claim, place, known = self._claim(comer, now)
        if place.owing and now >= place.since - _EARLY:
            place.owing -= 1
            place.came = now
        full = max(self.rate, _SMALLEST)
        level = full if self.level < 0.0 else min(full, self.level + (now - self.at) * self.rate)
        self.level, self.at = level, now
        lane = self.known if known else self.strangers
        if now < lane.shut_until:
            if now < lane.probe_at:
                return False
            lane.probe_at = now + _PROBES
        elif level < (1.0 if claim is Claim.PROOF else max(2.0, claim.value * full)):  # one is for the proof
            return False
        self.level = max(0.0, level - 1.0)
        if claim is Claim.PROOF:
            self.challenged[comer.call_id] = -(now + _PROOF)
            self.challenged.move_to_end(comer.call_id)
        share, interval = self._share(known)
        place.spent = min(max(place.spent, now) + interval, now + 2.0 * share)
        return True

    def retry_after(self, comer: Comer, now: float, at_least: float = 0.0) -> int:
        """Seconds for somebody who is turned away just now; the registrar wants it to be `at_least` so many."""
        claim, place, known = self._claim(comer, now)
        lane = self.known if known else self.strangers
        if known:
            if place.told <= now:  # else it asks before its time, and that stays the same
                lane.line = place.told = self._next(lane.line, lane, now, _FARTHEST)
            when = place.told
        else:
            if place.came == now and claim is not Claim.EXCESS:
                when = self.back = self._next(self.back, lane, now, _FARTHEST)
            elif claim is Claim.EXCESS or place.owing:
                when = place.line = self._next(place.line, lane, now, _FARTHEST)
            else:
                when = lane.line = self._next(lane.line, lane, now, _FARTHEST_UNSEEN)
            place.since = min(place.since, when) if place.owing else when
            place.told = max(place.told, when)
            place.owing += 1
        return max(ceil(when - now), ceil(min(at_least, _FARTHEST)))

    def _next(self, line: float, lane: _Lane, now: float, farthest: float) -> float:
        """The time behind `line`. A registration takes two requests. A line that is too long begins anew."""
        first, step = max(now + 1.0, lane.shut_until), 2.0 / self.rate
        when = max(line, first) + step
        return when if when <= first + farthest else first + step

    def _claim(self, comer: Comer, now: float) -> tuple[Claim, _Place, bool]:
        """And where it is remembered, and whether that is a known device. One that asks too much is a stranger."""
        proves = self.challenged.get(comer.call_id, 0.0) > now
        if comer.known:
            place = _place(self.devices, comer.device, now)
            if proves or place.spent <= now + self._share(True)[0]:
                return Claim.PROOF if proves else Claim.KNOWN, place, True
        place = _place(self.sources, comer.source, now)
        if proves:
            return Claim.PROOF, place, False
        if place.spent > now + self._share(False)[0]:
            return Claim.EXCESS, place, False
        back = place.came == now or (place.owing > 0 and now >= place.since - _EARLY)
        return Claim.BACK if back else Claim.FIRST, place, False

    def _share(self, known: bool) -> tuple[float, float]:
        """How many seconds' worth may be spent at once, and what a request costs: of a device four requests at once,
        and four in ten seconds; of a source ten at least, and a tenth of the rate. Who has spent it is not turned away
        where there is room for everybody."""
        if known:
            return 10.0, 2.5
        interval = 10.0 / self.rate
        return max(10.0, self.rate / 10.0) * interval, interval

    def challenge(self, call_id: str, now: float) -> None:
        """A phone was challenged, and will be back. Who was wrong is challenged again, and has no claim to that."""
        challenged = self.challenged
        if -challenged.get(call_id, 0.0) > now:
            return
        challenged[call_id] = now + _PROOF
        challenged.move_to_end(call_id)
        while challenged and (len(challenged) > 64 + _PROOF * self.rate or abs(next(iter(challenged.values()))) <= now):
            challenged.popitem(last=False)

    def trouble(self, comer: Comer, now: float, pause: float = 0.0) -> None:
        """The registrar has left a REGISTER without answer, or says that it cannot serve it (for `pause` seconds, if
        that is not 0). If several devices hear so in a row it is left in peace. What known devices hear holds for all;
        strangers may ask for what nobody could serve, and that is their trouble."""
        lane = self.known if comer.known else self.strangers
        if lane.trouble(comer.device, now):
            seconds, probes = min(pause, _LONGEST_PAUSE) or _PAUSE, pause <= 0.0
            self.strangers.shut(now, seconds, probes)
            if comer.known:
                self.known.shut(now, seconds, probes)

    def shut(self, now: float, seconds: float = _PAUSE) -> None:
        """The registrar is not there, whoever asks."""
        for lane in (self.known, self.strangers):
            lane.shut(now, seconds, True)

    def answered(self) -> None:
        """It has answered something else."""
        for lane in (self.known, self.strangers):
            if lane.shut_until or lane.troubled:
                lane.shut_until = 0.0
                lane.troubled.clear()


def _place(places: OrderedDict[str, _Place], name: str, now: float) -> _Place:
    place = places.get(name)
    if place is None:
        place = places[name] = _Place()
        if len(places) > _MOST_PLACES:
            places.popitem(last=False)
    else:
        places.move_to_end(name)
        if place.owing and now > place.told + _LATE:
            place.owing = 0
    return place
