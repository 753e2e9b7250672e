"""REGISTER answered here, out of the cache: refreshes over the flow that the registrar inside has accepted.

Two timers (RFC 3261 section 10): a short one that the phone keeps, so that its NAT and we know where it is, and what
the registrar has granted. The phone never gets longer than the registrar would give, but while that one is away.
"""

from __future__ import annotations

from collections.abc import Iterable
from zlib import crc32

from sbc.b2bua import authentication, bindings, commands, contacts, hooks, keeping, locating, network, registrations
from sbc.b2bua.context import Context, answer
from sbc.sip import Glance, Hop, Limits, Packet, Request, SipError, TransactionId, Transmit, Via, glance

MARGIN = 32
"""Seconds before the end of the registrar's binding that the phone gets for renewing it: a transaction's life."""
_SPREAD = 0.1
"""Part of the time granted by the registrar over which the renewals of all devices are spread."""
_WRITE_EVERY = 600.0
"""Seconds after which a binding is written down though nothing has happened but refreshes."""
REFRESHED = "refreshed here"
_UNLIMITED = Limits()
_FEW = 16
"""Bindings of one flow that are looked through."""


def cached(context: Context, request: Request, hop: Hop) -> tuple[registrations.Binding | None, int]:
    """The binding that a REGISTER refreshes, and the seconds that it asks for: the same contact, letter by letter, over
    the same flow."""
    held = context.registrations.over(hop)
    if not held:
        return None, 0
    written = request.headers.get_all("Contact")
    if len(written) != 1:
        return None, 0
    to = request.to.uri_text
    if len(held) > _FEW:  # a gateway, or a proxy: the user's own are fewer
        held = _of_user(context, request, hop)
    found = next((each for each in held if each.written == written[0] and each.to == to), None)
    if found is None or request.contact is None or not contacts.is_usual(context, request, found.path):
        return None, 0
    expires = contacts.expires_of(request, request.contact)
    return (found, expires) if expires >= context.access.expires_least else (None, 0)


def answered(
    context: Context, request: Request, transaction: TransactionId, binding: registrations.Binding, expires: int
) -> bool:
    """Answer a refresh that the registrar need not see; False: it is to see it."""
    if bindings.out_of_order(request, binding) and not _repeated(request, binding):
        respond(context, request, transaction, hooks.Reject("registrations", 500, "CSeq out of order"))
        return True
    if _due(context, context.access, binding, limited(context.access, binding.hop, expires)):
        return False
    _refresh(context, request, transaction, binding, expires, REFRESHED)
    return True


def _of_user(context: Context, request: Request, hop: Hop) -> list[registrations.Binding]:
    try:
        aor = locating.address_of_record(context, request.to.uri)
    except SipError:
        return []
    devices = context.registrations.by_aor(aor or "")
    return [flow for device in devices for flow in device.flows.values() if flow.hop == hop]


def _repeated(request: Request, binding: registrations.Binding) -> bool:
    return request.cseq.number == binding.cseq and _mark(request.via) == binding.branch != 0


def _mark(via: Via) -> int:
    """A number for a branch; 0: there is none. Who makes two branches of one number has only himself fooled."""
    branch = via.params.get("branch")
    return 0 if branch is None else crc32(branch.encode()) or 1


def _due(context: Context, access: network.Access, binding: registrations.Binding, wanted: int) -> str:
    """Why the registrar is to see this refresh, for `wanted` seconds at most; "" if it need not."""
    device = binding.device
    spread = int(device.token[:4], 16) / 0x10000 * _SPREAD * device.inside_granted
    if context.now + wanted + MARGIN + spread >= device.granted_until:
        return "the registrar's binding is due"
    if context.alive.down or device.checked < context.alive.back:
        return "the registrar is away, or was and may have forgotten"
    if access.recheck and context.now - device.checked >= access.recheck:
        return "credentials are to be checked"
    if context.turns.due(device.aor, device.token):
        return "what the registrar thinks of it is not known"
    return ""


def limited(access: network.Access, hop: Hop, expires: int) -> int:
    return min(expires, access.expires_udp if hop.transport == "UDP" else access.expires_stream)


def _refresh(
    context: Context,
    request: Request,
    transaction: TransactionId,
    binding: registrations.Binding,
    expires: int,
    decision: str,
) -> None:
    """Answer a refresh out of the cache: never for longer than the registrar's binding lasts. Nothing is remembered of
    it but what stands in the binding, since it is answered the same if it is repeated (RFC 3261 section 8.2.7)."""
    wanted = limited(context.access, binding.hop, expires)
    _renew(context, binding, request.call_id, request.cseq.number, request.via, wanted, decision)
    tag = _tag(context, binding)
    answer_all(context, request, transaction, binding.aor, binding, to_tag=tag)
    if binding.hop.transport == "UDP":
        context.out.append(commands.Abandon(transaction))
        seen = glance(Packet(request.raw, binding.hop), _UNLIMITED)
        binding.common = seen.common if seen is not None and seen.shows(request) else 0
        binding.wanted = wanted


def _renew(
    context: Context,
    binding: registrations.Binding,
    call_id: str,
    cseq: int,
    via: Via,
    wanted: int,
    decision: str,
) -> None:
    """The binding lasts `wanted` seconds from now, if the registrar's does."""
    now = context.now
    granted = min(wanted, int(binding.device.inside_until - now))
    if binding.call_id != call_id:  # else the text that is held elsewhere as well
        binding.call_id = call_id
    binding.cseq = cseq
    binding.branch = _mark(via)
    binding.granted = granted
    binding.decision = decision
    binding.keeps = "keep" in via.params
    if context.registrations.refresh(binding, min(now + granted + bindings.GRACE, binding.device.inside_until)):
        bindings.plan(context)
    keeping.registered(context, binding)
    if now - binding.kept_at > _WRITE_EVERY:
        bindings.keep(context, binding)


def _tag(context: Context, binding: registrations.Binding) -> str:
    """The To tag of what is answered without a transaction: the same for the same request (RFC 3261 section 8.2.7)."""
    return context.registrations.disguised(f"{binding.cseq} {binding.call_id}")


def recognised(context: Context, seen: Glance) -> bool:
    """Answer a REGISTER that was not read, if it is in all that counts the one that `_refresh` has answered before over
    this flow. All that depends on the time and on what has happened since is looked at as if it had been read."""
    hop = seen.packet.hop
    held = context.registrations.over(hop)
    binding = next((each for each in held if each.common == seen.common), None) if len(held) <= _FEW else None
    if binding is None:
        return False
    if binding.call_id == seen.call_id and seen.cseq <= binding.cseq:
        if seen.cseq != binding.cseq or _mark(seen.via) != binding.branch:
            return False
    if _due(context, context.access, binding, binding.wanted) or not admitted(context, seen.request, hop):
        return False
    _renew(context, binding, seen.call_id, seen.cseq, seen.via, binding.wanted, REFRESHED)
    headers = _listed(context, binding.aor, binding)
    if context.settings.user_agent:
        headers.append(("Server", context.settings.user_agent))
    context.out.append(Transmit(seen.accepted(_tag(context, binding), headers), seen.response_hop, None, ""))
    return True


def admitted(context: Context, request: Request, hop: Hop) -> bool:
    peer, zone = context.places.peer(hop.zone, hop.remote.host), context.network.zones[hop.zone]
    view = hooks.CallView(request, hop, zone, peer, len(context.calls), context.draining)
    return isinstance(context.hooks.admit(view), hooks.Pass)


def kept(
    context: Context, request: Request, transaction: TransactionId, cached: registrations.Binding | None, why: str
) -> bool:
    """Answer a refresh in the registrar's place, if the phone may keep what it has."""
    if cached is None or not _lasts(context, cached):
        return False
    expires = contacts.expires_of(request, request.contact) if request.contact is not None else 0
    _refresh(context, request, transaction, cached, expires, f"{REFRESHED}: {why}")
    return True


def _lasts(context: Context, binding: registrations.Binding) -> bool:
    """Whether the phone may be told that it is still registered. While the registrar is not there, and until it is the
    phone's turn afterwards, that may be for longer than it has granted: for `survive` seconds."""
    access, device = context.access, binding.device
    if not binding.watched:
        return False
    if context.alive.down or device.inside_until > device.granted_until + 1.0:
        needed = context.now + max(access.expires_udp, access.expires_stream) + bindings.GRACE
        most = device.granted_until + access.survive
        if device.inside_until < min(needed, most):
            device.inside_until = min(needed + _WRITE_EVERY, most)
            binding.kept_at = float("-inf")  # it is to be written down
    return device.inside_until - context.now >= 1.0


def answer_all(
    context: Context,
    request: Request,
    transaction: TransactionId,
    aor: str,
    binding: registrations.Binding | None,
    headers: Iterable[tuple[str, str]] = (),
    zone: str = "",
    to_tag: str = "",
) -> None:
    """200 with all that is registered (10.3 step 8). `binding` is the one that it is about, if one; `zone` is where the
    answer goes, if phones are in several: hidden ones elsewhere are not told of."""
    if binding is not None:
        keeping.agree(context, request, binding.hop)
    told = (*_listed(context, aor, binding, zone), *headers)
    answer(context, "", request, transaction, 200, "", told, to_tag or context.tokens.tag())


def _listed(context: Context, aor: str, binding: registrations.Binding | None, zone: str = "") -> list[tuple[str, str]]:
    """The header fields of such an answer."""
    now = context.now
    told: list[tuple[str, str]] = []
    for device in context.registrations.by_aor(aor):
        for flow in device.held:
            if zone and flow.hop.zone != zone and context.network.zones[flow.hop.zone].hidden:
                continue
            left = flow.granted if flow is binding else int(min(flow.until - bindings.GRACE, device.inside_until) - now)
            if left > 0:
                told.append(("Contact", f"{flow.shown};expires={left}"))
    if binding is not None:
        if binding.reg_id:
            # RFC 5626 section 6: "the registrar MUST include ... outbound in a Require header field"
            told.append(("Require", "outbound"))
            told.append(("Flow-Timer", str(keeping.recommended(context, binding.hop))))
        if binding.path:
            told.append(("Path", ", ".join(binding.path)))
        if binding.device.associated:
            told.append(("P-Associated-URI", ", ".join(binding.device.associated)))
    return told


def respond(
    context: Context, request: Request, transaction: TransactionId, verdict: hooks.Reject, to_tag: str = ""
) -> None:
    """Refuse a REGISTER. Why is told to the operator, but for a phone that has only to show its password."""
    if verdict.status != 401 or verdict.reason not in ("", authentication.NO_CREDENTIALS):
        via = request.via  # which says by now where the request came from
        who = f"{request.to.uri_text} from {via.params.get('received') or via.host} refused: {verdict.status}"
        told = commands.Decided("", context.now, "admit", verdict.policy, f"REGISTER of {who}", verdict.reason)
        context.out.append(told)
    answer(
        context,
        "",
        request,
        transaction,
        verdict.status,
        verdict.phrase,
        verdict.headers,
        to_tag or context.tokens.tag(),
    )
