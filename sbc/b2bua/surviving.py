"""Subscriptions outlive the process: what is written down of them, and going on with it after a restart.

CSeq numbers must not go back (RFC 3261 section 12.2.1.1), and a NOTIFY must not cost a write: what is written is ahead
of what is used by some numbers, and is written anew before they are. The next process begins after them; a gap is in
order (section 12.2.2).
"""

from __future__ import annotations

from collections.abc import Iterable

from sbc.b2bua.call import Leg
from sbc.b2bua.commands import DialogRecord, ForgetSubscription, KeepSubscription, SubscriptionRecord
from sbc.b2bua.context import Context, contact
from sbc.b2bua.passages import Subscription, SubscriptionState
from sbc.sip import Dialog, Headers, Request

AHEAD = 64
"""CSeq numbers that are written down before they are used."""
_LEFT = AHEAD // 2
"""Of them so many have to be left: writing takes a moment."""
_NEWS = 5.0
"""Seconds by which an end may differ from what is written."""


def keep(context: Context, subscription: Subscription) -> None:
    """Write down what is new of a subscription, if it would be missed."""
    if subscription.state is not SubscriptionState.ACTIVE:
        forget(context, subscription)
        return
    a, b, kept = subscription.a, subscription.b, subscription.kept
    if b is None or a.dialog is None or b.dialog is None:
        return
    if kept is not None and abs(subscription.until - kept.until) < _NEWS:
        if _still_says(kept.a, a, a.dialog) and _still_says(kept.b, b, b.dialog):
            return
    package, number = subscription.event
    written = _written(a, a.dialog), _written(b, b.dialog)
    subscription.kept = SubscriptionRecord(subscription.id, package, number, subscription.until, *written)
    context.out.append(KeepSubscription(subscription.kept))


def forget(context: Context, subscription: Subscription) -> None:
    """It is over, or nearly so."""
    if subscription.kept is not None:
        subscription.kept = None
        context.out.append(ForgetSubscription((subscription.id,)))


def _still_says(record: DialogRecord, leg: Leg, dialog: Dialog) -> bool:
    if dialog.local_cseq + _LEFT > record.local_cseq:
        return False
    return leg.hop == record.hop and dialog.remote_target == record.remote_target


def _written(leg: Leg, dialog: Dialog) -> DialogRecord:
    return DialogRecord(
        leg.zone.name,
        leg.peer.name if leg.peer is not None else "",
        leg.hop,
        leg.fixed_hop,
        leg.device,
        leg.names,
        leg.invite.uri,
        dialog.call_id,
        dialog.local_tag,
        dialog.remote_tag,
        dialog.local,
        dialog.remote,
        dialog.remote_target,
        dialog.route_set,
        dialog.local_cseq + AHEAD,
        -1 if dialog.remote_cseq is None else dialog.remote_cseq,
    )


def restore(context: Context, records: Iterable[SubscriptionRecord]) -> None:
    """Go on with the subscriptions of a former process. What does not fit the configuration any more has ended, and so
    has what was reached over a stream that nobody but the phone can open again. A registered phone will."""
    for record in records:
        a, b = _leg(context, "a", record.a), _leg(context, "b", record.b)
        full = len(context.outside.subscriptions) >= context.settings.max_subscriptions
        if a is None or b is None or full or record.until <= context.now:
            context.out.append(ForgetSubscription((record.id,)))
            continue
        event = record.package, record.number
        subscription = Subscription(record.id, event, a, b, SubscriptionState.ACTIVE, record.until, record)
        context.outside.subscriptions[record.id] = subscription
        context.outside.name(subscription, (a, b))
        ends = record.until + 64 * context.settings.timers.t1
        context.deadlines.set(record.id, "expires", ends)


def _leg(context: Context, side: str, record: DialogRecord) -> Leg | None:
    zone, hop = context.network.zones.get(record.zone), record.hop
    peer = context.network.peers.get(record.peer)
    if hop.transport != "UDP":
        if record.fixed_hop and not record.device:
            return None
        hop = hop._replace(connection=None)
    listener = context.places.listener_of(hop)
    if zone is None or listener is None or (record.peer and peer is None):
        return None
    first = Request("SUBSCRIBE", record.uri, Headers([("Call-ID", record.call_id)]))
    leg = Leg(side, zone, peer, listener, hop, contact(listener), record.local_tag, "", first)
    leg.fixed_hop, leg.device, leg.names = record.fixed_hop, record.device, record.names
    leg.dialog = Dialog(
        record.call_id,
        record.local_tag,
        record.remote_tag,
        record.local,
        record.remote,
        record.remote_target,
        record.route_set,
        record.local_cseq,
        None if record.remote_cseq < 0 else record.remote_cseq,
        confirmed=True,
    )
    return leg


def reachable(context: Context, leg: Leg) -> bool:
    """Whether there is a way to the element of `leg`: a phone that registered over a stream has none until it has
    opened another one."""
    if not leg.device or leg.hop.transport == "UDP":
        return True
    device = context.registrations.by_token(leg.device)
    return leg.hop.connection is not None or bool(device is not None and device.flows)
