"""Flows of phones behind NAT are kept alive: what goes out over them, and to whom.

A stream is held while a registration stands on it, and what it needs beside that the phone does. Over UDP we do it,
except where the phone does: one that numbers its flows (RFC 5626), or says that it will (RFC 6223). Such a one is told
how often. What goes out is four octets that every phone passes over, and now and then an OPTIONS, whose answer tells
that the mapping lives. When: `sbc.b2bua.mappings` finds that out.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from sbc.b2bua import commands, network, registrations
from sbc.b2bua.context import Context, own_question
from sbc.sip import Hop, Request, ResponseReceived, TransactionFailed, TransactionTimedOut

DEADLINE = "keep-alives"
"""One for all flows; it belongs to no call."""

_OF_STREAMS = 120
"""Seconds within which a phone is to send something over a stream: RFC 5626 section 4.4.1 has it notice so that it is
dead."""
_AT_ONCE = 50
_PAUSE = 0.02
"""After so many packets others get their turn, for so many seconds."""


@dataclass(slots=True)
class Question:
    """An OPTIONS that a phone has not answered yet."""

    hop: Hop


def signs_of_nat(request: Request, contact_host: str, hop: Hop) -> str:
    """What in a REGISTER tells that a NAT stands before the phone: "contact", "via", "contact, via"; or "": nothing.

    An address that the phone gives for itself is not the one that it is seen from (RFC 3261 section 18.2.1, RFC 3581).
    """
    said = {"contact": contact_host, "via": request.via.host}
    return ", ".join(name for name, host in said.items() if _is_elsewhere(host, hop.remote.host))


def _is_elsewhere(host: str, source: str) -> bool:
    if host == source:
        return False
    try:
        return ipaddress.ip_address(host.strip("[]")) != ipaddress.ip_address(source.partition("%")[0])
    except ValueError:
        return False  # a name tells nothing


def recommended(context: Context, hop: Hop) -> int:
    """Seconds within which a phone that keeps its flow alive itself is to send something over it."""
    return int(context.mappings.bears(hop)) if hop.transport == "UDP" else _OF_STREAMS


def agree(context: Context, request: Request, hop: Hop) -> None:
    """Whoever says in the topmost Via of `request` that it is willing to keep its flow alive (RFC 6223 section 4.4) is
    told in all responses from now on that it shall, and how often."""
    via = request.via
    if "keep" in via.params:
        params = {**via.params, "keep": str(recommended(context, hop))}
        request.headers.replace_first("Via", str(via._replace(params=params)))


def registered(context: Context, binding: registrations.Binding, *, restored: bool = False) -> None:
    """A phone has registered over a flow, or again."""
    wanted = context.access.keepalive
    hop = binding.hop
    if hop.connection is not None:
        context.out.append(commands.HoldFlow(hop, binding.until - context.now))
    if hop.transport != "UDP" or binding.reg_id or binding.path or wanted is network.KeepAlive.OFF:
        return
    if binding.keeps:
        context.mappings.drop(hop)
    elif binding.nat or wanted is network.KeepAlive.ALL:
        context.mappings.keep(hop, binding.contact, binding.until, context.now, restored)
        _plan(context)


def moved(context: Context, former: Hop, hop: Hop) -> None:
    """A phone has registered over another flow than before."""
    context.mappings.moved(former, hop, context.now)


def gone(context: Context, hop: Hop) -> None:
    """A registration over this flow has ended; perhaps others have not."""
    if not context.registrations.over(hop):
        context.mappings.drop(hop)


def due(context: Context) -> None:
    """Some flows want something."""
    for mapping, question in context.mappings.take(context.now, _AT_ONCE):
        if question:
            _ask(context, mapping.hop, mapping.contact)
        else:
            context.out.append(commands.Ping(mapping.hop))
    _plan(context)


def _plan(context: Context) -> None:
    when = context.mappings.next()
    if when is not None:
        context.deadlines.set("", DEADLINE, max(when, context.now + _PAUSE))


def _ask(context: Context, hop: Hop, contact: str) -> None:
    request = own_question(context, hop, contact)
    if request is not None:
        branch = context.tokens.branch()
        context.pending[branch] = Question(hop)
        context.out.append(commands.SendRequest("", branch, request, hop))


def answered(context: Context, event: ResponseReceived, question: Question) -> None:
    """Whatever the phone says to it, it has heard us."""
    context.mappings.answered(question.hop)
    if event.response.status >= 200:
        context.pending.pop(event.transaction, None)


def lost(context: Context, event: TransactionTimedOut | TransactionFailed, question: Question) -> None:
    context.mappings.unanswered(question.hop, context.now)
