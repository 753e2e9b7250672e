"""Names to hops, with a name server of the test's own on loopback."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from twisted.internet import defer, reactor
from twisted.names import dns
from twisted.trial.unittest import TestCase

from sbc.b2bua import Listener, Resolve, Zone
from sbc.sip import Address, Hop
from sbc.transport import ResolveError, Resolver, ResolverSettings
from sbc.transport.resolver import parse_hosts, parse_resolv_conf
from tests.support.sockets import runs, until

V4, V6 = Address("127.0.0.1", 5060), Address("::1", 5060)
ZONE = Zone(
    "outside", (Listener("UDP", V4, V4), Listener("TCP", V4, V4), Listener("UDP", V6, V6), Listener("TCP", V6, V6))
)
ONLY_V4 = Zone("outside", (Listener("UDP", V4, V4), Listener("TCP", V4, V4)))


async def no_query_is_left() -> None:
    """Queries that nobody waits for any more end by themselves after `tries`."""
    clock: Any = reactor
    await until(lambda: not any("_clearFailed" in str(call) for call in clock.getDelayedCalls()))


class NameServer(dns.DNSDatagramProtocol):
    """Answers from `records`: (name, type) -> [(address, ttl)]; says nothing of names in `silent`; else NXDOMAIN."""

    noisy = False

    def __init__(self) -> None:
        super().__init__(self)
        self.records: dict[tuple[str, int], list[tuple[str, int]]] = {}
        self.silent: set[str] = set()
        self.asked: list[tuple[str, int]] = []

    def messageReceived(self, message: Any, protocol: Any, address: Any) -> None:
        query = message.queries[0]
        name = query.name.name.decode()
        self.asked.append((name, query.type))
        if name in self.silent:
            return
        answer = dns.Message(id=message.id, answer=1, recDes=1, recAv=1)
        answer.queries = message.queries
        make = {dns.A: dns.Record_A, dns.AAAA: dns.Record_AAAA}[query.type]
        for text, ttl in self.records.get((name, query.type), []):
            answer.answers.append(dns.RRHeader(query.name.name, query.type, dns.IN, ttl, make(text, ttl), auth=True))
        if not any(known == name for known, _ in self.records):
            answer.rCode = dns.ENAME
        self.writeMessage(answer, address)


class ResolverTests(TestCase):
    def setUp(self) -> None:
        self.server = NameServer()
        port: Any = reactor.listenUDP(0, self.server, interface="127.0.0.1")  # type: ignore[attr-defined]
        self.addCleanup(port.stopListening)
        self.folder = Path(tempfile.mkdtemp())
        self.at = ("127.0.0.1", port.getHost().port)

    def resolver(self, **settings: Any) -> Resolver:
        (self.folder / "hosts").write_text("127.0.0.5 pbx PBX.local # here\n::5 pbx\n127.0.0.6 only4\n")
        (self.folder / "resolv.conf").write_text("search one.example two.example\nnameserver 192.0.2.1\n")
        files = {"hosts": str(self.folder / "hosts"), "resolv_conf": str(self.folder / "resolv.conf")}
        return Resolver(reactor, ResolverSettings(servers=(self.at,), **files, **settings))

    async def error(self, resolver: Resolver, host: str, zone: Zone = ONLY_V4, transport: str = "UDP") -> str:
        try:
            await resolver.resolve(Resolve("outside", host, None, (transport,)), zone)
        except ResolveError as error:
            return str(error)
        raise AssertionError("resolved")

    @runs
    async def test_each_address_is_reached_over_each_transport_in_the_order_of_the_query(self) -> None:
        self.server.records = {
            ("a.example", dns.A): [("192.0.2.7", 60), ("192.0.2.8", 60)],
            ("a.example", dns.AAAA): [("2001:db8::7", 60)],
        }
        hops = await self.resolver().resolve(Resolve("outside", "A.example.", 5070, ("TCP", "UDP")), ZONE)
        assert hops == tuple(
            Hop("outside", transport, local, Address(remote, 5070))
            for local, remote in ((V4, "192.0.2.7"), (V4, "192.0.2.8"), (V6, "2001:db8::7"))
            for transport in ("TCP", "UDP")
        )

    @runs
    async def test_a_family_that_the_zone_does_not_speak_is_not_asked_for(self) -> None:
        self.server.records = {("a.example", dns.A): [("192.0.2.7", 60)]}
        hops = await self.resolver().resolve(Resolve("outside", "a.example", None, ("UDP",)), ONLY_V4)
        assert hops == (Hop("outside", "UDP", V4, Address("192.0.2.7", 5060)),)
        assert self.server.asked == [("a.example", dns.A)]

    @runs
    async def test_a_literal_needs_nobody(self) -> None:
        hops = await self.resolver().resolve(Resolve("outside", "[2001:DB8::1]", None, ("UDP",)), ZONE)
        assert hops == (Hop("outside", "UDP", V6, Address("2001:db8::1", 5060)),)
        assert self.server.asked == []

    @runs
    async def test_the_hosts_file_comes_first(self) -> None:
        resolver = self.resolver()
        hops = await resolver.resolve(Resolve("outside", "PBX", None, ("UDP",)), ZONE)
        assert [hop.remote.host for hop in hops] == ["127.0.0.5", "::5"]
        hops = await resolver.resolve(Resolve("outside", "only4", None, ("UDP",)), ZONE)
        assert [hop.remote.host for hop in hops] == ["127.0.0.6"]
        assert self.server.asked == []

    @runs
    async def test_a_name_without_a_dot_is_looked_for_in_the_search_domains(self) -> None:
        self.server.records = {("trunk.two.example", dns.A): [("192.0.2.9", 60)]}
        hops = await self.resolver().resolve(Resolve("outside", "trunk", None, ("UDP",)), ONLY_V4)
        assert [hop.remote.host for hop in hops] == ["192.0.2.9"]
        assert [name for name, _ in self.server.asked] == ["trunk.one.example", "trunk.two.example"]

    @runs
    async def test_an_answer_is_kept_and_many_who_ask_at_once_cause_one_query(self) -> None:
        self.server.records = {("a.example", dns.A): [("192.0.2.7", 60)]}
        resolver, query = self.resolver(), Resolve("outside", "a.example", None, ("UDP",))
        answers = await defer.gatherResults([resolver.resolve(query, ONLY_V4) for _ in range(5)])
        assert len(set(answers)) == 1
        await resolver.resolve(query, ONLY_V4)
        assert len(self.server.asked) == 1

    @runs
    async def test_an_answer_is_asked_for_again_when_its_time_is_over(self) -> None:
        self.server.records = {("a.example", dns.A): [("192.0.2.7", 0)]}
        resolver, query = self.resolver(min_ttl=0.05), Resolve("outside", "a.example", None, ("UDP",))
        await resolver.resolve(query, ONLY_V4)
        self.server.records = {("a.example", dns.A): [("192.0.2.8", 0)]}
        await until(lambda: all(known.until <= reactor.seconds() for known in resolver._known.values()))  # type: ignore[attr-defined]
        hops = await resolver.resolve(query, ONLY_V4)
        assert hops[0].remote.host == "192.0.2.8"

    @runs
    async def test_names_kept_are_bounded(self) -> None:
        resolver = self.resolver(max_names=3)
        for number in range(10):
            await self.error(resolver, f"no{number}.example")
        assert len(resolver._known) <= 3

    @runs
    async def test_why_there_is_no_address_is_said_in_words(self) -> None:
        self.server.records = {("six.example", dns.AAAA): [("2001:db8::7", 60)]}
        self.server.silent = {"dead.example"}
        resolver = self.resolver(tries=(1,), patience=0.3)
        assert await self.error(resolver, "no.example") == "no such name"
        assert await self.error(resolver, "six.example") == "six.example has no address"
        assert await self.error(resolver, "dead.example") == "the name servers do not answer"
        assert await self.error(resolver, "a b") == "not a host name: 'a b'"
        assert await self.error(resolver, "::1") == "no listener of the zone speaks this IP family"
        assert await self.error(resolver, "a.example", transport="TLS") == "zone outside has no listener for TLS"
        await no_query_is_left()

    @runs
    async def test_a_name_server_that_is_silent_for_one_name_does_not_hold_up_another(self) -> None:
        self.server.silent = {"dead.example"}
        self.server.records = {("a.example", dns.A): [("192.0.2.7", 60)]}
        resolver = self.resolver(tries=(1,), patience=0.5, max_pending=2)
        dead = self.error(resolver, "dead.example")
        waiting = defer.ensureDeferred(dead)
        await resolver.resolve(Resolve("outside", "a.example", None, ("UDP",)), ONLY_V4)
        assert not waiting.called
        assert await waiting == "the name servers do not answer"
        await no_query_is_left()

    @runs
    async def test_too_many_names_at_once_are_refused_instead_of_queued(self) -> None:
        self.server.silent = {f"dead{number}.example" for number in range(3)}
        resolver = self.resolver(tries=(1,), patience=0.2, max_pending=2)
        answers = await defer.gatherResults(
            [defer.ensureDeferred(self.error(resolver, f"dead{number}.example")) for number in range(3)]
        )
        assert answers[2] == "too many names are being looked up"
        await no_query_is_left()


def test_hosts_file_lines_that_are_none_are_passed_over() -> None:
    assert parse_hosts("#\n\n127.0.0.1\nnonsense name\n127.0.0.1 a A\n") == {"a": ("127.0.0.1", "127.0.0.1")}


def test_resolv_conf_gives_servers_and_search_list() -> None:
    text = "; x\nnameserver 192.0.2.1\nnameserver 2001:db8::1\nnameserver bad\ndomain a.example\nsearch B.example. c\n"
    servers, search = parse_resolv_conf(text)
    assert servers == (("192.0.2.1", 53), ("2001:db8::1", 53))
    assert search == ("b.example", "c")
