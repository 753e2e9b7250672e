"""Changes of the table of registrations, and what follows from each: what is written down, which flows are kept alive,
and where legs of calls go. What may be changed by a REGISTER, whoever the registrar is: RFC 3261 section 10.3.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sbc.b2bua import commands, contacts, hooks, hosts, keeping, network, registrations, whereabouts
from sbc.b2bua.context import Context
from sbc.sip import Hop, NameAddress, Request

DEADLINE = "registrations"
"""One, that belongs to no call."""

GRACE = 10.0
"""Seconds that a binding lives on after what the phone was granted: a refresh that is lost is sent again."""
_NO_GRUUS: Mapping[str, str] = {}


def unacceptable(context: Context, access: network.Access, asked: contacts.Asked) -> hooks.Reject | None:
    """Why a REGISTER goes no further, whatever the registrar would say."""
    users = context.registrations.by_aor(asked.aor)
    for device in users:
        if asked.everything and any(out_of_order(asked.request, flow) for flow in device.flows.values()):
            return hooks.Reject("registrations", 500, "CSeq out of order")
    new = 0
    for wish in asked.wishes:
        flow = wish.device.flows.get(wish.reg_id)
        if flow is not None and out_of_order(asked.request, flow):
            return hooks.Reject("registrations", 500, "CSeq out of order")
        if wish.expires and flow is None:
            new += 1
            if len(wish.device.flows) >= access.max_contacts:
                return hooks.Reject("registrations", 403, "too many flows of one device", "Too Many Flows")
    in_use = sum(1 for device in users if device.flows)
    if new and in_use + sum(not wish.device.flows for wish in asked.wishes if wish.expires) > access.max_contacts:
        return hooks.Reject("registrations", 403, f"{in_use} devices of {asked.aor}", "Too Many Contacts")
    if new and max(context.registrations.counts()) + len(context.pending) + new > access.max_registrations:
        return hooks.Reject("registrations", 503, "the table is full", headers=(("Retry-After", "300"),))
    return None


def out_of_order(request: Request, binding: registrations.Binding) -> bool:
    """10.3 step 7: of one Call-ID, only a higher CSeq changes anything."""
    return binding.call_id == request.call_id and request.cseq.number <= binding.cseq


def bind(
    context: Context,
    asked: contacts.Asked,
    wish: contacts.Wish,
    device: registrations.Device,
    granted: int,
    gruus: Mapping[str, str] = _NO_GRUUS,
) -> registrations.Binding:
    """Put what a REGISTER asked for into the table, for `granted` seconds; `device.inside_until` is set already."""
    flow = device.flows.get(wish.reg_id)
    _make_room(context, context.access, device)
    binding = registrations.Binding(
        device,
        wish.reg_id,
        registrations.unlike(asked.request.to.uri_text, device),
        wish.written,
        shown(wish.address, wish.written, gruus),
        asked.hop,
        asked.request.call_id,
        asked.request.cseq.number,
        min(context.now + granted + GRACE, device.inside_until),
        granted,
        context.registrations.same((asked.request.headers.get("User-Agent") or "")[:80]),
        asked.path,
        "registered" if flow is None else "renewed" if flow.hop == asked.hop else "moved to another flow",
        context.registrations.same(keeping.signs_of_nat(asked.request, wish.address.uri.host, asked.hop)),
        keeps="keep" in asked.request.via.params,
    )
    context.registrations.bind(binding)
    device.source = hosts.source_of(asked.hop.remote.host)
    if flow is not None:
        keeping.moved(context, flow.hop, asked.hop)
    keeping.registered(context, binding)
    keep(context, binding)
    _follow(context, device)
    return binding


def _make_room(context: Context, access: network.Access, device: registrations.Device) -> None:
    """Devices of the user that have no flow any more go before a new one does not come in."""
    others = [each for each in context.registrations.by_aor(device.aor) if each is not device]
    idle = sorted((each for each in others if not each.flows), key=lambda each: each.inside_until)
    for each in idle[: max(0, len(others) + 1 - access.max_contacts)]:
        remove(context, each)


def shown(address: NameAddress, written: str, gruus: Mapping[str, str]) -> str:
    """The Contact as the phone is told it: as it was written, its expires taken out, what the registrar gave put in."""
    kept = {name: value for name, value in address.params.items() if name != "expires" and name not in gruus}
    if "pub-gruu" in kept or "temp-gruu" in kept:
        kept = {name: value for name, value in kept.items() if name not in ("pub-gruu", "temp-gruu")}
    params = "".join(f";{name}" if value is None else f";{name}={value}" for name, value in {**kept, **gruus}.items())
    told = f"<{address.uri_text}>{params}"
    return written if told == written else told  # most often: held once


# -- what is in it, and ends -------------------------------------------------------------------------------------------


def keep(context: Context, binding: registrations.Binding) -> None:
    binding.kept_at = context.now
    context.out.append(commands.KeepBinding(binding.record()))


def drop(context: Context, binding: registrations.Binding) -> None:
    context.registrations.unbind(binding)
    context.out.append(commands.ForgetBinding(binding.key))
    keeping.gone(context, binding.hop)
    _follow(context, binding.device)


def remove(context: Context, device: registrations.Device) -> None:
    for binding in context.registrations.remove(device):
        context.out.append(commands.ForgetBinding(binding.key))
        keeping.gone(context, binding.hop)


def _follow(context: Context, device: registrations.Device) -> None:
    """Legs of calls that go to a flow that the device has left go to its newest one."""
    if not device.dialogs or not device.flows:
        return
    flows = [flow.hop for flow in device.flows.values()]
    for key in device.dialogs:
        call, leg = context.dialogs.get(key, (None, None))
        if call is not None and leg is not None and leg.hop not in flows:
            whereabouts.move(context, call, leg, flows[-1])


def flow_lost(context: Context, hop: Hop) -> None:
    """A stream has ended: what was registered over it is reached over the device's other flows, if at all."""
    for binding in list(context.registrations.over(hop)):
        binding.decision = "flow lost"
        drop(context, binding)


def due(context: Context) -> None:
    """Some time is over that the table knows of."""
    flows, _ = context.registrations.expire(context.now)
    for binding in flows:
        context.out.append(commands.ForgetBinding(binding.key))
        _follow(context, binding.device)
    plan(context)


def plan(context: Context) -> None:
    """Have `due` called in time, or a second later: bindings end together."""
    when = context.registrations.next()
    if when is not None:
        context.deadlines.set("", DEADLINE, when + 1.0)


def restore(context: Context, records: Iterable[commands.BindingRecord]) -> None:
    """Go on with what was registered before a restart. Of flows to a socket that is not configured any more only the
    devices are left: they will register over others."""
    access = context.settings.access
    if access is not None:
        grace = max(access.expires_udp, access.expires_least) + GRACE
        for record in records:
            binding = registrations.restore(context.registrations, record, context.now, grace)
            device = context.registrations.device(record.aor, record.device)
            device.source = hosts.source_of(record.hop.remote.host)
            if binding is not None and context.places.listener_of(binding.hop) is None:
                context.registrations.unbind(binding)  # not forgotten: the configuration may be put right
            elif binding is not None:
                keeping.registered(context, binding, restored=True)
        plan(context)
