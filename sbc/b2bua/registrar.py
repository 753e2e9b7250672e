"""The SBC as registrar of its own users (RFC 3261 section 10.3): REGISTER is answered here, once the user has shown who
it is. The table of bindings is that of registrations that pass to another registrar; the two timers are one."""

from __future__ import annotations

from collections.abc import Sequence

from sbc.b2bua import authentication, bindings, contacts, gruus, hooks, locating, network, refreshing, registrations
from sbc.b2bua.context import Context
from sbc.sip import Credentials, Hop, Request, SipError, TransactionId, parse_name_address

_POLICY = "registrar"


def request_received(
    context: Context, request: Request, transaction: TransactionId, hop: Hop, given: Sequence[Credentials]
) -> None:
    """A REGISTER, with the credentials for us that it came with."""
    asked = _admitted(context, request, transaction, hop, given)
    if isinstance(asked, hooks.Reject):
        refreshing.respond(context, request, transaction, asked)
        return
    if asked.everything:
        for device in list(context.registrations.by_aor(asked.aor)):
            bindings.remove(context, device)
    about = None
    for wish in asked.wishes:
        about = _settle(context, asked, wish) or about
    bindings.plan(context)
    refreshing.answer_all(context, request, transaction, asked.aor, about, zone=hop.zone)


def _admitted(
    context: Context, request: Request, transaction: TransactionId, hop: Hop, given: Sequence[Credentials]
) -> contacts.Asked | hooks.Reject:
    """Steps 3 to 7 of 10.3: who it is, whether that one may change these bindings, and whether they can be changed. All
    of them or none."""
    access = context.access
    proof = authentication.prove(context, access, request, hop, given)
    account = proof.account
    if account is None:
        return authentication.refusal(context, access, request, hop, _realm(context, request), proof)
    asked = contacts.read(context, request, transaction, hop)
    if isinstance(asked, hooks.Reject):
        return asked
    aor = f"{account.name}@{account.domain}"
    if asked.aor != aor:
        return hooks.Reject(_POLICY, 403, f"{aor} wants to register {asked.aor}", "Not Your Address Of Record")
    if any(_leads_back(context, wish, aor) for wish in asked.wishes):
        return hooks.Reject(_POLICY, 403, f"{aor} wants to be reached at itself", "Contact Is Address Of Record")
    return bindings.unacceptable(context, access, asked) or asked


def _leads_back(context: Context, wish: contacts.Wish, aor: str) -> bool:
    """RFC 5627 section 5.1: neither the address of record nor a GRUU of it may be the contact of an instance."""
    uri = wish.address.uri
    if not wish.expires or "+sip.instance" not in wish.address.params or locating.domain_of(context, uri) is None:
        return False
    return "gr" in uri.params or locating.address_of_record(context, uri) == aor


def _realm(context: Context, request: Request) -> str:
    """The domain that is registered in, if that can be read."""
    try:
        aor = locating.address_of_record(context, request.to.uri)
    except SipError:
        aor = None
    return aor.rpartition("@")[2] if aor else context.access.domains[0]


def _settle(context: Context, asked: contacts.Asked, wish: contacts.Wish) -> registrations.Binding | None:
    """Step 7 for one contact."""
    device = context.registrations.device(asked.aor, wish.device.id)
    flow = device.flows.get(wish.reg_id)
    if not wish.expires:
        if flow is not None and len(device.flows) > 1:
            device.inside_until = max(each.until for each in device.flows.values() if each is not flow)
            bindings.drop(context, flow)
        elif flow is not None or not wish.reg_id:  # what has no number is its contact, over whatever flow
            bindings.remove(context, device)
        return None
    granted = refreshing.limited(context.access, asked.hop, wish.expires)
    others = [each.until for each in device.flows.values() if each is not flow]
    device.inside_until = max(context.now + granted + bindings.GRACE, *others, 0.0)
    device.inside_granted = granted
    device.checked = context.now
    given = {}
    if "+sip.instance" in wish.address.params:
        given = gruus.given(context.registrations, asked.request, device, wish.reg_id, context.tokens.tag())
    for other in device.flows.values() if given else ():  # RFC 5627 section 5.2: the most recent one is told
        other.shown = bindings.shown(parse_name_address(other.written), other.written, given)
    return bindings.bind(context, asked, wish, device, granted, given)


def users_changed(context: Context, users: network.Users) -> None:
    """Who has no account any more is not registered any more."""
    gone = context.users.keys() - users.keys()
    context.users = users
    for aor in gone:
        for device in list(context.registrations.by_aor(aor)):
            bindings.remove(context, device)
