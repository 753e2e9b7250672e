"""Many phones at once, and floods of REGISTERs that no phone has sent."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

import pytest

from sbc.b2bua import Access, BindingRecord, Settings
from sbc.b2bua.registrations import Registrations
from sbc.sip import Address, Hop, Limits, Request, Response, make_response, parse
from tests.support.world import INSIDE, OUTSIDE, PBX, Edge, Events, Weather, Wires

RATE = 100
ACCESS = Access("public", ("example.com",), "pbx", expires_udp=60, rate=RATE, key=b"site")
CHALLENGE = ("WWW-Authenticate", 'Digest realm="example.com", nonce="n", qop="auth"')


def register(user: str, place: Address, cseq: int, proof: bool) -> bytes:
    lines = [
        "REGISTER sip:example.com SIP/2.0",
        f"Via: SIP/2.0/UDP {place.host}:{place.port};branch=z9hG4bK-{user}-{cseq}",
        f"From: <sip:{user}@example.com>;tag=1",
        f"To: <sip:{user}@example.com>",
        f"Call-ID: of-{user}",
        f"CSeq: {cseq} REGISTER",
        f'Contact: <sip:{user}@{place.host}:{place.port}>;+sip.instance="<urn:uuid:{user}>"',
        *([f'Authorization: Digest username="{user}", response="right"'] if proof else []),
        "Content-Length: 0",
    ]
    return "\r\n".join([*lines, "", ""]).encode()


class World:
    """An SBC that was restarted and knows `known` devices, which all have to register anew: their NATs were, too."""

    def __init__(self, known: int) -> None:
        self.events = Events()
        self.wires = Wires(self.events, random.Random(1), Weather())
        self.wires.hosts[PBX] = self.pbx
        self.asked = 0
        self.done: dict[str, float] = {}
        self.cseq: dict[str, int] = {}
        users = [f"k{number}" for number in range(known)]
        self.edge = Edge(self.events, self.wires, 1, Settings(access=ACCESS), bindings=tuple(map(self.record, users)))
        for number, user in enumerate(users):
            place = Address(self.place(user).host, 7000)
            self.wires.hosts[place] = self.phone(user, place)
            self.events.after(5.0 * number / known, self.sender(user, place))

    def place(self, user: str) -> Address:
        number = int(user[1:])
        return Address(f"198.51.{100 + number // 200}.{number % 200 + 1}", 5060)

    def record(self, user: str) -> BindingRecord:
        place, aor = self.place(user), f"{user}@example.com"
        token = Registrations(ACCESS.key).device(aor, f"<urn:uuid:{user}>").token
        contact = f"sip:{user}@{place.host}:5060"
        return BindingRecord(
            aor, f"<urn:uuid:{user}>", 0, f"sip:{aor}", f"<{contact}>", contact, f"<{contact}>",
            Hop("public", "UDP", OUTSIDE, place), "old", 1, 160.0, 60, "", (), "", token, 3000.0, 50.0, 3600, (), ()
        )  # fmt: skip

    def sender(self, user: str, place: Address, proof: bool = False) -> Callable[[], None]:
        def send() -> None:
            self.cseq[user] = self.cseq.get(user, 0) + 1
            self.wires.send(place, OUTSIDE, register(user, place, self.cseq[user], proof))

        return send

    def phone(self, user: str, place: Address) -> Callable[[bytes, Address], None]:
        begun = self.events.now

        def receive(data: bytes, source: Address) -> None:
            answer = parse(data, Limits())
            assert isinstance(answer, Response)
            if answer.status == 401:
                self.sender(user, place, True)()
            elif answer.status == 503:
                self.events.after(float(answer.headers.get("Retry-After") or ""), self.sender(user, place))
            elif answer.status == 200:
                self.done[user] = self.events.now - begun

        return receive

    def pbx(self, data: bytes, source: Address) -> None:
        request = parse(data, Limits())
        if isinstance(request, Request) and request.method == "REGISTER":
            self.asked += 1
            if request.headers.get("Authorization"):
                answer = make_response(request, 200, None, "pbx", [("Contact", request.headers.get("Contact") or "")])
            else:
                answer = make_response(request, 401, None, "pbx", [CHALLENGE])
            self.wires.send(PBX, INSIDE, answer.to_bytes())

    def flood(self, count: int, seconds: float, source: str) -> None:
        for number in range(count):
            place = Address(source or f"203.{number // 62500}.{number // 250 % 250}.{number % 250 + 1}", 5060)
            self.events.after(seconds * number / count, self.sender(f"s{number}", place))

    def run(self, seconds: float) -> None:
        until = self.events.now + seconds
        while self.events.step(until):
            pass


@pytest.fixture(scope="module")
def undisturbed() -> float:
    """Seconds that 1,000 known devices need."""
    world = World(1000)
    world.run(100.0)
    assert len(world.done) == 1000
    return max(world.done.values())


@pytest.mark.parametrize("source", ["", "203.0.113.66"], ids=["forged sources", "one source"])
def test_a_flood_of_strangers_costs_known_devices_little_time(source: str, undisturbed: float) -> None:
    """20,000 REGISTERs in 20 seconds, to a PBX that gets 100 a second."""
    world = World(1000)
    world.flood(20_000, 20.0, source)
    world.run(2.0 * undisturbed)
    assert len(world.done) == 1000
    assert max(world.done.values()) <= 1.6 * undisturbed
    assert world.asked <= RATE * (2.0 * undisturbed + 1.0), "the PBX gets what it can take"
    waits = [int(found[1]) for *_, data in world.wires.sent if (found := re.search(rb"Retry-After: (\d+)", data))]
    assert len(waits) > 10_000
    assert world.edge.stack.server_count <= 32 * RATE, "nothing is kept of who is turned away"
    new = Address("192.0.2.99", 5060)
    told: list[bytes] = []
    world.wires.hosts[new] = lambda data, source: told.append(data)
    world.sender("n1", new)()
    world.run(1.0)
    assert told
    assert all(b"SIP/2.0 401" in data for data in told), "and afterwards nobody waits for those who never come"
