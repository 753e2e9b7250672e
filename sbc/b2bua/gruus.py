"""GRUUs (RFC 5627): URIs that mean one device of a user, whatever flows it has.

Those of our own registrar are not kept. A public one names the device as it is named inside, by a keyed digest, with a
proof that the name is ours; so it stays valid while the device is away, and tells nothing of the instance. A temporary
one is that name in disguise, another one each time, with a proof that it belongs to this registration of the device:
when the device registers with another Call-ID, or has gone, the proof does not fit any more.
"""

from __future__ import annotations

import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence

from sbc.b2bua import hooks, network, registrations
from sbc.sip import Hop, Request, SipError, Uri, escape_user, parse_name_address, parse_uri, quote, unquote

_POLICY = "registrations"
_PROOF = 16
"""Hexadecimal digits."""
_RANDOM, _TOKEN = 9, 12
"""Octets of a temporary GRUU that differ each time, and of the token of the device; the rest is its proof."""
_temporary = re.compile(r"tgruu\.([A-Za-z0-9_-]{40})").fullmatch


def given(
    table: registrations.Registrations, request: Request, device: registrations.Device, reg_id: int, unique: str
) -> dict[str, str]:
    """The GRUUs for the Contact of a device that has a `+sip.instance` and registers (section 5.1), as parameters; none
    if it knows nothing of them. `unique` ends in 18 hexadecimal digits that are different each time. The device's epoch
    is set."""
    flow = device.flows.get(reg_id)
    if not device.epoch or (flow is not None and flow.call_id != request.call_id):
        device.epoch = unique
    if "gruu" not in map(str.lower, request.headers.values("Supported")):
        return {}
    name, _, domain = device.aor.rpartition("@")
    public = Uri("sip", escape_user(name), host=domain, params={"gr": device.token + _public_proof(table, device)})
    random = bytes.fromhex(unique[-2 * _RANDOM :])
    disguised = random + _exchanged(table, random, bytes.fromhex(device.token))
    user = urlsafe_b64encode(disguised + _proof(table, disguised, device.epoch)).decode()
    temporary = Uri("sip", f"tgruu.{user}", host=domain, params={"gr": None})
    return {"pub-gruu": quote(str(public)), "temp-gruu": quote(str(temporary))}


def meant(
    table: registrations.Registrations, users: network.Users, uri: Uri, aor: str
) -> registrations.Device | hooks.Reject:
    """The device that a GRUU of our own registrar means (section 6.1); `aor` is the address of record that it seems to
    be of."""
    value = uri.params["gr"]
    if value is None:
        device = _meant_for_now(table, aor.rpartition("@")[0])
        return device or hooks.Reject(_POLICY, 404, "a temporary GRUU that is none of ours, or was one")
    absent = registrations.Device(aor, "", value[: 2 * _TOKEN].lower())
    proof = value[2 * _TOKEN :].lower().encode("utf-8", "replace")
    if aor not in users or not hmac.compare_digest(proof, _public_proof(table, absent).encode()):
        return hooks.Reject(_POLICY, 404, f"a GRUU of {aor} that is none of ours")
    return table.by_token(absent.token) or hooks.Reject(_POLICY, 480, f"the device of {aor} is not registered")


def _meant_for_now(table: registrations.Registrations, user: str) -> registrations.Device | None:
    found = _temporary(user)
    if found is None:
        return None
    octets = urlsafe_b64decode(found[1])
    disguised, proof = octets[: _RANDOM + _TOKEN], octets[_RANDOM + _TOKEN :]
    device = table.by_token(_exchanged(table, disguised[:_RANDOM], disguised[_RANDOM:]).hex())
    fits = device is not None and device.epoch and hmac.compare_digest(proof, _proof(table, disguised, device.epoch))
    return device if fits else None


def _public_proof(table: registrations.Registrations, device: registrations.Device) -> str:
    return table.disguised(f"gruu\n{device.aor}\n{device.token}")[:_PROOF]


def _exchanged(table: registrations.Registrations, random: bytes, octets: bytes) -> bytes:
    """A token for its disguise, and the other way round."""
    mask = bytes.fromhex(table.disguised(f"temporary gruu\n{random.hex()}"))
    return bytes(one ^ other for one, other in zip(octets, mask, strict=True))


def _proof(table: registrations.Registrations, disguised: bytes, epoch: str) -> bytes:
    return bytes.fromhex(table.disguised(f"proof of temporary gruu\n{disguised.hex()}\n{epoch}"))[:_RANDOM]


def named(devices: Sequence[registrations.Device], uri: Uri) -> list[registrations.Device]:
    """Those of `devices`, all of one user, that the registrar inside means by the public GRUU `uri`."""
    wanted = uri.params["gr"]
    return [device for device in devices if wanted and any(_is_shown(flow, wanted) for flow in device.flows.values())]


def _is_shown(flow: registrations.Binding, value: str) -> bool:
    try:
        told = parse_name_address(flow.shown).params.get("pub-gruu")
        return told is not None and parse_uri(unquote(told)).params.get("gr") == value
    except SipError:
        return False


def dereferenced(table: registrations.Registrations, uri: str, hop: Hop, token: str = "") -> str:
    """The Request-URI of what goes to a phone over `hop`, where its remote target is `uri`: for a GRUU the contact that
    it registered there (section 6.1); `token` names the device, if that is known."""
    if ";gr" not in uri:
        return uri
    try:
        if "gr" not in parse_uri(uri).params:
            return uri
    except SipError:
        return uri
    bindings = table.over(hop)
    return next((flow.contact for flow in bindings if flow.token == token), bindings[0].contact if bindings else uri)
