"""Requests outside calls: to the SBC itself, of methods that it does not serve, or of dialogs that it does not know.

RFC 3261 sections 8.2, 11 (OPTIONS), 12.2.2.
"""

from __future__ import annotations

from sbc.b2bua import bodies, capabilities, registering
from sbc.b2bua.commands import Abandon
from sbc.b2bua.context import Context, answer
from sbc.b2bua.hooks import CallView, Drop, Pass, Reject
from sbc.sip import Packet, Request, TransactionId

_NO_CALL = ""
_IN_DIALOGS = frozenset({"BYE", "INFO", "NOTIFY", "PRACK", "UPDATE"})
_ALLOW = ", ".join(method for method in capabilities.ALLOWED if method not in ("MESSAGE", "REFER", "NOTIFY"))
"""What is understood of somebody who is in no call: MESSAGE crosses in a call only, and only calls are transferred."""


def request_received(context: Context, request: Request, transaction: TransactionId, packet: Packet) -> None:
    """A request without To tag other than INVITE, ACK and CANCEL."""
    hop = packet.hop
    peer = context.places.peer(hop.zone, hop.remote.host)
    zone = context.network.zones[hop.zone]
    verdict = context.hooks.admit(CallView(request, hop, zone, peer, len(context.calls), context.draining))
    if isinstance(verdict, Drop):
        context.out.append(Abandon(transaction))
        return
    access = context.settings.access
    if request.method == "REGISTER" and access is not None and hop.zone == access.zone and isinstance(verdict, Pass):
        registering.request_received(context, request, transaction, hop)
    elif isinstance(verdict, Reject):
        _respond(context, request, transaction, verdict)
    else:
        _respond(context, request, transaction, _answer(request))


def _answer(request: Request) -> Reject:
    if request.method in _IN_DIALOGS:
        return Reject("call", 481, "")  # 15.1.2, RFC 3311 5.2, RFC 6086 4.2.2, RFC 6665 4.1.3: they belong to a dialog
    if not capabilities.can_be_called(request.request_uri):
        return Reject("call", 416, "")
    unsupported = capabilities.unsupported_extensions(request)
    if unsupported is not None:
        return unsupported
    if request.method == "OPTIONS":
        # 11.2: as an INVITE would be answered; with Max-Forwards 0 as well, since it goes no further
        return Reject("call", 200, "", headers=(("Allow", capabilities.ALLOW), ("Accept", bodies.ACCEPT)))
    # 8.2.1: "If the UAS ... does not support the method ... it MUST generate a 405 (Method Not Allowed)"
    return Reject("call", 405, "", headers=(("Allow", _ALLOW),))


def unknown_dialog(context: Context, request: Request, transaction: TransactionId) -> None:
    """12.2.2: "If the UAS wishes to reject the request ... it MUST respond to the request with a 481"."""
    _respond(context, request, transaction, Reject("call", 481, ""))


def _respond(context: Context, request: Request, transaction: TransactionId, verdict: Reject) -> None:
    tag = context.tokens.tag() if request.to.tag is None else None
    answer(context, _NO_CALL, request, transaction, verdict.status, verdict.phrase, verdict.headers, tag)
