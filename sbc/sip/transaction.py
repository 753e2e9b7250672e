"""What a transaction of RFC 3261 section 17 is made of: plain data, and the words for what may happen to it.

The machines that run on it are the tables of `sbc.sip.machines`. Each state has at most two clocks running: one that
sends again (`resend_at`: timers A, E, G) and one that ends the state (`ends_at`: timers B, D, F, H, I, J, K, L, M).
They reach the machine as `Input.RESEND` and `Input.END`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from math import inf

from sbc.sip.wire import Address, Hop, TransactionId


@dataclass(frozen=True, slots=True)
class Timers:
    """The three base values of RFC 3261 section 17.1.1.1 and table 4, in seconds; timers A to M follow from them."""

    t1: float = 0.5
    """Estimate of the round-trip time."""
    t2: float = 4.0
    """Longest interval between retransmissions of a non-INVITE request or an INVITE response."""
    t4: float = 5.0
    """Longest time that a message stays in the network."""

    long: float = field(init=False)
    """64*T1: timers B, D (at least 32 s in the RFC, which is this with the default T1), F, H, J, L, M, and the wait
    after a CANCEL (section 9.1)."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "long", 64 * self.t1)


class State(IntEnum):
    """State names in the words of RFC 3261 section 17 and RFC 6026."""

    CALLING = 1
    TRYING = 2
    PROCEEDING = 3
    ACCEPTED = 4
    COMPLETED = 5
    CONFIRMED = 6
    TERMINATED = 7


class Input(IntEnum):
    """What may happen to a transaction. The subject that goes with it is named in brackets."""

    PROVISIONAL = 1
    """A 1xx was received [(Response, Packet)]."""
    SUCCESS = 2
    """A 2xx was received [(Response, Packet)]."""
    FAILURE = 3
    """A 3xx, 4xx, 5xx or 6xx was received [(Response, Packet)]."""
    REQUEST = 4
    """The request was received again [Packet]."""
    ACK = 5
    """An ACK with the INVITE's branch was received [(Request, Packet)]."""
    SEND_PROVISIONAL = 6
    """The transaction user answers 1xx [bytes]."""
    SEND_SUCCESS = 7
    """The transaction user answers 2xx [bytes]."""
    SEND_FAILURE = 8
    """The transaction user answers 3xx to 6xx [bytes]."""
    GIVE_UP = 9
    """The transaction user answers 408 to a non-INVITE request, which nobody may see (RFC 4320) [None]."""
    RESEND = 10
    """Timer A, E or G fired [None]."""
    END = 11
    """Timer B, D, F, H, I, J, K, L or M fired, or the wait after a CANCEL is over [None]."""
    TRANSPORT_ERROR = 12
    """What this transaction sent last could not be delivered [None]."""


class Machine(IntEnum):
    """Which of the four machines a transaction runs on; an index into `sbc.sip.machines.MACHINES`."""

    INVITE_CLIENT = 0
    CLIENT = 1
    INVITE_SERVER = 2
    SERVER = 3


@dataclass(slots=True, eq=False)
class Transaction:
    """One transaction: plain data, and no more of it than its state still needs."""

    id: TransactionId
    machine: Machine
    state: State
    method: str
    hop: Hop
    """Where its messages go."""
    label: str = ""
    message: bytes = b""
    """What is sent again when that is due: a client's request, or ACK once Completed; a server's last response."""
    resend_at: float = inf
    interval: float = 0.0
    """Seconds from the last transmission to `resend_at`."""
    ends_at: float = inf
    armed: float = inf
    """The time of this transaction's live entry in the stack's `Deadlines`; inf: none."""
    cancel: tuple[str, ...] | None = None
    """INVITE client: values of Reason for the CANCEL that was asked for; None: none was."""
    merge_key: str = ""
    """Server: its entry in the stack's index of requests that may be merged; "": none."""
    fallback: Address | None = None
    """Server on a stream: where to send if the connection is gone (18.2.2); None: nowhere (else)."""
    otherwise: tuple[bytes, Hop] | None = None
    """Client on a stream that was chosen for the request's length: the request over UDP, and where to (18.1.1)."""
    failure_told: bool = False
    """The transaction user knows that the transport failed."""
