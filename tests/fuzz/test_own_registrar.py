"""Random histories of the SBC as registrar: phones that register, refresh, take back and start anew, thieves, accounts
that go and come, restarts; and calls to GRUUs, old ones and new ones, in any order.

What holds whatever happens: a GRUU rings the phone that it was given to, or nobody; it rings it whenever that phone is
registered; 480 and 404 are told as RFC 5627 has it; who has no password is never registered; and in the end nothing is
left.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

import pytest

from sbc.b2bua import Access, Account, ForgetBinding, KeepBinding, Settings, UsersChanged
from sbc.sip import (
    ALGORITHMS,
    Address,
    Limits,
    Request,
    Response,
    answer_challenge,
    ha1,
    make_response,
    parse,
    parse_challenge,
    parse_name_address,
    unquote,
)
from tests.support.world import INSIDE, OUTSIDE, PBX, Edge, Events, Weather, Wires

DOMAIN = "example.com"
GRACE = 11.5
"""Seconds for which it is open whether a phone that has not refreshed is still there: they end together."""
NAMES = ("alice", "bob")
ACCOUNTS = {
    f"{name}@{DOMAIN}": Account(name, DOMAIN, {each: ha1(each, name, DOMAIN, f"{name}'s") for each in ALGORITHMS})
    for name in NAMES
}


@dataclass
class RandomPhone:
    """One device; it registers over one flow after another, or over two."""

    place: Address
    user: str
    instance: int
    reg_id: int
    calls: int = 0
    """Number of its Call-ID."""
    cseq: int = 0
    until: float = 0.0
    """So long it is registered for sure; until `perhaps` it may be."""
    perhaps: float = 0.0
    answer: int = 0
    """The final status of its last REGISTER."""
    wanted: int = 0
    password: str = ""

    @property
    def device(self) -> tuple[str, int]:
        return self.user, self.instance

    def register(self, credentials: str = "") -> bytes:
        self.cseq += 1
        host = f"{self.place.host}:{self.place.port}"
        aor = f"sip:{self.user}@{DOMAIN}"
        flow = f";reg-id={self.reg_id}" if self.reg_id else ""
        lines = [
            f"REGISTER sip:{DOMAIN} SIP/2.0",
            f"Via: SIP/2.0/UDP {host};branch=z9hG4bK-{host}-{self.cseq};rport",
            f"From: <{aor}>;tag=x",
            f"To: <{aor}>",
            f"Call-ID: {host}-{self.calls}",
            f"CSeq: {self.cseq} REGISTER",
            f'Contact: <sip:{self.user}@{host}>;+sip.instance="<urn:uuid:{self.instance}>"{flow}',
            f"Expires: {self.wanted}",
            "Supported: gruu, outbound",
            *([f"Authorization: {credentials}"] if credentials else []),
            "Content-Length: 0",
        ]
        return "\r\n".join([*lines, "", ""]).encode()


@dataclass
class History:
    seed: int
    told: dict[str, tuple[tuple[str, int], int]] = field(default_factory=dict)
    """GRUU -> whose it is, and at which epoch of the device it was told."""
    epochs: dict[tuple[str, int], int] = field(default_factory=dict)
    rung: list[Address] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    outcomes: dict[str, int] = field(default_factory=dict)
    """How often calls came to what: a history in which nothing happens shows nothing."""

    def __post_init__(self) -> None:
        self.rng = Random(self.seed)
        self.events = Events()
        self.wires = Wires(self.events, self.rng, Weather(delay=0.0))
        self.users = dict(ACCOUNTS)
        self.kept: dict[tuple[str, str, int], KeepBinding] = {}
        self.number = 0
        self.phones = [
            RandomPhone(Address(f"198.51.100.{n}", 5060), NAMES[n % 2], instance, reg_id)
            for n, (instance, reg_id) in enumerate([(1, 0), (2, 0), (3, 1), (4, 1), (3, 2), (4, 2)], 10)
        ]
        self.thief = RandomPhone(Address("203.0.113.66", 5060), "alice", 1, 0, password="guessed")
        for phone in (*self.phones, self.thief):
            self.wires.hosts[phone.place] = lambda data, source, phone=phone: self.phone_receives(phone, data)
        self.wires.hosts[PBX] = lambda data, source: self.pbx_receives(data)
        self.edge = self.start()

    def start(self) -> Edge:
        access = Access("public", (DOMAIN,), "", expires_udp=60, wrong_passwords=0, key=b"site")
        records = tuple(keep.record for keep in self.kept.values())
        dice = 1000 * self.seed + self.number  # other ones after a restart
        edge = Edge(self.events, self.wires, dice, settings=Settings(access=access), bindings=records)
        edge.tell(UsersChanged(self.users))
        return edge

    # -- what the others do --------------------------------------------------------------------------------------------

    def phone_receives(self, phone: RandomPhone, data: bytes) -> None:
        message = parse(data, Limits())
        if isinstance(message, Request):
            if message.method == "INVITE":
                assert message.uri == f"sip:{phone.user}@{phone.place.host}:{phone.place.port}"
                self.rung.append(phone.place)
                self.wires.send(phone.place, OUTSIDE, make_response(message, 486, None, "busy").to_bytes())
        elif message.status == 401 and message.cseq.number == phone.cseq and phone.answer == 0:
            challenge = parse_challenge(message.headers.get_all("WWW-Authenticate")[0])
            assert challenge is not None
            phone.answer = 401
            secret = ha1(challenge.algorithm, phone.user, DOMAIN, phone.password or f"{phone.user}'s")
            proof = answer_challenge(challenge, phone.user, secret, "REGISTER", f"sip:{DOMAIN}", "c", 1)
            self.wires.send(phone.place, OUTSIDE, phone.register(proof))
        else:
            phone.answer = message.status
            if message.status == 200:
                self.registered(phone, message)

    def registered(self, phone: RandomPhone, message: Response) -> None:
        assert phone is not self.thief
        phone.until = self.events.now + phone.wanted if phone.wanted else 0.0
        phone.perhaps = phone.until + GRACE if phone.wanted else 0.0
        for value in message.headers.values("Contact"):
            address = parse_name_address(value)
            gruus = [unquote(address.params[name] or "") for name in ("pub-gruu", "temp-gruu")]
            owner = next(each for each in self.phones if f"@{each.place.host}" in address.uri_text)
            for gruu in gruus:
                known = self.told.setdefault(gruu, (owner.device, self.epochs[owner.device]))
                assert known[0] == owner.device, "two devices have the same"

    def pbx_receives(self, data: bytes) -> None:
        message = parse(data, Limits())
        if isinstance(message, Response) and message.cseq.method == "INVITE" and message.status >= 200:
            self.statuses.append(message.status)

    # -- what happens --------------------------------------------------------------------------------------------------

    def step(self) -> None:
        happening = self.rng.choice(
            [self.register] * 4 + [self.call] * 6 + [self.wait] * 3 + [self.boot, self.steal, self.take_back]
            + [self.accounts, self.restart]
        )  # fmt: skip
        happening()
        self.note()

    def pass_(self, seconds: float) -> None:
        until = self.events.now + seconds
        while self.events.step(until):
            pass
        self.events.now = until

    def note(self) -> None:
        for command in self.edge.commands:
            if isinstance(command, KeepBinding):
                self.kept[command.record.aor, command.record.device, command.record.reg_id] = command
            elif isinstance(command, ForgetBinding):
                self.kept.pop(command.key, None)
        self.edge.commands.clear()

    def send_register(self, phone: RandomPhone, seconds: int) -> None:
        phone.answer, phone.wanted = 0, seconds
        self.wires.send(phone.place, OUTSIDE, phone.register())
        self.pass_(0.01)

    def present(self, device: tuple[str, int]) -> list[RandomPhone]:
        """The flows of a device that are registered."""
        return [each for each in self.phones if each.device == device and each.until > self.events.now]

    def perhaps(self, device: tuple[str, int]) -> list[RandomPhone]:
        """Those that may be."""
        return [each for each in self.phones if each.device == device and each.perhaps > self.events.now]

    def register(self) -> None:
        phone = self.rng.choice(self.phones)
        while self.perhaps(phone.device) and not self.present(phone.device):
            self.pass_(5.0)
        if not self.perhaps(phone.device):
            self.epochs[phone.device] = self.epochs.get(phone.device, 0) + 1
        self.send_register(phone, self.rng.choice((30, 60)))
        assert phone.answer == (200 if f"{phone.user}@{DOMAIN}" in self.users else 401)

    def boot(self) -> None:
        """The phone forgets its Call-ID; when it registers its temporary GRUUs have ended."""
        phone = self.rng.choice(self.phones)
        if phone.until > self.events.now:
            phone.calls += 1
            self.epochs[phone.device] += 1
            self.send_register(phone, 60)
            assert phone.answer == 200

    def steal(self) -> None:
        self.send_register(self.thief, 60)
        assert self.thief.answer == 401

    def take_back(self) -> None:
        phone = self.rng.choice(self.phones)
        if phone.until > self.events.now:
            self.send_register(phone, 0)
            assert phone.answer == 200

    def accounts(self) -> None:
        aor = self.rng.choice(list(ACCOUNTS))
        self.users = dict(self.users)
        if aor in self.users:
            del self.users[aor]
            for phone in self.phones:
                if aor.startswith(phone.user):
                    phone.until = phone.perhaps = 0.0
        else:
            self.users[aor] = ACCOUNTS[aor]
        self.edge.tell(UsersChanged(self.users))

    def restart(self) -> None:
        """What is restored has one interval to show itself, and no longer than its device had."""
        self.note()
        self.number += 1
        self.edge = self.start()
        for phone in self.phones:
            if phone.perhaps > self.events.now:
                phone.perhaps = self.events.now + 60.0 + GRACE

    def wait(self) -> None:
        self.pass_(self.rng.choice((1.0, 5.0, 20.0, 45.0, 80.0)))

    def call(self) -> None:
        if not self.told:
            return
        gruu = self.rng.choice(list(self.told)[-12:] + list(self.told)[:4])
        device, epoch = self.told[gruu]
        self.number += 1
        self.rung.clear()
        self.statuses.clear()
        lines = [
            f"INVITE {gruu} SIP/2.0",
            f"Via: SIP/2.0/UDP {PBX.host}:5060;branch=z9hG4bK-pbx-{self.number};rport",
            f"From: <sip:desk@{PBX.host}>;tag=x",
            f"To: <{gruu}>",
            f"Call-ID: pbx-{self.number}",
            "CSeq: 1 INVITE",
            f"Contact: <sip:desk@{PBX.host}>",
            "Content-Length: 0",
        ]
        self.wires.send(PBX, INSIDE, "\r\n".join([*lines, "", ""]).encode())
        self.pass_(0.01)
        (status,) = set(self.statuses)
        self.wires.send(PBX, INSIDE, ack(lines))
        self.pass_(0.01)
        self.outcomes[f"{status} {'temporary' if 'tgruu' in gruu else 'public'}"] = self.number
        here = {each.place for each in self.perhaps(device)}
        assert set(self.rung) <= here, "somebody else's phone rang"
        is_valid = "tgruu." not in gruu or epoch == self.epochs[device]
        if f"{device[0]}@{DOMAIN}" not in self.users or not is_valid:
            assert (status, self.rung) == (404, [])
        elif self.present(device):
            assert status == 486
            assert len(self.rung) == 1
        elif not here:
            assert status == (404 if "tgruu." in gruu else 480)

    def end(self) -> None:
        self.pass_(200.0)
        self.note()
        assert self.edge.b2bua.registered.counts() == (0, 0)
        assert all(keep.record.inside_until < self.events.now for keep in self.kept.values())  # the store drops these
        assert self.edge.left_over() == {}


def ack(invite: list[str]) -> bytes:
    """Of a refusal (17.1.1.3), the To tag left out as the SBC does not look at it."""
    lines = [line.replace("INVITE", "ACK") for line in invite if not line.startswith("Contact")]
    return "\r\n".join([*lines, "", ""]).encode()


@pytest.mark.parametrize("seed", range(24))
def test_whatever_happens_a_gruu_rings_its_phone_or_nobody(seed: int) -> None:
    history = played(seed)
    history.end()


def played(seed: int) -> History:
    history = History(seed)
    for _ in range(250):
        history.step()
    return history


def test_the_histories_show_all_that_can_become_of_a_call() -> None:
    shown: dict[str, int] = {}
    for seed in range(4):
        shown |= played(seed).outcomes
    assert {"486 public", "486 temporary", "480 public", "404 public", "404 temporary"} <= shown.keys()
