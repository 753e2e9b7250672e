"""How long a NAT keeps a mapping is found out, against NATs that forget after some time or another."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sbc.b2bua.mappings import CEILING_HOLDS, LEAST, MOST, QUESTION_EVERY, START, Mappings
from sbc.sip import Address, Hop

OURS = Address("192.0.2.1", 5060)


def hop(port: int, host: str = "198.51.100.7") -> Hop:
    return Hop("public", "UDP", OURS, Address(host, port))


@dataclass
class Phone:
    """A phone behind a NAT that forgets a mapping after `forgets` seconds of silence."""

    every: float
    """Seconds between its registrations."""
    port: int
    answers: bool = True
    registers_at: float = 0.0
    alive_until: float = 0.0
    dead_for: float = 0.0
    """Seconds in which nobody could reach it."""


@dataclass
class House:
    """Phones behind one NAT, and `Mappings` that keeps them alive. Steps of half a second."""

    forgets: float
    phones: list[Phone]
    moves: bool = False
    """A mapping that is made anew has another port."""
    mappings: Mappings = field(default_factory=Mappings)
    now: float = 1000.0
    sent: int = 0
    questions: int = 0
    late: list[tuple[float, Hop]] = field(default_factory=list)
    """Questions whose answer will not come, and when their time is over."""

    def live(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now += 0.5
            for phone in self.phones:
                phone.dead_for += 0.5 if self.now > phone.alive_until else 0.0
                if self.now >= phone.registers_at:
                    self._register(phone)
            while self.late and self.late[0][0] <= self.now:
                self.mappings.unanswered(self.late.pop(0)[1], self.now)
            while (when := self.mappings.next()) is not None and when <= self.now:
                for each in self.mappings.take(self.now, 10):
                    self._sent(each.mapping.hop, each.question)

    def _register(self, phone: Phone) -> None:
        former = hop(phone.port)
        if self.now > phone.alive_until and self.moves:
            phone.port += 100
            self.mappings.moved(former, hop(phone.port), self.now)
        phone.alive_until = self.now + self.forgets
        phone.registers_at = self.now + phone.every
        self.mappings.keep(hop(phone.port), "sip:a@10.0.0.2", self.now + phone.every + 10, self.now)

    def _sent(self, to: Hop, question: bool) -> None:
        self.sent += 1
        self.questions += question
        phone = next((phone for phone in self.phones if hop(phone.port) == to), None)
        alive = phone is not None and self.now <= phone.alive_until
        if phone is not None and alive:
            phone.alive_until = self.now + self.forgets
        if question and alive and phone is not None and phone.answers:
            self.mappings.answered(to)
        elif question:
            self.late.append((self.now + 32, to))

    def interval(self) -> float:
        return self.mappings.interval(hop(self.phones[0].port))


def house(forgets: float, phones: int = 1, moves: bool = False, every: float = 81.0) -> House:
    made = [Phone(every, 1024 + number, registers_at=1000.0 + 7 * number % every) for number in range(phones)]
    return House(forgets, made, moves)


@pytest.mark.parametrize("moves", [False, True], ids=["same port again", "another port"])
@pytest.mark.parametrize("phones", [1, 5])
@pytest.mark.parametrize("forgets", [12, 20, 24, 30, 45, 60])
def test_the_interval_finds_what_the_nat_bears(forgets: float, phones: int, moves: bool) -> None:
    there = house(forgets, phones, moves)
    there.live(3000)
    assert LEAST <= there.interval() <= forgets * 0.9
    assert there.interval() > forgets * 0.6 or there.interval() == LEAST
    for phone in there.phones:
        phone.dead_for = 0.0
    there.live(600)
    assert sum(phone.dead_for for phone in there.phones) <= 5 * len(there.phones)


def test_trials_of_a_longer_interval_cost_a_phone_seconds_only() -> None:
    there = house(30.0)
    there.live(60)
    there.phones[0].dead_for = 0.0
    there.live(3600)
    assert there.interval() == START
    assert 0 < there.phones[0].dead_for < 10


def test_a_nat_that_never_forgets_is_left_alone_more_and_more() -> None:
    there = house(10_000.0, every=200.0)
    there.live(4000)
    assert there.interval() == MOST
    sent = there.sent
    there.live(1000)
    assert there.sent - sent <= 10


def test_what_was_too_long_is_tried_again_after_an_hour() -> None:
    there = house(30.0)
    there.live(1800)
    there.forgets = 300.0
    there.live(1700)
    assert there.interval() == START
    there.live(CEILING_HOLDS)
    assert there.interval() > START


def test_phones_that_never_answer_say_nothing_where_others_do() -> None:
    there = house(60.0, phones=4)
    there.live(200)
    there.phones[1].answers = there.phones[3].answers = False
    dumb = Phone(81.0, 3000, answers=False, registers_at=there.now)
    there.phones.append(dumb)
    there.phones[1].port, there.phones[3].port = 3001, 3003  # they come back, and are others
    there.live(3000)
    assert there.interval() >= START


def test_a_phone_that_goes_to_another_network_says_nothing_about_the_nat_that_it_leaves() -> None:
    mappings = Mappings()
    for port in (1, 2):
        mappings.keep(hop(port), "sip:a@b", 100.0, 0.0)
    mappings.moved(hop(1), hop(1, "203.0.113.9"), 50.0)
    assert mappings.interval(hop(2)) == START
    assert mappings.interval(hop(1)) == 0.0
    mappings.moved(hop(2), hop(3), 50.0)
    assert mappings.interval(hop(3)) == START / 2
    assert len(mappings) == 1


def test_after_a_restart_packets_and_questions_are_spread_over_the_interval() -> None:
    mappings = Mappings()
    for number in range(2000):
        mappings.keep(hop(number % 50, f"198.51.100.{number // 50}"), "sip:a@b", 1000.0, 0.0, spread=True)
    seconds = [mappings.take(float(second), 10_000) for second in range(1, int(START) + 2)]
    assert sum(map(len, seconds)) >= 2000
    assert max(map(len, seconds)) < 2000 / START * 1.6
    asked = sum(each.question for second in seconds for each in second)
    assert asked < 2000 / QUESTION_EVERY * 2


def test_what_is_over_gets_nothing_and_leaves_nothing() -> None:
    mappings = Mappings()
    mappings.keep(hop(1), "sip:a@b", 30.0, 0.0)
    assert [each.question for each in mappings.take(25.0, 10)] == [True]
    assert mappings.take(50.0, 10) == []
    assert (len(mappings), mappings.next()) == (0, None)
    mappings.answered(hop(1))
    mappings.unanswered(hop(1), 60.0)
    assert len(mappings) == 0


def test_no_more_goes_out_at_once_than_asked_for() -> None:
    mappings = Mappings()
    for port in range(25):
        mappings.keep(hop(port), "sip:a@b", 100.0, 0.0)
    assert [len(mappings.take(30.0, 10)) for _ in range(4)] == [10, 10, 5, 0]


@settings(max_examples=50)
@given(st.integers(0, 2**32))
def test_whatever_happens_each_flow_has_its_turn_and_nothing_grows(seed: int) -> None:
    draw = random.Random(seed)
    mappings, now = Mappings(), 0.0
    for _ in range(400):
        now += draw.choice((0.0, 0.3, 5.0, 20.0))
        here, there = hop(draw.randrange(6)), hop(draw.randrange(6), draw.choice(("198.51.100.7", "203.0.113.9")))
        what = draw.randrange(6)
        if what == 0:
            mappings.drop(here)
        elif what == 1:
            mappings.moved(here, there, now)
        elif what == 2:
            mappings.answered(here)
        elif what == 3:
            mappings.unanswered(here, now)
        else:
            mappings.keep(draw.choice((here, there)), "sip:a@b", now + draw.choice((30.0, 90.0)), now)
        mappings.take(now, 3)
        for flow in mappings._flows.values():
            assert LEAST <= flow.nat.interval <= MOST
            assert flow.queued <= flow.due <= now + MOST * 1.25
            assert flow.nat.trial is None or flow.nat.trial in mappings._flows.values()
        assert sum(nat.flows for nat in mappings._nats.values()) == len(mappings)
        assert len(mappings._queue) <= 64 + 2 * len(mappings) + 1
    end = now + 91.0
    while (when := mappings.next()) is not None:
        now = max(now, when)
        mappings.take(now, 3)
    assert now <= end + MOST * 1.25
    assert len(mappings) == 0
