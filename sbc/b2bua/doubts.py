"""A request in the dialog of a registered device that comes from elsewhere: is it the device's, which has moved?

Whoever has seen the dialog's messages knows its identifiers, so they prove nothing (RFC 3261 section 26.1.3). Mostly
the device registers from where it is now, and its calls follow it (`sbc.b2bua.bindings`). Where it asks for something
in a call before it has, it can show who it is:

- to us, where we are the registrar: it is challenged;
- to the registrar inside, where that is at the other end of the call and asks for credentials there. Whether it does is
  found out first, by the same method, without credentials, and with nothing in it that would change the session. If it
  challenges, the device gets that challenge, and its answer goes there as it came: only a 2xx to it moves the leg.

Everything else from there gets a 500, "Retry-After". A BYE is taken: it moves nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from sbc.b2bua import authentication, capabilities, exchange, hooks, network, whereabouts
from sbc.b2bua.call import Call, CallState, Doubt, Leg
from sbc.b2bua.context import Context, answer
from sbc.sip import Credentials, Hop, Request, TransactionId

_ASKED = frozenset({"INVITE", "UPDATE"})


def dealt_with(
    context: Context,
    call: Call,
    leg: Leg,
    request: Request,
    transaction: TransactionId,
    hop: Hop,
    given: Sequence[Credentials],
) -> bool:
    """`request` came over `hop`, where the element of `leg` is not known to be; see `whereabouts.is_expected`. False:
    it is to be served like any other, because it moves nothing, or because it is proven (and has moved the leg)."""
    dialog = leg.dialog_with(request.from_.tag or "")
    old = dialog is None or (dialog.remote_cseq is not None and request.cseq.number < dialog.remote_cseq)
    if request.method == "BYE" or old or leg.gone or call.state is CallState.CLOSING:
        return False
    access = context.settings.access
    if access is None:
        return False
    if not access.registrar:
        return not _proven_here(context, call, access, leg, request, transaction, hop, given)
    other = call.b if leg is call.a else call.a
    inside = other is not None and other.peer is not None and other.peer.name == access.registrar
    if other is None or not inside or not leg.confirmed or request.method not in _ASKED:
        _turn_away(context, call, request, transaction, hop, whereabouts.NOT_FROM_THERE)
        return True
    method = request.method if request.method == "INVITE" or capabilities.allows(other, "UPDATE") else "INVITE"
    if method in other.takes:
        _turn_away(context, call, request, transaction, hop, whereabouts.NOT_FROM_THERE)
        return True
    shows = "Authorization" in request.headers or "Proxy-Authorization" in request.headers
    asks = not (shows and method in other.challenges)
    exchange.offer_received(context, call, leg, request, transaction, Doubt(hop, asks))
    return True


def _proven_here(
    context: Context,
    call: Call,
    access: network.Access,
    leg: Leg,
    request: Request,
    transaction: TransactionId,
    hop: Hop,
    given: Sequence[Credentials],
) -> bool:
    device = context.registrations.by_token(leg.device)
    if device is None:
        _turn_away(context, call, request, transaction, hop, whereabouts.NOT_FROM_THERE)
        return False
    proof = authentication.prove(context, access, request, hop, given)
    account = proof.account
    if account is not None and f"{account.name}@{account.domain}" == device.aor:
        whereabouts.move(context, call, leg, hop)
        return True
    realm = device.aor.rpartition("@")[2]
    refusal = authentication.refusal(context, access, request, hop, realm, proof)
    if account is not None:
        refusal = hooks.Reject(
            refusal.policy, 403, f"{account.name}@{account.domain} is not {device.aor}", "Not Your Call"
        )
    _turn_away(context, call, request, transaction, hop, refusal)
    return False


def _turn_away(
    context: Context, call: Call, request: Request, transaction: TransactionId, hop: Hop, refusal: hooks.Reject
) -> None:
    verdict = f"{request.method} from {hop.remote.host} {hop.remote.port}: {refusal.status}"
    context.decided(call, "call", refusal.policy, verdict, refusal.reason)
    answer(context, call.id, request, transaction, refusal.status, refusal.phrase, refusal.headers)
