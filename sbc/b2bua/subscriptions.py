"""Subscriptions (RFC 6665): a dialog with the subscriber and another one with the notifier, each with its own Call-ID,
tags, CSeq numbers and Contact. What the event package is nobody here needs to know.

The notifier says how long a subscription lasts; both dialogs live as long. Who does not say the end of it in time is
not waited for.
"""

from __future__ import annotations

import re

from sbc.b2bua import bodies, capabilities, commands, hooks, relay, surviving, whereabouts
from sbc.b2bua.call import Leg
from sbc.b2bua.context import Context, answer, own_agent, uri_host
from sbc.b2bua.passages import (
    IGNORED,
    TRANSITIONS,
    Passage,
    Subscription,
    SubscriptionAction,
    SubscriptionInput,
    SubscriptionState,
)
from sbc.sip import Dialog, Headers, Hop, Request, Response, SipError, TransactionId, parse_seconds

_POLICY = "subscriptions"
_RETRY = (("Retry-After", "10"),)
_SOON = (("Retry-After", "1"),)
_LONG = 3600
"""Seconds that a subscription lasts where nobody says."""
_FINAL = frozenset({404, 405, 410, 416, 480, 481, 482, 483, 484, 485, 489, 501, 604})
"""RFC 6665 sections 4.1.2.2 and 4.2.2: answers after which the subscription is no more."""


def opened(context: Context, view: hooks.CallView, transaction: TransactionId) -> Passage | hooks.Reject:
    """A first SUBSCRIBE that may cross, with the places to try; or why it may not. Raises RemoteProtocolError where it
    can make no dialog."""
    request = view.request
    event = _event(request)
    if event is None:
        return hooks.Reject(_POLICY, 400, "not one Event (RFC 6665 section 3.1.2)", "Missing Event")
    if context.draining:
        return hooks.Reject(_POLICY, 503, "the service is ending", headers=_RETRY)
    if len(context.outside.subscriptions) >= context.settings.max_subscriptions:
        return hooks.Reject(_POLICY, 503, "too many subscriptions", headers=_RETRY)
    dialog = Dialog.as_uas(request, "")
    passage = relay.opened(context, view, transaction)
    if isinstance(passage, hooks.Reject):
        return passage
    leg = passage.source
    leg.dialog, dialog.local_tag = dialog, leg.local_tag
    leg.invite = _kept(request)
    whereabouts.follow_target(context, leg, request)
    subscription = Subscription(context.tokens.user(), event, leg)
    passage.subscription = subscription.id
    context.outside.subscriptions[subscription.id] = subscription
    context.outside.name(subscription, (leg,))
    return passage


def _kept(request: Request) -> Request:
    """What of a first SUBSCRIBE is still of use when it has been answered: there may be tens of thousands."""
    headers = Headers()
    for name in ("Call-ID", "CSeq", "Expires"):
        value = request.headers.get(name)
        if value is not None:
            headers.add(name, value)
    return Request(request.method, request.uri, headers)


_EVENT = re.compile(r"\s*([A-Za-z0-9.!%*_+`'~-]+)\s*(?:;(.*))?", re.DOTALL)
_ID = re.compile(r"(?:^|;)\s*id\s*=\s*\"?([^;\"\s]*)", re.IGNORECASE)


def _event(request: Request) -> tuple[str, str] | None:
    """Event package and id (RFC 6665 section 8.2.1)."""
    values = request.headers.get_all("Event")
    match = _EVENT.fullmatch(values[0]) if len(values) == 1 else None
    if match is None:
        return None
    found = _ID.search(match[2] or "")
    return match[1].lower(), found[1] if found else ""


# -- requests in its dialogs -------------------------------------------------------------------------------------------


def request_received(context: Context, request: Request, transaction: TransactionId, hop: Hop) -> bool:
    """A request with To tag; whether it is of a subscription."""
    found = context.outside.dialogs.get((request.call_id, request.to.tag or ""))
    if found is None:
        return False
    subscription, side = found
    leg = subscription.a if side == "a" else subscription.b
    assert leg is not None
    if leg.zone.name != hop.zone:
        return False
    refusal = _known_in(context, leg, request, hop) or _refusal(subscription, leg, request)
    if refusal is None and request.method == "SUBSCRIBE":
        refusal = _refresh(context, subscription, request, transaction)
    elif refusal is None:
        ends = _state(request)[0] == "terminated"
        given = SubscriptionInput.TERMINATED if ends else SubscriptionInput.NOTIFIED
        step(context, subscription, given, (request, transaction))
    if refusal is not None:
        _refuse(context, leg, request, transaction, refusal)
    return True


def _refuse(context: Context, leg: Leg, request: Request, transaction: TransactionId, refusal: hooks.Reject) -> None:
    told = f"{request.method} of {leg.hop.remote.host} refused: {refusal.status}"
    context.out.append(commands.Decided("", context.now, "call", _POLICY, told, refusal.reason))
    answer(context, "", request, transaction, refusal.status, refusal.phrase, refusal.headers, hop=leg.hop)


def _known_in(context: Context, leg: Leg, request: Request, hop: Hop) -> hooks.Reject | None:
    """Bring the leg's dialog up to date; the first NOTIFY makes the notifier's (RFC 6665 section 4.4.1). Why it cannot
    be of that dialog, or None."""
    try:
        if leg.dialog is None:
            leg.dialog = Dialog.as_uas(request, leg.local_tag)
            leg.dialog.local_cseq = leg.invite.cseq.number
            asked = context.outside.keys.get(leg.transaction)
            if asked is not None:
                relay.found(context, asked)
        elif leg.dialog.remote_tag != (request.from_.tag or ""):
            return hooks.Reject(_POLICY, 481, "another fork")  # 4.1.4: one is enough
        elif not whereabouts.is_expected(context, leg, hop):
            return whereabouts.NOT_FROM_THERE
        elif not leg.dialog.accept(request):
            return hooks.Reject(_POLICY, 500, "out of order", "CSeq Out of Order")
        else:
            leg.dialog.refresh_target(request)
    except SipError as fault:
        return hooks.Reject(_POLICY, 400, str(fault))
    leg.seen_from(hop)
    leg.names = whereabouts.names_of(context, leg, request)
    whereabouts.follow_target(context, leg, request)
    return None


def _refusal(subscription: Subscription, leg: Leg, request: Request) -> hooks.Reject | None:
    served = "SUBSCRIBE" if leg is subscription.a else "NOTIFY"
    if request.method != served:
        return hooks.Reject(_POLICY, 405, f"{request.method} in a subscription", headers=(("Allow", served),))
    unsupported = capabilities.unsupported_extensions(request)
    if unsupported is not None:
        return unsupported
    if request.max_forwards == 0:
        return hooks.Reject(_POLICY, 483, "Max-Forwards is 0")
    event = _event(request)
    if event is None:
        return hooks.Reject(_POLICY, 400, "not one Event", "Missing Event")
    if event != subscription.event:
        # 4.1.3: a NOTIFY that matches no subscription; 4.5.1: subscriptions share no dialog
        return hooks.Reject(_POLICY, 481 if served == "NOTIFY" else 489, "another event")
    return None


def _refresh(
    context: Context, subscription: Subscription, request: Request, transaction: TransactionId
) -> hooks.Reject | None:
    other = subscription.b
    if subscription.state is SubscriptionState.ENDING:
        return hooks.Reject(_POLICY, 481, "it is over")
    if other is None or other.dialog is None:
        return hooks.Reject(_POLICY, 500, "the notifier has not answered", "Not Yet Answered", _SOON)
    return _pass(context, subscription, subscription.a, other, request, transaction)


def _pass(
    context: Context, subscription: Subscription, leg: Leg, other: Leg, request: Request, transaction: TransactionId
) -> hooks.Reject | None:
    """Build the same request on the other leg and send it; or why it cannot cross."""
    assert other.dialog is not None
    if not surviving.reachable(context, other):
        return hooks.Reject(_POLICY, 503, "its stream has ended, and it has opened no other one yet", headers=_RETRY)
    edge = relay.border_between(context, leg, other)
    if leg is subscription.b:
        edge = edge._replace(our_host=_place_watched(context, subscription) or edge.our_host)
    refusal = bodies.refusal(request, edge, offers=False)
    if refusal is not None and _state(request)[0] != "terminated":  # the end is told without it
        return refusal
    built = other.dialog.request(request.method, other.contact)
    relay.fill(context, built, request, edge)
    context.left_out(None, bodies.put(built, b"", request, edge))
    passage = Passage("", request, transaction, leg, subscription=subscription.id)
    relay.dispatch(context, relay.register(context, passage), other, built)
    surviving.keep(context, subscription)
    return None


def _place_watched(context: Context, subscription: Subscription) -> str:
    """What the subscriber calls us, where it has named us: bodies name who is watched as it has done, or it would not
    recognise them."""
    host = subscription.a.invite.request_uri.host
    access = context.settings.access
    ours = host in context.places.own_hosts or (access is not None and host in access.domains)
    return uri_host(host) if ours else ""


def _state(request: Request) -> tuple[str, int | None]:
    """What Subscription-State says (RFC 6665 section 8.2.3), and for how long."""
    state, _, parameters = (request.headers.get("Subscription-State") or "").lower().partition(";")
    expires = re.search(r"(?:^|;)\s*expires\s*=\s*(\d{1,10})", parameters)
    return state.strip(), int(expires[1]) if expires else None


# -- answers to its requests -------------------------------------------------------------------------------------------


def answered(context: Context, passage: Passage) -> None:
    """A SUBSCRIBE or NOTIFY has its outcome, which has been given back."""
    subscription = context.outside.subscriptions.get(passage.subscription)
    if subscription is None:
        return
    outcome = passage.outcome
    assert outcome is not None
    status = 408 if passage.silent else outcome.status if isinstance(outcome, hooks.Reject) else outcome[0].status
    if passage.request.method == "NOTIFY":
        gone = passage.silent or status in _FINAL
        step(context, subscription, SubscriptionInput.GONE if gone else SubscriptionInput.DELIVERED, None)
    elif status < 300 and not isinstance(outcome, hooks.Reject):
        step(context, subscription, SubscriptionInput.ACCEPTED, (passage.request, *outcome))
    elif passage.request.to.tag is None or status in _FINAL:
        step(context, subscription, SubscriptionInput.REFUSED, None)


def accepted(context: Context, passage: Passage, response: Response, leg: Leg) -> None:
    """A 2xx to a SUBSCRIBE, which must say how long (RFC 6665 section 4.2.1.1); and the notifier's dialog."""
    if "Expires" not in response.headers:
        response.headers.add("Expires", str(_asked_for(passage.request)))
    if leg.dialog is None:
        leg.dialog = Dialog.as_uac(leg.invite, response)
    elif leg.dialog.remote_tag == response.to.tag:
        leg.dialog.refresh_target(response)
        leg.dialog.confirmed = True
    if "From" in leg.invite.headers:
        leg.invite = _kept(leg.invite)
    whereabouts.follow_target(context, leg, response)


def _asked_for(request: Request) -> int:
    return _seconds(request, _LONG)


def _seconds(message: Request | Response, otherwise: int) -> int:
    try:
        return parse_seconds(message.headers.get("Expires") or str(otherwise))
    except SipError:
        return otherwise


# -- the machine -------------------------------------------------------------------------------------------------------


def step(context: Context, subscription: Subscription, given: SubscriptionInput, detail: object) -> None:
    """One input of a subscription's machine (`sbc.b2bua.passages.TRANSITIONS`)."""
    transition = TRANSITIONS.get((subscription.state, given))
    if transition is None:
        assert (subscription.state, given) in IGNORED
        return
    subscription.state, action = transition
    _ACTIONS[action](context, subscription, detail)
    surviving.keep(context, subscription)


def _extend(context: Context, subscription: Subscription, detail: object) -> None:
    assert isinstance(detail, tuple)
    request, response, _ = detail
    _lasts(context, subscription, _seconds(response, _asked_for(request)))


def _lasts(context: Context, subscription: Subscription, seconds: int) -> None:
    """For so long; its last NOTIFY may take as long as a transaction (RFC 6665 section 4.1.2.4: Timer N)."""
    subscription.until = context.now + seconds
    context.deadlines.set(subscription.id, "expires", subscription.until + 64 * context.settings.timers.t1)


def _pass_notify(context: Context, subscription: Subscription, detail: object) -> None:
    assert isinstance(detail, tuple)
    assert subscription.b is not None
    request, transaction = detail
    _, expires = _state(request)
    if subscription.state is SubscriptionState.ENDING:
        context.deadlines.clear(subscription.id, "expires")
    elif expires is not None:
        _lasts(context, subscription, expires)
    elif not subscription.until:
        _lasts(context, subscription, _asked_for(subscription.a.invite))
    refusal = _pass(context, subscription, subscription.b, subscription.a, request, transaction)
    if refusal is not None:
        _refuse(context, subscription.b, request, transaction, refusal)


def _refuse_notify(context: Context, subscription: Subscription, detail: object) -> None:
    assert isinstance(detail, tuple)
    assert subscription.b is not None
    request, transaction = detail
    _refuse(context, subscription.b, request, transaction, hooks.Reject(_POLICY, 481, "it is over"))


def _tell_the_end(context: Context, subscription: Subscription, detail: object) -> None:
    """A NOTIFY of our own for the subscriber; `detail` is the reason."""
    leg, (package, number) = subscription.a, subscription.event
    assert leg.dialog is not None
    context.deadlines.clear(subscription.id, "expires")
    built = leg.dialog.request("NOTIFY", leg.contact)
    built.headers.add("Event", f"{package};id={number}" if number else package)
    built.headers.add("Subscription-State", f"terminated;reason={detail}")
    own_agent(context, built.headers, "User-Agent")
    _send_own(context, subscription, leg, built)


def _send_own(context: Context, subscription: Subscription, leg: Leg, built: Request) -> None:
    passage = Passage("", built, "", leg, subscription=subscription.id)
    relay.dispatch(context, relay.register(context, passage), leg, built)


def _forget(context: Context, subscription: Subscription, detail: object) -> None:
    context.outside.unname(subscription)
    context.deadlines.clear_all(subscription.id)
    del context.outside.subscriptions[subscription.id]


_ACTIONS = {
    SubscriptionAction.EXTEND: _extend,
    SubscriptionAction.PASS_NOTIFY: _pass_notify,
    SubscriptionAction.REFUSE_NOTIFY: _refuse_notify,
    SubscriptionAction.TELL_THE_END: _tell_the_end,
    SubscriptionAction.FORGET: _forget,
}


def expired(context: Context, subscription: Subscription) -> None:
    step(context, subscription, SubscriptionInput.EXPIRED, "timeout")


def end_all(context: Context) -> None:
    """The service ends: subscribers are to ask again (RFC 6665 section 4.1.3: "deactivated ... SHOULD retry
    immediately"), notifiers need not go on."""
    for subscription in list(context.outside.subscriptions.values()):
        other = subscription.b
        if subscription.state is not SubscriptionState.ACTIVE or other is None or other.dialog is None:
            continue
        built = other.dialog.request("SUBSCRIBE", other.contact)
        package, number = subscription.event
        built.headers.add("Event", f"{package};id={number}" if number else package)
        built.headers.add("Expires", "0")
        own_agent(context, built.headers, "User-Agent")
        _send_own(context, subscription, other, built)
        step(context, subscription, SubscriptionInput.EXPIRED, "deactivated")
