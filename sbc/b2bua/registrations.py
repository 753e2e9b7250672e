"""Who is registered here, and over which flows: the location service (RFC 3261 section 10, RFC 5626).

A *device* is one user agent of an address of record. The registrar inside knows it by one contact of ours, whose user
part is its *token*. A *binding* is one flow that the device opened to us; a device with a reg-id for each has several.
All look-ups are by dict, and nothing here grows beyond what `add` is asked to let in.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2s
from typing import Any, TypeVar

from sbc.b2bua.commands import BindingKey, BindingRecord
from sbc.sip import Address, Hop, parse_name_address

K = TypeVar("K")
T = TypeVar("T")
V = TypeVar("V")
_KNOWN = 1024
"""Values that are remembered; then all are forgotten at once."""

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
    watched: Second | None = None
    """When the table looks at it next; None: it is not in the table."""
    epoch: str = ""
    """What its temporary GRUUs of our own registrar belong to: another text when these end."""
    held: tuple[Binding, ...] = ()
    """Its flows, the one that registered last at the end."""
    source: str = ""
    """Where it was when the registrar accepted it last: `sbc.b2bua.hosts.source_of`."""
    dialogs: dict[DialogKey, None] | None = None
    """Of legs that go where the device is: the keys (a set takes three times the memory). None: there was none yet."""

    @property
    def flows(self) -> dict[int, Binding]:
        """Its flows by reg-id. A copy."""
        return {binding.reg_id: binding for binding in self.held}

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
    to_unlike: str
    """URI of To as the phone wrote it; "": as nearly all write it, "sip:" and the address of record."""
    written: str
    """The Contact as the phone wrote it, parameters and all."""
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
    watched: Second | None = None
    """When the table looks at it next; None: it is not in the table."""

    @property
    def to(self) -> str:
        """URI of To as the phone wrote it."""
        return self.to_unlike or f"sip:{self.device.aor}"

    @property
    def contact(self) -> str:
        """The URI in its Contact: Request-URI of what goes to the phone."""
        return parse_name_address(self.written).uri_text

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


@dataclass(slots=True, eq=False)
class Second:
    """What the table looks at within one second: less memory than a time and a place in a heap for each. What does not
    end then after all, or is watched elsewhere by now, is put right or left out when the second has come."""

    number: int
    held: list[Device | Binding] = field(default_factory=list)


class Known:
    """Gives for each value one that is equal to it, and the same object for all who ask for it: thousands of phones
    have one User-Agent."""

    __slots__ = ("_values",)

    def __init__(self) -> None:
        self._values: dict[Any, Any] = {}

    def __call__(self, value: T) -> T:
        if len(self._values) >= _KNOWN:
            self._values.clear()
        known: T = self._values.setdefault(value, value)
        return known


class Registrations:
    """The table of devices and their flows. `key` makes the tokens: the same ones for the same devices."""

    def __init__(self, key: bytes = b"") -> None:
        self._key = key
        self._by_token: dict[str, Device] = {}
        self._by_aor: dict[str, Sequence[Device]] = {}
        self._by_flow: dict[Hop, Sequence[Binding]] = {}
        self._bindings = 0
        self._seconds: dict[int, Second] = {}
        self._order: list[int] = []
        """A heap of their numbers."""
        self._entries = 0
        self.same = Known()

    # -- look-ups ------------------------------------------------------------------------------------------------------

    def counts(self) -> tuple[int, int]:
        """Devices and bindings in the table."""
        return len(self._by_token), self._bindings

    def disguised(self, text: str) -> str:
        """A name for `text` that is always the same, tells nothing of it, and cannot be made by others."""
        return blake2s(text.encode("utf-8", "replace"), digest_size=12, key=self._key[:32]).hexdigest()

    def device(self, aor: str, name: str) -> Device:
        """A device of the table; or one that is not in it until it has a binding."""
        for device in self._by_aor.get(aor, ()):
            if device.id == name:
                return device
        return Device(aor, name, self.disguised(f"{aor}\n{name}"))

    def by_token(self, token: str) -> Device | None:
        return self._by_token.get(token)

    def by_aor(self, aor: str) -> Sequence[Device]:
        """The devices of a user; those without a flow as well. Not to be changed."""
        return self._by_aor.get(aor, _NONE)

    def over(self, hop: Hop) -> Sequence[Binding]:
        """The bindings of a flow. Not to be changed."""
        return self._by_flow.get(hop, _NO_BINDINGS)

    # -- changes -------------------------------------------------------------------------------------------------------

    def bind(self, binding: Binding) -> None:
        """Put a binding, and its device, in the table, in place of the one of its key. The device stays until its
        `inside_until`, with or without flows."""
        device = binding.device
        self._add(device)
        self._look_earlier(device)
        former = device.flows.get(binding.reg_id)
        if former is not None:
            self.unbind(former)
        device.held = (*device.held, binding)
        alone = device.held if len(device.held) == 1 else (binding,)  # most often one tuple serves both
        _put(self._by_flow, binding.hop, alone)
        self._bindings += 1
        self._watch(binding, binding.until)

    def refresh(self, binding: Binding, until: float) -> bool:
        """The binding lasts until then. Whether `next` may be earlier now."""
        binding.until = until
        if binding.watched is not None and until < binding.watched.number:
            self._watch(binding, until)
            return True
        return False

    def unbind(self, binding: Binding) -> None:
        """A flow is gone; its device stays. What is not in the table is left as it is."""
        device = binding.device
        if binding in device.held:
            device.held = tuple([each for each in device.held if each is not binding])
            binding.watched = None
            self._bindings -= 1
            _take_out(self._by_flow, binding.hop, binding)
            self._look_earlier(device)

    def remove(self, device: Device) -> list[Binding]:
        """The device is not registered any more. Its bindings, which have gone with it."""
        gone = list(device.held)
        for binding in gone:
            self.unbind(binding)
        if self._by_token.get(device.token) is device:
            device.watched = None
            del self._by_token[device.token]
            _take_out(self._by_aor, device.aor, device)
        return gone

    # -- time ----------------------------------------------------------------------------------------------------------

    def next(self) -> float | None:
        """The second in which `expire` has something to do next; None: never."""
        return self._order[0] if self._order else None

    def expire(self, now: float) -> tuple[list[Binding], list[Device]]:
        """Take out what has ended: flows that were not refreshed (their devices stay), and devices."""
        flows: list[Binding] = []
        devices: list[Device] = []
        while self._order and self._order[0] <= now:
            number = heapq.heappop(self._order)
            second = self._seconds.pop(number)
            self._entries -= len(second.held)
            for each in second.held:
                if each.watched is not second:
                    continue
                ends = each.until if isinstance(each, Binding) else each.inside_until
                if ends > now:
                    self._watch(each, ends)
                elif isinstance(each, Binding):
                    self.unbind(each)
                    flows.append(each)
                else:
                    flows += self.remove(each)
                    devices.append(each)
            if number in self._seconds:
                break  # what is left in it ends within this very second
        return flows, devices

    def _add(self, device: Device) -> None:
        if self._by_token.get(device.token) is not device:
            self._by_token[device.token] = device
            _put(self._by_aor, device.aor, (device,))
            self._watch(device, device.inside_until)

    def _look_earlier(self, device: Device) -> None:
        """At a device that ends sooner than it would have."""
        if device.watched is not None and int(device.inside_until) < device.watched.number:
            self._watch(device, device.inside_until)

    def _watch(self, each: Device | Binding, when: float) -> None:
        if self._entries > 64 + 2 * (len(self._by_token) + self._bindings):
            self._tidy()
        number = int(when)
        second = self._seconds.get(number)
        if second is None:
            second = self._seconds[number] = Second(number)
            heapq.heappush(self._order, number)
        second.held.append(each)
        self._entries += 1
        each.watched = second

    def _tidy(self) -> None:
        """Leave out what is not watched any more where it was put."""
        for second in self._seconds.values():
            second.held = [each for each in second.held if each.watched is second]
        self._entries = sum(len(second.held) for second in self._seconds.values())
        self._seconds = {number: second for number, second in self._seconds.items() if second.held}
        self._order = sorted(self._seconds)


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
    same = registrations.same
    binding = Binding(
        device,
        record.reg_id,
        unlike(record.to, device),
        record.written,
        record.written if record.shown == record.written else record.shown,
        _held_once(record.hop, same),
        record.call_id,
        record.cseq,
        min(record.inside_until, device.inside_until, now + grace),
        record.granted,
        same(record.user_agent),
        record.path,
        same(record.decision),
        same(record.nat),
        kept_at=now,
    )
    registrations.bind(binding)
    if record.hop.transport == "UDP":
        return binding
    registrations.unbind(binding)
    return None


def unlike(to: str, device: Device) -> str:
    """`Binding.to_unlike`."""
    return "" if to == f"sip:{device.aor}" else to


def _held_once(hop: Hop, same: Callable[[Any], Any]) -> Hop:
    """A flow that was read anew, without texts of its own for what is the same in others."""
    zone, transport, local, (host, port), connection = hop
    return Hop(same(zone), same(transport), same(local), Address(same(host), port), connection)


def _put(table: dict[K, Sequence[V]], key: K, one: tuple[V]) -> None:
    """Most have one value, and a tuple is half as long as a list."""
    values = table.get(key)
    if values is None:
        table[key] = one
    elif isinstance(values, list):
        values += one
    else:
        table[key] = [*values, *one]


def _take_out(table: dict[K, Sequence[V]], key: K, value: V) -> None:
    values = table[key]
    if isinstance(values, list):
        values.remove(value)
    if not values or isinstance(values, tuple):
        del table[key]


_NONE: list[Device] = []
_NO_BINDINGS: list[Binding] = []
