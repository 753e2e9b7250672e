"""The state of a transfer that is done here: plain data on the call whose element asked for it (see
`sbc.b2bua.transferred`)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, auto


class TransferState(IntEnum):
    """How far a transfer is that we do ourselves (see `sbc.b2bua.transferred`)."""

    CALLING = auto()
    """Who is wanted is being called; the call goes on meanwhile."""
    JOINING = auto()
    """Who is wanted is there; as soon as nothing is under way on either leg they are joined."""
    JOINED = auto()
    """They have each other; only the transferor is left here, and may go."""
    OVER = auto()


class TransferInput(IntEnum):
    PROGRESS = auto()
    FOUND = auto()
    """Who is wanted has answered, or was in a call already."""
    REFUSED = auto()
    """Nobody is to be had, or not any more."""
    READY = auto()
    """The two can be joined now."""
    LEFT = auto()
    """The transferor has hung up."""
    ENDED = auto()
    """The call has ended otherwise."""
    LET_GO = auto()
    """The transferor has had its time to hang up."""


@dataclass(slots=True)
class Transfer:
    """A transfer that we do ourselves, on the call whose element asked for it."""

    side: str
    """Of the transferor's leg."""
    refer: int
    """CSeq number of its REFER: the id of its subscription (RFC 3515 section 2.4.6)."""
    subscribed: bool
    """It wants to hear how it goes; after the last NOTIFY it does not."""
    wanted: str = ""
    """Id of the call that has the leg of who is wanted."""
    vacated: str = ""
    """Our tag on the leg of that call which is to make room."""
    state: TransferState = TransferState.CALLING
    left: bool = False
    """The transferor has hung up; the other one waits."""
    until: float = 0.0
    """When joining them is given up."""
