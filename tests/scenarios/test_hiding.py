"""Hiding by setting; and the proof that the search for leaks finds one: with hiding switched off it does."""

from __future__ import annotations

import pytest

from tests.support.border import PLAIN, Border
from tests.support.lab import PRIVATE, PUBLIC
from tests.support.scenario import INWARDS, OUTWARDS, place

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_peers("sipp", "nft")]


def test_with_hiding_switched_off_the_private_side_is_found_on_the_public_link() -> None:
    shown = PLAIN.replace(f'address = "{PRIVATE.edge}"', f'address = "{PRIVATE.edge}"\nhidden = false')
    with Border(shown) as open_border:
        place(open_border, INWARDS, "caller", "callee", {"talk": 100}, {"delay": 50})
        inwards = open_border.leaks()
        place(open_border, OUTWARDS, "caller", "callee", {"talk": 100}, {"delay": 50})
        outwards = open_border.leaks()
    assert any(PRIVATE.host in leak for leak in inwards)
    assert any(PRIVATE.host in leak for leak in outwards)


@pytest.mark.parametrize("hidden", [True, False])
def test_the_public_side_is_hidden_from_the_private_side_by_setting(hidden: bool) -> None:
    config = PLAIN.replace("[zones.public]\n", f"[zones.public]\nhidden = {str(hidden).lower()}\n")
    with Border(config) as closed_border:
        place(closed_border, INWARDS, "caller", "callee", {"talk": 100}, {"delay": 50})
        leaks = closed_border.leaks_inwards()
    assert any(PUBLIC.host in leak for leak in leaks) is not hidden
    assert bool(leaks) is not hidden, "\n".join(leaks)
