"""Replaces (RFC 3891): an INVITE that takes a call over goes to the element whose call it is, and a Replaces that
crosses in a Refer-To is made to name the same dialog on the other side.

The dialogs of the two legs of a call are not each other's. So a Replaces from outside names one of ours, or an alias
that we gave out for one: of another call through us, or of a dialog in a network that we know nothing of.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from sbc.b2bua import referred, sealing
from sbc.b2bua.call import Call, CallState, Leg, Replaced, TakenOver
from sbc.b2bua.context import Context
from sbc.b2bua.hooks import Reject, RouteVerdict, Target, Targets
from sbc.b2bua.network import Refer
from sbc.b2bua.whereabouts import behind_nat
from sbc.sip import Headers, RemoteProtocolError, Request, SipError, Uri, parse_uri, unescape

POLICY = "replaces"
_MOST_ALIASES = 64
"""Aliases of one call: who transfers more often than that with one call is up to something else."""


class Replaces(NamedTuple):
    """One Replaces value."""

    call_id: str
    to_tag: str
    """Of who is to be joined."""
    from_tag: str
    early_only: bool = False

    def __str__(self) -> str:
        return f"{self.call_id};to-tag={self.to_tag};from-tag={self.from_tag}{';early-only' if self.early_only else ''}"


_call_id = re.compile(r"[!-+\--:<-~]{1,255}").fullmatch
"""A word, or word@word (RFC 3261 section 25.1), less comma and semicolon, which end it here."""
_tag = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]{1,255}").fullmatch


def parse_replaces(text: str) -> Replaces:
    """Raises RemoteProtocolError (400)."""
    call_id, *parameters = (part.strip() for part in text.split(";"))
    names: dict[str, str] = {}
    for parameter in parameters:
        name, _, value = (part.strip() for part in parameter.partition("="))
        if name.lower() in names:
            raise RemoteProtocolError(400, f"Replaces has {name.lower()[:20]} twice")
        names[name.lower()] = value
    to_tag, from_tag = names.get("to-tag", ""), names.get("from-tag", "")
    if not _call_id(call_id) or not _tag(to_tag) or not _tag(from_tag):
        raise RemoteProtocolError(400, "Replaces without Call-ID, to-tag and from-tag (RFC 3891 section 6.1)")
    return Replaces(call_id, to_tag, from_tag, "early-only" in names)


# -- an INVITE with Replaces -------------------------------------------------------------------------------------------


def target_of(context: Context, request: Request) -> TakenOver | Replaced | Reject | None:
    """Where an INVITE with Replaces goes, and its Replaces there; the leg to take over where its element knows none;
    None for an INVITE without."""
    values = request.headers.get_all("Replaces")
    if not values:
        return None
    if len(values) > 1 or "Join" in request.headers:
        # section 3: "If more than one Replaces header field is present in an INVITE, or if a Replaces header field is
        # present in a request other than INVITE, the UAS MUST reject the request with a 400"; so with Join
        return Reject(POLICY, 400, "more than one Replaces, or Join beside it", "Contradictory Replaces")
    try:
        replaces = parse_replaces(values[0])
    except SipError as fault:
        return Reject(POLICY, 400, str(fault), "Malformed Replaces")
    found = find(context, replaces) or _inner(context, request, replaces)
    if found is None:
        # section 3: "If the Replaces header field ... does not match an existing dialog ... 481"
        return Reject(POLICY, 481, "its Replaces names no dialog of ours")
    if isinstance(found, TakenOver):
        return found
    found = _who_calls(found)
    leg, dialog = found.leg, found.leg.dialog
    if found.call.state is CallState.CLOSING or dialog is None:
        # section 3: "If ... the dialog has already terminated, the UA SHOULD decline the request with a 603"
        return Reject(POLICY, 603, "the call that its Replaces names is over")
    if replaces.early_only and dialog.confirmed:
        # section 3: "if the ... early-only flag is present ... and the dialog is confirmed ... 486"
        return Reject(POLICY, 486, "the call that it wants while it rings has been answered")
    if dialog.confirmed and not understood_by(leg):
        return found
    target = _next_to(leg, dialog.remote_target)
    return TakenOver(target.uri, target, str(_with(leg, replaces.early_only)))


def find(context: Context, replaces: Replaces) -> Replaced | TakenOver | None:
    """Whom a Replaces value means: the element that has the dialog with us, or, if it is our end that is to be taken
    over, the element on the other leg of that call; or what we gave an alias for."""
    alias = context.aliases.get(replaces.call_id)
    if alias is not None:
        return alias
    held = context.dialogs.get((replaces.call_id, replaces.to_tag))
    if held is not None and held[1].dialog_with(_known_tag(replaces.from_tag)) is not None:
        call, leg = held
        other = call.b if leg is call.a else call.a
        return Replaced(call, other) if other is not None else None
    held = context.dialogs.get((replaces.call_id, replaces.from_tag))
    if held is not None and held[1].dialog_with(_known_tag(replaces.to_tag)) is not None:
        return Replaced(held[0], held[1])
    return None


def _who_calls(found: Replaced) -> Replaced:
    """Section 3: "If the Replaces header field matches an early dialog that was not initiated by this UA, it returns a
    481": of a call that still rings only its caller can be joined. Who picks it up means that one, whichever end is
    named."""
    call, leg = found
    return Replaced(call, call.a) if leg is not call.a and leg.placed and not leg.confirmed else found


def _inner(context: Context, request: Request, replaces: Replaces) -> TakenOver | None:
    """A dialog that does not lead through us, of which a body told (see `told`). Who asks is led where the request
    leads, but into the zone of that dialog only: nobody else learns its names."""
    for zone in context.network.zones:
        call_id, *tags = (sealing.opened(context.outside.secret, zone, name) for name in replaces[:3])
        to_tag, from_tag = (
            "0" if said == "0" else tag for tag, said in zip(tags, (replaces.to_tag, replaces.from_tag), strict=True)
        )
        if call_id and to_tag and from_tag:
            return TakenOver(request.uri, None, str(Replaces(call_id, to_tag, from_tag, replaces.early_only)), zone)
    return None


def kept_in(zone: str, verdict: RouteVerdict) -> RouteVerdict:
    """Of the targets those in `zone`, where the dialog is that is to be replaced."""
    if not isinstance(verdict, Targets):
        return verdict
    kept = tuple(target for target in verdict.targets if target.zone == zone)
    if not kept:
        return Reject(POLICY, 481, f"its Replaces names a dialog in zone {zone}, and it leads elsewhere")
    return verdict._replace(targets=kept, reason=f"{verdict.reason}; it takes the place of a call there (Replaces)")


def _known_tag(tag: str) -> str:
    """Section 3: "A tag value of zero matches both tags of value zero and null"."""
    return "" if tag == "0" else tag


def _with(leg: Leg, early_only: bool) -> Replaces:
    """How the element of `leg` knows its dialog with us, as the one that is asked to replace it."""
    assert leg.dialog is not None
    return Replaces(leg.dialog.call_id, leg.dialog.remote_tag or "0", leg.local_tag, early_only)


def understood_by(leg: Leg) -> bool:
    """Whether the element of `leg` is given an INVITE with Replaces."""
    how = leg.how.refer
    return how is Refer.PASS or (how is Refer.AUTO and "replaces" in leg.supports)


def add_replaces(call: Call, headers: Headers) -> None:
    """Say in the INVITE for a target whose call it takes over."""
    if call.replaces:
        headers.add("Replaces", call.replaces)
        headers.add("Require", "replaces")


# -- a Replaces in a Refer-To ------------------------------------------------------------------------------------------


def in_refer_to(uri: Uri) -> Replaces | None:
    """The Replaces among the headers of a Refer-To URI (RFC 5589 section 7). Raises RemoteProtocolError."""
    found = None
    for field in uri.headers.split("&") if uri.headers else ():
        key, _, value = field.partition("=")
        if unescape(key).lower() == "replaces":
            if found is not None:
                raise RemoteProtocolError(400, "more than one Replaces in Refer-To")
            found = parse_replaces(unescape(value))
    return found


def mapped(context: Context, call: Call, leg: Leg, other: Leg, uri: Uri, replaces: Replaces) -> str | Reject:
    """The Refer-To URI by which the element of `other` takes over what that of `leg` means by `uri` and `replaces`."""
    found = find(context, replaces)
    if isinstance(found, Replaced):
        if found.leg.dialog is None or found.call.state is CallState.CLOSING:
            return Reject(POLICY, 404, "the call that its Replaces names is over")
        if _may_meet(found.leg, other) and understood_by(found.leg):
            # both are elements of one network, that can and should talk without us
            return _uri(found.leg.dialog.remote_target.partition("?")[0], _with(found.leg, replaces.early_only))
        call = found.call
    target = found or _elsewhere(context, leg, uri, replaces)
    if isinstance(target, Reject):
        return target
    alias = _alias(context, call, target)
    if alias is None:
        return Reject(POLICY, 500, "too many transfers of one call", "Too Many Transfers")
    place = referred.named_at_us(context, leg, other, uri.replace(headers="", scheme="sip"))
    return _uri(place, Replaces(alias, alias, alias, replaces.early_only))


def meant(context: Context, leg: Leg, uri: Uri, replaces: Replaces) -> Replaced | TakenOver | Reject:
    """Whom the element of `leg` means by `uri` and `replaces`."""
    return find(context, replaces) or _elsewhere(context, leg, uri, replaces)


def _may_meet(one: Leg, other: Leg) -> bool:
    return one.zone.name == other.zone.name and not behind_nat(one) and not behind_nat(other)


def _elsewhere(context: Context, leg: Leg, uri: Uri, replaces: Replaces) -> TakenOver | Reject:
    """A dialog that is not ours: who sent the REFER has it with somebody of its own network. Where that is a peer's, it
    is reached as the peer is; a stranger must not have us call where it likes."""
    if uri.scheme != "sip" or uri.host in context.places.own_hosts:
        return Reject(POLICY, 404, "its Replaces names no dialog of ours")
    place = referred.bare(uri)
    return TakenOver(place, _next_to(leg, place) if leg.peer is not None else None, str(replaces))


def _next_to(leg: Leg, uri: str) -> Target:
    """`uri`, which is reached as the element of `leg` is."""
    remote = leg.hop.remote
    peer = leg.peer.name if leg.peer is not None else None
    return Target(leg.zone.name, uri, remote.host, remote.port, (leg.hop.transport,), peer)


def _alias(context: Context, call: Call, meant: Replaced | TakenOver) -> str | None:
    if len(call.aliases) >= _MOST_ALIASES:
        return None
    alias = context.tokens.call_id()
    call.aliases.append(alias)
    context.aliases[alias] = meant
    return alias


def _uri(place: str, replaces: Replaces) -> str:
    # section 4: who cannot replace must not take it for a new call
    return f"{parse_uri(place)}?Replaces={_RESERVED.sub(_escaped, str(replaces))}&Require=replaces"


_RESERVED = re.compile(r"[^A-Za-z0-9\-_.!~*'()]")


def _escaped(match: re.Match[str]) -> str:
    return f"%{ord(match[0]):02X}"  # ASCII, as Call-IDs and tags are


# -- dialogs that bodies tell of ---------------------------------------------------------------------------------------


def told(
    context: Context, source: Leg, target: Leg, call_id: str, local_tag: str, remote_tag: str
) -> tuple[str, str, str]:
    """How the element of `target` knows a dialog that the one of `source` tells of (RFC 4235): as the other leg of that
    call, so that its Replaces finds it; a dialog that does not lead through us by names that mean nothing to anybody
    else, and that `target_of` can read."""
    for tag in (local_tag, remote_tag):
        held = context.dialogs.get((call_id, tag)) if tag else None
        if held is None:
            continue
        call, leg = held
        other = call.b if leg is call.a else call.a
        if other is None or other.dialog is None or (other.zone.hidden and other.zone.name != target.zone.name):
            break
        ours, theirs = other.local_tag, other.dialog.remote_tag
        # who is at our end of one leg is at their end of the other
        return (other.invite.call_id, *((theirs, ours) if tag == local_tag else (ours, theirs)))
    secret, zone = context.outside.secret, source.zone.name
    names = [sealing.sealed(secret, zone, name) if name else "" for name in (call_id, local_tag, remote_tag)]
    return names[0], names[1], names[2]
