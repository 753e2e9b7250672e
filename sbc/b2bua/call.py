"""The state of one call: plain data that can be written down, and the table of what may happen to it.

The enumerations here are of integers because they are looked up in tables for every message: another Enum's hash is
worked out in Python.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, auto
from typing import TYPE_CHECKING, NamedTuple

from sbc.b2bua.commands import CallRecord
from sbc.b2bua.hooks import Target
from sbc.b2bua.network import Interworking, Listener, Peer, Zone
from sbc.b2bua.transfer_state import Transfer
from sbc.media import MediaSession
from sbc.sip import Dialog, Hop, Request, Response, TransactionId

if TYPE_CHECKING:
    from sbc.b2bua.dtmf import Digits


class CallState(IntEnum):
    """Where the call stands, seen from its A leg."""

    CALLING = auto()
    """INVITE received and answered with 100; targets are being tried (see `sbc.b2bua.targets`)."""
    KEPT = auto()
    """A target has answered; our 2xx waits for the PRACK of a provisional response (see `sbc.b2bua.reliable`)."""
    ANSWERED = auto()
    """2xx sent to the A leg, its ACK has not come."""
    ESTABLISHED = auto()
    """The ACK came."""
    CLOSING = auto()
    """Both legs have been told the end; BYEs, late responses and the last media figures are waited for."""


class Input(IntEnum):
    """What can happen to a call. Requests inside the dialogs other than BYE are `sbc.b2bua.in_dialog`'s matter."""

    PROVISIONAL = auto()
    ANSWER = auto()
    EARLY_ANSWER = auto()
    """A 2xx, while the A leg owes us the PRACK of a provisional response with SDP."""
    PRACK = auto()
    """That PRACK has come."""
    BAD_ANSWER = auto()
    """A 2xx whose SDP cannot be served."""
    REFUSAL = auto()
    """The last target is lost, or one has refused for all of them."""
    CANCEL = auto()
    ACK = auto()
    BYE = auto()
    NO_ANSWER = auto()
    UNACKED = auto()
    """No ACK came for our 2xx during 64*T1."""
    ENDED_HERE = auto()
    """The SBC itself ends the call: silence, time limit, drain, a dialog that one side no longer knows."""


class Action(IntEnum):
    """Names of what `sbc.b2bua.replies` and `sbc.b2bua.teardown` do; the table below says when."""

    PASS_PROVISIONAL = auto()
    PASS_ANSWER = auto()
    KEEP_ANSWER = auto()
    TAKE_BACK = auto()
    REFUSE_ANSWER = auto()
    PASS_REFUSAL = auto()
    CANCEL_TARGETS = auto()
    GIVE_UP = auto()
    CONFIRM = auto()
    END_BY_PEER = auto()
    END_BY_SBC = auto()
    REFUSE_CALL = auto()


TRANSITIONS: dict[tuple[CallState, Input], tuple[CallState, Action]] = {
    (CallState.CALLING, Input.PROVISIONAL): (CallState.CALLING, Action.PASS_PROVISIONAL),
    (CallState.CALLING, Input.ANSWER): (CallState.ANSWERED, Action.PASS_ANSWER),
    # RFC 3262 section 3: "In that case, it MUST NOT send a final response of 2xx until those provisional responses are
    # acknowledged"
    (CallState.CALLING, Input.EARLY_ANSWER): (CallState.KEPT, Action.KEEP_ANSWER),
    (CallState.KEPT, Input.PRACK): (CallState.ANSWERED, Action.PASS_ANSWER),
    (CallState.KEPT, Input.CANCEL): (CallState.CLOSING, Action.TAKE_BACK),
    (CallState.KEPT, Input.BYE): (CallState.CLOSING, Action.TAKE_BACK),
    (CallState.KEPT, Input.ENDED_HERE): (CallState.CLOSING, Action.TAKE_BACK),
    # 13.2.2.4: an answer that is not acceptable: "the UAC MUST ... generate a valid ... ACK, and then ... send a BYE"
    (CallState.CALLING, Input.BAD_ANSWER): (CallState.CLOSING, Action.REFUSE_ANSWER),
    (CallState.CALLING, Input.REFUSAL): (CallState.CLOSING, Action.PASS_REFUSAL),
    # 9.2: "the UAS ... SHOULD immediately respond to the INVITE with a 487"
    (CallState.CALLING, Input.CANCEL): (CallState.CLOSING, Action.CANCEL_TARGETS),
    # 15: "The caller's UA MAY send a BYE for either confirmed or early dialogs"
    (CallState.CALLING, Input.BYE): (CallState.CLOSING, Action.CANCEL_TARGETS),
    # 16.8: timer C: "the proxy MUST generate a CANCEL" when a provisional came
    (CallState.CALLING, Input.NO_ANSWER): (CallState.CLOSING, Action.GIVE_UP),
    (CallState.CALLING, Input.ENDED_HERE): (CallState.CLOSING, Action.REFUSE_CALL),
    (CallState.ANSWERED, Input.ACK): (CallState.ESTABLISHED, Action.CONFIRM),
    (CallState.ESTABLISHED, Input.ACK): (CallState.ESTABLISHED, Action.CONFIRM),
    (CallState.ANSWERED, Input.BYE): (CallState.CLOSING, Action.END_BY_PEER),
    (CallState.ESTABLISHED, Input.BYE): (CallState.CLOSING, Action.END_BY_PEER),
    # 13.3.1.4: "if the 2xx response is not acknowledged ... the session should be terminated ... with a BYE"
    (CallState.ANSWERED, Input.UNACKED): (CallState.CLOSING, Action.END_BY_SBC),
    (CallState.ESTABLISHED, Input.UNACKED): (CallState.CLOSING, Action.END_BY_SBC),
    (CallState.ANSWERED, Input.ENDED_HERE): (CallState.CLOSING, Action.END_BY_SBC),
    (CallState.ESTABLISHED, Input.ENDED_HERE): (CallState.CLOSING, Action.END_BY_SBC),
}

_LATE = (Input.PROVISIONAL, Input.ANSWER, Input.EARLY_ANSWER, Input.BAD_ANSWER, Input.REFUSAL, Input.NO_ANSWER)

IGNORED: frozenset[tuple[CallState, Input]] = frozenset(
    {
        # Nothing was sent that could be acknowledged.
        (CallState.CALLING, Input.ACK),
        (CallState.CALLING, Input.UNACKED),
        (CallState.KEPT, Input.ACK),
        (CallState.KEPT, Input.UNACKED),
        # Nothing is kept that it could set free.
        *((state, Input.PRACK) for state in (CallState.CALLING, CallState.ANSWERED, CallState.ESTABLISHED)),
        # 9.2: "no effect on the processing of the original request" after its final response
        *((state, Input.CANCEL) for state in (CallState.ANSWERED, CallState.ESTABLISHED)),
        # A repeated 2xx is acknowledged again where it comes in; the rest is late.
        *((state, late) for state in (CallState.KEPT, CallState.ANSWERED, CallState.ESTABLISHED) for late in _LATE),
        # It is over: nothing changes that.
        *((CallState.CLOSING, late) for late in Input),
    }
)


@dataclass(slots=True)
class SessionTimer:
    """What a leg has agreed on (RFC 4028)."""

    interval: int
    """Seconds."""
    ours: bool = False
    """We are the refresher."""
    least: int = 0
    """Min-SE of a 422 that the element gave."""
    expires: float = 0.0
    """When the session is over, unless it is refreshed before; 0: nothing is agreed yet."""
    raises: int = 0
    """422s in a row."""


@dataclass(slots=True)
class Reliable:
    """Reliable provisional responses that we send on a leg (RFC 3262 section 3)."""

    rseq: int
    """Of the one that is pending, or comes next."""
    pending: Provisional | None = None
    """Sent, and sent again until its PRACK comes or our final response goes out."""
    interval: float = 0.0
    give_up: float = 0.0
    waiting: list[Provisional] = field(default_factory=list)
    """To be sent after it, one by one."""


class Provisional(NamedTuple):
    """A provisional response to the A leg's INVITE that is sent reliably."""

    response: Response
    leg: Leg
    """The B leg that it comes from."""
    owed: PrackOwed | None
    """What is to be acknowledged on that leg once this one is; None if it was not reliable there."""
    offer: bool
    """It carries the B leg's offer: the PRACK brings the answer."""


class PrackOwed(NamedTuple):
    """A reliable provisional response on a B leg that we have not acknowledged."""

    tag: str
    """The other side's, of the early dialog."""
    rseq: int
    cseq: int


class Prack(NamedTuple):
    """A PRACK of the A leg that was passed on."""

    request: Request
    transaction: TransactionId
    leg: Leg
    """The B leg that it went to."""
    offer: bool
    """It carries a new offer."""


class Heard(NamedTuple):
    """What an early dialog on the B side has answered."""

    sdp: bytes
    firm: bool
    """It was reliable, and stands for good (RFC 3262 section 5)."""


@dataclass(slots=True)
class FirstOffer:
    """The first offer and its answers; see `sbc.b2bua.first_offer`."""

    by_caller: bool = False
    """It is in the A leg's INVITE; else the B leg makes it."""
    sent: bytes = b""
    """As the targets that are being tried got it."""
    answers: dict[tuple[str, str], Heard] = field(default_factory=dict)
    """By early dialog: our tag and the other side's."""
    speaker: tuple[str, str] = ("", "")
    """The early dialog whose session stands now."""
    settled: bool = False
    """Reliable provisional responses carried what cannot be taken back: the answer, or the B leg's offer."""
    told: bytes = b""
    """The answer that the A leg was given last."""
    given: bool = False
    """It was given reliably: no response to the INVITE can change it any more."""
    retell: bool = False
    """The session may be another one now: the A leg is offered it once it has acknowledged its 2xx."""


class Purpose(IntEnum):
    """Why a client transaction of a call exists."""

    INVITE = auto()
    """The initial INVITE to a target that is being tried, or that has answered."""
    STRAY = auto()
    """An initial INVITE given up or cancelled: a 2xx to it is acknowledged and ended."""
    EXCHANGE = auto()
    """A re-INVITE or UPDATE; see `Exchange`."""
    PRACK = auto()
    RELAY = auto()
    """Another request inside the dialog that the other leg sent."""
    BYE = auto()
    NOTIFY = auto()
    """Of a transfer that we do ourselves."""
    DIGIT = auto()


class Unacked(NamedTuple):
    """Our 2xx to an INVITE, sent again until the ACK comes (RFC 3261 section 13.3.1.4)."""

    transaction: TransactionId
    response: Response
    cseq: int
    interval: float
    give_up: float


@dataclass(slots=True)
class Leg:
    """Our user agent towards one element."""

    side: str
    """"a" or "b", as in a flow."""
    zone: Zone
    peer: Peer | None
    listener: Listener
    hop: Hop
    """Where requests to the element go now."""
    contact: str
    """Our Contact value on this leg."""
    local_tag: str
    transaction: TransactionId
    """Of the initial INVITE: server on the A leg, client on the B leg."""
    invite: Request
    """The initial INVITE, as received (A) or sent (B)."""
    dialog: Dialog | None = None
    """The dialog, early or confirmed; on a B leg that forked, the early one that spoke last."""
    allows: frozenset[str] | None = None
    """Methods that the element's last Allow named; None: it has not said."""
    supports: frozenset[str] = frozenset()
    """Option tags that its last Supported named."""
    requires: frozenset[str] = frozenset()
    """Option tags that its initial INVITE required."""
    reliable: Reliable | None = None
    """On the A leg, when provisional responses are reliable."""
    rseqs: dict[str, int] = field(default_factory=dict)
    """On a B leg: the last RSeq of each early dialog, by the other side's tag."""
    timer: SessionTimer | None = None
    digits: Digits | None = None
    forks: dict[str, Dialog] = field(default_factory=dict)
    """On a B leg that is not answered: its early dialogs, by the other side's tag."""
    hung_up: str | None = None
    """On a B leg: the other side's tag of a dialog that has ended with BYE, before its 2xx was seen."""
    forked: bool = False
    """On a B leg that is answered: others than the one that answered have rung."""
    fixed_hop: bool = False
    """The element is behind a NAT: requests go where its signalling comes from, whatever its Contact says."""
    device: str = ""
    """Token of the registered device that it is: the leg goes where the device's flow goes."""
    unacked: Unacked | None = None
    ack: tuple[int, Request, Hop] | None = None
    """The last ACK sent, with the CSeq number of its INVITE: a repeated 2xx gets it again."""
    reinvite: TransactionId = ""
    """The last re-INVITE sent on this leg that was answered with 2xx; it may be answered again."""
    ack_owed: Response | None = None
    """A 2xx with an offer whose ACK waits for the other side's answer (delayed offer)."""
    told_the_end: bool = False
    """A BYE was sent or received, or a final failure response, or none is due."""
    bye_owed: Request | None = None
    """A BYE that waits for the ACK of our 2xx (RFC 3261 section 15: not before it)."""
    challenges: frozenset[str] = frozenset()
    """Methods of requests inside the dialog for which it has asked who sends them ..."""
    takes: frozenset[str] = frozenset()
    """... and those that it has accepted from anybody. Only looked into where there is doubt."""
    names: tuple[str, ...] = ()
    """What names this element or its network, for the last look over what crosses."""

    @property
    def how(self) -> Interworking:
        """What the configuration forces on this leg."""
        return self.peer.how if self.peer is not None else self.zone.how

    @property
    def trusted(self) -> bool:
        """The element belongs to our trust domain (RFC 3325)."""
        return self.peer.trusted if self.peer is not None else self.zone.trusted

    @property
    def placed(self) -> bool:
        """We sent its INVITE."""
        return not self.invite.raw

    @property
    def confirmed(self) -> bool:
        """A 2xx to the initial INVITE went over this leg."""
        return self.dialog is not None and self.dialog.confirmed

    @property
    def gone(self) -> bool:
        """Nothing can be asked on its dialog: it has ended, though we may not have seen its 2xx yet."""
        return self.told_the_end or (self.dialog is not None and self.dialog.remote_tag == self.hung_up)

    def dialog_with(self, remote_tag: str) -> Dialog | None:
        """The dialog, early ones of other forks included, that the other side knows by its tag `remote_tag`."""
        if self.dialog is not None and self.dialog.remote_tag == remote_tag:
            return self.dialog
        return self.forks.get(remote_tag)

    def seen_from(self, hop: Hop) -> None:
        """A request of this dialog came over `hop`. An element behind a NAT is there now; so is one whose stream was
        closed and opened again (RFC 5923 section 5: the stream that it uses is the one to use)."""
        if hop != self.hop and (self.fixed_hop or hop.remote.host == self.hop.remote.host):
            if self.fixed_hop:
                self.hop = hop
            elif hop.transport == self.hop.transport and hop.connection is not None:
                self.hop = self.hop._replace(connection=hop.connection)


@dataclass(slots=True)
class Relay:
    """A request inside the dialog on its way from one leg to the other."""

    side: str
    """Of the leg that it came from."""
    request: Request
    transaction: TransactionId


class ExchangeState(IntEnum):
    ASKED = auto()
    """Our re-INVITE or UPDATE is out on the target leg."""
    PAUSED = auto()
    """An offer of our own met one of the other side (491) and waits to be made again."""
    OVER = auto()


class ExchangeInput(IntEnum):
    PROVISIONAL = auto()
    SUCCESS = auto()
    REFUSAL = auto()
    GLARE = auto()
    """491 to an offer of our own; one to a relayed offer is a refusal: its maker will try again."""
    NO_METHOD = auto()
    """405 or 501 to an UPDATE."""
    TOO_BRIEF = auto()
    """422: the element wants a longer session interval (RFC 4028)."""
    LOST = auto()
    """No answer, or the dialog is not known any more."""
    UNSENT = auto()
    """Our request could not be sent."""
    RETRY = auto()
    """The pause is over."""


class Doubt(NamedTuple):
    """Where a request came from that its leg's element, a registered device, was not known to be; see
    `sbc.b2bua.doubts`."""

    hop: Hop
    asks: bool
    """The exchange only asks whether the registrar wants to know who it is from: nothing changes by it. Else its 2xx
    tells that the registrar has been shown."""


@dataclass(slots=True)
class Exchange:
    """An offer and its answer under way between the legs."""

    origin: str
    """Side of the leg that asked; "" when we did."""
    target: str
    """Side of the leg that is asked."""
    method: str
    """That we ask with: INVITE or UPDATE."""
    offer: bool
    """Our request carries an offer; else its 2xx is to bring one (a re-INVITE without SDP)."""
    request: Request | None = None
    """The request received; None when we ask on our own account."""
    transaction: TransactionId = ""
    """Of that request."""
    branch: TransactionId = ""
    """Of our own."""
    purpose: str = ""
    """What an offer of our own is for."""
    body: bytes = b""
    """The offer as we send it, for the next try."""
    answer: bytes = b""
    """What an offer of our own was answered, for the other side."""
    doubt: Doubt | None = None
    state: ExchangeState = ExchangeState.ASKED
    cancelled: bool = False
    glares: int = 0


class Refusal(NamedTuple):
    """A target's final failure response."""

    response: Response
    leg: Leg
    """That it came on."""
    ours: str = ""
    """Why we could not even ask, where the response is of our own making."""


@dataclass(slots=True)
class Attempt:
    """A target that is being tried: its addresses are looked up, or an INVITE to one of them is out."""

    number: int
    target: Target
    beside: bool = False
    """Others are tried together with it."""
    hops: list[Hop] = field(default_factory=list)
    """Addresses not tried yet, best first."""
    leg: Leg | None = None
    """The leg of the INVITE that is out."""
    question: str = ""
    """Token of the Ask that is under way; "" when there is none."""
    heard: bool = False
    """The target has answered something."""


class Role(IntEnum):
    """Whether the A leg is somebody's."""

    ORDINARY = 0
    PLACED = 1
    """The call is placed by ourselves for a transfer: its A leg stands in for who is to be joined with the answerer."""
    TAKING = 2
    """Its INVITE takes over a leg of another call (RFC 3891), which is done here."""


class Sent(NamedTuple):
    """A client transaction of the call."""

    purpose: Purpose
    side: str
    """Of the leg that it was sent on."""
    request: Request
    hop: Hop
    attempt: int = 0
    """Number of the attempt that an INVITE belongs to."""


class Ending(NamedTuple):
    """Why and by whom a call ends."""

    by: str
    """caller, callee or sbc."""
    cause: str
    status: int = 0
    """What an A leg without final response gets."""
    phrase: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    reason: str = ""
    """Reason value (RFC 3326) for the BYEs and CANCELs that we send."""


@dataclass(slots=True)
class Call:
    id: str
    started: float
    state: CallState
    a: Leg
    record: CallRecord
    b: Leg | None = None
    """The leg that answered; before that, the one that spoke last."""
    kept: tuple[Response, bytes] | None = None
    """The B leg's 2xx, and its SDP for the A leg, while the call is `CallState.KEPT`."""
    media: MediaSession | None = None
    first: FirstOffer = field(default_factory=FirstOffer)
    targets: list[Target] = field(default_factory=list)
    """Not tried yet."""
    attempts: dict[int, Attempt] = field(default_factory=dict)
    """By number: the targets that are being tried now, together."""
    refused: bool = False
    """Every one of them that is lost was refused by its user: the targets after them would not be asked."""
    redirected: set[str] = field(default_factory=set)
    """Request-URIs that redirections have led to, or came from."""
    b_legs: list[Leg] = field(default_factory=list)
    """Every leg that an INVITE was sent on."""
    refusal: Refusal | None = None
    """The best one of the targets tried so far."""
    challenges: list[Refusal] = field(default_factory=list)
    """All of them that challenge the caller."""
    clients: dict[TransactionId, Sent] = field(default_factory=dict)
    refers: dict[tuple[str, int], int] = field(default_factory=dict)
    """Side and CSeq number of a REFER that we passed on -> its CSeq number on the leg that it came from."""
    replaces: str = ""
    """Replaces of the INVITEs to our targets: the call takes another one's place."""
    replaces_in: str = ""
    """The zone that this is told in only; "": wherever it leads."""
    role: Role = Role.ORDINARY
    transfer: Transfer | None = None
    """A transfer that one of its elements has asked for, and that is done here."""
    partner: str = ""
    """Id of the call that this one has exchanged a leg with, or that it is placed for."""
    taken: tuple[str, str] = ("", "")
    """What is to be taken over: call and side."""
    introductions: dict[str, str] = field(default_factory=dict)
    """By side of a leg that has not been told yet who is there since its legs were joined: the identity to be asserted,
    "" where only From tells it."""
    rounds: int = 0
    """Offers of our own that were made since its legs were joined."""
    aliases: list[str] = field(default_factory=list)
    """Our names, in Replaces values that crossed, of this call's dialogs and of those that its elements named."""
    pracks: dict[TransactionId, Prack] = field(default_factory=dict)
    """By the branch of our PRACK."""
    relays: dict[TransactionId, Relay] = field(default_factory=dict)
    """By the branch of the relayed request."""
    exchange: Exchange | None = None
    emergency: bool = False
    """Limits do not hold for it, and nothing about its bodies refuses it."""
    draining_flows: set[str] = field(default_factory=set)
    """Flows removed whose last figures have not come."""
    silent_flows: set[str] = field(default_factory=set)
    """Flows that bring nothing; the call ends when all that should are among them."""
    mismatches: set[tuple[str, str]] = field(default_factory=set)
    """Flow and side of which the trail says already that packets of another source were dropped."""
    ended_forks: set[tuple[str, str]] = field(default_factory=set)
    """Call-ID and To tag of late 2xx that were ended with BYE."""
    ended: bool = False
    """`CallEnded` has been said."""

    def leg(self, side: str) -> Leg | None:
        return self.a if side == "a" else self.b


class Replaced(NamedTuple):
    """A dialog of ours that a Replaces names."""

    call: Call
    leg: Leg
    """The leg to the element that is to take part in the new call."""


class TakenOver(NamedTuple):
    """Where an INVITE with Replaces goes."""

    uri: str
    target: Target | None
    """None: wherever a call to `uri` of whoever calls goes."""
    replaces: str
    """The Replaces that the target understands."""
    zone: str = ""
    """The only one that may hear of it; "": where `target` is."""
