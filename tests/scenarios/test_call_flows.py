"""The call flows of RFC 3665 and RFC 5359 through a real twistd, one after the other."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.scenarios import rfc3665, rfc5359
from tests.support.border import Border
from tests.support.flows import ADDRESSES, Flow, play
from tests.support.lab import PRIVATE, PUBLIC

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_peers("sipp")]

T1 = 0.1
"""Short, so that what waits for retransmissions (64 * T1) is gone soon."""
CONFIG = f"""
[sip]
t1 = {T1}
t2 = 0.8
t4 = 0.5
[calls]
target_timeout = 0.5
failover_statuses = [408, 480, 486, 500, 502, 503, 504]
[zones.public]
address = "{PUBLIC.edge}"
[zones.private]
address = "{PRIVATE.edge}"
[peers.bob]
zone = "private"
address = "{ADDRESSES["bob"]}"
[peers.server]
zone = "private"
address = "{ADDRESSES["server"]}"
redirect = "pass"
[peers.colleague]
zone = "private"
address = "{ADDRESSES["colleague"]}"
[peers.absent]
zone = "private"
address = "{ADDRESSES["absent"]}"
[[routes]]
from = "public"
number = "1001"
to = ["bob"]
[[routes]]
from = "public"
number = "1002"
to = ["server"]
[[routes]]
from = "public"
number = "1003"
to = ["colleague"]
[[routes]]
from = "public"
number = "2001"
to = ["absent", "bob"]
[[routes]]
from = "public"
number = "2002"
to = ["sip:{ADDRESSES["bob"]}:5080;transport=udp"]
zone = "private"
ring = 1
[[routes]]
from = "public"
number = "2003"
to = ["bob", "colleague"]
[[routes]]
from = "public"
number = "2004"
to = ["bob", "colleague"]
ring = 1
[[routes]]
from = "public"
number = "2005"
to = ["bob", "server", "colleague", "sip:{ADDRESSES["colleague"]}:5070;transport=udp"]
zone = "private"
ring = 1
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
