"""Emergency calls while there is no room for others, by a route of their own, by SIPp through a real twistd."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.border import PBX, ZONES, Border, calls_to, peer
from tests.support.lab import PRIVATE, PUBLIC, wait_until
from tests.support.scenario import INWARDS, Route, callee, caller, refused
from tests.support.sipp import Sipp

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_peers("sipp", "nft")]

CONFIG = f"""
[calls]
max_calls = 1
emergency = ["112"]
{ZONES}
{PBX}
{peer("help", PRIVATE.others[1])}
{calls_to("", "pbx")}
[[routes]]
emergency = true
to = ["help"]
"""


@pytest.fixture
def full() -> Iterator[Border]:
    """A border with as many calls as it may have."""
    with Border(CONFIG) as border:
        answering = callee(border, INWARDS, "callee", {"delay": 0})
        calling = caller(border, INWARDS, "caller", {"talk": 6000})
        wait_until(lambda: any(record["answered"] for record in border.edge.calls()), "the call is answered", step=0.1)
        yield border
        calling.wait()
        answering.wait()
        assert border.record(calling)["status"] == 200


def another(border: Border, scenario: str, dialled: str, values: dict[str, object]) -> Sipp:
    return Sipp(
        border.lab.public, scenario, PUBLIC.others[0], 5060, target=f"{PUBLIC.edge}:5060", dialled=dialled,
        replace=values,
    )  # fmt: skip


@pytest.mark.parametrize("dialled", [f"sip:112@{PUBLIC.edge}", "urn:service:sos.fire"], ids=["number", "service"])
def test_help_is_reached_when_the_limit_is(full: Border, dialled: str) -> None:
    another(full, "caller_refused", INWARDS.uri, refused(503, "Retry-After: *[0-9]")).wait()
    helping = callee(full, Route(""), "callee", {"delay": 50}, address=PRIVATE.others[1])
    calling = another(full, "caller", dialled, {"talk": 100})
    calling.wait()
    helping.wait()
    record = full.record(calling)
    assert (record["status"], record["b"]["peer"]) == (200, "help")
    assert dialled.replace(PUBLIC.edge, PRIVATE.others[1]) == record["b"]["request_uri"]
    assert "emergency call" in full.edge.sbc("explain", record["id"])
