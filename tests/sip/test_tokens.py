from __future__ import annotations

import random

import pytest

from sbc.sip import Tokens


def test_tokens_differ_and_hold_enough_entropy() -> None:
    tokens = Tokens(random.Random(1).randbytes)
    made = [make() for make in (tokens.call_id, tokens.tag, tokens.branch, tokens.user) for _ in range(500)]
    assert len(set(made)) == len(made)
    assert all(len(token.removeprefix("z9hG4bK")) * 4 >= 80 for token in made)
    assert all(token.isascii() and token.isalnum() for token in made)


def test_branches_have_the_magic_cookie_and_the_rest_does_not() -> None:
    tokens = Tokens(random.Random(1).randbytes, "n1-")
    assert tokens.branch().startswith("z9hG4bKn1-")
    assert tokens.tag().startswith("n1-")


def test_entropy_is_drawn_in_blocks() -> None:
    draws: list[int] = []

    def entropy(count: int) -> bytes:
        draws.append(count)
        return random.Random(len(draws)).randbytes(count)

    tokens = Tokens(entropy)
    made = {tokens.tag() for _ in range(250)}
    assert len(made) == 250
    assert len(draws) == 3


def test_a_node_has_to_be_a_token() -> None:
    for node in ("a b", "a;b", "\r\n"):
        with pytest.raises(ValueError, match="node"):
            Tokens(random.Random(1).randbytes, node)
