"""The proof that the search for leaks would find one: with hiding switched off it does."""

from __future__ import annotations

import pytest

from tests.support.border import PLAIN, Border
from tests.support.lab import PRIVATE
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
