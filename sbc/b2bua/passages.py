"""The state of what happens outside calls: requests on their way to the other side, and subscriptions. Plain data that
can be written down, and the table of what may happen to a subscription."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum, auto

from sbc.b2bua.call import Leg
from sbc.b2bua.commands import SubscriptionRecord
from sbc.b2bua.hooks import Reject, Target
from sbc.sip import Hop, Request, Response, TransactionId


@dataclass(slots=True)
class Passage:
    """A request outside calls on its way from one element to another: one at a time of `targets` is asked."""

    id: str
    """Owner of its deadlines."""
    request: Request
    """As received; our own one where we began it."""
    transaction: TransactionId
    """Where it is answered; "" where we began it."""
    source: Leg
    """Where it came from. (It has a dialog if it belongs to a subscription.)"""
    leg: Leg | None = None
    """Where it is now."""
    target: Target | None = None
    targets: list[Target] = field(default_factory=list)
    """Not tried yet."""
    hops: list[Hop] = field(default_factory=list)
    """Addresses of `target` that are not tried yet."""
    key: str = ""
    """Branch of the request that is out, or token of the Ask that is under way."""
    subscription: str = ""
    """Id of the subscription that it is about."""
    refusal: tuple[Response, Leg] | None = None
    """The best one so far of targets that could not serve it."""
    outcome: tuple[Response, Leg] | Reject | None = None
    """What is to be answered; None while it is under way."""
    silent: bool = False
    """Nobody has answered at all: nor do we (RFC 4320 section 4.2)."""


class SubscriptionState(IntEnum):
    """Where a subscription stands. Its SUBSCRIBEs and NOTIFYs are passages of their own."""

    ASKED = auto()
    """The first SUBSCRIBE is on its way to the notifier."""
    ACTIVE = auto()
    """Notifier and subscriber have a dialog with us each (it may be pending between the two of them)."""
    ENDING = auto()
    """The last NOTIFY is on its way to the subscriber."""
    OVER = auto()
    """Nothing of it is left here."""


class SubscriptionInput(IntEnum):
    ACCEPTED = auto()
    """A 2xx to a SUBSCRIBE."""
    REFUSED = auto()
    """The first SUBSCRIBE is refused, or a later one with what ends the subscription."""
    NOTIFIED = auto()
    """A NOTIFY says that it is active or pending."""
    TERMINATED = auto()
    """A NOTIFY says that it is over."""
    DELIVERED = auto()
    """A NOTIFY has been answered."""
    GONE = auto()
    """The subscriber does not know it any more, or does not answer."""
    EXPIRED = auto()
    """Its time is over, and nobody has said so."""


class SubscriptionAction(IntEnum):
    """What `sbc.b2bua.subscriptions` does; the table below says when."""

    EXTEND = auto()
    PASS_NOTIFY = auto()
    REFUSE_NOTIFY = auto()
    TELL_THE_END = auto()
    FORGET = auto()


_S, _I, _A = SubscriptionState, SubscriptionInput, SubscriptionAction

TRANSITIONS: dict[tuple[SubscriptionState, SubscriptionInput], tuple[SubscriptionState, SubscriptionAction]] = {
    # RFC 6665 4.1.2.1: "200-class responses indicate that the subscription has been accepted"
    (_S.ASKED, _I.ACCEPTED): (_S.ACTIVE, _A.EXTEND),
    # 4.1.2.4: "the subscriber ... will receive a NOTIFY ... potentially even before the 200"
    (_S.ASKED, _I.NOTIFIED): (_S.ACTIVE, _A.PASS_NOTIFY),
    (_S.ASKED, _I.TERMINATED): (_S.ENDING, _A.PASS_NOTIFY),
    # 4.1.2.1: "Non-200-class final responses indicate that no subscription or new dialog usage has been created"
    (_S.ASKED, _I.REFUSED): (_S.OVER, _A.FORGET),
    (_S.ACTIVE, _I.ACCEPTED): (_S.ACTIVE, _A.EXTEND),
    (_S.ACTIVE, _I.NOTIFIED): (_S.ACTIVE, _A.PASS_NOTIFY),
    # 4.1.3: "If ... terminated, the subscriber MUST consider the subscription terminated"; it has to hear of it first
    (_S.ACTIVE, _I.TERMINATED): (_S.ENDING, _A.PASS_NOTIFY),
    # 4.1.2.2: "If a SUBSCRIBE request sent to refresh a subscription receives a 404, 405, 410, 416, 480-485, 489, 501,
    # or 604 response, the subscriber MUST consider the subscription terminated"
    (_S.ACTIVE, _I.REFUSED): (_S.OVER, _A.FORGET),
    # 4.2.2: "If the NOTIFY request fails ... the notifier MUST remove the corresponding subscription"
    (_S.ACTIVE, _I.GONE): (_S.OVER, _A.FORGET),
    # 4.2.1.4: "it ... sends a NOTIFY ... with Subscription-State ... 'terminated' ... 'timeout'"
    (_S.ACTIVE, _I.EXPIRED): (_S.ENDING, _A.TELL_THE_END),
    (_S.ENDING, _I.DELIVERED): (_S.OVER, _A.FORGET),
    (_S.ENDING, _I.GONE): (_S.OVER, _A.FORGET),
    (_S.ENDING, _I.EXPIRED): (_S.OVER, _A.FORGET),
    # 4.1.3: what comes after the last one names no subscription
    (_S.ENDING, _I.NOTIFIED): (_S.ENDING, _A.REFUSE_NOTIFY),
    (_S.ENDING, _I.TERMINATED): (_S.ENDING, _A.REFUSE_NOTIFY),
}

IGNORED: frozenset[tuple[SubscriptionState, SubscriptionInput]] = frozenset(
    {
        # A NOTIFY has been sent by then, which is another state; and the SUBSCRIBE comes to an end by itself.
        (_S.ASKED, _I.DELIVERED),
        (_S.ASKED, _I.GONE),
        (_S.ASKED, _I.EXPIRED),
        (_S.ACTIVE, _I.DELIVERED),
        # The last NOTIFY overtook the answer to a SUBSCRIBE, which passes as it is.
        (_S.ENDING, _I.ACCEPTED),
        (_S.ENDING, _I.REFUSED),
        *((_S.OVER, late) for late in _I),
    }
)


@dataclass(slots=True)
class Subscription:
    """A subscriber, a notifier, and the dialog that each of them has with us (RFC 6665)."""

    id: str
    """Owner of its deadline."""
    event: tuple[str, str]
    """Event package and the parameter `id`."""
    a: Leg
    """The subscriber's leg."""
    b: Leg | None = None
    """The notifier's leg; before anybody has accepted, the one that is asked."""
    state: SubscriptionState = SubscriptionState.ASKED
    until: float = 0.0
    """When it is over unless it is refreshed."""
    kept: SubscriptionRecord | None = None
    """What was written down of it last."""


@dataclass(slots=True)
class Outside:
    """Everything outside calls that is under way."""

    secret: bytes
    """For names of the other side's dialogs that are none of ours: nobody tells from them what they stand for."""
    passages: dict[str, Passage] = field(default_factory=dict)
    keys: dict[str, Passage] = field(default_factory=dict)
    """By `Passage.key`."""
    subscriptions: dict[str, Subscription] = field(default_factory=dict)
    dialogs: dict[tuple[str, str], tuple[Subscription, str]] = field(default_factory=dict)
    """(Call-ID, our tag) -> the subscription, and the side of the leg."""

    def sizes(self) -> dict[str, int]:
        """How much every table holds."""
        return {
            "passages": len(self.passages),
            "requests outside calls": len(self.keys),
            "subscriptions": len(self.subscriptions),
            "subscriptions' dialogs": len(self.dialogs),
        }

    def name(self, subscription: Subscription, legs: Iterable[Leg]) -> None:
        """These are the dialogs of `subscription` from now on."""
        self.unname(subscription)
        for leg in legs:
            self.dialogs[(leg.invite.call_id, leg.local_tag)] = (subscription, leg.side)

    def unname(self, subscription: Subscription) -> None:
        for leg in filter(None, (subscription.a, subscription.b)):
            self.dialogs.pop((leg.invite.call_id, leg.local_tag), None)
