"""Transfer by the elements: REFER crosses with its Refer-To, Referred-By and Replaces made to mean the same on the
other side, its NOTIFYs cross back, and an INVITE with Replaces goes to the element whose call it takes over.

RFC 3515 and 7647 (REFER in a dialog), 3891 (Replaces), 3892 (Referred-By), 4488 (norefersub), 5589 (call flows).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from sbc.b2bua import crossing
from sbc.b2bua.call import Call, CallState, Leg, Replaced
from sbc.b2bua.context import Context, border, uri_host
from sbc.b2bua.hooks import Reject, Target
from sbc.sip import (
    REASONS,
    Headers,
    Request,
    SipError,
    Uri,
    parse_name_address,
    unescape,
)

_POLICY = "transfer"
_MOST_REFERS = 64
"""REFERs of one call whose NOTIFYs are told apart."""


class TakenOver(NamedTuple):
    """What an INVITE with Replaces leads to."""

    target: Target
    replaces: str
    """The Replaces that the target understands."""


# -- REFER and NOTIFY that cross ---------------------------------------------------------------------------------------


def refer(context: Context, call: Call, leg: Leg, other: Leg, request: Request, built: Request) -> Reject | None:
    """Complete `built`, the REFER for `other`; or why the REFER cannot cross."""
    targets = request.headers.get_all("Refer-To")
    if len(targets) != 1:
        return Reject(_POLICY, 400, "one Refer-To is needed (RFC 3515 section 2.4.1)", "Missing Refer-To")
    try:
        address = parse_name_address(targets[0])
        mapped = _mapped_target(context, leg, other, address.uri)
    except SipError as fault:
        return Reject(_POLICY, 400, str(fault), "Malformed Refer-To")
    if mapped is None:
        return Reject(_POLICY, 404, "its Replaces names no dialog of ours")
    headers = built.headers
    headers.add("Refer-To", f"<{mapped}>")
    headers.add("Contact", other.contact)
    referrer = request.headers.get("Referred-By")
    if referrer is not None:
        try:
            identity = crossing.crossed_identity(parse_name_address(referrer), border(leg, other))
            headers.add("Referred-By", identity)
        except SipError:
            pass  # it is optional (RFC 3892 section 2.1)
    if len(call.refers) < _MOST_REFERS:
        call.refers[(other.side, built.cseq.number)] = request.cseq.number
    context.decided(call, "call", _POLICY, "REFER passed on", f"to {mapped.partition('?')[0]}")
    return None


def _mapped_target(context: Context, leg: Leg, other: Leg, uri: Uri) -> str | None:
    """A Refer-To URI for `other`'s element: the same user, where that element would look for it."""
    if uri.scheme not in ("sip", "tel"):
        raise SipError(f"scheme {uri.scheme}")
    replaces = _uri_header(uri, "replaces")
    if replaces is not None:
        return _mapped_replaces(context, other, uri, replaces)
    if uri.scheme == "tel":
        return str(uri)
    known = uri.host in context.places.own_hosts or leg.zone.hidden
    host = _home(other) if known else uri_host(uri.host)
    return f"sip:{uri.user}@{host}" if uri.user else f"sip:{host}"


def _home(leg: Leg) -> str:
    """The host at which the element of `leg` finds users: its own domain for whom we call, ours for who calls us."""
    if leg.side == "b":
        try:
            return uri_host(leg.invite.request_uri.host)
        except SipError:
            pass
    return uri_host(leg.listener.advertised.host)


def _uri_header(uri: Uri, name: str) -> str | None:
    for field in uri.headers.split("&") if uri.headers else ():
        key, _, value = field.partition("=")
        if unescape(key).lower() == name:
            return unescape(value)
    return None


def _mapped_replaces(context: Context, other: Leg, uri: Uri, replaces: str) -> str | None:
    found = find(context, replaces)
    if found is None or found.leg.dialog is None:
        return None
    target = found.leg.dialog
    user = uri.user or "replaced"
    if found.leg.zone.name == other.zone.name:
        # both are elements of one network, that can and should talk without us
        place, value = _bare(target.remote_target), _replaces(target.call_id, target.remote_tag, found.leg.local_tag)
    else:
        alias = found.call.alias = found.call.alias or context.tokens.call_id()
        context.aliases[alias] = Replaced(found.call, found.leg)
        place, value = f"sip:{user}@{uri_host(other.listener.advertised.host)}", _replaces(alias, alias, alias)
    return f"{place}?Replaces={_RESERVED.sub(lambda each: f'%{ord(each[0]):02X}', value)}"


_RESERVED = re.compile(r"[^A-Za-z0-9\-_.!~*'()]")
"""Of the octets of a Replaces value (ASCII, as Call-IDs and tags are): those that a URI's headers escape."""


def _bare(target: str) -> str:
    return target.partition("?")[0]


def _replaces(call_id: str, to_tag: str, from_tag: str) -> str:
    return f"{call_id};to-tag={to_tag};from-tag={from_tag}"


def notify(call: Call, leg: Leg, request: Request, built: Request) -> Reject | None:
    """Complete `built`, the NOTIFY of a REFER that crossed, for who sent the REFER; or why it cannot cross."""
    event, _, rest = (request.headers.get("Event") or "").partition(";")
    if event.strip().lower() != "refer":
        return Reject(
            _POLICY, 489, f"event {event.strip()[:40]!r} in a call's dialog", headers=(("Allow-Events", "refer"),)
        )
    ours = re.search(r"(?:^|;)\s*id\s*=\s*(\d{1,10})", rest)
    number = call.refers.get((leg.side, int(ours[1]))) if ours else None
    built.headers.add("Event", "refer" if number is None else f"refer;id={number}")
    built.headers.add("Subscription-State", _state(request.headers.get("Subscription-State") or ""))
    status = re.match(rb"SIP/2\.0 ([1-6]\d\d) ", request.body)
    if status is None:
        return Reject(_POLICY, 400, "a NOTIFY of refer without a status line (RFC 3515 section 2.4.4)", "No sipfrag")
    code = int(status[1])
    # the rest of the fragment is headers of the other side
    built.body = f"SIP/2.0 {code} {REASONS.get(code, 'Unknown')}\r\n".encode()
    built.headers.add("Content-Type", "message/sipfrag;version=2.0")
    return None


_STATE = re.compile(
    r"(active|pending|terminated)((?:\s*;\s*(?:expires|reason|retry-after)\s*=\s*[\w.-]{1,40})*)", re.IGNORECASE
)


def _state(text: str) -> str:
    match = _STATE.match(text.strip())
    return match[0] if match else "active"


# -- INVITE with Replaces ----------------------------------------------------------------------------------------------


def target_of(context: Context, request: Request) -> TakenOver | Reject | None:
    """Where an INVITE with Replaces goes, and its Replaces there; None for one without."""
    values = request.headers.get_all("Replaces")
    if not values:
        return None
    if len(values) > 1:
        return Reject(_POLICY, 400, "more than one Replaces (RFC 3891 section 3)", "Repeated Replaces")
    found = find(context, values[0])
    if found is None or found.leg.dialog is None or found.call.state is CallState.CLOSING:
        # section 3: "If the Replaces header field matches no dialog, the UA MUST reject the request with a 481"
        return Reject(_POLICY, 481, "its Replaces names no dialog of ours")
    leg, dialog, hop = found.leg, found.leg.dialog, found.leg.hop
    target = Target(
        leg.zone.name,
        dialog.remote_target,
        hop.remote.host,
        hop.remote.port,
        (hop.transport,),
        leg.peer.name if leg.peer is not None else None,
    )
    return TakenOver(target, _replaces(dialog.call_id, dialog.remote_tag, leg.local_tag))


def find(context: Context, replaces: str) -> Replaced | None:
    """The call and the element that a Replaces value means: the dialog is one that we have with it; or one that we
    have with the other element of the same call, which it is to take the place of."""
    call_id, _, rest = replaces.partition(";")
    params = {name.lower(): value for name, value in re.findall(r"([\w-]+)\s*=\s*([^;\s]+)", rest)}
    to_tag, from_tag = params.get("to-tag", ""), params.get("from-tag", "")
    alias = context.aliases.get(call_id.strip())
    if alias is not None:
        return alias
    held = context.dialogs.get((call_id.strip(), to_tag))
    if held is not None and held[1].dialog_with(from_tag) is not None:
        call, leg = held
        other = call.b if leg is call.a else call.a
        return Replaced(call, other) if other is not None else None
    held = context.dialogs.get((call_id.strip(), from_tag))
    if held is not None and held[1].dialog_with(to_tag) is not None:
        return Replaced(held[0], held[1])
    return None


def add_replaces(call: Call, headers: Headers) -> None:
    if call.replaces:
        headers.add("Replaces", call.replaces)
        headers.add("Require", "replaces")
