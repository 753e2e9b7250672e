"""Transfer by the elements: REFER crosses with its Refer-To, Referred-By and Replaces made to mean the same on the
other side, and its NOTIFYs cross back.

RFC 3515 and 7647 (REFER in a dialog), 3892 (Referred-By), 4488 (norefersub), 5589 (call flows).
"""

from __future__ import annotations

import re

from sbc.b2bua import capabilities, referred, replacing
from sbc.b2bua.call import Call, Leg
from sbc.b2bua.context import Context
from sbc.b2bua.hooks import Reject
from sbc.sip import REASONS, Request, SipError, Uri, parse_name_address

POLICY = "transfer"
_MOST_REFERS = 64
"""REFERs of one call whose NOTIFYs are told apart."""


def refer_to(request: Request) -> Uri | Reject:
    """Whom a REFER is about."""
    values = request.headers.get_all("Refer-To")
    if len(values) != 1:
        return Reject(POLICY, 400, "one Refer-To is needed (RFC 3515 section 2.4.1)", "Missing Refer-To")
    try:
        uri = parse_name_address(values[0]).uri
    except SipError as fault:
        return Reject(POLICY, 400, str(fault), "Malformed Refer-To")
    if uri.scheme not in capabilities.SCHEMES:
        return Reject(POLICY, 416, f"Refer-To of scheme {uri.scheme}")
    if (uri.params.get("method") or "INVITE").upper() != "INVITE":
        return Reject(POLICY, 603, f"a REFER that asks for {uri.params['method']}")
    return uri


def refer(context: Context, call: Call, leg: Leg, other: Leg, request: Request, built: Request) -> Reject | None:
    """Complete `built`, the REFER for `other`; or why the REFER cannot cross."""
    uri = refer_to(request)
    if isinstance(uri, Reject):
        return uri
    try:
        replaces = replacing.in_refer_to(uri)
        if replaces is not None:
            place = replacing.mapped(context, call, leg, other, uri, replaces)
        else:
            place = referred.named_for(context, leg, other, uri) or referred.named_at_us(context, leg, other, uri)
    except SipError as fault:
        return Reject(POLICY, 400, str(fault), "Malformed Refer-To")
    if isinstance(place, Reject):
        return place
    headers = built.headers
    headers.add("Refer-To", f"<{place}>")
    headers.add("Contact", other.contact)
    capabilities.passed(request, headers)
    if len(call.refers) < _MOST_REFERS:
        call.refers[(other.side, built.cseq.number)] = request.cseq.number
    context.decided(call, "call", POLICY, "REFER passed on", f"to {place.partition('?')[0]}")
    return None


# -- NOTIFY ------------------------------------------------------------------------------------------------------------


def notify(call: Call, leg: Leg, other: Leg, request: Request, built: Request) -> Reject | None:
    """Complete `built`, the NOTIFY of a REFER that crossed, for who sent the REFER; or why it cannot cross."""
    event, _, rest = (request.headers.get("Event") or "").partition(";")
    if event.strip().lower() != "refer":
        named = event.strip()[:40]
        return Reject(POLICY, 489, f"event {named!r} in a call's dialog", headers=(("Allow-Events", "refer"),))
    if request.body:
        status = _status_line(request.body)
        if status is None:
            return Reject(POLICY, 400, "a NOTIFY of refer without a status line (RFC 3515 section 2.4.4)", "No sipfrag")
        # the rest of the fragment is headers of the other side
        built.body = fragment(int(status[1]))
        built.headers.add("Content-Type", FRAGMENT)
    number = _mapped_id(call, leg, rest)
    built.headers.add("Event", "refer" if number is None else f"refer;id={number}")
    built.headers.add("Subscription-State", _state(request.headers.get("Subscription-State") or ""))
    built.headers.add("Contact", other.contact)
    return None


_status_line = re.compile(rb"\s*SIP/2\.0 +([1-6]\d\d)(?= |\r|\n|$)").match

FRAGMENT = "message/sipfrag;version=2.0"


def fragment(status: int) -> bytes:
    """What a NOTIFY says of how far the call is (RFC 3420)."""
    return f"SIP/2.0 {status} {REASONS.get(status, 'Unknown')}\r\n".encode()


def _mapped_id(call: Call, leg: Leg, parameters: str) -> int | None:
    """RFC 3515 section 2.4.6: the id is the CSeq number of the REFER."""
    theirs = _id(f";{parameters}")
    return call.refers.get((leg.side, int(theirs[1]))) if theirs else None


_id = re.compile(r";\s*id\s*=\s*([0-9]{1,10})(?=\s*(?:;|$))").search


def _state(text: str) -> str:
    """Subscription-State (RFC 6665 section 8.2.3) of what it knows."""
    state, *parameters = (part.strip() for part in text.lower().split(";"))
    if state not in ("active", "pending", "terminated"):
        state = "active"
    return ";".join([state, *(each for each in parameters if _state_parameter(each))])


_state_parameter = re.compile(
    r"(?:expires|retry-after)=[0-9]{1,10}|reason=(?:deactivated|probation|rejected|timeout|giveup|noresource|invariant)"
).fullmatch
