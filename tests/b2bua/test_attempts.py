"""How long nobody listens to who has tried too many passwords."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sbc.b2bua.attempts import Attempts

HOME, ALICE = "198.51.100.7", "alice@example.com"


def failing(attempts: Attempts, times: int, now: float = 0.0, source: str = HOME, user: str = ALICE) -> None:
    for _ in range(times):
        attempts.failed(source, user, now)


def test_a_few_failures_are_nothing_and_then_each_makes_the_pause_twice_as_long() -> None:
    attempts = Attempts(allowed=5)
    failing(attempts, 4)
    assert attempts.pause(HOME, ALICE, 0.0) == 0.0
    pauses = []
    for _ in range(8):
        failing(attempts, 1)
        pauses.append(attempts.pause(HOME, ALICE, 0.0))
    assert pauses == [10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0, 300.0]
    assert attempts.pause(HOME, ALICE, 299.0) == 1.0
    assert attempts.pause(HOME, ALICE, 301.0) == 0.0


def test_one_phone_keeps_no_other_one_out_that_comes_from_the_same_address() -> None:
    attempts = Attempts()
    failing(attempts, 20)
    assert attempts.pause(HOME, ALICE, 0.0) > 0.0
    assert attempts.pause(HOME, "bob@example.com", 0.0) == 0.0
    assert attempts.pause("198.51.100.8", ALICE, 0.0) == 0.0


def test_the_right_password_and_half_an_hour_make_it_forgotten() -> None:
    attempts = Attempts()
    failing(attempts, 4)
    attempts.succeeded(HOME, ALICE)
    failing(attempts, 4)
    assert attempts.pause(HOME, ALICE, 0.0) == 0.0
    failing(attempts, 4, now=1801.0)
    assert attempts.pause(HOME, ALICE, 1801.0) == 0.0
    failing(attempts, 1, now=1801.0, user="bob@example.com")
    failing(attempts, 1, now=5000.0, user="carol@example.com")
    assert len(attempts) == 1


def test_all_addresses_beside_one_of_ipv6_are_one_source() -> None:
    attempts = Attempts()
    for number in range(5):
        failing(attempts, 1, source=f"2001:db8:7::{number + 1}")
    assert attempts.pause("2001:db8:7::ffff", ALICE, 0.0) > 0.0
    assert attempts.pause("2001:db8:8::1", ALICE, 0.0) == 0.0


def test_it_can_be_switched_off() -> None:
    attempts = Attempts(allowed=0)
    failing(attempts, 100)
    assert attempts.pause(HOME, ALICE, 0.0) == 0.0
    assert len(attempts) == 0


@given(st.lists(st.tuples(st.integers(0, 40), st.text(max_size=200)), max_size=200))
def test_whatever_is_tried_it_does_not_grow(tries: list[tuple[int, str]]) -> None:
    attempts = Attempts(most=16)
    for host, user in tries:
        attempts.failed(f"198.51.100.{host}", user, 0.0)
        assert len(attempts) <= 16
