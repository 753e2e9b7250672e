"""Lost messages of every kind: a fifth of all datagrams on the public link vanish, each way."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.border import PLAIN, Border
from tests.support.scenario import INWARDS, OUTWARDS, Route, callee, caller

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_peers("sipp", "nft")]

CALLS = 20


@pytest.fixture(scope="module")
def border() -> Iterator[Border]:
    with Border("[sip]\nt1 = 0.2\nt2 = 1\n" + PLAIN) as border:
        border.lab.lose(20)
        yield border
        border.lab.lose(0)


@pytest.mark.parametrize("route", [INWARDS, OUTWARDS], ids=lambda route: route.name)
def test_calls_survive_lost_messages(border: Border, route: Route) -> None:
    callee(border, route, "callee_patient", calls=10**6)
    calling = caller(border, route, "caller", {"talk": 200}, calls=CALLS, timeout=60)
    calling.wait()
    records = [border.record(calling, number) for number in range(1, CALLS + 1)]
    assert {(record["status"], record["ended_by"]) for record in records} == {(200, "caller")}
