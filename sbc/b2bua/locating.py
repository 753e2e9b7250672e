"""Where a request goes that is for somebody who is registered here (RFC 3261 section 16.5, RFC 5626 section 5.3)."""

from __future__ import annotations

from collections.abc import Sequence

from sbc.b2bua import gruus
from sbc.b2bua.context import Context
from sbc.b2bua.hooks import CallView, Reject, Target, Targets
from sbc.b2bua.registrations import Binding, Device
from sbc.sip import Request, SipError, Uri, parse_name_address, parse_uri, unescape

_POLICY = "registrations"
_TOKEN_LENGTH = 24
_RINGS = 20.0
"""Seconds that phones ring before those that their user wants to be reached at less."""


def locate(context: Context, request: Request, zone: str, redirects: bool = True) -> Targets | Reject | None:
    """Where `request` goes, which came in `zone`, if its Request-URI is a contact that a registrar has for a device
    here, or an address of record here; None: it is neither. Several devices are tried together, the flows of one after
    each other, the newest first. `redirects`: who has sent it can be told to go there itself, where that is wished."""
    access = context.settings.access
    if access is None:
        return None
    try:
        uri = request.request_uri
    except SipError:
        return None
    if uri.scheme not in ("sip", "sips") or not uri.user:
        return None
    if access.registrar and zone != access.zone and _is_token(uri.user) and uri.host in context.places.own_hosts:
        device = context.registrations.by_token(uri.user)
        if device is None:
            return Reject(_POLICY, 404, "no device is registered with this contact")
        return targets(context, [device], f"the contact of {device.aor}")
    aor = address_of_record(context, uri)
    # where another element is the registrar, it is the one who forks: phones and trunks call it
    if aor is None or (access.registrar and zone == access.zone):
        return None
    if "gr" in uri.params:
        return _locate_device(context, uri, aor)
    devices = context.registrations.by_aor(aor)
    if not access.registrar and aor not in context.users:
        return None
    if not devices:
        return None if access.registrar else Reject(_POLICY, 480, f"{aor} is not registered")
    if access.redirects and redirects:
        elsewhere = _redirection(devices, aor, zone)
        if elsewhere is not None:
            return elsewhere
    return targets(context, devices, f"{aor} is registered here")


def route(context: Context, view: CallView) -> Targets | Reject:
    """Where a call goes that we make for somebody: to a user who is registered here, or as policy says."""
    return locate(context, view.request, view.zone.name, redirects=False) or context.hooks.route(view)


def _locate_device(context: Context, uri: Uri, aor: str) -> Targets | Reject:
    """Where a GRUU leads: to one device, over its newest flow, and to nobody else (RFC 5627 section 6.1)."""
    if context.access.registrar:
        found = gruus.named(context.registrations.by_aor(aor), uri)
        device = found[0] if found else Reject(_POLICY, 404, f"a GRUU of {aor} that nobody here has")
    else:
        device = gruus.meant(context.registrations, context.users, uri, aor)
    return device if isinstance(device, Reject) else targets(context, [device], f"a GRUU of {device.aor}")


def address_of_record(context: Context, uri: Uri) -> str | None:
    """The name by which `uri` is registered, if at all: "user@domain"; None if it is of no domain of ours. Our own
    addresses stand for the first domain. Nobody is called by what cannot be shown: control characters, or octets that
    are no text and would all look the same."""
    domain = domain_of(context, uri) if uri.user else None
    user = unescape(uri.user or "")
    return f"{user}@{domain}" if domain is not None and user.isprintable() and "\ufffd" not in user else None


def domain_of(context: Context, uri: Uri) -> str | None:
    """The domain of ours that `uri` is of, whatever user it names."""
    access = context.settings.access
    if access is None or uri.scheme not in ("sip", "sips"):
        return None
    if uri.host in access.domains:
        return uri.host
    return access.domains[0] if uri.host in context.places.own_hosts else None


def _is_token(user: str) -> bool:
    return len(user) == _TOKEN_LENGTH and user.isalnum()


def targets(context: Context, devices: Sequence[Device], reason: str) -> Targets | Reject:
    """16.6: those of the highest q first, those of the same q together, each group for a while."""
    newest = sorted((device for device in devices if device.flows), key=_freshness, reverse=True)
    groups: dict[tuple[float, str], list[Target]] = {}  # legs of a call share the ports of one zone
    for device in newest:
        target = _target(device)
        groups.setdefault((max(map(_q, device.flows.values())), target.zone), []).append(target)
    found: list[Target] = []
    for place in sorted(groups, key=lambda group: -group[0]):
        last = len(found) + len(groups[place]) == len(newest)
        for number, target in enumerate(groups[place]):
            found.append(target._replace(together=number > 0, ring=0.0 if last else _RINGS, search=True))
    if not found:
        return Reject(_POLICY, 480, f"{devices[0].aor} has no flow to us now")
    return Targets(_POLICY, tuple(found), reason)


def _redirection(devices: Sequence[Device], aor: str, zone: str) -> Reject | None:
    """302 with where the user is (8.3, 21.3.3): if all its devices are in the caller's zone, so that it may know, and
    none is behind a NAT, so that it can get there. None: the call has to go through us."""
    flows = [flow for device in devices for flow in device.flows.values()]
    contacts = []
    for flow in flows:
        if flow.hop.zone != zone or parse_uri(flow.contact).host != flow.hop.remote.host:
            return None
        contacts.append(("Contact", f"<{flow.contact}>;q={_q(flow):g}"))
    return Reject(_POLICY, 302, f"{aor} is told to be elsewhere", headers=tuple(contacts)) if contacts else None


def _q(flow: Binding) -> float:
    """How much the phone wants to be reached there, from 0 to 1 (20.10)."""
    text = parse_name_address(flow.written).params.get("q") or "1"
    try:
        return min(1.0, max(0.0, float(text)))
    except ValueError:
        return 1.0


def _freshness(device: Device) -> float:
    return max(flow.until - flow.granted for flow in device.flows.values())


def _target(device: Device) -> Target:
    first, *others = sorted(device.flows.values(), key=_refreshed, reverse=True)
    hop = first.hop
    return Target(
        hop.zone,
        first.contact,
        hop.remote.host,
        hop.remote.port,
        (hop.transport,),
        None,
        hop=hop,
        others=tuple((other.contact, other.hop) for other in others),
        route=first.path,
        device=device.token,
    )


def _refreshed(binding: Binding) -> float:
    return binding.until - binding.granted
