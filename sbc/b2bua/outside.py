"""Requests outside calls: to the SBC itself, for somebody behind it, of subscriptions, or of dialogs that it does not
know; and what comes back for those that have been passed on.

RFC 3261 sections 8.2, 11 (OPTIONS), 12.2.2.
"""

from __future__ import annotations

from collections.abc import Sequence

from sbc.b2bua import (
    authentication,
    bodies,
    capabilities,
    commands,
    hooks,
    keeping,
    locating,
    passages,
    registering,
    registrar,
    relay,
    subscriptions,
)
from sbc.b2bua.context import Context, answer
from sbc.sip import Credentials, Hop, Packet, Request, Response, SipError, TransactionId

_NO_CALL = ""
_IN_DIALOGS = frozenset({"BYE", "INFO", "PRACK", "UPDATE"})
_ALLOW = ", ".join(method for method in (*capabilities.ALLOWED, "PUBLISH", "SUBSCRIBE") if method != "REFER")
"""What is understood of somebody who is in no call: only calls are transferred."""
_ABLE = hooks.Reject("call", 200, "", headers=(("Allow", capabilities.ALLOW), ("Accept", bodies.ACCEPT)))
"""RFC 3261 section 11.2: as an INVITE would be answered."""


def request_received(
    context: Context,
    request: Request,
    transaction: TransactionId,
    packet: Packet,
    given: Sequence[Credentials] = (),
) -> None:
    """A request without To tag other than INVITE, ACK and CANCEL; `given`: its credentials for us."""
    hop = packet.hop
    peer = context.places.peer(hop.zone, hop.remote.host)
    zone = context.network.zones[hop.zone]
    view = hooks.CallView(request, hop, zone, peer, len(context.calls), context.draining)
    verdict = context.hooks.admit(view)
    if isinstance(verdict, hooks.Drop):
        context.out.append(commands.Abandon(transaction))
        return
    if request.method == "REGISTER" and isinstance(verdict, hooks.Pass):
        if _registers(context, request, transaction, hop, given):
            return
    outcome = verdict if isinstance(verdict, hooks.Reject) else _answer(context, view)
    if outcome is None:
        caller = authentication.caller_of(context, view, given)
        outcome = caller if isinstance(caller, hooks.Reject) else _capabilities(context, view)
    if outcome is None:
        opened = subscriptions.opened if request.method == "SUBSCRIBE" else relay.opened
        try:
            passage = opened(context, view, transaction)
        except SipError as fault:  # what has to be a dialog cannot be one
            passage = hooks.Reject("relay", 400, str(fault))
        if isinstance(passage, passages.Passage):
            if request.method == "SUBSCRIBE":
                keeping.agree(context, request, hop)
            relay.try_next(context, passage)
            _settle(context, passage)
            return
        outcome = passage
    _respond(context, request, transaction, hop, outcome)


def _registers(
    context: Context, request: Request, transaction: TransactionId, hop: Hop, given: Sequence[Credentials]
) -> bool:
    """Hand a REGISTER to whoever is the registrar; False: nobody is, for phones in that zone."""
    access = context.settings.access
    if access is None:
        return False
    if not access.registrar:
        registrar.request_received(context, request, transaction, hop, given)
    elif hop.zone == access.zone:
        registering.request_received(context, request, transaction, hop)
    else:
        return False
    return True


def _answer(context: Context, view: hooks.CallView) -> hooks.Reject | None:
    """What we say ourselves to whoever asks; None: it goes on to somebody else, or who asks makes a difference."""
    request, method = view.request, view.request.method
    if method in _IN_DIALOGS:
        return hooks.Reject("call", 481, "")  # 15.1.2, RFC 3311 5.2, RFC 6086 4.2.2: they belong to a dialog
    if request.request_uri.scheme not in capabilities.SCHEMES and not _is_asked_what_it_can(method, request):
        return hooks.Reject("call", 416, "")
    if method == "SUBSCRIBE" or (method in relay.METHODS and method != "OPTIONS"):
        return None
    unsupported = capabilities.unsupported_extensions(request)
    if unsupported is not None:
        return unsupported
    if method == "OPTIONS":
        # with Max-Forwards 0 as well, since it goes no further
        for_us = request.max_forwards == 0 or (_is_for_us(context, request) and not request.request_uri.user)
        return _ABLE if for_us else None
    # 8.2.1: "If the UAS ... does not support the method ... it MUST generate a 405 (Method Not Allowed)"
    return hooks.Reject("call", 405, "", headers=(("Allow", _ALLOW),))


def _capabilities(context: Context, view: hooks.CallView) -> hooks.Reject | None:
    """What we can, if an OPTIONS is for nobody behind us."""
    request = view.request
    if request.method != "OPTIONS" or not _is_for_us(context, request):
        return None
    return _ABLE if locating.locate(context, request, view.zone.name) is None else None


def _is_for_us(context: Context, request: Request) -> bool:
    host = request.request_uri.host
    return not host or host in context.places.own_hosts


def _is_asked_what_it_can(method: str, request: Request) -> bool:
    return method == "OPTIONS" and capabilities.can_be_called(request.request_uri)


def dialog_request_received(context: Context, request: Request, transaction: TransactionId, packet: Packet) -> None:
    """A request with To tag that belongs to no call."""
    if not subscriptions.request_received(context, request, transaction, packet.hop):
        # 12.2.2: "If the UAS wishes to reject the request ... it MUST respond to the request with a 481"
        _respond(context, request, transaction, packet.hop, hooks.Reject("call", 481, ""))


def _respond(context: Context, request: Request, transaction: TransactionId, hop: Hop, verdict: hooks.Reject) -> None:
    tag = context.tokens.tag() if request.to.tag is None else None
    if verdict.status >= 300:
        told = f"{request.method} of {hop.remote.host} refused: {verdict.status}"
        context.out.append(commands.Decided(_NO_CALL, context.now, "call", verdict.policy, told, verdict.reason))
    answer(context, _NO_CALL, request, transaction, verdict.status, verdict.phrase, verdict.headers, tag, hop)


# -- what comes back ---------------------------------------------------------------------------------------------------


def response_received(context: Context, branch: TransactionId, response: Response) -> None:
    """A response to a request that belongs to no call."""
    passage = context.outside.keys.get(branch)
    if passage is None or passage.leg is None:
        return
    relay.response_received(context, passage, response)
    _settle(context, passage)


def lost(context: Context, branch: TransactionId, timed_out: bool) -> None:
    """No answer to such a request, or no way to send it."""
    passage = context.outside.keys.get(branch)
    if passage is not None:
        relay.lost(context, passage, timed_out)
        _settle(context, passage)


def resolved(context: Context, token: str, hops: tuple[Hop, ...]) -> bool:
    """Whether the answer was for such a request."""
    passage = context.outside.keys.get(token)
    if passage is None:
        return False
    relay.resolved(context, passage, hops)
    _settle(context, passage)
    return True


def due(context: Context, owner: str, kind: str) -> None:
    """A deadline of a request or a subscription."""
    passage = context.outside.passages.get(owner)
    if passage is None:
        subscriptions.expired(context, context.outside.subscriptions[owner])
    elif kind == "trying":
        relay.still_trying(context, passage)
    else:
        relay.lost(context, passage, False)
        _settle(context, passage)


def _settle(context: Context, passage: passages.Passage) -> None:
    """It has an outcome: whoever has asked is answered."""
    if passage.outcome is None:
        return
    relay.forget(context, passage)
    if passage.subscription and passage.request.method == "SUBSCRIBE" and not isinstance(passage.outcome, hooks.Reject):
        response, leg = passage.outcome
        if response.status < 300:
            subscriptions.accepted(context, passage, response, leg)
    relay.give_back(context, passage)
    if passage.subscription:
        subscriptions.answered(context, passage)
