"""What every test with a border has: the border that its module asks for, and a watch on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.border import PLAIN, Border


@pytest.fixture(scope="module")
def border(request: pytest.FixtureRequest) -> Iterator[Border]:
    """One for all tests of a module, with the module's `CONFIG`; without that the smallest one."""
    with Border(getattr(request.module, "CONFIG", PLAIN)) as border:
        yield border


@pytest.fixture(autouse=True)
def nothing_private_shows(request: pytest.FixtureRequest) -> Iterator[None]:
    """Each byte of the public link is searched, for every test that has a `border`."""
    border = request.getfixturevalue("border") if "border" in request.fixturenames else None
    yield
    if isinstance(border, Border):
        border.lab.clear()
        leaks = border.leaks()
        assert not leaks, "\n".join(leaks[:20])
