"""Ladders for the tests of this room; whatever a test does, nothing may be left of it and nothing may have leaked."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import pytest

from sbc.b2bua import Access, Settings
from tests.support.ladder import Ladder
from tests.support.registered import ACCESS, NewAccess


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


@pytest.fixture
def new_access(new_ladder: Callable[..., Ladder]) -> NewAccess:
    """Makes a world in which phones register, with these properties of its `Access`."""

    def make(edge: dict[str, Any] | None = None, **access: Any) -> Ladder:
        changed = {name: access.get(name, getattr(ACCESS, name)) for name in Access.__slots__}
        return new_ladder(settings=Settings(access=Access(**changed)), **(edge or {}))

    return make


@pytest.fixture
def access(new_access: NewAccess) -> Ladder:
    """A world in which phones register."""
    return new_access()
