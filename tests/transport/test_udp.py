"""UDP on loopback: packets in, datagrams out, and what ICMP says about them."""

from __future__ import annotations

import socket
import struct
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from sbc.b2bua import Zone
from sbc.sip import Address, Hop
from sbc.transport import pace, udp
from sbc.transport.pace import Pace
from sbc.transport.sockets import bound_socket
from sbc.transport.udp import UdpSocket, extended_errno
from tests.support.sockets import Inbox, free_port, options, runs, until, zone_on


class UdpTests(TestCase):
    def setUp(self) -> None:
        self.inbox = Inbox()

    def listening(self, zone: Zone) -> UdpSocket:
        listener = zone.listeners[0]
        made = UdpSocket(Pace(reactor), zone, listener, bound_socket(listener, socket.SOCK_DGRAM), 1 << 20)
        made.start(self.inbox.receive, self.inbox.failed)
        self.addCleanup(made.close)
        return made

    def far_end(self, host: str = "127.0.0.1") -> socket.socket:
        far = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        far.bind((host, 0))
        far.settimeout(2)
        self.addCleanup(far.close)
        return far

    async def exchange(self, host: str) -> None:
        zone = zone_on("outside", host, "UDP")
        local = zone.listeners[0].local
        ours = self.listening(zone)
        far = self.far_end(host)
        remote = Address(host, far.getsockname()[1])

        far.sendto(b"hello", local)
        await until(lambda: self.inbox.packets)
        assert self.inbox.packets[0].data == b"hello"
        assert self.inbox.packets[0].hop == Hop("outside", "UDP", local, remote)

        ours.send(b"answer", remote, None)
        assert far.recvfrom(100)[0] == b"answer"

    @runs
    async def test_a_datagram_comes_with_its_hop_and_is_answered_over_ipv4(self) -> None:
        await self.exchange("127.0.0.1")

    @runs
    async def test_a_datagram_comes_with_its_hop_and_is_answered_over_ipv6(self) -> None:
        await self.exchange("::1")

    @runs
    async def test_a_binding_request_is_answered_with_the_source_as_we_see_it(self) -> None:
        zone = zone_on("outside", "127.0.0.1", "UDP")
        self.listening(zone)
        far = self.far_end()
        far.setblocking(False)
        asked = b"\0\1\0\0\x21\x12\xa4\x42" + b"transaction."
        for sent in (asked, b"\0\x11" + asked[2:], b"OPTIONS"):  # a request, an indication, SIP
            far.sendto(sent, zone.listeners[0].local)
        await until(lambda: len(self.inbox.packets) == 2)
        port = far.getsockname()[1] ^ 0x2112
        mapped = b"\0\x20\0\x08\0\1" + port.to_bytes(2, "big") + (0x7F000001 ^ 0x2112A442).to_bytes(4, "big")
        assert far.recv(100) == b"\1\1\0\x0c" + asked[4:] + mapped
        assert [packet.data[:2] for packet in self.inbox.packets] == [b"\0\x11", b"OP"]
        with pytest.raises(BlockingIOError):
            far.recv(100)

    @runs
    async def test_keep_alives_of_line_ends_are_dropped_and_blank_before_a_message_is_not(self) -> None:
        zone = zone_on("outside", "127.0.0.1", "UDP")
        self.listening(zone)
        far = self.far_end()
        far.setblocking(False)
        for sent in (b"", b"\r\n\r\n", b"\r\n", b"\0\0\0\0", b" ", b"\r\n" * 9, b"\r\nOPTIONS", b"OPTIONS"):
            far.sendto(sent, zone.listeners[0].local)
        await until(lambda: len(self.inbox.packets) >= 3)
        assert [packet.data for packet in self.inbox.packets] == [b"\r\n" * 9, b"\r\nOPTIONS", b"OPTIONS"]
        with pytest.raises(BlockingIOError):
            far.recv(100)

    @runs
    async def test_a_flood_is_read_in_portions_so_that_others_get_their_turn(self) -> None:
        zone = zone_on("outside", "127.0.0.1", "UDP")
        ours = self.listening(zone)
        ours.close()
        listener = zone.listeners[0]
        ours = UdpSocket(Pace(reactor), zone, listener, bound_socket(listener, socket.SOCK_DGRAM), 1 << 20)
        self.addCleanup(ours.close)
        far = self.far_end()
        for _ in range(pace.MOST + 5):
            far.sendto(b"x", listener.local)
        ours.start(self.inbox.receive, self.inbox.failed)
        ours.doRead()
        assert len(self.inbox.packets) == pace.MOST
        await until(lambda: len(self.inbox.packets) == pace.MOST + 5)

    @runs
    async def test_many_sources_do_not_make_the_table_of_hops_grow_without_limit(self) -> None:
        self.patch(udp, "KNOWN_REMOTES", 3)
        zone = zone_on("outside", "127.0.0.1", "UDP")
        ours = self.listening(zone)
        far = [self.far_end() for _ in range(8)]
        for each in far:
            each.sendto(b"x", zone.listeners[0].local)
        await until(lambda: len(self.inbox.packets) == 8)
        assert len(ours._hops) <= 3
        sources = [packet.hop.remote.port for packet in self.inbox.packets]
        assert sources == [each.getsockname()[1] for each in far]

    async def unreachable(self, host: str) -> None:
        ours = self.listening(zone_on("outside", host, "UDP"))
        nobody = Address(host, free_port(host))
        ours.send(options("z9hG4bKdead"), nobody, "z9hG4bKdead")
        await until(lambda: self.inbox.failures)
        assert self.inbox.failures == [("z9hG4bKdead", "ECONNREFUSED")]

    @runs
    async def test_a_request_to_a_closed_port_fails_its_transaction_at_once_over_ipv4(self) -> None:
        await self.unreachable("127.0.0.1")

    @runs
    async def test_a_request_to_a_closed_port_fails_its_transaction_at_once_over_ipv6(self) -> None:
        await self.unreachable("::1")

    @runs
    async def test_a_dead_remote_costs_no_datagram_to_or_from_another(self) -> None:
        await self.dead_and_alive()

    @runs
    async def test_nor_does_it_while_datagrams_come_fast(self) -> None:
        self.patch(pace, "FAST", 0.0)
        self.patch(pace, "SLOW", -1.0)
        self.patch(pace, "WINDOW", 0.0)
        ours = await self.dead_and_alive()
        assert ours._pace.is_fast
        ours.close()
        assert not ours._pace.is_fast

    async def dead_and_alive(self) -> UdpSocket:
        zone = zone_on("outside", "127.0.0.1", "UDP")
        ours = self.listening(zone)
        far = self.far_end()
        nobody = Address("127.0.0.1", free_port("127.0.0.1"))
        for number in range(20):
            ours.send(options(f"z9hG4bKdead{number}"), nobody, f"z9hG4bKdead{number}")
            ours.send(b"alive %d" % number, Address(*far.getsockname()), "z9hG4bKalive")
            assert far.recvfrom(100)[0] == b"alive %d" % number
            far.sendto(b"x", zone.listeners[0].local)
        await until(lambda: len(self.inbox.packets) == 20 and len(self.inbox.failures) == 20)
        assert "z9hG4bKalive" not in [transaction for transaction, _ in self.inbox.failures]
        return ours

    @runs
    async def test_a_response_that_comes_back_fails_no_transaction(self) -> None:
        """Its branch is one that the other side made up."""
        zone = zone_on("outside", "127.0.0.1", "UDP")
        ours = self.listening(zone)
        nobody = Address("127.0.0.1", free_port("127.0.0.1"))
        ours.send(b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP a;branch=z9hG4bKtheirs\r\n\r\n", nobody, "server-1")
        far = self.far_end()
        far.sendto(b"x", zone.listeners[0].local)
        await until(lambda: self.inbox.packets)
        assert self.inbox.failures == []

    def test_what_the_system_refuses_to_send_fails_its_transaction(self) -> None:
        ours = self.listening(zone_on("outside", "127.0.0.1", "UDP"))
        ours.send(b"x" * 70000, Address("127.0.0.1", 5060), "z9hG4bKlong")
        assert [transaction for transaction, _ in self.inbox.failures] == ["z9hG4bKlong"]
        assert ours.lost == 1

    def test_a_full_send_buffer_is_a_loss_and_fails_nothing(self) -> None:
        ours = self.listening(zone_on("outside", "127.0.0.1", "UDP"))
        ours._socket = FullSocket(ours._socket)  # type: ignore[assignment]
        ours.send(b"x", Address("127.0.0.1", 5060), "z9hG4bKfull")
        assert self.inbox.failures == []
        assert ours.lost == 1

    @runs
    async def test_the_socket_may_be_closed_by_whoever_hears_of_a_failure(self) -> None:
        for report in ("connectionLost", "doRead"):
            zone = zone_on("outside", "127.0.0.1", "UDP")
            listener = zone.listeners[0]
            ours = UdpSocket(Pace(reactor), zone, listener, bound_socket(listener, socket.SOCK_DGRAM), 1 << 20)
            self.addCleanup(ours.close)
            failures = []
            ours.start(self.inbox.receive, lambda *failure, ours=ours, to=failures: (to.append(failure), ours.close()))
            reactor.removeReader(ours)  # type: ignore[attr-defined]
            ours.send(options("z9hG4bKdead"), Address("127.0.0.1", free_port("127.0.0.1")), "z9hG4bKdead")
            getattr(ours, report)(*([None] if report == "connectionLost" else []))
            assert failures == [("z9hG4bKdead", "ECONNREFUSED")]
            assert ours not in reactor.getReaders()  # type: ignore[attr-defined]

    def test_a_closed_socket_stays_closed_when_the_reactor_reports_it_lost(self) -> None:
        ours = self.listening(zone_on("outside", "127.0.0.1", "UDP"))
        ours.close()
        ours.connectionLost(None)
        assert ours not in reactor.getReaders()  # type: ignore[attr-defined]


class FullSocket:
    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def sendto(self, data: bytes, remote: Address) -> int:
        raise BlockingIOError(11, "full")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def test_only_what_the_network_says_counts_as_an_icmp_error() -> None:
    def ancillary(code: int, origin: int) -> list[tuple[int, int, bytes]]:
        return [(socket.IPPROTO_IP, udp.IP_RECVERR, struct.pack("=IBBBBII", code, origin, 3, 3, 0, 0, 0))]

    assert extended_errno(ancillary(111, 2)) == 111
    assert extended_errno(ancillary(90, udp.SO_EE_ORIGIN_LOCAL)) == 0
    assert extended_errno([]) == 0
