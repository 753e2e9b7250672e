"""Wrong passwords: how long nobody listens to who has tried too many.

Counted for each user and each source by itself: one phone with a wrong password keeps no other one out that comes from
the same address, and nobody who guesses keeps out who knows. Whether there is such a user makes no difference.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from sbc.b2bua.hosts import source_of

_FIRST_PAUSE, _LONGEST_PAUSE = 10.0, 300.0
"""Seconds: the first pause; each further failure doubles it, up to the longest one."""
_FORGOTTEN = 1800.0
"""Seconds without a failure after which the count starts anew."""
_NAME = 80
"""Characters of a name that count: what is longer is no user's."""


@dataclass(slots=True)
class _Count:
    failures: int
    at: float
    """Of the last one."""
    until: float = 0.0
    """When the pause is over."""


@dataclass(slots=True)
class Attempts:
    """Bounded: of more than `most` sources and users, those are forgotten that failed longest ago."""

    allowed: int = 5
    """Failures before the first pause; 0: there is none ever."""
    most: int = 10_000
    _counts: OrderedDict[tuple[str, str], _Count] = field(default_factory=OrderedDict)

    def __len__(self) -> int:
        return len(self._counts)

    def pause(self, source: str, user: str, now: float) -> float:
        """Seconds for which nothing that comes from `source` (an IP address) is taken for a proof to be `user`."""
        count = self._counts.get(_key(source, user)) if self._counts else None
        return 0.0 if count is None else max(0.0, count.until - now)

    def failed(self, source: str, user: str, now: float) -> None:
        """A wrong password. Not to be told of what comes during a pause, which is not looked at."""
        if not self.allowed:
            return
        counts, key = self._counts, _key(source, user)
        count = counts.get(key)
        if count is None or now - count.at > _FORGOTTEN:
            count = counts[key] = _Count(0, now)
        counts.move_to_end(key)
        count.failures += 1
        count.at = now
        beyond = count.failures - self.allowed
        if beyond >= 0:
            count.until = now + min(_FIRST_PAUSE * 2 ** min(beyond, 16), _LONGEST_PAUSE)
        while len(counts) > self.most or now - next(iter(counts.values())).at > _FORGOTTEN:
            counts.popitem(last=False)

    def succeeded(self, source: str, user: str) -> None:
        """The right one."""
        if self._counts:
            self._counts.pop(_key(source, user), None)


def _key(source: str, user: str) -> tuple[str, str]:
    return source_of(source), user[:_NAME]
