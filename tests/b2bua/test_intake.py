"""How many registrations the registrar gets."""

from __future__ import annotations

from sbc.b2bua.intake import Intake


def test_the_rate_is_kept() -> None:
    intake = Intake(100.0)
    admitted = sum(intake.admit(f"call {number}", 10.0 + number / 1000.0) for number in range(5000))
    assert 500 <= admitted <= 500 + 50


def test_who_was_challenged_finds_room_that_others_do_not() -> None:
    intake = Intake(10.0)
    while intake.admit("new", 10.0):
        pass
    intake.challenge("phone", 10.0)
    assert intake.admit("phone", 10.0)
    assert not intake.admit("phone", 10.0), "once for each challenge"
    intake.challenge("late", 10.0)
    assert not intake.admit("late", 30.0) or intake.level >= 4.0


def test_those_turned_away_come_back_one_after_the_other_not_at_once() -> None:
    intake = Intake(100.0)
    told = [intake.retry_after(10.0) for _ in range(5000)]
    assert max(told) == 101
    assert max(told.count(second) for second in set(told)) <= 51


def test_nobody_waits_for_more_than_ten_minutes() -> None:
    intake = Intake(1.0)
    assert max(intake.retry_after(10.0) for _ in range(5000)) == 600


def test_a_silent_registrar_gets_one_a_second_until_it_answers() -> None:
    intake = Intake(100.0)
    intake.failed(10.0)
    assert not intake.admit("a", 10.5)
    assert intake.admit("b", 11.1)
    assert not intake.admit("c", 11.2)
    intake.answered()
    assert intake.admit("d", 11.3)


def test_what_is_remembered_of_challenges_is_bounded() -> None:
    intake = Intake(10.0)
    for number in range(10_000):
        intake.challenge(f"call {number}", 10.0)
    assert len(intake.challenged) <= 64 + 100
