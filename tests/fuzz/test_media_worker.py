"""Garbage on the media ports of a running worker."""

from __future__ import annotations

import contextlib
import random
import struct
from collections.abc import Iterator
from typing import Any

import pytest

from sbc.media.flow import FlowEvents, Latching, PlaneLost, PortsReady, StatsReport
from sbc.sip import Address
from tests.support.planes import Phone, UserspaceUnderTest, flow, rtp, side


@pytest.fixture
def under_test() -> Iterator[UserspaceUnderTest]:
    made = UserspaceUnderTest()
    yield made
    made.close()


def _garbage(chance: random.Random) -> bytes:
    kind = chance.randrange(4)
    if kind == 0:
        return chance.randbytes(chance.randrange(0, 300))
    datagram = bytearray(rtp(chance.randrange(65536), ssrc=chance.randrange(2**32)))
    if kind == 1:
        count, packet_type, words = chance.randrange(256), chance.randrange(190, 225), chance.randrange(0, 50)
        datagram = bytearray(struct.pack("!BBH", count | 0x80, packet_type, words) + chance.randbytes(4 * words))
    for _ in range(chance.randrange(4)):
        datagram[chance.randrange(len(datagram))] = chance.randrange(256)
    return bytes(datagram[: chance.randrange(len(datagram) + 1)] if kind == 2 else datagram)


EVENTS = FlowEvents(((0, 8000), (101, 16000)), (101, 8000), report=True, swallow=True)
"""Payload number 0 too, so that garbage is read as events."""
TREATED = {
    "treatments": frozenset({"dtmf", "payload-map"}),
    "map_a": ((1, 2), (2, 1)),
    "events_a": EVENTS._replace(swallow=False),
    "events_b": EVENTS,
}


@pytest.mark.parametrize(("cname", "treatments"), [("", {}), ("token", {}), ("", TREATED)])
def test_nothing_that_comes_on_a_media_port_ends_the_worker(
    under_test: UserspaceUnderTest, cname: str, treatments: dict[str, Any]
) -> None:
    chance = random.Random(7983)
    near, far, thief = Phone(), Phone(), Phone("127.0.0.66")
    under_test.plane.bind("127.0.0.1", 2)
    ports = [Address("127.0.0.1", port) for port in under_test.wait(PortsReady).ports]
    a = side(ports[0], near.address, cname=cname, rtcp_mux=True, latching=Latching.STRICT)
    b = side(ports[1], far.address, cname=cname, rtcp_mux=True, latching=Latching.STRICT)
    under_test.plane.apply(flow("c/0", a, b, **treatments))
    under_test.run(0.05)
    pid = under_test.pid
    for n in range(6000):
        speaker = (near, far, thief)[n % 3]
        port = chance.choice(ports)
        speaker.send(Address(port.host, port.port + chance.randrange(2)), _garbage(chance))
        if n % 100 == 0:
            under_test.run(0.001)
            under_test.plane.send_dtmf("c/0", chance.choice("abx"), chance.choice("1#x"), chance.randrange(-5, 100))
    far.sock.setblocking(True)
    for n in range(100):  # the kernel may have dropped some of the flood, and these with it
        near.send(ports[0], rtp(n, payload=b"after all that"))
        with contextlib.suppress(TimeoutError):
            while not far.receive(0.1)[0].endswith(b"after all that"):
                pass
            break
    else:
        pytest.fail("nothing passes after the garbage")
    under_test.plane.remove("c/0")
    report = under_test.wait(StatsReport)
    assert report.a.packets > 0
    assert report.a.mismatched > 0
    assert under_test.pid == pid
    assert not under_test.all(PlaneLost)
    for phone in (near, far, thief):
        phone.close()
