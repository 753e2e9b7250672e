"""The call flows of RFC 3665 and RFC 5359 through a real twistd, one after the other."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.scenarios import rfc3665, rfc5359
from tests.support.border import ZONES, Border, calls_to, peer
from tests.support.flows import ADDRESSES, Flow, play

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_peers("sipp")]

T1 = 0.1
"""Short, so that what waits for retransmissions (64 * T1) is gone soon."""
INSIDE = 'zone = "private"\nring = 1'
CONFIG = f"""
[sip]
t1 = {T1}
t2 = 0.8
t4 = 0.5
[calls]
target_timeout = 0.5
failover_statuses = [408, 480, 486, 500, 502, 503, 504]
{ZONES}
{peer("bob", ADDRESSES["bob"])}
{peer("server", ADDRESSES["server"], 'redirect = "pass"')}
{peer("colleague", ADDRESSES["colleague"])}
{peer("absent", ADDRESSES["absent"])}
{calls_to("1001", "bob")}
{calls_to("1002", "server")}
{calls_to("1003", "colleague")}
{calls_to("2001", "absent", "bob")}
{calls_to("2002", f"sip:{ADDRESSES['bob']}:5080;transport=udp", more=INSIDE)}
{calls_to("2003", "bob", "colleague")}
{calls_to("2004", "bob", "colleague", more="ring = 1")}
{calls_to("2005", "bob", "server", "colleague", f"sip:{ADDRESSES['colleague']}:5070;transport=udp", more=INSIDE)}
"""


@pytest.fixture(scope="module")
def border() -> Iterator[Border]:
    with Border(CONFIG) as border:
        yield border
        time.sleep(64 * T1 + 1)
        border.edge.stop()
        left = border.edge.table_sizes()
        assert set(left.values()) == {0}, left


@pytest.mark.parametrize("flow", rfc3665.FLOWS, ids=lambda flow: flow.name)
def test_rfc3665(border: Border, flow: Flow) -> None:
    play(border, flow)


@pytest.mark.parametrize("flow", rfc5359.FLOWS, ids=lambda flow: flow.name)
def test_rfc5359(border: Border, flow: Flow) -> None:
    play(border, flow)
