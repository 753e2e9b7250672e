"""Names that mean nothing to others, and can be read again here."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from sbc.b2bua.sealing import opened, sealed

KEY = b"secret of this site"
_texts = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=136)


@given(_texts)
def test_a_name_can_be_read_again_here_and_is_always_the_same(text: str) -> None:
    name = sealed(KEY, "private", text)
    assert opened(KEY, "private", name) == text
    assert sealed(KEY, "private", text) == name
    assert re.fullmatch("[a-z][a-z2-7]{1,254}", name)


@given(_texts, st.integers(0, 300), st.sampled_from("abz27-@"))
def test_a_name_that_was_touched_opens_nothing(text: str, place: int, letter: str) -> None:
    name = sealed(KEY, "private", text)
    place %= len(name)
    touched = name[:place] + letter + name[place + 1 :]
    assert touched == name or opened(KEY, "private", touched) is None
    assert opened(KEY, "private", name[:-1]) is None
    assert opened(KEY, "private", name + "a") is None
    assert opened(KEY, "private", name.upper()) is None


@given(st.text(max_size=60))
def test_what_is_no_name_opens_nothing(text: str) -> None:
    assert opened(KEY, "private", text) is None


def test_what_is_longer_than_any_name_opens_nothing() -> None:
    assert opened(KEY, "private", "r" + "a" * 16016) is None


def test_it_opens_for_its_side_and_its_site_only() -> None:
    name = sealed(KEY, "private", "a84b4c76e66710@10.0.0.7")
    assert opened(KEY, "public", name) is None
    assert opened(b"another site", "private", name) is None
    assert sealed(KEY, "public", "a84b4c76e66710@10.0.0.7") != name


def test_lengths_tell_little() -> None:
    assert len(sealed(KEY, "private", "a")) == len(sealed(KEY, "private", "a" * 8))


def test_what_is_too_long_means_nothing_to_anybody() -> None:
    name = sealed(KEY, "private", "a" * 137)
    assert len(name) < 30
    assert opened(KEY, "private", name) is None
