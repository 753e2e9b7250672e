"""A registrar that does not answer: who is registered stays so and calls others; afterwards all return to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sbc.b2bua import Access, BindingRecord, KeepBinding, Noticed, Peer, Settings
from sbc.b2bua.alive import State
from sbc.policy import RouteRule
from sbc.sip import Address, Limits, Request, parse
from tests.support.ladder import Ladder, Party
from tests.support.world import CALLER, INSIDE, PBX

ACCESS = Access("public", ("example.com",), "pbx", expires_udp=60, watch=10.0, key=b"site")
TRUNK = Address("10.0.0.6", 5060)
EDGE: dict[str, Any] = {
    "peers": (Peer("pbx", "private", PBX.host), Peer("trunk", "private", TRUNK.host)),
    "routes": (
        RouteRule("help", to=("pbx", "trunk"), emergency=True),
        RouteRule("abroad", from_="public", numbers=("00*",), to=("pbx", "trunk")),
        RouteRule("rest", from_="public", to=("pbx",)),
    ),
    "emergency": ("112",),
}


class Phone(Party):
    """It says who it is by its address of record."""

    @property
    def local(self) -> str:
        return f"<sip:{self.name}@example.com>"


class Site(Ladder):
    """A PBX that may be there or not, and phones that keep themselves registered with it."""

    def __init__(self, bindings: tuple[BindingRecord, ...] = (), **access: Any) -> None:
        changed = {name: access.get(name, getattr(ACCESS, name)) for name in Access.__slots__}
        self.there = True
        self.speaks_options = True
        self.options = 200
        self.asked: list[float] = []
        """When OPTIONS came."""
        self.registered: list[str] = []
        """The users of REGISTERs that came, and were accepted."""
        super().__init__(settings=Settings(access=Access(**changed)), bindings=bindings, **EDGE)
        self.party("other", TRUNK, "sip:nobody@10.0.0.1")
        self.network.hosts[PBX] = lambda data, source: self._pbx(data)

    def _pbx(self, data: bytes) -> None:
        message = parse(data, Limits())
        if not self.there:
            return
        if not isinstance(message, Request) or message.method not in ("OPTIONS", "REGISTER"):
            self.parties["callee"].receive(data)
            return
        if message.method == "OPTIONS":
            self.asked.append(self.events.now)
            if self.speaks_options:
                self._answer(message, self.options)
            return
        self.registered.append(message.to.uri_text.partition(":")[2].partition("@")[0])
        assert message.contact is not None
        self._answer(message, 200, f"Contact: <{message.contact.uri_text}>;expires=3600\r\n")

    def _answer(self, request: Request, status: int, more: str = "") -> None:
        head = "".join(f"{name}: {request.headers.get(name)}\r\n" for name in ("Via", "From", "Call-ID", "CSeq"))
        to = f"To: {request.headers.get('To')};tag=pbx\r\n"
        self.edge.receive(f"SIP/2.0 {status} Well\r\n{head}{to}{more}Content-Length: 0\r\n\r\n".encode(), PBX, INSIDE)

    def phone(self, user: str, address: Address) -> None:
        """A registered phone, called by its user."""
        self.owned(user, address)
        self.play(*self.register(user, "200"))

    def owned(self, user: str, address: Address) -> None:
        phone = self.parties[user] = Phone(user, address, self, "sip:2002@example.com")
        self.network.hosts[address] = lambda data, source: phone.receive(data)

    def register(self, user: str, status: str, more: str = "") -> tuple[str, str]:
        aor = f"<sip:{user}@example.com>"
        return (
            f"{user} -> REGISTER sip:example.com | To: {aor} | From: {aor};tag=1{more}",
            f"{user} <- {status} REGISTER",
        )

    def down(self) -> None:
        self.there = False
        self.wait(20.0)
        assert self.noticed[-1].startswith("peer pbx does not answer")

    def returns(self) -> None:
        self.there = True
        self.wait(11.0)
        assert self.noticed[-1].startswith("peer pbx answers again")

    @property
    def noticed(self) -> list[str]:
        return [command.text for command in self.edge.commands if isinstance(command, Noticed)]

    def keeps(self, user: str, seconds: float) -> None:
        """The phone refreshes every 30 seconds; each time it is told that it is registered."""
        until = self.events.now + seconds
        while self.events.now < until:
            self.wait(30.0)
            aor = f"<sip:{user}@example.com>"
            self.parties[user].send(["REGISTER", "sip:example.com"], [f"To: {aor}", f"From: {aor};tag=1"])
            self.wait(0.0)
            waited = self.events.now
            while not self.parties[user].inbox:  # it may have been the one that the PBX is asked about
                assert self.events.now < waited + 5.0
                self.wait(0.5)
            self.play(f"{user} <- 200 REGISTER | Contact: *;expires=60")


@pytest.fixture
def new_site() -> Any:
    made: list[Site] = []

    def make(speaks_options: bool = True, **access: Any) -> Site:
        made.append(Site(**access))
        made[-1].speaks_options = speaks_options
        made[-1].phone("alice", CALLER)
        made[-1].phone("bob", Address("203.0.113.9", 6000))
        made[-1].wait(2.0)
        return made[-1]

    yield make
    for site in made:
        site.there = True
        assert site.end() == []


@pytest.fixture
def site(new_site: Callable[..., Site]) -> Site:
    return new_site()


ALICE_CALLS = "alice -> INVITE sip:{} sdp"
REACHES_BOB = """
    alice <- 100
    bob <- INVITE sip:bob@203.0.113.9:6000 sdp | -Authorization | -Proxy-Authorization
    bob -> 200 sdp
    bob <- ACK
    alice <- 200 sdp
    alice -> ACK
    alice -> BYE
    alice <- 200 BYE
    bob <- BYE
    bob -> 200 BYE
    0.1 s
"""
REACHES_THE_PBX = """
    alice <- 100
    callee <- INVITE sip:*@10.0.0.5 sdp
    callee -> 486
    callee <- ACK
    alice <- 486
    alice -> ACK
    0.1 s
"""
REACHES_THE_TRUNK = REACHES_THE_PBX.replace("callee", "other").replace("10.0.0.5", "10.0.0.6")
REFUSED = "alice <- 100\nalice <- 503\nalice -> ACK"


def test_the_registrar_is_asked_every_ten_seconds(site: Site) -> None:
    site.wait(58.0)
    assert len(site.asked) == 6
    assert site.noticed == []


def test_who_does_not_answer_three_questions_is_away_and_the_first_answer_brings_it_back(site: Site) -> None:
    site.there = False
    gone_at = site.events.now
    while not site.noticed:
        site.wait(0.5)
    assert 6.0 <= site.events.now - gone_at <= 10.0 + 6.5
    site.there = True
    site.wait(10.5)
    assert [line.partition(",")[0].partition(":")[0] for line in site.noticed] == [
        "peer pbx does not answer",
        "peer pbx answers again",
    ]


@pytest.mark.parametrize("status", [404, 405, 481, 500, 501])
def test_a_refusal_is_an_answer(site: Site, status: int) -> None:
    site.options = status
    site.wait(60.0)
    assert site.noticed == []


def test_a_503_says_that_it_is_not_there(site: Site) -> None:
    site.options = 503
    site.wait(13.0)
    assert site.noticed != []


def test_a_registrar_that_does_not_know_options_is_not_taken_for_dead(new_site: Callable[..., Site]) -> None:
    site = new_site(speaks_options=False)
    site.wait(120.0)
    assert len(site.asked) > 10
    assert site.noticed == []
    site.play(ALICE_CALLS.format("2002@example.com"), REACHES_THE_PBX)


def test_phones_stay_registered_beyond_what_the_registrar_has_granted(site: Site) -> None:
    site.down()
    site.keeps("alice", 7200.0)
    (device,) = site.edge.b2bua.registered.by_aor("alice@example.com")
    kept = [c.record for c in site.edge.commands if isinstance(c, KeepBinding)][-1]
    assert site.events.now < kept.inside_until == device.inside_until
    assert len([c for c in site.edge.commands if isinstance(c, KeepBinding)]) < 30


def test_they_do_so_for_a_limited_time(new_site: Callable[..., Site]) -> None:
    site = new_site(survive=600)
    site.down()
    site.keeps("alice", 4000.0)
    site.wait(200.0)
    assert site.edge.b2bua.registered.by_aor("alice@example.com") == []
    site.play(site.register("alice", "")[0])
    site.wait(33.0)
    site.play("alice <- 503 REGISTER | Retry-After: *")


def test_with_survive_0_nobody_is_registered_longer_than_granted(new_site: Callable[..., Site]) -> None:
    site = new_site(survive=0)
    site.down()
    site.wait(3600.0)
    assert site.edge.b2bua.registered.counts() == (0, 0)


def test_a_restart_while_the_registrar_is_away_costs_nobody_the_registration(site: Site) -> None:
    site.down()
    site.keeps("alice", 5000.0)
    kept = [c.record for c in site.edge.commands if isinstance(c, KeepBinding) and c.record.aor == "alice@example.com"]
    shift = 100.0 - site.events.now
    record = kept[-1]
    times = {name: getattr(record, name) + shift for name in ("until", "inside_until", "checked")}
    restarted = Site(bindings=(record._replace(**times),))
    restarted.there = False
    restarted.owned("alice", CALLER)
    restarted.parties["alice"].registers = 1000
    restarted.keeps("alice", 600.0)
    assert restarted.end() == []


def test_nobody_new_is_registered_nor_an_old_one_elsewhere(site: Site) -> None:
    site.down()
    site.keeps("alice", 30.0)
    same = " | Contact: <sip:alice@198.51.100.7:5070> | Call-ID: alice-registers@198.51.100.7 | CSeq: 99 REGISTER"
    site.party("thief", Address("198.51.100.66", 5070), "sip:example.com")
    for user, more in (("alice", same), ("eve", "")):
        site.play(site.register(user, "", more)[0].replace(f"{user} ->", "thief ->"))
        site.wait(0.0 if site.parties["thief"].inbox else 33.0)  # one a second is what the PBX is asked about
        site.play("thief <- 503 REGISTER | Retry-After: *")
    (device,) = site.edge.b2bua.registered.by_aor("alice@example.com")
    assert [flow.hop.remote for flow in device.flows.values()] == [CALLER]
    assert site.edge.b2bua.registered.by_aor("eve@example.com") == []


def test_registered_phones_call_each_other_without_the_registrar(site: Site) -> None:
    site.play(ALICE_CALLS.format("bob@example.com"), REACHES_THE_PBX)
    site.down()
    site.play(ALICE_CALLS.format("bob@example.com") + ' | Proxy-Authorization: Digest username="alice"', REACHES_BOB)
    assert any("pbx does not answer" in line for line in site.trail)


def test_a_message_goes_from_phone_to_phone_as_well(site: Site) -> None:
    site.down()
    site.play(
        """
        alice -> MESSAGE sip:bob@example.com text
        bob <- MESSAGE sip:bob@203.0.113.9:6000 text
        bob -> 200 MESSAGE
        alice <- 200 MESSAGE
        """
    )


@pytest.mark.parametrize("source", ["sip:bob@example.com", "sip:alice@elsewhere.example"])
def test_who_says_to_be_somebody_else_reaches_nobody(site: Site, source: str) -> None:
    site.down()
    site.play(f"{ALICE_CALLS.format('bob@example.com')} | From: <{source}>;tag=1", REFUSED)


def test_a_stranger_reaches_nobody(site: Site) -> None:
    site.down()
    site.party("alice", Address("198.51.100.66", 5070), "sip:example.com")
    site.play(f"{ALICE_CALLS.format('bob@example.com')} | From: <sip:alice@example.com>;tag=1", REFUSED)


def test_calls_go_at_once_to_who_else_can_take_them(site: Site) -> None:
    site.down()
    before = site.events.now
    site.play(ALICE_CALLS.format("0044123@example.com"), REACHES_THE_TRUNK)
    assert site.events.now - before < 1.0
    assert any("pbx has not answered for" in line for line in site.trail)
    site.play(ALICE_CALLS.format("2002@example.com"), REFUSED)


def test_emergency_calls_go_at_once_to_who_else_can_take_them(site: Site) -> None:
    """Also where somebody has registered by that number."""
    site.phone("112", Address("203.0.113.11", 6000))
    site.down()
    site.play(ALICE_CALLS.format("112@example.com"), REACHES_THE_TRUNK)


def test_an_emergency_call_tries_even_a_registrar_that_seems_to_be_away(site: Site) -> None:
    site.down()
    site.network.hosts[PBX] = lambda data, source: (
        site.parties["callee"].receive(data) if data.startswith((b"INVITE", b"ACK")) else None
    )
    site.play(
        ALICE_CALLS.format("112@example.com"),
        """
        alice <- 100
        other <- INVITE sdp
        other -> 503
        other <- ACK
        callee <- INVITE sdp
        callee -> 486
        callee <- ACK
        alice <- 486
        alice -> ACK
        0.1 s
        """,
    )


def test_when_it_is_back_calls_and_registrations_return_to_it(site: Site) -> None:
    site.down()
    site.keeps("alice", 120.0)
    site.registered.clear()
    site.returns()
    site.play(ALICE_CALLS.format("bob@example.com"), REACHES_THE_PBX)
    site.play(*site.register("alice", "200"), *site.register("bob", "200"))
    assert site.registered == ["alice", "bob"], "it may have forgotten them"
    site.play(*site.register("alice", "200"))
    assert site.registered == ["alice", "bob"], "once"


def test_nobody_loses_the_registration_while_waiting_for_the_turn(new_site: Callable[..., Site]) -> None:
    """Those who come before take all that the registrar gets at this rate."""
    site = new_site(rate=1)
    site.down()
    site.keeps("alice", 5000.0)
    site.returns()
    site.registered.clear()
    crowd = site.party("crowd", Address("203.0.113.10", 6000), "sip:example.com")
    for number in range(1800):
        user = f"<sip:c{number}@example.com>"
        crowd.send(["REGISTER", "sip:example.com"], [f"To: {user}", f"From: {user};tag=1", f"Call-ID: {number}"])
        site.wait(0.0)
        crowd.inbox.clear()
        if number % 60 == 59:
            site.play(site.register("alice", "200")[0], "alice <- 200 REGISTER | Contact: *;expires=60")
        site.wait(0.5)
        crowd.inbox.clear()
    assert len(site.registered) > 800
    assert "alice" not in site.registered


def test_a_register_without_answer_has_the_registrar_asked_at_once(site: Site) -> None:
    site.there = False
    site.party("carol", Address("203.0.113.10", 6000), "sip:example.com")
    site.play(site.register("carol", "")[0])
    asked = len(site.network.sent)
    site.wait(4.5)
    assert any(b"OPTIONS sip:10.0.0.5" in data for _, _, _, data in site.network.sent[asked:])
    assert site.edge.b2bua._context.alive.state is State.UP, "a stranger's REGISTER says little"
    site.wait(6.0)
    assert site.noticed != []
    site.wait(30.0)
    site.play("carol <- 503 REGISTER")


def test_a_registrar_that_was_never_there_is_named_as_soon_as_the_network_says_so() -> None:
    site = Site()
    site.edge.fails = lambda hop: hop.remote == PBX
    site.wait(1.5)
    assert [line.partition(":")[0] for line in site.noticed] == ["peer pbx does not answer"]
    site.edge.fails = lambda hop: False
    site.returns()
    assert site.end() == []


def test_a_register_that_cannot_be_sent_has_the_registrar_asked_at_once(site: Site) -> None:
    site.edge.fails = lambda hop: hop.remote == PBX
    site.party("carol", Address("203.0.113.10", 6000), "sip:example.com")
    site.play(*site.register("carol", "503"))
    site.wait(0.1)
    assert site.noticed != []
    site.edge.fails = lambda hop: False
    site.returns()


def test_a_registrar_that_does_not_know_options_is_away_when_several_registers_stay_without_answer(
    new_site: Callable[..., Site],
) -> None:
    site = new_site(speaks_options=False, recheck=30)
    users = {"alice": CALLER, "bob": Address("203.0.113.9", 6000), "carol": Address("203.0.113.10", 6000)}
    site.phone("carol", users["carol"])
    site.there = False
    site.wait(31.0)
    for number, user in enumerate(users):
        assert site.noticed == [], f"not for {number}"
        site.play(site.register(user, "200")[0])
        site.wait(4.5)
        site.play(f"{user} <- 200 REGISTER")
    assert site.noticed != []


def test_strangers_that_it_does_not_answer_say_little_of_it(new_site: Callable[..., Site]) -> None:
    site = new_site(speaks_options=False)
    site.there = False
    for number in range(5):
        name = f"stranger{number}"
        site.party(name, Address(f"203.0.113.{20 + number}", 6000), "sip:example.com")
        site.play(site.register(name, "")[0])
        site.wait(1.0)
    site.wait(10.0)
    assert site.noticed == []
    site.wait(40.0)
    site.play(*[f"stranger{number} <- 503 REGISTER" for number in range(5)])


def refused(site: Site, within: float) -> None:
    """Alice's call is, in so many seconds."""
    until = site.events.now + within
    while not site.parties["alice"].inbox:
        assert site.events.now < until
        site.wait(0.1)
    site.parties["callee"].inbox.clear()
    site.play("alice <- 503", "alice -> ACK")


def test_an_answer_between_is_life(new_site: Callable[..., Site]) -> None:
    site = new_site(speaks_options=False)
    for number in range(6):
        site.there = number % 2 == 0
        if site.there:
            site.play(ALICE_CALLS.format("2002@example.com"), REACHES_THE_PBX)
        else:
            site.play(ALICE_CALLS.format("2002@example.com"), "alice <- 100")
            refused(site, 33.0)
    assert site.noticed == []


def test_a_call_that_went_to_a_dead_registrar_does_not_wait_for_its_time_out(site: Site) -> None:
    site.there = False
    site.play(ALICE_CALLS.format("2002@example.com"), "alice <- 100")
    refused(site, 6.5)
    assert site.noticed != []


def test_a_call_to_a_registrar_that_is_late_is_not_given_up(site: Site) -> None:
    """It answers OPTIONS: no need to look for somebody else."""
    site.network.hosts[PBX] = lambda data, source: site._pbx(data) if data.startswith(b"OPTIONS") else None
    asked = len(site.asked)
    site.play(ALICE_CALLS.format("2002@example.com"), "alice <- 100")
    site.wait(20.0)
    assert len(site.asked) - asked == 2, "at once, and in its turn"
    assert site.noticed == []
    site.network.hosts[PBX] = lambda data, source: site._pbx(data)
    refused(site, 13.0)


def test_a_redirection_skips_a_registrar_that_is_away(site: Site) -> None:
    call = f"{ALICE_CALLS.format('0044123@example.com')}\nalice <- 100\nother <- INVITE sdp"
    site.down()
    site.play(
        call,
        """
        other -> 302 | Contact: <sip:2002@10.0.0.5>
        other <- ACK
        alice <- 480
        alice -> ACK
        0.1 s
        """,
    )
    assert any("not followed" in line and "pbx has not answered for" in line for line in site.trail)
    site.play(
        call,
        """
        other -> 302 | Contact: <sip:2002@10.0.0.5>;q=0.9, <sip:2003@10.0.0.6>;q=0.5
        other <- ACK
        other <- INVITE sip:2003@10.0.0.6 sdp
        other -> 486
        other <- ACK
        alice <- 486
        alice -> ACK
        0.1 s
        """,
    )


def test_where_nothing_is_watched_nothing_is_asked(new_site: Callable[..., Site]) -> None:
    site = new_site(watch=0.0)
    site.there = False
    site.wait(60.0)
    assert site.asked == site.noticed == []
    assert not any(b"OPTIONS sip:10.0.0.5" in data for _, _, _, data in site.network.sent)
