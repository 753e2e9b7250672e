"""Who is registered here, and over which flows: the location service (RFC 3261 section 10, RFC 5626).

A *device* is one user agent of an address of record. The registrar inside knows it by one contact of ours, whose user
part is its *token*. A *binding* is one flow that the device opened to us; a device with a reg-id for each has several.
All look-ups are by dict, and nothing here grows beyond what `add` is asked to let in.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from hashlib import blake2s

from sbc.b2bua.commands import BindingKey, BindingRecord
from sbc.sip import Hop

DialogKey = tuple[str, str]
"""(Call-ID, our tag), as in `Context.dialogs`."""


@dataclass(slots=True, eq=False)
class Device:
    """What is known of one device, and of its one contact at the registrar inside."""

    aor: str
    id: str
    """Its `+sip.instance`; else the contact that it registered first."""
    token: str
    inside_until: float = 0.0
    """When the device is not registered any more: when the registrar's binding ends; where this SBC is the registrar:
    the latest `until` of its flows."""
    inside_granted: int = 0
    """What the registrar granted last, in seconds."""
    checked: float = 0.0
    """When credentials last passed the registrar."""
    settled: tuple[str, int] = ("", 0)
    """Call-ID and CSeq of the last REGISTER that the registrar has accepted, as the phone wrote them."""
    service_route: tuple[str, ...] = ()
    """Route values of its requests to the registrar's side (RFC 3608)."""
    associated: tuple[str, ...] = ()
    """P-Associated-URI values, as the phone is told (RFC 7315 section 4.1)."""
    epoch: str = ""
    """What its temporary GRUUs of our own registrar belong to: another text when these end."""
    flows: dict[int, Binding] = field(default_factory=dict)
    """By reg-id, the one that registered last at the end."""
    source: str = ""
    """Where it was when the registrar accepted it last: `sbc.b2bua.hosts.source_of`."""
    dialogs: dict[DialogKey, None] = field(default_factory=dict)
    """Of legs that go where the device is: the keys (an empty set takes three times the memory)."""

    @property
    def granted_until(self) -> float:
        """When the registrar's binding ends; `inside_until` is later while we keep it in its place."""
        return self.checked + self.inside_granted


@dataclass(slots=True, eq=False)
class Binding:
    """One flow of a device."""

    device: Device
    reg_id: int
    """0 where the device does not number its flows (RFC 5626 section 4.2)."""
    to: str
    """URI of To as the phone wrote it."""
    written: str
    """The Contact as the phone wrote it, parameters and all."""
    contact: str
    """The URI in it: Request-URI of what goes to the phone."""
    shown: str
    """The Contact of responses, without `expires`."""
    hop: Hop
    """The flow."""
    call_id: str
    cseq: int
    """Of the last REGISTER that changed the binding (10.3 step 7)."""
    until: float
    """When it ends, unless it is refreshed."""
    granted: int = 0
    """What the phone was granted last, in seconds."""
    user_agent: str = ""
    path: tuple[str, ...] = ()
    """Route values of what goes to the phone (RFC 3327)."""
    decision: str = ""
    """What was last decided about it, in words."""
    nat: str = ""
    """What of the REGISTER told that a NAT stands before the phone; see `sbc.b2bua.keeping`."""
    kept_at: float = 0.0
    """When it was last written down."""
    branch: int = 0
    """A number for that of the last REGISTER that was answered here; if it is repeated it has the same one (RFC 3261
    section 17.2.3). 0: none was, or it had none."""
    common: int = 0
    """What that one had in common with others that ask for the same (`sbc.sip.Glance`); 0: nothing is known of it."""
    wanted: int = 0
    """Seconds that those ask for, as far as phones are given so many."""
    keeps: bool = False
    """The phone keeps the flow alive, until it registers again (RFC 6223)."""
    watched: float = 0.0
    """When the table looks at it next; 0: it is not in the table."""

    @property
    def aor(self) -> str:
        return self.device.aor

    @property
    def token(self) -> str:
        return self.device.token

    @property
    def key(self) -> BindingKey:
        return self.device.aor, self.device.id, self.reg_id

    def record(self) -> BindingRecord:
        device = self.device
        return BindingRecord(
            device.aor,
            device.id,
            self.reg_id,
            self.to,
            self.written,
            self.contact,
            self.shown,
            self.hop,
            self.call_id,
            self.cseq,
            self.until,
            self.granted,
            self.user_agent,
            self.path,
            self.decision,
            device.token,
            device.inside_until,
            device.checked,
            device.inside_granted,
            device.service_route,
            device.associated,
            self.nat,
            device.epoch,
        )


class Registrations:
    """The table of devices and their flows. `key` makes the tokens: the same ones for the same devices."""

    def __init__(self, key: bytes = b"") -> None:
        self._key = key
        self._devices: dict[tuple[str, str], Device] = {}
        self._by_token: dict[str, Device] = {}
        self._by_aor: dict[str, list[Device]] = {}
        self._by_flow: dict[Hop, list[Binding]] = {}
        self._bindings = 0
        self._ends: list[tuple[float, int, Device | Binding]] = []
        """A heap of when to look at what. What is refreshed meanwhile is put right when it comes up."""
        self._number = 0

    # -- look-ups ------------------------------------------------------------------------------------------------------

    def counts(self) -> tuple[int, int]:
        """Devices and bindings in the table."""
        return len(self._devices), self._bindings

    def disguised(self, text: str) -> str:
        """A name for `text` that is always the same, tells nothing of it, and cannot be made by others."""
        return blake2s(text.encode("utf-8", "replace"), digest_size=12, key=self._key[:32]).hexdigest()

    def device(self, aor: str, name: str) -> Device:
        """A device of the table; or one that is not in it until it has a binding."""
        return self._devices.get((aor, name)) or Device(aor, name, self.disguised(f"{aor}\n{name}"))

    def by_token(self, token: str) -> Device | None:
        return self._by_token.get(token)

    def by_aor(self, aor: str) -> list[Device]:
        """The devices of a user; those without a flow as well. Not to be changed."""
        return self._by_aor.get(aor, _NONE)

    def over(self, hop: Hop) -> list[Binding]:
        """The bindings of a flow. Not to be changed."""
        return self._by_flow.get(hop, _NO_BINDINGS)

    # -- changes -------------------------------------------------------------------------------------------------------

    def bind(self, binding: Binding) -> None:
        """Put a binding, and its device, in the table, in place of the one of its key. The device stays until its
        `inside_until`, with or without flows."""
        self._add(binding.device)
        flows = binding.device.flows
        former = flows.pop(binding.reg_id, None)
        if former is not None:
            self._unlink(former)
        flows[binding.reg_id] = binding
        self._by_flow.setdefault(binding.hop, []).append(binding)
        self._bindings += 1
        self._watch(binding, binding.until)

    def refresh(self, binding: Binding, until: float) -> bool:
        """The binding lasts until then. Whether `next` may be earlier now."""
        binding.until = until
        if until < binding.watched:
            self._watch(binding, until)
            return True
        return False

    def unbind(self, binding: Binding) -> None:
        """A flow is gone; its device stays. What is not in the table is left as it is."""
        if binding.device.flows.get(binding.reg_id) is binding:
            del binding.device.flows[binding.reg_id]
            self._unlink(binding)

    def remove(self, device: Device) -> list[Binding]:
        """The device is not registered any more. Its bindings, which have gone with it."""
        gone = list(device.flows.values())
        for binding in gone:
            self.unbind(binding)
        if self._devices.get((device.aor, device.id)) is device:
            del self._devices[device.aor, device.id]
            del self._by_token[device.token]
            same = self._by_aor[device.aor]
            same.remove(device)
            if not same:
                del self._by_aor[device.aor]
        return gone

    def _unlink(self, binding: Binding) -> None:
        binding.watched = 0.0
        self._bindings -= 1
        same = self._by_flow[binding.hop]
        same.remove(binding)
        if not same:
            del self._by_flow[binding.hop]

    # -- time ----------------------------------------------------------------------------------------------------------

    def next(self) -> float | None:
        """When to call `expire` next; None: never."""
        return self._ends[0][0] if self._ends else None

    def expire(self, now: float) -> tuple[list[Binding], list[Device]]:
        """Take out what has ended: flows that were not refreshed (their devices stay), and devices."""
        flows: list[Binding] = []
        devices: list[Device] = []
        while self._ends and self._ends[0][0] <= now:
            when, _, each = heapq.heappop(self._ends)
            if isinstance(each, Binding):
                if each.watched != when:
                    continue  # it has gone, or has another entry
                if each.until > now:
                    self._watch(each, each.until)
                else:
                    self.unbind(each)
                    flows.append(each)
            elif self._devices.get((each.aor, each.id)) is each:
                if each.inside_until > now:
                    self._watch(each, each.inside_until)
                else:
                    flows += self.remove(each)
                    devices.append(each)
        return flows, devices

    def _add(self, device: Device) -> None:
        place = (device.aor, device.id)
        if self._devices.get(place) is not device:
            self._devices[place] = self._by_token[device.token] = device
            self._by_aor.setdefault(device.aor, []).append(device)
            self._watch(device, device.inside_until)

    def _watch(self, each: Device | Binding, when: float) -> None:
        if isinstance(each, Binding):
            each.watched = when
        self._number += 1
        heapq.heappush(self._ends, (when, self._number, each))
        if len(self._ends) > 64 + 2 * (len(self._devices) + self._bindings):
            self._ends = [
                (when, number, each)
                for when, number, each in self._ends
                if (each.watched == when if isinstance(each, Binding) else (each.aor, each.id) in self._devices)
            ]
            heapq.heapify(self._ends)


def restore(registrations: Registrations, record: BindingRecord, now: float, grace: float) -> Binding | None:
    """Put back what was registered in a former life of this process. Nobody knows which refreshes it has answered since
    it was written: the phone gets `grace` seconds to show that it is there. Streams have not survived; their devices
    have."""
    device = registrations.device(record.aor, record.device)
    if record.inside_until <= now or record.token != device.token:
        return None
    if not device.inside_granted or record.checked > device.checked:  # of several flows the one that the registrar saw
        device.inside_until = record.inside_until
        device.checked = record.checked
        device.inside_granted = record.inside_granted
        device.service_route = record.service_route
        device.associated = record.associated
        device.epoch = record.epoch
    elif record.checked == device.checked:
        device.inside_until = max(device.inside_until, record.inside_until)
    binding = Binding(
        device,
        record.reg_id,
        record.to,
        record.written,
        record.contact,
        record.shown,
        record.hop,
        record.call_id,
        record.cseq,
        min(record.inside_until, device.inside_until, now + grace),
        record.granted,
        record.user_agent,
        record.path,
        record.decision,
        record.nat,
        kept_at=now,
    )
    registrations.bind(binding)
    if record.hop.transport == "UDP":
        return binding
    registrations.unbind(binding)
    return None


_NONE: list[Device] = []
_NO_BINDINGS: list[Binding] = []
