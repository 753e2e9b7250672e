"""Who is talked to, when that changes during a call (RFC 4916): the From of a re-INVITE or UPDATE where both sides say
`from-change`, and identities that are asserted in one (RFC 3325, RFC 5876 section 2.5)."""

from __future__ import annotations

from sbc.b2bua import crossing
from sbc.b2bua.call import Call, Leg
from sbc.b2bua.context import Context, border
from sbc.sip import NameAddress, Request

_FROM_CHANGE = "from-change"
_ASSERTING = ("P-Asserted-Identity", "P-Preferred-Identity", "Remote-Party-ID")


def noted(context: Context, call: Call, leg: Leg, other: Leg, request: Request) -> bool:
    """Take over who the element of `leg` says to be in `request`. Whether `other` has something to learn from it."""
    asserted = leg.trusted and any(name in request.headers for name in _ASSERTING)
    return _from_changed(context, call, leg, other, request) or asserted


def _from_changed(context: Context, call: Call, leg: Leg, other: Leg, request: Request) -> bool:
    """Section 4.4: a changed URI in From is the remote one from then on: our To on `leg`, and our From on `other`."""
    assert leg.dialog is not None
    assert other.dialog is not None
    said = _bare(request.from_)
    if said == leg.dialog.remote or not (_FROM_CHANGE in leg.supports and _FROM_CHANGE in other.supports):
        return False
    leg.dialog.remote = said
    told = crossing.originator(request, border(leg, other))
    if told == other.dialog.local:
        return False
    other.dialog.local = told
    context.decided(call, "call", "connected", f"leg {leg.side} is {request.from_.uri_text} now", "From has changed")
    return True


def _bare(address: NameAddress) -> str:
    """As a `Dialog` keeps it."""
    return f"{address.display_name} <{address.uri_text}>" if address.display_name else f"<{address.uri_text}>"
