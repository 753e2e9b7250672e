from __future__ import annotations

import random

from sbc.b2bua.deadlines import Deadlines


def drain(deadlines: Deadlines, now: float) -> list[tuple[str, str]]:
    found = []
    while (due := deadlines.due(now)) is not None:
        found.append(due)
    return found


def test_what_is_due_comes_in_the_order_of_time() -> None:
    deadlines = Deadlines()
    deadlines.set("call", "late", 3.0)
    deadlines.set("call", "early", 1.0)
    deadlines.set("other", "early", 2.0)
    assert deadlines.next() == 1.0
    assert drain(deadlines, 2.5) == [("call", "early"), ("other", "early")]
    assert deadlines.next() == 3.0
    assert len(deadlines) == 1


def test_setting_again_moves_a_deadline() -> None:
    deadlines = Deadlines()
    deadlines.set("call", "kind", 1.0)
    deadlines.set("call", "kind", 5.0)
    assert drain(deadlines, 4.0) == []
    assert drain(deadlines, 5.0) == [("call", "kind")]
    assert deadlines.next() is None


def test_what_is_cleared_never_comes() -> None:
    deadlines = Deadlines()
    deadlines.set("call", "one", 1.0)
    deadlines.set("call", "two", 1.0)
    deadlines.clear("call", "one")
    deadlines.clear("call", "unknown")
    deadlines.clear("unknown", "one")
    assert deadlines.of("call") == {"two"}
    deadlines.clear_all("call")
    deadlines.clear_all("unknown")
    assert (drain(deadlines, 9.0), len(deadlines), deadlines.next()) == ([], 0, None)


def test_under_random_use_it_is_a_set_of_times_that_takes_no_more_room_than_twice_what_is_set() -> None:
    rng = random.Random(3)
    deadlines, model = Deadlines(), dict[tuple[str, str], float]()
    now = 0.0
    for _ in range(20_000):
        key = (rng.choice("abcdefgh"), rng.choice("xyz"))
        match rng.randrange(5):
            case 0 | 1 | 2:
                model[key] = now + rng.random() * 10
                deadlines.set(*key, model[key])
            case 3:
                model.pop(key, None)
                deadlines.clear(*key)
            case 4:
                now += rng.random()
                due = {key for key, when in model.items() if when <= now}
                assert set(drain(deadlines, now)) == due
                for gone in due:
                    del model[gone]
        assert len(deadlines) == len(model)
        assert deadlines.next() == min(model.values(), default=None)
        assert len(deadlines._heap) <= max(64, 2 * len(model)) + 1
