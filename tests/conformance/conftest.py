"""Planes that move packets, for all suites here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.planes import PlaneUnderTest, Stage, UserspaceUnderTest


@pytest.fixture(scope="module")
def moving() -> Iterator[PlaneUnderTest]:
    made = UserspaceUnderTest()
    yield made
    made.close()


@pytest.fixture
def stage(moving: PlaneUnderTest) -> Iterator[Stage]:
    made = Stage(moving)
    yield made
    made.close()
