"""The SBC behind a 1:1 NAT, as in a cloud: it must say the address that others see."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.border import Border
from tests.support.lab import BEHIND_NAT, PRIVATE, PUBLIC
from tests.support.scenario import INWARDS, OUTWARDS, Route, place

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_peers("sipp", "nft")]

CONFIG = f"""
[zones.public]
address = "{BEHIND_NAT}"
advertise = "{PUBLIC.edge}"
[zones.private]
address = "{PRIVATE.edge}"
[peers.pbx]
zone = "private"
address = "{PRIVATE.host}"
"""
ROUTES = [
    INWARDS,
    OUTWARDS,
    Route("inwards-tcp", caller_tcp=True),
    Route("outwards-tcp", outwards=True, callee_tcp=True),
]


@pytest.fixture(scope="module")
def border() -> Iterator[Border]:
    with Border(CONFIG, nat=True) as border:
        yield border


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_a_call_crosses_the_translated_address(border: Border, route: Route) -> None:
    record = place(border, route, "caller", "callee", {"talk": 200}, {"delay": 50})
    assert (record["status"], record["ended_by"]) == (200, "caller")


@pytest.mark.parametrize("route", ROUTES[:2], ids=lambda route: route.name)
def test_the_callee_finds_the_way_back_through_the_translated_address(border: Border, route: Route) -> None:
    record = place(border, route, "caller_hears_bye", "callee_hangs_up")
    assert (record["status"], record["ended_by"]) == (200, "callee")
