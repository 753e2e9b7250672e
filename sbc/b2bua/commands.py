"""What the session layer wants done, and what it is told besides SIP and flow events. All plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from sbc.b2bua.hooks import Resolve
from sbc.b2bua.network import Users
from sbc.media import Flow, FlowId
from sbc.sip import Hop, Packet, Request, Response, TransactionId, Transmit

CallId = str
"""Our own name of a call, in logs, records and the command line; never on the wire."""


class SendRequest(NamedTuple):
    """`branch` names the client transaction: what comes back names it again."""

    call: CallId
    branch: TransactionId
    request: Request
    hop: Hop
    alternative: Hop | None = None
    """The same element over TCP, for a request that is too long for UDP (RFC 3261 section 18.1.1)."""


class SendAck(NamedTuple):
    call: CallId
    request: Request
    hop: Hop


class CancelRequest(NamedTuple):
    call: CallId
    branch: TransactionId
    reasons: tuple[str, ...] = ()


class Respond(NamedTuple):
    call: CallId
    """"" for a request that belongs to no call."""
    transaction: TransactionId
    response: Response


class Abandon(NamedTuple):
    """Forget a request: it is not to be answered at all, or has been and will be again, the same, if it is repeated."""

    transaction: TransactionId


class ApplyFlow(NamedTuple):
    flow: Flow


class RemoveFlow(NamedTuple):
    flow_id: FlowId


class SendDtmf(NamedTuple):
    """Have the plane send a telephone-event (`DataPlane.send_dtmf`)."""

    flow_id: FlowId
    side: str
    digit: str
    duration: int
    """Milliseconds."""


class BindPorts(NamedTuple):
    host: str
    pairs: int
    """How many port pairs."""


class Ask(NamedTuple):
    """Find something out; the `Answer` comes back with the same `token`."""

    token: str
    query: Resolve


class Answer(NamedTuple):
    token: str
    hops: tuple[Hop, ...]
    """Best first; empty: there is none, `error` says why."""
    error: str = ""


class Ping(NamedTuple):
    """Send what keeps the mappings of NATs on the way to `hop` alive, and nothing else (RFC 5626 section 4.4.1)."""

    hop: Hop


class HoldFlow(NamedTuple):
    """A registration stands on this stream: it may be idle for `seconds` from now, and is not closed for that."""

    hop: Hop
    seconds: float


class UsersChanged(NamedTuple):
    """An event: these are the users of our own registrar from now on."""

    users: Users


class FlowLost(NamedTuple):
    """An event: the stream `hop.connection` has ended (or never came to be)."""

    hop: Hop


class BindingRecord(NamedTuple):
    """One flow of a registered device, with all that is needed to go on with it in another process; see
    `sbc.b2bua.registrations`. Times are monotonic `now` values of the core; the driver turns them into wall-clock
    time and back."""

    aor: str
    device: str
    reg_id: int
    to: str
    written: str
    contact: str
    shown: str
    hop: Hop
    call_id: str
    cseq: int
    until: float
    granted: int
    user_agent: str
    path: tuple[str, ...]
    decision: str
    token: str
    inside_until: float
    checked: float
    inside_granted: int
    service_route: tuple[str, ...]
    associated: tuple[str, ...]
    nat: str = ""
    epoch: str = ""


BindingKey = tuple[str, str, int]
"""Address of record, device, reg-id."""


class KeepBinding(NamedTuple):
    """Write it down, in place of an older one of the same key."""

    record: BindingRecord


class ForgetBinding(NamedTuple):
    key: BindingKey


class DialogRecord(NamedTuple):
    """One of the two dialogs of a subscription, with all that is needed to go on with it in another process."""

    zone: str
    peer: str
    """Name of the configured peer; "": it is none."""
    hop: Hop
    fixed_hop: bool
    device: str
    names: tuple[str, ...]
    uri: str
    """Request-URI of the first SUBSCRIBE on this leg."""
    call_id: str
    local_tag: str
    remote_tag: str
    local: str
    remote: str
    remote_target: str
    route_set: tuple[str, ...]
    local_cseq: int
    """At least that of the last request sent: the next process goes on from here."""
    remote_cseq: int
    """-1: none has come yet."""


class SubscriptionRecord(NamedTuple):
    """A subscription that is active; see `sbc.b2bua.passages`. `until` is a monotonic `now` value of the core."""

    id: str
    package: str
    number: str
    """The event package and its parameter `id`."""
    until: float
    a: DialogRecord
    """With the subscriber."""
    b: DialogRecord
    """With the notifier."""


SubscriptionKey = tuple[str]
"""Its id."""


class KeepSubscription(NamedTuple):
    """Write it down, in place of an older one of the same key."""

    record: SubscriptionRecord


class ForgetSubscription(NamedTuple):
    key: SubscriptionKey


class MessageSeen(NamedTuple):
    """A message of a call came in; for the record. (Messages that go out are recorded as they are written.)"""

    call: CallId
    packet: Packet


class Decided(NamedTuple):
    """One line of a call's decision trail."""

    call: CallId
    """"" for a request that belongs to no call."""
    at: float
    hook: str
    """admit, route, adapt_media, rewrite, observe; or "call" for what the session layer itself decided."""
    policy: str
    verdict: str
    reason: str


@dataclass(slots=True)
class LegRecord:
    """One leg in the record of a call. Text as it stood on that leg's wire."""

    zone: str
    peer: str = ""
    remote: str = ""
    """Address, port and transport of the other element: "192.0.2.1:5060/UDP"."""
    call_id: str = ""
    from_uri: str = ""
    to_uri: str = ""
    request_uri: str = ""
    user_agent: str = ""
    status: int = 0
    """Final status of the INVITE on this leg."""

    def copy(self) -> LegRecord:
        return LegRecord(
            self.zone,
            self.peer,
            self.remote,
            self.call_id,
            self.from_uri,
            self.to_uri,
            self.request_uri,
            self.user_agent,
            self.status,
        )


@dataclass(slots=True)
class StreamRecord:
    """Media figures of one stream of a call: what came in from each side."""

    kind: str
    """audio, video, image ..."""
    codec: str
    a: dict[str, float | int | str] = field(default_factory=dict)
    b: dict[str, float | int | str] = field(default_factory=dict)


@dataclass(slots=True)
class CallRecord:
    """The CDR. Times are monotonic `now` values of the core, which the driver turns into wall-clock time; None: did not
    happen."""

    call: CallId
    started: float
    ringing: float | None = None
    answered: float | None = None
    ended: float | None = None
    a: LegRecord | None = None
    b: LegRecord | None = None
    """The leg of the last target tried, or None when none was."""
    attempts: int = 0
    status: int = 0
    """What the A leg got as final status of its INVITE."""
    ended_by: str = ""
    """caller, callee, sbc; "" while in progress."""
    cause: str = ""
    """Why, in words: "BYE", "CANCEL", "486 Busy Here", "silence", "no answer", "longest call", "drain", ..."""
    streams: list[StreamRecord] = field(default_factory=list)

    def copy(self) -> CallRecord:
        """The record as it stands now: what is handed out is not changed afterwards."""
        return CallRecord(
            self.call,
            self.started,
            self.ringing,
            self.answered,
            self.ended,
            None if self.a is None else self.a.copy(),
            None if self.b is None else self.b.copy(),
            self.attempts,
            self.status,
            self.ended_by,
            self.cause,
            list(self.streams),
        )


class Noticed(NamedTuple):
    """Something that the operator wants to know at once, for the log. It belongs to no call."""

    text: str


class CallOpened(NamedTuple):
    """The first thing said of a call; `record` is a copy and is not changed afterwards."""

    record: CallRecord


class CallChanged(NamedTuple):
    """Answered, or the leg changed."""

    record: CallRecord


class CallEnded(NamedTuple):
    """The last thing said of a call."""

    record: CallRecord


Command = (
    SendRequest
    | SendAck
    | CancelRequest
    | Respond
    | Abandon
    | ApplyFlow
    | RemoveFlow
    | SendDtmf
    | BindPorts
    | Ask
    | Ping
    | HoldFlow
    | MessageSeen
    | Decided
    | Noticed
    | CallOpened
    | CallChanged
    | CallEnded
    | KeepBinding
    | ForgetBinding
    | KeepSubscription
    | ForgetSubscription
    | Transmit
)
