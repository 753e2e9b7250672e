"""Ladders for the tests of this room; whatever a test does, nothing may be left of it and nothing may have leaked."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import pytest

from tests.support.ladder import Ladder


@pytest.fixture
def new_ladder() -> Generator[Callable[..., Ladder], None, None]:
    """Makes a `Ladder` in a world with these properties of its `Edge`."""
    made: list[Ladder] = []

    def make(**edge: Any) -> Ladder:
        made.append(Ladder(**edge))
        return made[-1]

    yield make
    for ladder in made:
        assert ladder.end() == []


@pytest.fixture
def ladder(new_ladder: Callable[..., Ladder]) -> Ladder:
    return new_ladder()
