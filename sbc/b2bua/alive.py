"""Whether an element answers: what is concluded from OPTIONS of our own that it answers or not, and from what it does
about other requests. Pure: a table.

Silence to OPTIONS says something of those only that have answered one: there are elements that never do. Of these
several requests have to stay without answer, and nothing to be heard between.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto

_SEVERAL = 3
_TOGETHER = 60.0
"""Seconds within which so many requests stay without answer."""


class State(Enum):
    """What is thought of it."""

    UNPROVEN = auto()
    """It has answered no OPTIONS yet, or not since it was silent: only its silence to other requests counts."""
    UP = auto()
    DOUBTED = auto()
    """It has left one OPTIONS without answer, and is being asked."""
    MISSING = auto()
    """It has left two without answer, or another request for as long as that, and is being asked for the last time."""
    DOWN = auto()


class Sign(Enum):
    """What is seen of it."""

    ANSWERED = auto()
    """It has answered an OPTIONS."""
    MISSED = auto()
    """It has not, or somebody before it says that it cannot be reached."""
    HEARD = auto()
    """It has answered another request."""
    SILENT = auto()
    """It has left another request without answer."""
    SEVERAL = auto()
    """It has left several others without answer, and answered none."""
    UNREACHABLE = auto()
    """Nothing can be sent to it: the network says that nobody is there."""


TRANSITIONS = {
    (State.UNPROVEN, Sign.ANSWERED): State.UP,
    (State.UNPROVEN, Sign.MISSED): State.UNPROVEN,
    (State.UNPROVEN, Sign.HEARD): State.UNPROVEN,
    (State.UNPROVEN, Sign.SILENT): State.UNPROVEN,
    (State.UNPROVEN, Sign.SEVERAL): State.DOWN,
    (State.UNPROVEN, Sign.UNREACHABLE): State.DOWN,
    (State.UP, Sign.ANSWERED): State.UP,
    (State.UP, Sign.MISSED): State.DOUBTED,
    (State.UP, Sign.HEARD): State.UP,
    (State.UP, Sign.SILENT): State.MISSING,
    (State.UP, Sign.SEVERAL): State.MISSING,
    (State.UP, Sign.UNREACHABLE): State.MISSING,
    (State.DOUBTED, Sign.ANSWERED): State.UP,
    (State.DOUBTED, Sign.MISSED): State.MISSING,
    (State.DOUBTED, Sign.HEARD): State.UP,
    (State.DOUBTED, Sign.SILENT): State.MISSING,
    (State.DOUBTED, Sign.SEVERAL): State.MISSING,
    (State.DOUBTED, Sign.UNREACHABLE): State.DOWN,
    (State.MISSING, Sign.ANSWERED): State.UP,
    (State.MISSING, Sign.MISSED): State.DOWN,
    (State.MISSING, Sign.HEARD): State.UP,
    (State.MISSING, Sign.SILENT): State.MISSING,
    (State.MISSING, Sign.SEVERAL): State.MISSING,
    (State.MISSING, Sign.UNREACHABLE): State.DOWN,
    (State.DOWN, Sign.ANSWERED): State.UP,
    (State.DOWN, Sign.MISSED): State.DOWN,
    (State.DOWN, Sign.HEARD): State.UNPROVEN,
    (State.DOWN, Sign.SILENT): State.DOWN,
    (State.DOWN, Sign.SEVERAL): State.DOWN,
    (State.DOWN, Sign.UNREACHABLE): State.DOWN,
}

UNREACHED = frozenset({408, 502, 503, 504})
"""Answers by which an element says that it cannot serve now, or that the one behind it does not answer. Every other
final answer is one of an element that lives, a 500 as well."""


@dataclass(slots=True)
class Watch:
    """What is known of one element. Times as everywhere in this room."""

    state: State = State.UNPROVEN
    question: str = ""
    """The transaction of the last OPTIONS, while it is waited for."""
    asked_at: float = 0.0
    since: float = 0.0
    """When it was found to be down last."""
    back: float = float("-inf")
    """When it was found to be back."""

    unanswered: dict[str, float] = field(default_factory=dict)
    """Other requests that it has left without answer since it was heard last, and when that was seen; a few at most."""

    def left(self, request: str, now: float) -> Sign:
        """It has left this request without answer."""
        unanswered = self.unanswered
        for each in [each for each, when in unanswered.items() if now - when > _TOGETHER]:
            del unanswered[each]
        if len(unanswered) < _SEVERAL:
            unanswered[request] = now
        return Sign.SEVERAL if len(unanswered) >= _SEVERAL else Sign.SILENT

    @property
    def doubted(self) -> bool:
        return self.state in (State.DOUBTED, State.MISSING)

    @property
    def down(self) -> bool:
        return self.state is State.DOWN
