"""Random histories of phones that register: refreshes, moves, thieves, losses, outages and restarts, in any order.

What holds whatever happens: nobody is told that he is registered for longer than the PBX has granted (where it is
watched: and `survive` more); the PBX sees one contact for each device; a call goes to no flow that the PBX has not seen
credentials over; nothing private shows outside; and in the end nothing is left.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import pytest

from sbc.b2bua import Access, FlowLost, ForgetBinding, KeepBinding, Settings
from sbc.sip import Address, Hop, Limits, NameAddress, Request, Response, make_response, parse, parse_name_address
from tests.support.hiding import leaks
from tests.support.world import INSIDE, OUTSIDE, OUTSIDE6, PBX, Edge, Events, Weather, Wires

ACCESS = Access("public", ("example.com",), "pbx", expires_udp=60, rate=50, max_contacts=4, key=b"site", recheck=0)
WATCHED = replace(ACCESS, watch=20.0, survive=1000)
USERS = ("1001", "1002")
SLACK = 3.0
"""Seconds that a message may have been under way."""


@dataclass
class RandomPbx:
    """A registrar that checks who asks, and may be silent, busy, or of short memory."""

    events: Events
    wires: Wires
    rng: Random
    mode: str = "good"
    granted: dict[tuple[str, str], float] = field(default_factory=dict)
    """(user, token) -> until when."""
    removed: set[str] = field(default_factory=set)
    lessened: dict[str, float] = field(default_factory=dict)
    """Token -> when it got less than it had, last."""
    orders: dict[str, int] = field(default_factory=dict)
    """Call-ID -> the last CSeq that counted."""
    answers: dict[str, bytes] = field(default_factory=dict)
    registers: int = 0

    def receive(self, data: bytes, source: Address) -> None:
        message = parse(data, Limits())
        if not isinstance(message, Request) or self.mode == "silent":
            return
        if message.method == "OPTIONS":
            answer = make_response(message, 503 if self.mode == "busy" else 200, None, "pbx")
            self.wires.send(PBX, INSIDE, answer.to_bytes())
        if message.method != "REGISTER":
            return
        branch = message.via.branch or ""
        if branch not in self.answers:
            self.registers += 1
            self.answers[branch] = self.answer(message).to_bytes()
        self.wires.send(PBX, INSIDE, self.answers[branch])

    def answer(self, request: Request) -> Response:
        if self.mode == "busy":
            return make_response(request, 503, None, "pbx")
        credentials = request.headers.get("Authorization") or ""
        user = request.to.uri.user or ""
        if "right" not in credentials:
            challenge = ("WWW-Authenticate", 'Digest realm="example.com", nonce="n", qop="auth"')
            return make_response(
                request, 401 if not credentials or self.rng.random() < 0.5 else 403, None, "pbx", [challenge]
            )
        now = self.events.now
        if request.cseq.number < self.orders.get(request.call_id, 0):
            return make_response(request, 500, None, "pbx")  # 10.3 step 7
        self.orders[request.call_id] = request.cseq.number
        for value in request.headers.values("Contact"):
            if value == "*":
                for key in [key for key in self.granted if key[0] == user]:
                    self.remove(key)
                continue
            address = parse_name_address(value)
            assert address.uri.host == INSIDE.host, "the phone's own contact"
            key = (user, address.uri.user or "")
            seconds = min(int(address.params["expires"] or ""), self.rng.choice((45, 120, 600, 3600)))
            if seconds:
                if now + seconds < self.granted.get(key, 0.0):
                    self.lessened[key[1]] = now
                self.granted[key] = now + seconds
            else:
                self.remove(key)
        contacts = [
            ("Contact", f"<sip:{token}@{INSIDE.host}:5060>;expires={int(until - now)}")
            for (of, token), until in self.granted.items()
            if of == user and until > now
        ]
        return make_response(request, 200, None, "pbx", [*contacts, ("Contact", "<sip:desk@10.0.0.77>;expires=5")])

    def remove(self, key: tuple[str, str]) -> None:
        if self.granted.pop(key, None) is not None:
            self.removed.add(key[1])
            self.lessened[key[1]] = self.events.now

    def until(self, token: str) -> float:
        now = self.events.now
        if self.lessened.get(token, -100.0) > now - SLACK:
            return float("inf")  # a 200 of before may still be under way
        return max((until for (_, of), until in self.granted.items() if of == token), default=0.0)


@dataclass
class History:
    """Phones, thieves and a PBX around one SBC."""

    seed: int
    access: Access = ACCESS
    starts: int = 0
    direct: int = 0
    """Calls from phone to phone that came without the PBX."""

    sure: bool = True
    """The SBC was never restarted while the PBX had a REGISTER of it, whose answer it could not see then."""
    agreed: int = 0
    """How often it was looked at what a device is to the SBC and to the PBX."""

    def __post_init__(self) -> None:
        self.rng = Random(self.seed)
        self.events = Events()
        self.wires = Wires(self.events, self.rng, Weather(repeat=0.1, delay=0.3))
        self.pbx = RandomPbx(self.events, self.wires, self.rng)
        self.wires.hosts[PBX] = self.pbx.receive
        self.places = [Address(f"198.51.100.{n}", 5060 + n) for n in range(1, 7)]
        self.proven: dict[str, set[Address]] = {}
        """User -> addresses from which the right password came."""
        self.kept: dict[Any, Any] = {}
        self.lives: dict[tuple[str, int], int] = {}
        """(User, device) -> how often it has started anew."""
        self.seen = 0
        self.cseq = 0
        for place in self.places:
            self.wires.hosts[place] = lambda data, source, place=place: self.phone_receives(data, place)
        self.edge = self.start()

    def start(self) -> Edge:
        self.seen = 0
        self.starts += 1
        return Edge(
            self.events,
            self.wires,
            1000 * self.seed + self.starts,
            Settings(access=self.access),
            bindings=tuple(self.kept.values()),
        )

    # -- what happens --------------------------------------------------------------------------------------------------

    def register(self) -> None:
        rng = self.rng
        user, place = rng.choice(USERS), rng.choice(self.places)
        device, right = rng.randrange(3), rng.random() < 0.7
        credentials = rng.choice(("right", "right", "")) if right else "wrong"
        contact = f"<sip:{user}@192.168.0.{device}:5060>"
        extra = []
        if device:
            contact += f';+sip.instance="<urn:uuid:{user}-{device}>"'
            if rng.random() < 0.4:
                contact += f";reg-id={rng.randrange(1, 3)}"
                extra.append("Supported: path, outbound")
        expires = rng.choice((0, 60, 60, 3600, 3600))
        shape = rng.random()
        if shape < 0.05:
            contact, expires = "*", 0
        elif shape < 0.1:
            contact = ""
        elif shape < 0.2:
            contact += f", <sip:{user}@192.168.0.0:5060>"
        if credentials == "right":
            self.proven.setdefault(user, set()).add(place)
        self.cseq += 1
        if rng.random() < 0.2:  # it starts anew, and does not wait for what it asked before
            self.lives[user, device] = self.lives.get((user, device), 0) + 1
            if rng.random() < 0.5:
                self.send(place, user, device, contact, 0, credentials, extra)
                self.cseq += 1
        self.send(place, user, device, contact, expires, credentials, extra)

    def send(
        self, place: Address, user: str, device: int, contact: str, expires: int, credentials: str, extra: list[str]
    ) -> None:
        late = self.rng.choice((0, 0, 0, 0, 2))
        lines = [
            "REGISTER sip:example.com SIP/2.0",
            f"Via: SIP/2.0/UDP {place.host}:{place.port};branch=z9hG4bK-{self.seed}-{self.cseq};rport",
            f"From: <sip:{user}@example.com>;tag=t{self.cseq}",
            f"To: <sip:{user}@example.com>",
            f"Call-ID: of-{user}-{self.lives.get((user, device), 0)}-{device}",
            f"CSeq: {max(1, self.cseq - late)} REGISTER",
            *([f"Contact: {contact}"] if contact else []),
            f"Expires: {expires}",
            *([f'Authorization: Digest username="{user}", response="{credentials}"'] if credentials else []),
            *extra,
            "Content-Length: 0",
        ]
        self.wires.send(place, OUTSIDE, "\r\n".join([*lines, "", ""]).encode())

    def refresh(self) -> None:
        """A phone goes on with what it has, as phones do."""
        bindings = [each for place in self.places for each in self.edge.b2bua.registered.over(self.flow(place))]
        if bindings:
            binding = self.rng.choice(bindings)
            self.cseq += 1
            user, _, _ = binding.aor.partition("@")
            _, _, device = binding.call_id.rpartition("-")
            extra = ["Supported: outbound"] if binding.reg_id else []
            self.send(binding.hop.remote, user, int(device), binding.written, 3600, "", extra)

    def flow(self, place: Address) -> Hop:
        return Hop("public", "UDP", OUTSIDE, place)

    def lose(self) -> None:
        self.edge.tell(FlowLost(self.flow(self.rng.choice(self.places))))

    def restart(self) -> None:
        """Not while something is under way: the phone would send that again, which these phones do not."""
        self.wait(SLACK)
        self.sure = self.sure and not self.edge.b2bua._context.pending
        self.edge.b2bua.hang_up_all(self.events.now)  # it asks nobody anything any more
        self.edge = self.start()

    def call(self) -> None:
        """The PBX calls a contact that it has, or once had."""
        tokens = [token for _, token in self.pbx.granted] + sorted(self.pbx.removed)
        if tokens:
            token = self.rng.choice(tokens)
            self.cseq += 1
            lines = [
                f"INVITE sip:{token}@{INSIDE.host} SIP/2.0",
                f"Via: SIP/2.0/UDP {PBX.host}:5060;branch=z9hG4bK-pbx-{self.cseq}",
                "Max-Forwards: 70",
                f"From: <sip:boss@10.0.0.5>;tag=secret-{self.cseq}",
                f"To: <sip:{token}@{INSIDE.host}>",
                f"Call-ID: secret-call-{self.cseq}",
                "CSeq: 1 INVITE",
                f"Contact: <sip:boss@{PBX.host}>",
                "Content-Length: 0",
            ]
            self.wires.send(PBX, INSIDE, "\r\n".join([*lines, "", ""]).encode())

    def call_each_other(self) -> None:
        """Somebody, who may be a phone, calls a user; while the PBX is away that may get there without it."""
        caller, called = self.rng.choice(USERS), self.rng.choice(USERS)
        registered = [each for place in self.places for each in self.edge.b2bua.registered.over(self.flow(place))]
        known = [each.hop.remote for each in registered if each.aor == f"{caller}@example.com"]
        place = self.rng.choice(known if known and self.rng.random() < 0.7 else self.places)
        self.cseq += 1
        lines = [
            f"INVITE sip:{called}@example.com SIP/2.0",
            f"Via: SIP/2.0/UDP {place.host}:{place.port};branch=z9hG4bK-call-{self.cseq};rport",
            "Max-Forwards: 70",
            f"From: <sip:{caller}@example.com>;tag=c{self.cseq}",
            f"To: <sip:{called}@example.com>",
            f"Call-ID: call-{self.cseq}",
            f"Subject: {caller} {self.places.index(place)}",
            "CSeq: 1 INVITE",
            f"Contact: <sip:{caller}@{place.host}:{place.port}>",
            "Content-Length: 0",
        ]
        self.wires.send(place, OUTSIDE, "\r\n".join([*lines, "", ""]).encode())

    def wait(self, seconds: float, refreshing: bool = False) -> None:
        """`refreshing`: the phones do meanwhile what phones do."""
        while refreshing and seconds > 25.0:
            self.wait(25.0)
            seconds -= 25.0
            for _ in range(4):
                self.refresh()
        until = self.events.now + seconds
        while self.events.step(until):
            pass
        self.events.now = until
        self.keep()

    def keep(self) -> None:
        """What the store would have written."""
        for command in self.edge.commands[self.seen :]:
            if isinstance(command, KeepBinding):
                record = command.record
                self.kept[record.aor, record.device, record.reg_id] = record
            elif isinstance(command, ForgetBinding):
                self.kept.pop(command.key, None)
        self.seen = len(self.edge.commands)

    # -- what must hold ------------------------------------------------------------------------------------------------

    def phone_receives(self, data: bytes, place: Address) -> None:
        message = parse(data, Limits())
        if isinstance(message, Request):
            if message.method == "INVITE":
                user = message.request_uri.user or ""
                assert place in self.proven.get(user, ()), f"a call for {user} to {place}, who has proven nothing"
                caller, _, number = (message.headers.get("Subject") or "").partition(" ")
                if caller:
                    source = self.places[int(number)]
                    assert source in self.proven.get(caller, ()), f"{source} calls as {caller}, and has proven nothing"
                    self.direct += 1
                self.wires.send(place, OUTSIDE, make_response(message, 486, None, "busy").to_bytes())
        elif message.status == 200:
            for value in message.headers.values("Contact"):
                self.told_registered(parse_name_address(value))

    def told_registered(self, contact: NameAddress) -> None:
        assert contact.uri.host.startswith("192.168.0."), "somebody else's contact"
        user = contact.uri.user
        device = contact.params.get("+sip.instance") or contact.uri_text
        token = self.edge.b2bua.registered.device(f"{user}@example.com", device).token
        until = self.events.now + int(contact.params["expires"] or "")
        latest = self.pbx.until(token) + (self.access.survive if self.access.watch else 0) + SLACK
        assert until <= latest, f"{contact} until {until}, the PBX {self.pbx.until(token)}"

    def check(self) -> None:
        table = self.edge.b2bua.registered
        for user in USERS:
            contacts = [token for of, token in self.pbx.granted if of == user]
            assert len(contacts) == len(set(contacts)) <= 3, "one contact for each device"
            assert len(table.by_aor(f"{user}@example.com")) <= ACCESS.max_contacts
        context = self.edge.b2bua._context
        assert len(context.pending) <= 200
        if self.sure and not context.pending:
            assert len(context.turns) == 0, "nobody waits for nothing"
            self.agrees()

    def agrees(self) -> None:
        """Nothing is under way: who is registered here is registered with the PBX, whatever crossed on the way. (Or it
        is known that this is not known, and the PBX is asked next time.)"""
        table, turns = self.edge.b2bua.registered, self.edge.b2bua._context.turns
        for user in USERS:
            for device in table.by_aor(f"{user}@example.com"):
                if device.granted_until > self.events.now and not turns.due(device.aor, device.token):
                    until = self.pbx.granted.get((user, device.token), 0.0)
                    assert device.granted_until <= until + SLACK, f"{device.id} of {user}: the PBX has it until {until}"
                    self.agreed += 1


def play(history: History) -> None:
    rng, watched = history.rng, bool(history.access.watch)
    for _ in range(120):
        dice = rng.random()
        if dice < 0.45:
            history.register()
        elif dice < 0.75:
            history.refresh()
        elif dice < 0.85:
            history.call()
        elif dice < 0.88:
            history.lose()
        elif dice < 0.9:
            history.restart()
        elif dice < 0.97:
            history.pbx.mode = rng.choice(("good", *(() if watched else ("good", "good")), "silent", "busy"))
        if watched and history.edge.b2bua._context.alive.down:
            history.call_each_other()
        history.wait(rng.choice((0.0, 0.1, 0.5, 5.0, 30.0, 55.0, 100.0, 600.0)), refreshing=watched)
        history.check()
    history.edge.run(history.edge.b2bua.hang_up_all(history.events.now))
    history.wait(8000.0)
    assert history.edge.b2bua.registered.counts() == (0, 0)
    assert history.edge.left_over() == {}
    assert leaks(history.wires.sent, (OUTSIDE, OUTSIDE6), INSIDE) == []


@pytest.mark.parametrize("seed", range(150))
def test_whatever_happens_registrations_are_what_the_registrar_says(seed: int) -> None:
    play(History(seed))


@pytest.mark.parametrize("seed", range(20))
def test_a_registrar_that_is_watched_may_be_away_and_no_more_than_that_is_made_of_it(seed: int) -> None:
    play(History(seed, WATCHED))


def test_these_histories_have_moments_in_which_nothing_is_under_way() -> None:
    histories = [History(seed) for seed in range(4)]
    for history in histories:
        play(history)
    assert sum(history.agreed for history in histories) >= 100


def test_these_histories_have_calls_from_phone_to_phone_in_them() -> None:
    histories = [History(seed, WATCHED) for seed in range(4)]
    for history in histories:
        play(history)
    assert sum(history.direct for history in histories) >= 5
