"""Who is talked to, when that changes during a call (RFC 4916): the From of a re-INVITE or UPDATE where both sides say
`from-change`, and identities that are asserted in one (RFC 3325, RFC 5876 section 2.5). After a transfer that is done
here we tell each of the two ourselves who the other one is."""

from __future__ import annotations

from sbc.b2bua import crossing, privacy
from sbc.b2bua.call import Call, Leg
from sbc.b2bua.context import Context, border
from sbc.sip import Headers, NameAddress, Request, SipError, parse_name_address

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


def met(context: Context, call: Call, leg: Leg, source: Leg) -> None:
    """The element of `leg` talks to that of `source` now. Our next request tells it so: by its From, where the element
    knows that a From can change, and in our trust domain by an asserted identity."""
    told = _identity(leg, source)
    if leg.dialog is None or told in ("", leg.dialog.local):
        return
    asserted = told if source.trusted and leg.trusted else ""
    if _FROM_CHANGE in leg.supports:
        leg.dialog.local = told
    elif not asserted:
        return
    call.introductions[leg.side] = asserted
    context.decided(call, "call", "connected", f"leg {leg.side} hears who is there now", "a transfer was done here")


def _identity(leg: Leg, source: Leg) -> str:
    """Who the element of `source` is, as `leg` may hear it; "" if it may not."""
    withheld = not source.placed and privacy.wishes(source.invite.headers)
    if source.dialog is None or (withheld and not leg.trusted):
        return ""
    try:
        return crossing.crossed_identity(parse_name_address(source.dialog.remote), border(source, leg))
    except SipError:
        return ""


def introduce(call: Call, leg: Leg, headers: Headers) -> None:
    """What a request of our own on `leg` says of who is there now."""
    asserted = call.introductions.pop(leg.side, "")
    if asserted:
        headers.add("P-Asserted-Identity", asserted)
