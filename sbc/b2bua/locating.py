"""Where a request goes that is for somebody who is registered here (RFC 3261 section 16.5, RFC 5626 section 5.3)."""

from __future__ import annotations

from sbc.b2bua.context import Context
from sbc.b2bua.hooks import Reject, Target, Targets
from sbc.b2bua.registrations import Binding, Device
from sbc.sip import Request, SipError, Uri, unescape

_POLICY = "registrations"
_TOKEN_LENGTH = 24


def locate(context: Context, request: Request, zone: str) -> Targets | Reject | None:
    """Where `request` goes, which came in `zone`, if its Request-URI is a contact that a registrar has for a device
    here, or an address of record here; None: it is neither. Several devices are tried together, the flows of one after
    each other, the newest first."""
    access = context.settings.access
    if access is None:
        return None
    try:
        uri = request.request_uri
    except SipError:
        return None
    if uri.scheme not in ("sip", "sips") or not uri.user:
        return None
    if zone != access.zone and _is_token(uri.user) and uri.host in context.places.own_hosts:
        device = context.registrations.by_token(uri.user)
        if device is None:
            return Reject(_POLICY, 404, "no device is registered with this contact")
        return _targets(context, [device], f"the contact of {device.aor}")
    aor = address_of_record(context, uri)
    # where another element is the registrar, it is the one who forks: phones and trunks call it
    if aor is None or (access.registrar and zone == access.zone):
        return None
    devices = context.registrations.by_aor(aor)
    if not devices:
        return None if access.registrar else Reject(_POLICY, 480, f"{aor} is not registered")
    return _targets(context, devices, f"{aor} is registered here")


def address_of_record(context: Context, uri: Uri) -> str | None:
    """The name by which `uri` is registered, if at all: "user@domain"; None if it is of no domain of ours. Our own
    addresses stand for the first domain."""
    access = context.settings.access
    if access is None or not uri.user or uri.scheme not in ("sip", "sips"):
        return None
    if uri.host in access.domains:
        domain = uri.host
    elif uri.host in context.places.own_hosts:
        domain = access.domains[0]
    else:
        return None
    return f"{unescape(uri.user)}@{domain}"


def _is_token(user: str) -> bool:
    return len(user) == _TOKEN_LENGTH and user.isalnum()


def _targets(context: Context, devices: list[Device], reason: str) -> Targets | Reject:
    newest = sorted((device for device in devices if device.flows), key=_freshness, reverse=True)
    targets = [_target(device) for device in newest]
    if not targets:
        return Reject(_POLICY, 480, f"{devices[0].aor} has no flow to us now")
    targets[1:] = [target._replace(together=True) for target in targets[1:]]
    return Targets(_POLICY, tuple(targets), reason)


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
