"""Streams on loopback: which one a message takes, how many there may be, and what their loss leaves behind."""

from __future__ import annotations

import contextlib
import socket
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from sbc.b2bua import Zone
from sbc.sip import Address, Hop, Limits
from sbc.transport import Transports, TransportSettings
from tests.support.sockets import Inbox, free_port, options, runs, until, zone_on


class ConnectionTests(TestCase):
    def setUp(self) -> None:
        self.inbox = Inbox()

    def listening(self, zone: Zone, settings: TransportSettings | None = None) -> Transports:
        made = Transports(reactor, [zone], Limits(), settings or TransportSettings())
        made.bind()
        made.listen(self.inbox.receive, self.inbox.failed, self.inbox.stream_ended)
        self.addCleanup(made.close)
        return made

    def connected(self, to: Address) -> socket.socket:
        far = socket.create_connection(to, timeout=2)
        self.addCleanup(far.close)
        return far

    def far_listener(self, host: str = "127.0.0.1") -> socket.socket:
        far = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        far.settimeout(2)
        self.addCleanup(far.close)
        return far

    async def accepted(self, far: socket.socket) -> tuple[socket.socket, Any]:
        far.setblocking(False)
        got: list[tuple[socket.socket, Any]] = []

        def try_accept() -> bool:
            try:
                got.append(far.accept())
            except BlockingIOError:
                return False
            return True

        await until(try_accept)
        got[0][0].settimeout(2)
        self.addCleanup(got[0][0].close)
        return got[0]

    async def received(self, far: socket.socket, size: int) -> bytes:
        """`size` bytes, while the reactor runs."""
        far.setblocking(False)
        got = bytearray()

        def take() -> bool:
            with contextlib.suppress(BlockingIOError):
                got.extend(far.recv(65536))
            return len(got) >= size

        await until(take)
        return bytes(got)

    @runs
    async def test_an_answer_goes_back_on_the_connection_that_the_request_came_on(self) -> None:
        zone = zone_on("outside", "127.0.0.1", "TCP")
        ours = self.listening(zone)
        far = self.connected(zone.listeners[0].local)
        other = self.connected(zone.listeners[0].local)
        far.sendall(options("one"))
        await until(lambda: self.inbox.packets)
        hop = self.inbox.packets[0].hop
        self.assert_hop(hop, zone, far)
        ours.write(b"SIP/2.0 200 OK\r\n\r\n", hop, None)
        assert await self.received(far, 18) == b"SIP/2.0 200 OK\r\n\r\n"
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            other.recv(1)

    def assert_hop(self, hop: Hop, zone: Zone, far: socket.socket) -> None:
        assert hop[:4] == ("outside", "TCP", zone.listeners[0].local, far.getsockname()[:2])
        assert hop.connection is not None

    async def opens_one_and_uses_it_again(self, host: str) -> None:
        zone = zone_on("outside", host, "TCP")
        ours = self.listening(zone)
        far = self.far_listener(host)
        hop = Hop("outside", "TCP", zone.listeners[0].local, Address(*far.getsockname()[:2]))
        ours.write(options("one"), hop, "one")
        ours.write(options("two"), hop, "two")
        stream, source = await self.accepted(far)
        assert source[0] == host
        assert await self.received(stream, len(options("one")) * 2) == options("one") + options("two")
        stream.sendall(options("back"))
        await until(lambda: self.inbox.packets)
        assert self.inbox.packets[0].hop[:4] == hop[:4]
        ours.write(options("three"), self.inbox.packets[0].hop._replace(connection=None), "three")
        assert await self.received(stream, len(options("three"))) == options("three")
        assert ours.connections.count == 1
        assert self.inbox.failures == []

    @runs
    async def test_the_end_of_a_stream_is_told_with_its_hop_unless_all_is_being_closed(self) -> None:
        zone = zone_on("outside", "127.0.0.1", "TCP")
        ours = self.listening(zone)
        far, other = self.connected(zone.listeners[0].local), self.connected(zone.listeners[0].local)
        far.sendall(options("one"))
        await until(lambda: self.inbox.packets and ours.connections.count == 2)
        far.close()
        await until(lambda: self.inbox.ended)
        assert self.inbox.ended == [self.inbox.packets[0].hop]
        other.close()
        await ours.close()
        assert len(self.inbox.ended) == 1

    @runs
    async def test_a_stream_that_carries_a_registration_is_held_and_pinged(self) -> None:
        zone = zone_on("outside", "127.0.0.1", "TCP")
        ours = self.listening(zone, TransportSettings(idle_timeout=0.1))
        far, other = self.connected(zone.listeners[0].local), self.connected(zone.listeners[0].local)
        far.sendall(options("one"))
        await until(lambda: self.inbox.packets and ours.connections.count == 2)
        hop = self.inbox.packets[0].hop
        ours.hold(hop, 60.0)
        ours.hold(hop._replace(connection=None), 60.0)
        await until(lambda: ours.connections.count == 1, seconds=6)
        assert self.inbox.ended[0].remote == Address(*other.getsockname())
        ours.ping(hop)
        assert await self.received(far, 4) == b"\r\n\r\n"

    @runs
    async def test_requests_open_one_connection_and_it_is_used_both_ways_over_ipv4(self) -> None:
        await self.opens_one_and_uses_it_again("127.0.0.1")

    @runs
    async def test_requests_open_one_connection_and_it_is_used_both_ways_over_ipv6(self) -> None:
        await self.opens_one_and_uses_it_again("::1")

    @runs
    async def test_a_request_goes_over_the_connection_that_its_target_opened(self) -> None:
        zone = zone_on("outside", "127.0.0.1", "TCP")
        ours = self.listening(zone)
        far = self.connected(zone.listeners[0].local)
        far.sendall(options("one"))
        await until(lambda: self.inbox.packets)
        ours.write(options("two"), self.inbox.packets[0].hop._replace(connection=None), "two")
        assert await self.received(far, len(options("two"))) == options("two")

    @runs
    async def test_a_refused_connection_fails_all_that_waited_for_it(self) -> None:
        zone = zone_on("outside", "127.0.0.1", "TCP")
        ours = self.listening(zone)
        nobody = Address("127.0.0.1", free_port("127.0.0.1", socket.SOCK_STREAM))
        hop = Hop("outside", "TCP", zone.listeners[0].local, nobody)
        ours.write(options("one"), hop, "one")
        ours.write(options("two"), hop, "two")
        await until(lambda: len(self.inbox.failures) == 2)
        assert [transaction for transaction, _ in self.inbox.failures] == ["one", "two"]
        assert ours.connections.count == 0

    @runs
    async def test_a_response_whose_connection_is_gone_fails_and_opens_none(self) -> None:
        ours, hop = await self.once_connected()
        ours.write(b"SIP/2.0 200 OK\r\n\r\n", hop, "server-1")
        assert [transaction for transaction, _ in self.inbox.failures] == ["server-1"]
        assert ours.connections.count == 0

    async def once_connected(self) -> tuple[Transports, Hop]:
        """The way by which a request has come, over a connection that is gone since."""
        zone = zone_on("outside", "127.0.0.1", "TCP")
        ours = self.listening(zone)
        far = self.connected(zone.listeners[0].local)
        far.sendall(options("one"))
        await until(lambda: self.inbox.packets)
        far.close()
        await until(lambda: ours.connections.count == 0)
        return ours, self.inbox.packets[0].hop

    @runs
    async def test_a_request_whose_connection_is_gone_opens_another(self) -> None:
        zone = zone_on("outside", "127.0.0.1", "TCP")
        ours = self.listening(zone)
        far = self.far_listener()
        hop = Hop("outside", "TCP", zone.listeners[0].local, Address(*far.getsockname()), 4711)
        ours.write(options("one"), hop, "one")
        await self.accepted(far)

    @runs
    async def test_a_request_over_an_accepted_connection_that_is_gone_fails_at_once_and_opens_none(self) -> None:
        """The phone's port was its side of that connection: nobody listens there."""
        ours, hop = await self.once_connected()
        ours.write(options("two"), hop, "two")
        assert self.inbox.failures == [("two", "no connection")]
        assert ours.connections.count == 0

    @runs
    async def test_a_request_to_where_the_other_side_listens_opens_another(self) -> None:
        """Its Contact names that port; the connection that it opened before came from another one."""
        ours, hop = await self.once_connected()
        listens = self.far_listener()
        ours.write(options("two"), hop._replace(remote=Address(*listens.getsockname())), "two")
        await self.accepted(listens)

    @runs
    async def test_one_source_gets_no_more_than_its_share_and_the_rest_is_left_to_others(self) -> None:
        zone = zone_on("outside", "127.0.0.1", "TCP")
        settings = TransportSettings(max_connections=3, max_connections_per_source=2)
        ours = self.listening(zone, settings)
        for _ in range(4):
            self.connected(zone.listeners[0].local)
        await until(lambda: ours.connections.refused == 2)
        assert ours.connections.count == 2
        for _ in range(2):
            self.addCleanup(socket.create_connection(zone.listeners[0].local, 2, source_address=("127.0.0.2", 0)).close)
        await until(lambda: ours.connections.refused == 3)
        assert ours.connections.count == 3

    @runs
    async def test_a_place_becomes_free_when_a_connection_ends(self) -> None:
        zone = zone_on("outside", "127.0.0.1", "TCP")
        ours = self.listening(zone, TransportSettings(max_connections_per_source=1))
        for _ in range(3):
            far = self.connected(zone.listeners[0].local)
            await until(lambda: ours.connections.count == 1)
            far.close()
            await until(lambda: ours.connections.count == 0)
        assert ours.connections.refused == 0
        assert ours.connections._per_source == {}

    @runs
    async def test_connections_that_others_opened_leave_room_for_ours_and_ours_are_limited_too(self) -> None:
        zone = zone_on("outside", "127.0.0.1", "TCP")
        ours = self.listening(zone, TransportSettings(max_connections=1))
        self.connected(zone.listeners[0].local)
        await until(lambda: ours.connections.count == 1)
        for number in range(2):
            far = self.far_listener()
            hop = Hop("outside", "TCP", zone.listeners[0].local, Address(*far.getsockname()))
            ours.write(options("x"), hop, f"to {number}")
        await until(lambda: ours.connections.count == 2)
        assert self.inbox.failures == [("to 1", "no connection")]

    @runs
    async def test_a_connection_that_says_nothing_is_closed(self) -> None:
        zone = zone_on("outside", "127.0.0.1", "TCP")
        ours = self.listening(zone, TransportSettings(idle_timeout=0.5))
        self.connected(zone.listeners[0].local)
        await until(lambda: ours.connections.count == 1)
        await until(lambda: ours.connections.count == 0)

    @runs
    async def test_closing_sends_what_was_written_and_accepts_nobody(self) -> None:
        zone = zone_on("outside", "127.0.0.1", "TCP")
        ours = self.listening(zone)
        far = self.connected(zone.listeners[0].local)
        far.sendall(options("one"))
        await until(lambda: self.inbox.packets)
        ours.write(b"SIP/2.0 503 x\r\n\r\n", self.inbox.packets[0].hop, None)
        closed = ours.close()
        assert await self.received(far, 17) == b"SIP/2.0 503 x\r\n\r\n"
        await closed
        assert far.recv(1) == b""
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(zone.listeners[0].local, 1)
