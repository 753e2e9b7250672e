from __future__ import annotations

from math import inf
from random import Random

from sbc.sip.deadlines import Deadlines
from sbc.sip.transaction import Machine, State, Transaction
from tests.support.sip_stack import UDP


def due(when: float) -> Transaction:
    return Transaction("id", Machine.SERVER, State.COMPLETED, "OPTIONS", UDP, ends_at=when)


def test_the_earliest_of_all_comes_first() -> None:
    deadlines = Deadlines()
    transactions = [due(when) for when in (3.0, 1.0, 2.0)]
    for transaction in transactions:
        deadlines.arm(transaction)
    assert deadlines.earliest() == 1.0
    assert [deadlines.pop(9.0) for _ in range(4)] == [transactions[1], transactions[2], transactions[0], None]


def test_nothing_is_due_before_its_time() -> None:
    deadlines = Deadlines()
    deadlines.arm(due(1.0))
    assert deadlines.pop(0.999) is None


def test_a_deadline_that_was_put_off_comes_at_its_new_time() -> None:
    deadlines = Deadlines()
    transaction = due(1.0)
    deadlines.arm(transaction)
    transaction.ends_at = 5.0
    deadlines.arm(transaction)
    assert len(deadlines) == 1
    assert deadlines.pop(1.0) is None
    assert deadlines.earliest() == 5.0


def test_a_deadline_that_was_brought_forward_comes_once() -> None:
    deadlines = Deadlines()
    transaction = due(5.0)
    deadlines.arm(transaction)
    transaction.ends_at = 1.0
    deadlines.arm(transaction)
    assert deadlines.pop(9.0) is transaction
    transaction.ends_at = inf
    assert deadlines.pop(9.0) is None
    assert deadlines.earliest() is None


def test_a_stopped_clock_never_fires() -> None:
    deadlines = Deadlines()
    transaction = due(1.0)
    deadlines.arm(transaction)
    transaction.ends_at = inf
    deadlines.arm(transaction)
    assert deadlines.earliest() is None


def test_dead_entries_do_not_pile_up() -> None:
    deadlines = Deadlines()
    lasting = [due(50.0 + index) for index in range(100)]
    for transaction in lasting:
        deadlines.arm(transaction)
    for _ in range(10_000):
        transaction = due(32.0)
        deadlines.arm(transaction)
        deadlines.disarm(transaction)
        assert len(deadlines) <= 2 * len(lasting) + 1
    assert [deadlines.pop(inf) for _ in range(100)] == lasting


def test_at_random_every_deadline_comes_in_order_and_once() -> None:
    random = Random(7)
    deadlines = Deadlines()
    alive: list[Transaction] = []
    now = 0.0
    most = 0
    for _ in range(5000):
        chosen = random.random()
        if chosen < 0.4 or not alive:
            transaction = due(now + random.random() * 10)
            alive.append(transaction)
            deadlines.arm(transaction)
        else:
            transaction = random.choice(alive)
            if chosen < 0.6:
                alive.remove(transaction)
                deadlines.disarm(transaction)
            else:
                transaction.ends_at = now + random.choice((1.0, random.random() * 10))
                deadlines.arm(transaction)
        now += random.random() * 0.02
        while (fired := deadlines.pop(now)) is not None:
            assert fired in alive
            assert fired.ends_at <= now
            alive.remove(fired)
        assert all(transaction.ends_at > now for transaction in alive)
        most = max(most, len(alive))
        assert len(deadlines) <= max(2 * most, 64) + 1
