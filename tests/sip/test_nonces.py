from __future__ import annotations

import itertools
from base64 import urlsafe_b64decode

from hypothesis import given
from hypothesis import strategies as st

from sbc.sip import Nonces

_serial = itertools.count()


def nonces(lifetime: float = 600.0, most: int = 100) -> Nonces:
    return Nonces(b"a key of this process", lifetime, most)


def made(ours: Nonces, now: float, realm: str = "r") -> str:
    return ours.make(realm, f"{next(_serial):024x}", now)


def test_a_nonce_is_fresh_for_its_realm_and_its_lifetime() -> None:
    ours = nonces()
    nonce = made(ours, 1000.5)
    assert ours.is_fresh(nonce, "r", 1000.5)
    assert ours.is_fresh(nonce, "r", 1600.0)
    assert not ours.is_fresh(nonce, "r", 1601.0)
    assert not ours.is_fresh(nonce, "other", 1000.5)
    assert not ours.is_fresh(nonce, "r", 10.0), "made before the clock began anew"


def test_nobody_else_can_make_one() -> None:
    ours = nonces()
    nonce = made(ours, 1000.0)
    assert not Nonces(b"another key").is_fresh(nonce, "r", 1000.0)
    for place in range(len(nonce)):
        forged = nonce[:place] + ("0" if nonce[place] != "0" else "1") + nonce[place + 1 :]
        assert not ours.is_fresh(forged, "r", 1000.0)
    for garbage in ("", "x", nonce + "0", nonce.upper() + "!", 64 * "\u0660"):
        assert not ours.use(garbage, "r", 1, 1000.0)
    assert len(ours) == 0


def test_the_time_since_boot_cannot_be_read_from_a_nonce() -> None:
    assert int.from_bytes(urlsafe_b64decode(made(nonces(), 1000.0))[:4]) != 1000
    assert made(Nonces(b"k1"), 1000.0)[:5] != made(Nonces(b"k2"), 1000.0)[:5]


def test_each_count_is_good_once_and_a_little_disorder_is_let_pass() -> None:
    ours = nonces()
    nonce = made(ours, 0.0)
    assert ours.use(nonce, "r", 1, 1.0)
    assert not ours.use(nonce, "r", 1, 1.0)
    assert ours.use(nonce, "r", 5, 1.0)
    assert ours.use(nonce, "r", 3, 1.0)
    assert not ours.use(nonce, "r", 3, 1.0)
    assert not ours.use(nonce, "r", 1, 1.0)
    assert ours.use(nonce, "r", 100, 1.0)
    assert not ours.use(nonce, "r", 6, 1.0), "too far behind to be known"
    assert ours.use(nonce, "r", 99, 1.0)


def test_without_a_count_a_nonce_is_good_once() -> None:
    ours = nonces()
    nonce = made(ours, 0.0)
    assert ours.use(nonce, "r", 0, 1.0)
    assert not ours.use(nonce, "r", 0, 1.0)
    assert not ours.use(nonce, "r", 1, 1.0)


@given(st.lists(st.integers(1, 80), max_size=60))
def test_no_count_is_ever_good_twice(counts: list[int]) -> None:
    ours = nonces()
    nonce = made(ours, 0.0)
    good = [count for count in counts if ours.use(nonce, "r", count, 0.0)]
    assert len(good) == len(set(good))
    expected: set[int] = set()
    for count in counts:
        if count not in expected and count >= max(expected, default=0) - 32:
            expected.add(count)
    assert set(good) == expected


def test_what_is_remembered_is_forgotten_in_time() -> None:
    ours = nonces(lifetime=60.0)
    for second in range(100):
        assert ours.use(made(ours, second), "r", 1, float(second))
    assert len(ours) <= 62


def test_what_is_remembered_has_a_limit_and_what_fell_out_is_not_accepted_again() -> None:
    ours = nonces(most=10)
    used = [made(ours, float(second)) for second in range(30)]
    for nonce in used:
        assert ours.use(nonce, "r", 1, 30.0)
    assert len(ours) == 10
    assert not any(ours.use(nonce, "r", 1, 30.0) for nonce in used), "replayed"
    assert not any(ours.use(nonce, "r", 2, 30.0) for nonce in used[:20]), "as old as what was forgotten"
    assert all(ours.use(nonce, "r", 2, 30.0) for nonce in used[20:])
