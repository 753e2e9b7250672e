"""All sockets together: bound or not at all, and each message out of the right one."""

from __future__ import annotations

import socket

import pytest
from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from sbc.b2bua import Listener, Zone
from sbc.sip import Address, Hop, Limits
from sbc.transport import ListenError, Transports, TransportSettings
from tests.support.sockets import Inbox, free_port, runs, until, zone_on


def test_every_port_that_cannot_be_had_is_named_with_its_zone_and_none_is_kept() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken, socket.create_server(("127.0.0.1", 0)) as taken_tcp:
        taken.bind(("127.0.0.1", 0))
        udp, tcp = Address(*taken.getsockname()), Address(*taken_tcp.getsockname())
        free = Address("127.0.0.1", free_port("127.0.0.1"))
        zones = [
            Zone("outside", (Listener("UDP", free, free), Listener("UDP", udp, udp))),
            Zone("inside", (Listener("TCP", tcp, tcp), Listener("UDP", Address("192.0.2.1", 5060), free))),
        ]
        with pytest.raises(ListenError) as error:
            Transports(reactor, zones, Limits(), TransportSettings()).bind()
    assert error.value.faults == [
        f"zone outside: cannot listen on UDP 127.0.0.1:{udp.port}: Address already in use",
        f"zone inside: cannot listen on TCP 127.0.0.1:{tcp.port}: Address already in use",
        "zone inside: cannot listen on UDP 192.0.2.1:5060: Cannot assign requested address",
    ]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
        again.bind(free)


class TransportsTests(TestCase):
    @runs
    async def test_a_message_leaves_from_the_listener_that_its_hop_names(self) -> None:
        inbox = Inbox()
        zones = [zone_on("outside", "127.0.0.1", "UDP"), zone_on("inside", "127.0.0.2", "UDP")]
        ours = Transports(reactor, zones, Limits(), TransportSettings())
        ours.bind()
        ours.listen(inbox.receive, inbox.failed)
        self.addCleanup(ours.close)
        far = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(far.close)
        far.bind(("127.0.0.1", 0))
        far.settimeout(2)
        for zone in zones:
            local = zone.listeners[0].local
            ours.write(b"x", Hop(zone.name, "UDP", local, Address(*far.getsockname())), None)
            assert far.recvfrom(10)[1] == local
            far.sendto(zone.name.encode(), local)
        await until(lambda: len(inbox.packets) == 2)
        assert {(packet.hop.zone, packet.data.decode()) for packet in inbox.packets} == {
            ("outside", "outside"),
            ("inside", "inside"),
        }

    def test_a_hop_of_no_listener_fails_its_transaction(self) -> None:
        inbox = Inbox()
        ours = Transports(reactor, [], Limits(), TransportSettings())
        ours.listen(inbox.receive, inbox.failed)
        nowhere = Address("127.0.0.1", 1)
        ours.write(b"x", Hop("gone", "UDP", nowhere, nowhere), "t")
        assert inbox.failures == [("t", "no listener there")]
