"""A phone with two flows (RFC 5626), one over UDP and one over TCP: when one of them dies, calls take the other."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.support import remote_phones
from tests.support.baresip import TALK, Baresip, assert_heard, converse
from tests.support.border import Border
from tests.support.kamailio import Kamailio
from tests.support.lab import PRIVATE, PUBLIC, wait_until
from tests.support.nat import PHONES, SYMMETRIC, Home

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_peers("baresip", "kamailio", "kamcmd", "nft")]

ALICE, DESK = 440, 1320
"""Hz of the tone that each one plays."""
SILENT = 4.0
"""Seconds after which the SBC gives a flow up that says nothing (`target_timeout`)."""
CONFIG = remote_phones.configuration(PUBLIC.edge, PRIVATE.edge, PRIVATE.host)


def flows(border: Border) -> dict[str, int]:
    """Transports of the flows of the phone, with their reg-id."""
    return {flow["hop"][1]: flow["reg_id"] for flow in border.edge.registrations("alice")}


def newest(border: Border) -> str:
    """Transport of the flow that calls take first."""
    return str(max(border.edge.registrations("alice"), key=lambda flow: flow["until"] - flow["granted"])["hop"][1])


def lose(home: Home, packets: str) -> None:
    """These do not pass the router any more."""
    home.router.run(["nft", "insert", "rule", "ip", "home", "through", *packets.split(), "drop"])


@pytest.fixture
def border() -> Iterator[Border]:
    """One for each test: nobody else is registered."""
    with Border(CONFIG) as border:
        yield border


@pytest.mark.parametrize("dies", ["is closed", "is silent"])
def test_when_one_flow_dies_a_call_takes_the_other(border: Border, dies: str) -> None:
    pbx = Kamailio(border.lab, "kamailio_registrar.cfg")
    with Home(border.lab, SYMMETRIC) as home:
        alice = Baresip(
            home.phones, "alice", PHONES[0], tone=ALICE, answers=True, port=5062, domain="example.com",
            password="wonderland-1", numbers_flows=True, proxy=f"sip:{PUBLIC.edge};transport=udp",
            second_proxy=f"sip:{PUBLIC.edge};transport=tcp",
        )  # fmt: skip
        wait_until(lambda: flows(border).keys() == {"UDP", "TCP"}, "the phone has two flows", 30, 0.2)
        assert sorted(flows(border).values()) == [1, 2]
        assert [len(contacts) for contacts in pbx.contacts().values()] == [1], "to the PBX they are one"
        if dies == "is closed":
            lose(home, "tcp dport 5060")  # so that it does not come back
            border.lab.edge.run(["ss", "-K", "sport", "=", "5060"], stderr=subprocess.DEVNULL)
            wait_until(lambda: flows(border).keys() == {"UDP"}, "the SBC has noticed", 10, 0.2)
        else:
            transport = newest(border).lower()
            lose(home, f"{transport} dport 5060")
            lose(home, f"{transport} sport 5060")
        desk = Baresip(border.lab.private, "desk", PRIVATE.others[0], tone=DESK, proxy=f"sip:{PRIVATE.host}")
        begun = time.monotonic()
        converse(desk, alice, f"sip:alice@{PRIVATE.host}")
        took = time.monotonic() - begun - TALK
        assert (took < SILENT) == (dies == "is closed"), f"the call took {took} s"
        assert_heard(desk, ALICE)
        assert_heard(alice, DESK)
