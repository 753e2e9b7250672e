"""One REGISTER of a device is with the registrar at a time; the next one waits for its answer.

RFC 3261 section 10.2: "UAs MUST NOT send a new registration ... until they have received a final response from the
registrar for the previous one". But a phone that has started anew does not know of the previous one, and its Call-ID is
another: the registrar cannot tell their order, and neither could we by the order of the answers. Pure: plain data.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from sbc.sip import Hop, Request, TransactionId

Devices = frozenset[str]
"""Tokens; empty: all devices of the user."""
_MOST_WAITING = 16
"""Of one user."""
_MOST_UNSURE = 10_000


class Waiting(NamedTuple):
    """A REGISTER that waits for its turn."""

    request: Request
    transaction: TransactionId
    hop: Hop
    devices: Devices
    known: bool
    """It comes from where a device of the user is known to be."""


@dataclass(slots=True)
class _User:
    inside: dict[int, Devices] = field(default_factory=dict)
    """Turn -> devices whose next REGISTER waits."""
    late: dict[int, Devices] = field(default_factory=dict)
    """The same, but nobody waits for it any more; its answer may still come."""
    waiting: list[Waiting] = field(default_factory=list)
    settled: dict[str, int] = field(default_factory=dict)
    """Token, or "" for all -> the last turn whose answer counts."""


@dataclass(slots=True)
class Turns:
    """By address of record; there is nothing in it of users none of whose REGISTERs is with the registrar."""

    _users: dict[str, _User] = field(default_factory=dict)
    _unsure: dict[str, None] = field(default_factory=dict)
    """Tokens of devices of which the registrar may think otherwise."""
    _last: int = 0

    def __len__(self) -> int:
        return len(self._users)

    def busy(self, aor: str, devices: Devices) -> bool:
        """Whether a REGISTER of these devices has to wait."""
        user = self._users.get(aor) if self._users else None
        return user is not None and any(_meet(devices, each) for each in user.inside.values())

    def due(self, aor: str, device: str) -> bool:
        """Whether the registrar has to be asked what it thinks of the device."""
        if not self._users and not self._unsure:
            return False
        if device in self._unsure:
            return True
        user = self._users.get(aor)
        if user is None:
            return False
        settled = max(user.settled.get(device, 0), user.settled.get("", 0))
        under_way = (*user.inside.items(), *user.late.items())
        return any(turn > settled and (not devices or device in devices) for turn, devices in under_way)

    def begin(self, aor: str, devices: Devices) -> int:
        """The number of the turn that begins."""
        self._last += 1
        self._users.setdefault(aor, _User()).inside[self._last] = devices
        return self._last

    def wait(self, aor: str, comer: Waiting) -> list[Waiting]:
        """It waits; those that do so no longer are given back. There may be `comer` itself among them. Of two who come
        from different hosts one may be anybody: neither goes for the other, but who is not known for who is."""
        user = self._users[aor]
        rivals = [each for each in user.waiting if _meet(each.devices, comer.devices) and _are_rivals(each, comer)]
        if any(_stays(each, comer) for each in rivals):
            return [comer]
        user.waiting = [each for each in user.waiting if each not in rivals]
        user.waiting.append(comer)
        if len(user.waiting) > _MOST_WAITING:
            last = next((each for each in user.waiting if not each.known), user.waiting[0])
            user.waiting.remove(last)
            rivals.append(last)
        return rivals

    def late(self, aor: str, turn: int) -> list[Waiting]:
        """The registrar is slow to answer: who waits need not wait longer. Gives those who need not."""
        user = self._users.get(aor)
        if user is None or turn not in user.inside:
            return []
        user.late[turn] = user.inside.pop(turn)
        return self._released(user)

    def over(self, aor: str, turn: int) -> list[Waiting]:
        """The turn has ended. Gives those who need not wait longer."""
        user = self._users.get(aor)
        if user is None:
            return []
        user.inside.pop(turn, None)
        user.late.pop(turn, None)
        released = self._released(user)
        if not user.inside and not user.late and not user.waiting:
            del self._users[aor]
        return released

    def _released(self, user: _User) -> list[Waiting]:
        released = [
            each for each in user.waiting if not any(_meet(each.devices, other) for other in user.inside.values())
        ]
        user.waiting = [each for each in user.waiting if each not in released]
        return released

    def settles(self, aor: str, device: str, turn: int) -> bool:
        """Whether what the registrar has answered in this turn is so of the device (""; of all), or has been overtaken:
        it is not known then in which order the registrar has seen the two."""
        user = self._users[aor]
        if max(user.settled.get(device, 0), user.settled.get("", 0)) > turn:
            self._unsure[device] = None
            if len(self._unsure) > _MOST_UNSURE:
                del self._unsure[next(iter(self._unsure))]
            return False
        user.settled[device] = turn
        self._unsure.pop(device, None)
        return True


def _meet(some: Devices, others: Devices) -> bool:
    return not some or not others or not some.isdisjoint(others)


def _are_rivals(waiting: Waiting, comer: Waiting) -> bool:
    return waiting.known or comer.known or waiting.hop.remote.host == comer.hop.remote.host


def _stays(waiting: Waiting, comer: Waiting) -> bool:
    """Whether one goes on waiting, and not another one that came after it."""
    if waiting.known != comer.known:
        return waiting.known
    old, new = waiting.request, comer.request
    return old.call_id == new.call_id and old.cseq.number > new.cseq.number
