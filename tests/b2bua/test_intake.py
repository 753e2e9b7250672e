"""How many registrations the registrar gets, and whose."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass, field

import pytest

from sbc.b2bua.intake import Comer, Intake


def stranger(number: int, source: str = "") -> Comer:
    return Comer(source or f"source {number}", f"device {number}", False, f"call {number}")


def known(number: int) -> Comer:
    return Comer("office", f"device {number}", True, f"call {number}")


@dataclass
class Crowd:
    """Phones that register, and what becomes of them: each asks, is challenged, and proves who it is; who is turned
    away comes when it was told to."""

    intake: Intake
    delay: float = 0.01
    """Seconds that the registrar takes to answer."""
    now: float = 100.0
    done: dict[str, float] = field(default_factory=dict)
    """Call-ID -> seconds from its first request until it was registered."""
    refusals: int = 0
    longest: int = 0
    passed: int = 0

    def run(self, comers: Iterable[tuple[float, Comer, bool]], until: float = 2000.0) -> None:
        """`comers`: when they come first, who, and whether somebody is there."""
        queue = [(self.now + at, number, comer, real, False) for number, (at, comer, real) in enumerate(comers)]
        begun = {comer.call_id: at for at, _, comer, _, _ in queue}
        number = len(queue)
        heapq.heapify(queue)
        while queue:
            at, _, comer, real, proof = heapq.heappop(queue)
            if at > self.now + until:
                break
            number += 1
            if not self.intake.admit(comer, at):
                self.refusals += 1
                wait = self.intake.retry_after(comer, at)
                if real:
                    self.longest = max(self.longest, wait)
                    heapq.heappush(queue, (at + wait + (number % 7) * 0.01, number, comer, real, False))
                continue
            self.passed += 1
            if proof:
                self.done[comer.call_id] = at - begun[comer.call_id]
            else:
                self.intake.challenge(comer.call_id, at)
                if real:
                    heapq.heappush(queue, (at + self.delay, number, comer, real, True))


def flood(count: int, seconds: float, source: str = "") -> list[tuple[float, Comer, bool]]:
    return [(seconds * n / count, stranger(10**6 + n, source), False) for n in range(count)]


def test_the_rate_is_kept() -> None:
    intake = Intake(100.0)
    admitted = sum(intake.admit(stranger(number), 10.0 + number / 1000.0) for number in range(5000))
    assert 450 <= admitted <= 500 + 100


def test_who_was_challenged_finds_room_that_others_do_not() -> None:
    intake = Intake(10.0)
    number = 0
    while intake.admit(known(number), 10.0):
        number += 1
    intake.challenge("call 99999", 10.0)
    assert intake.admit(stranger(99999), 10.0)
    assert not intake.admit(stranger(99999), 10.0), "once for each challenge"
    intake.challenge("call 99998", 10.0)
    intake.at, intake.level = 30.0, 2.0
    assert not intake.admit(stranger(99998), 30.0), "not for ever"


@pytest.mark.parametrize("rate", [1.0, 2.0, 5.0, 100.0])
def test_each_claim_finds_room_where_the_lesser_ones_do_not(rate: float) -> None:
    intake, now = Intake(rate), 500.0
    patient, greedy = stranger(1, "patient"), stranger(2, "greedy")
    intake.retry_after(patient, now - 20.0)
    intake.admit(greedy, now)
    intake.sources["greedy"].spent = now + 1000.0
    intake.challenge("call 5", now)
    comers = [greedy, stranger(3), patient, known(4), stranger(5)]
    room = [
        next(level for level in range(101) if admitted(intake, comer, level * max(rate, 4.0) / 100, now))
        for comer in comers
    ]
    assert room == sorted(room, reverse=True)
    assert room[0] < 100, "there is room for everybody sometimes"
    assert room[-1] < room[-2], "who has begun can finish"
    if rate == 100.0:
        assert room == [50, 40, 30, 20, 1]


def admitted(intake: Intake, comer: Comer, level: float, now: float) -> bool:
    """Whether it would be, were that in the bucket."""
    there = deepcopy(intake)
    there.level, there.at = max(0.0, level), now
    return there.admit(comer, now)


def test_who_is_wrong_again_and_again_keeps_nobody_out() -> None:
    intake = Intake(100.0)
    for number in range(100):
        intake.admit(stranger(number), 10.0)
    intake.level = 15.0
    guesses = 0
    for _ in range(100):
        intake.challenge("call 1", 10.0)
        guesses += intake.admit(stranger(1), 10.0)
    assert guesses == 1
    intake.level, intake.at = 15.0, 21.0
    intake.challenge("call 1", 21.0)
    assert intake.admit(stranger(1), 21.0), "later it is another matter"


def test_a_crowd_of_phones_that_nobody_knows_is_registered_as_fast_as_the_rate_allows() -> None:
    crowd = Crowd(Intake(100.0))
    crowd.run((n / 2000.0, stranger(n), True) for n in range(20_000))
    assert len(crowd.done) == 20_000
    assert max(crowd.done.values()) <= 400.0 * 1.25
    assert crowd.refusals < 5 * 20_000


@pytest.mark.parametrize("sources", [1, 4, 300])
def test_so_is_one_that_comes_from_few_addresses(sources: int) -> None:
    """An office behind a NAT, a proxy: nobody else is there who would be kept out."""
    crowd = Crowd(Intake(100.0))
    crowd.run((n / 2000.0, stranger(n, f"site {n % sources}"), True) for n in range(10_000))
    assert len(crowd.done) == 10_000
    assert max(crowd.done.values()) <= 200.0 * 1.7


def test_a_crowd_at_a_small_rate_is_registered_in_its_time() -> None:
    crowd = Crowd(Intake(5.0))
    crowd.run((n / 100.0, stranger(n, "office"), True) for n in range(200))
    assert len(crowd.done) == 200
    assert max(crowd.done.values()) <= 80.0 * 1.3


def comers_of(count: int, make: Callable[[int], Comer], seconds: float) -> list[tuple[float, Comer, bool]]:
    return [(seconds * n / count, make(n), True) for n in range(count)]


@pytest.mark.parametrize("source", ["", "one for all"])
def test_a_flood_of_strangers_does_not_delay_those_who_are_known(source: str) -> None:
    undisturbed, flooded = Crowd(Intake(100.0)), Crowd(Intake(100.0))
    undisturbed.run(comers_of(1000, known, 5.0))
    flooded.run(comers_of(1000, known, 5.0) + flood(20_000, 20.0, source))
    assert len(flooded.done) == len(undisturbed.done) == 1000
    assert max(flooded.done.values()) <= 1.5 * max(undisturbed.done.values()) + 2.0
    assert flooded.longest <= undisturbed.longest + 2


def test_a_stranger_that_comes_back_is_served_before_a_flood_of_those_that_do_not() -> None:
    crowd = Crowd(Intake(100.0))
    crowd.run(comers_of(100, stranger, 60.0) + flood(120_000, 120.0))
    assert len(crowd.done) == 100
    assert max(crowd.done.values()) <= 35.0
    assert crowd.longest <= 31


def test_who_asks_too_much_keeps_out_himself_not_others() -> None:
    crowd = Crowd(Intake(100.0))
    crowd.run(comers_of(600, stranger, 60.0) + flood(60_000, 60.0, "greedy"))
    assert len(crowd.done) == 600
    assert sorted(crowd.done.values())[-20] < 1.0, "most of them at once"
    assert max(crowd.done.values()) < 10.0


def test_a_known_device_that_asks_too_much_is_a_stranger() -> None:
    intake = Intake(100.0)
    intake.level, intake.at = 30.0, 10.0
    assert sum(intake.admit(known(1), 10.0) for _ in range(10)) == 5
    assert intake.admit(known(2), 10.0)
    assert not intake.admit(known(1), 10.05)
    assert intake.admit(known(1), 20.0)


def test_a_known_device_that_asks_before_its_time_is_told_the_same_time() -> None:
    intake = Intake(100.0)
    intake.shut(10.0)
    first = intake.retry_after(known(1), 10.0)
    assert {intake.retry_after(known(1), 10.0) for _ in range(1000)} == {first}
    assert intake.retry_after(known(2), 10.0) <= first + 1


def test_nobody_waits_for_more_than_ten_minutes() -> None:
    intake = Intake(1.0)
    intake.shut(10.0, 60.0)
    assert max(intake.retry_after(known(number), 10.0) for number in range(5000)) in range(500, 601)
    assert max(intake.retry_after(stranger(1, "greedy"), 10.0) for _ in range(5000)) in range(500, 601)
    assert intake.retry_after(stranger(2), 10.0, 9999.0) == 540


def test_one_device_in_trouble_is_not_everybodys() -> None:
    intake = Intake(100.0)
    for second in range(20):
        intake.trouble(known(1), 10.0 + second)
        intake.trouble(known(2), 10.0 + second)
    assert intake.admit(known(3), 30.0)
    for number in (1, 2, 3):  # but not in a row
        intake.trouble(known(number), 30.0)
        intake.answered()
    for number in (1, 2, 3):  # nor within a time
        intake.trouble(known(number), 40.0 + 31.0 * number)
    assert intake.admit(known(4), 140.0)


def test_a_registrar_that_several_find_silent_gets_one_a_second_until_it_answers() -> None:
    intake = Intake(100.0)
    for number in (1, 2, 3):
        intake.trouble(known(number), 10.0)
    assert not intake.admit(known(4), 10.5)
    assert not intake.admit(stranger(5), 10.5)
    assert intake.admit(known(4), 11.1)
    assert not intake.admit(known(6), 11.2)
    intake.trouble(known(4), 14.0)
    assert not intake.admit(known(6), 15.5) or intake.known.probe_at > 15.5
    assert intake.known.shut_until == 19.0, "one more is enough"
    intake.answered()
    assert intake.admit(known(6), 15.6)


def test_what_strangers_have_trouble_with_shuts_them_out_alone() -> None:
    intake = Intake(100.0)
    for number in (1, 2, 3):
        intake.trouble(stranger(number), 10.0)
    assert not intake.admit(stranger(4), 10.5)
    assert intake.admit(known(5), 10.5)


def test_the_pause_that_a_registrar_wants_is_kept_if_several_are_told_so() -> None:
    intake = Intake(100.0)
    for number in (1, 2, 3):
        assert intake.admit(known(9), 10.0)
        intake.trouble(known(number), 10.0, 30.0)
    assert not any(intake.admit(known(8), 10.0 + second) for second in range(1, 30))
    assert intake.admit(known(8), 40.1)
    assert intake.retry_after(known(7), 10.0) >= 30
    intake.answered()
    for number in (1, 2, 3):
        intake.trouble(known(number), 50.0, 86400.0)
    assert intake.known.shut_until == 110.0, "nobody shuts it for a day"


def test_what_is_remembered_is_bounded() -> None:
    intake = Intake(10.0)
    for number in range(40_000):
        intake.challenge(f"call {number}", 10.0)
        for comer in (stranger(number), known(number)):
            intake.admit(comer, 10.0)
            intake.retry_after(comer, 10.0)
            intake.trouble(comer, 10.0)
    assert len(intake.challenged) <= 64 + 100
    assert len(intake.sources) == len(intake.devices) == 32768
    assert len(intake.known.troubled) == len(intake.strangers.troubled) == 3
