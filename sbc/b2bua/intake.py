"""How many registrations the registrar inside gets to do: a rate, and a pause when it does not answer.

After an outage thousands of phones come at once. Those that are turned away are told when to come again, each a time of
its own, so that they do not come at once again.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from math import ceil

_PROBES = 1.0
"""Seconds between the registrations that are passed to a registrar that did not answer the last one."""
_PAUSE = 5.0
"""Seconds that a registrar is left in peace that is silent, or says 503 and not for how long."""
_LONGEST_PAUSE = 60.0
_FARTHEST = 600.0
"""Seconds that nobody is told to wait longer than."""
_PROOF = 10.0
"""Seconds that somebody who was challenged has to come back as such."""


@dataclass(slots=True)
class Intake:
    """A token bucket of which half is kept for those who answer a challenge, since their first request was admitted."""

    rate: float = 100.0
    """Requests a second."""
    level: float = -1.0
    """What may go at once; below 0: full."""
    at: float = 0.0
    """When `level` was so."""
    shut_until: float = 0.0
    probe_at: float = 0.0
    slot: float = 0.0
    """The time that was told last to somebody who was turned away."""
    least: int = 0
    """Seconds that the registrar wants registrations to last at least (its last 423)."""
    challenged: OrderedDict[str, float] = field(default_factory=OrderedDict)
    """Call-IDs of phones that owe the answer to a challenge, and until when."""

    def admit(self, call_id: str, now: float) -> bool:
        """Whether a REGISTER with this Call-ID goes to the registrar now."""
        proves = self.challenged.pop(call_id, 0.0) > now
        full = max(self.rate, 2.0)
        level = full if self.level < 0.0 else min(full, self.level + (now - self.at) * self.rate)
        self.level, self.at = level, now
        if now < self.shut_until:
            if now < self.probe_at:
                return False
            self.probe_at = now + _PROBES
        elif level - 1.0 < (0.0 if proves else full / 2 - 1.0):
            return False
        self.level = max(0.0, level - 1.0)
        return True

    def retry_after(self, now: float) -> int:
        """Seconds for somebody who is turned away. A registration takes two requests."""
        self.slot = min(max(self.slot, now + 1.0, self.shut_until) + 2.0 / self.rate, now + _FARTHEST)
        return ceil(self.slot - now)

    def challenge(self, call_id: str, now: float) -> None:
        """A phone was challenged, and will be back."""
        challenged = self.challenged
        challenged[call_id] = now + _PROOF
        challenged.move_to_end(call_id)
        while challenged and (len(challenged) > 64 + _PROOF * self.rate or next(iter(challenged.values())) <= now):
            challenged.popitem(last=False)

    def failed(self, now: float, pause: float = 0.0) -> None:
        """The registrar is silent, or wants to be left in peace for `pause` seconds."""
        if now >= self.shut_until:
            self.probe_at = now + _PROBES
        self.shut_until = max(self.shut_until, now + (min(pause, _LONGEST_PAUSE) or _PAUSE))

    def answered(self) -> None:
        """It has answered something else."""
        self.shut_until = 0.0
