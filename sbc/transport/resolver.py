"""Names to hops: hosts file, then A and AAAA over DNS (RFC 3263 with its NAPTR and SRV steps left out so far).

twisted.names is used for single queries only: each has its own small socket, so that a name server that is stuck costs
time and a bounded number of sockets, and no thread. What was learned is kept for its time to live, within bounds.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, TimeoutError, fail, maybeDeferred, succeed
from twisted.internet.error import CannotListenError
from twisted.names import client, dns, error
from twisted.python.failure import Failure

from sbc.b2bua import Listener, Resolve, Zone
from sbc.sip import Address, Hop

DEFAULT_PORTS = {"TLS": 5061, "WSS": 443, "WS": 80}
"""Others: 5060 (RFC 3261 section 19.1.2, RFC 7118)."""
RECORDS = {"4": dns.A, "6": dns.AAAA}
MAX_SEARCH = 6
MAX_ADDRESSES = 16

Found = tuple[tuple[str, ...], int]
"""Addresses, and for how many seconds they hold."""


class ResolveError(Exception):
    """The name has no usable address; the text says why."""


@dataclass(frozen=True, slots=True)
class ResolverSettings:
    """Times in seconds."""

    hosts: str = "/etc/hosts"
    resolv_conf: str = "/etc/resolv.conf"
    servers: tuple[tuple[str, int], ...] = ()
    """Name servers (address, port) to ask instead of those of `resolv_conf`."""
    tries: tuple[int, ...] = (1, 2)
    """How long each round through the name servers waits."""
    patience: float = 5.0
    """The whole answer must be there by then."""
    min_ttl: float = 5.0
    """An answer is kept at least so long, and a failure just so long."""
    max_ttl: float = 3600.0
    max_names: int = 4096
    """Names kept; past it all are forgotten."""
    max_pending: int = 256
    """Names being asked for at the same time."""


class NameServers(NamedTuple):
    servers: tuple[tuple[str, int], ...]
    search: tuple[str, ...]


class Answered(NamedTuple):
    until: float
    addresses: tuple[str, ...]
    error: str


class Resolver:
    """`resolve` for the driver. The interface says transports and an optional port, which is what RFC 3263 needs."""

    def __init__(self, reactor: Any, settings: ResolverSettings | None = None) -> None:
        self._reactor = reactor
        self._settings = settings or ResolverSettings()
        self._known: dict[tuple[str, str], Answered] = {}
        self._pending: dict[tuple[str, str], list[Deferred[Answered]]] = {}
        self._hosts = WatchedFile(self._settings.hosts)
        self._hosts_parsed: dict[str, tuple[str, ...]] = {}
        self._resolv = WatchedFile(self._settings.resolv_conf)
        self._name_servers = NameServers(self._settings.servers, ())

    def resolve(self, query: Resolve, zone: Zone) -> Deferred[tuple[Hop, ...]]:
        """Hops out of `zone`, best first: for each address one over each of the query's transports that the zone has a
        listener for, in the query's order; addresses of the family of the zone's first such listener come first.

        Fails with ResolveError only.
        """
        ways = ways_out(query, zone)
        if not ways:
            return fail(ResolveError(f"zone {zone.name} has no listener for {'/'.join(query.transports)}"))
        host = query.host.strip("[]").rstrip(".").lower()
        if is_address(host):
            return _as_deferred(hops_to((host,), query, ways))
        if not is_host_name(host):
            return fail(ResolveError(f"not a host name: {query.host[:80]!r}"))
        return self._addresses(host, list(ways)).addCallback(_found_hops, query, ways)

    # -- from a name to addresses -------------------------------------------------------------------------------------

    def _addresses(self, host: str, families: list[str]) -> Deferred[list[Answered]]:
        """The answers for each family, in order; each is waited for."""
        answers: list[Answered] = []
        done: Deferred[list[Answered]] = Deferred()

        def next_family(answer: Answered | None) -> None:
            if answer is not None:
                answers.append(answer)
            if len(answers) == len(families):
                done.callback(answers)
            else:
                waiting[len(answers)].addCallback(next_family)

        waiting = [self._of_family(host, family) for family in families]
        next_family(None)
        return done

    def _of_family(self, host: str, family: str) -> Deferred[Answered]:
        now = self._reactor.seconds()
        key = (host, family)
        known = self._known.get(key)
        if known is not None and known.until > now:
            return succeed(known)
        local = self._in_hosts_file(host)
        if local is not None:
            mine = tuple(address for address in local if family_of(address) == family)
            return succeed(Answered(now, mine, "" if mine else "the hosts file has no address of this family"))
        waiting: Deferred[Answered] = Deferred()
        if key in self._pending:
            self._pending[key].append(waiting)
        elif len(self._pending) >= self._settings.max_pending:
            return succeed(Answered(now, (), "too many names are being looked up"))
        else:
            self._pending[key] = [waiting]
            self._look_up(host, family).addCallbacks(
                self._found, self._not_found, callbackArgs=(key,), errbackArgs=(key,)
            )
        return waiting

    def _look_up(self, host: str, family: str) -> Deferred[Found]:
        """Ask the name servers for the name, and, when it has no dot, for it in each search domain before."""
        servers, search = self._read_resolv_conf()
        names = [f"{host}.{domain}" for domain in search if "." not in host] + [host]

        def ask(failure: Failure | None = None) -> Deferred[Found]:
            if failure is not None and (not names or not isinstance(failure.value, error.DomainError | ResolveError)):
                return fail(failure)
            return self._query(names.pop(0), family, servers).addErrback(ask)

        answer = ask()
        answer.addTimeout(self._settings.patience, self._reactor)
        return answer

    def _query(self, name: str, family: str, servers: tuple[tuple[str, int], ...]) -> Deferred[Found]:
        # One resolver object for each query: a shared one never answers again for a name whose sending once failed.
        asked: Any = client.Resolver(None, list(servers), self._settings.tries, self._reactor)
        lookup = asked.lookupAddress if family == "4" else asked.lookupIPV6Address
        return maybeDeferred(lookup, name).addBoth(_hang_up, asked).addCallback(_records, name, RECORDS[family])

    def _found(self, found: Found, key: tuple[str, str]) -> None:
        addresses, ttl = found
        settings = self._settings
        self._keep(key, addresses, "", min(max(float(ttl), settings.min_ttl), settings.max_ttl))

    def _not_found(self, failure: Failure, key: tuple[str, str]) -> None:
        self._keep(key, (), reason_of(failure), self._settings.min_ttl)

    def _keep(self, key: tuple[str, str], addresses: tuple[str, ...], reason: str, ttl: float) -> None:
        if len(self._known) >= self._settings.max_names:
            self._known.clear()
        answered = self._known[key] = Answered(self._reactor.seconds() + ttl, addresses, reason)
        for waiting in self._pending.pop(key):
            waiting.callback(answered)

    # -- files --------------------------------------------------------------------------------------------------------

    def _in_hosts_file(self, host: str) -> tuple[str, ...] | None:
        text = self._hosts.changed()
        if text is not None:
            self._hosts_parsed = parse_hosts(text)
        return self._hosts_parsed.get(host)

    def _read_resolv_conf(self) -> NameServers:
        text = self._resolv.changed()
        if text is not None:
            servers, search = parse_resolv_conf(text)
            self._name_servers = NameServers(self._settings.servers or servers, search)
        return self._name_servers if self._name_servers.servers else NameServers((("127.0.0.1", dns.PORT),), ())


class WatchedFile:
    """A small text file, read again when it has changed."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None

    def changed(self) -> str | None:
        """Its text when it is not what it was at the last call; None: still the same, or not there."""
        try:
            status = os.stat(self._path)
            seen = (status.st_mtime_ns, status.st_size)
            if seen == self._seen:
                return None
            with open(self._path, encoding="utf-8", errors="replace") as file:
                text = file.read(1_000_000)
        except OSError:
            return None
        self._seen = seen
        return text


def parse_hosts(text: str) -> dict[str, tuple[str, ...]]:
    """hosts(5): name in lower case -> its addresses, in order."""
    names: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        address, *aliases = line.partition("#")[0].split() or [""]
        if is_address(address):
            for alias in aliases:
                names[alias.lower()] = (*names.get(alias.lower(), ()), address)
    return names


def parse_resolv_conf(text: str) -> NameServers:
    """resolv.conf(5): the name servers and the search list."""
    servers: list[tuple[str, int]] = []
    search: tuple[str, ...] = ()
    for line in text.splitlines():
        keyword, *values = line.split() or [""]
        if keyword == "nameserver" and values and is_address(values[0]):
            servers.append((values[0], dns.PORT))
        elif keyword in ("search", "domain"):
            search = tuple(value.strip(".").lower() for value in values[:MAX_SEARCH] if value.strip("."))
    return NameServers(tuple(servers[:3]), search)


def ways_out(query: Resolve, zone: Zone) -> dict[str, list[Listener]]:
    """IP family -> the listeners that messages to that family leave from, one for each of the query's transports and in
    their order; families in the zone's order."""
    ways: dict[str, list[Listener]] = {}
    for listener in zone.listeners:
        if listener.transport in query.transports:
            same = ways.setdefault(family_of(listener.local.host), [])
            if all(other.transport != listener.transport for other in same):
                same.append(listener)
    for listeners in ways.values():
        listeners.sort(key=lambda listener: query.transports.index(listener.transport))
    return ways


def hops_to(addresses: Sequence[str], query: Resolve, ways: dict[str, list[Listener]]) -> tuple[Hop, ...]:
    hops = []
    for address in addresses:
        for listener in ways.get(family_of(address), ()):
            port = query.port or DEFAULT_PORTS.get(listener.transport, 5060)
            hops.append(Hop(query.zone, listener.transport, listener.local, Address(address, port)))
    return tuple(hops)


def _found_hops(answers: list[Answered], query: Resolve, ways: dict[str, list[Listener]]) -> tuple[Hop, ...]:
    hops = hops_to([address for answer in answers for address in answer.addresses], query, ways)
    if not hops:
        raise ResolveError(next((answer.error for answer in answers if answer.error), "no address"))
    return hops


def _as_deferred(hops: tuple[Hop, ...]) -> Deferred[tuple[Hop, ...]]:
    return succeed(hops) if hops else fail(ResolveError("no listener of the zone speaks this IP family"))


def reason_of(failure: Failure) -> str:
    """What went wrong, in words for the record of a call."""
    what = failure.value
    if isinstance(what, ResolveError):
        return str(what)
    if isinstance(what, error.DNSNameError):
        return "no such name"
    if isinstance(what, TimeoutError | dns.DNSQueryTimeoutError):
        return "the name servers do not answer"
    if isinstance(what, error.DomainError):
        return f"the name server refused ({type(what).__name__})"
    if isinstance(what, OSError | CannotListenError):
        return f"the name servers cannot be asked: {what}"
    return f"{type(what).__name__}: {what}"


def _records(answer: tuple[Sequence[Any], Any, Any], name: str, kind: int) -> Found:
    """The addresses of an answer, aliases (CNAME) followed by the name server, and the shortest time to live in it."""
    records = [record for record in answer[0] if record.type == kind][:MAX_ADDRESSES]
    if not records:
        raise ResolveError(f"{name} has no address")
    family = socket.AF_INET if kind == dns.A else socket.AF_INET6
    addresses = tuple(socket.inet_ntop(family, record.payload.address) for record in records)
    return addresses, min(record.ttl for record in answer[0])


def _hang_up(result: Any, asked: Any) -> Any:
    """A truncated answer was asked for again over TCP: that connection is not needed any more."""
    for connection in asked.connections:
        connection.transport.loseConnection()
    return result


def family_of(address: str) -> str:
    return "6" if ":" in address else "4"


def is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def is_host_name(text: str) -> bool:
    """RFC 1123 section 2.1 (and the underscore, which is seen)."""
    return len(text) <= 253 and all(
        0 < len(label) <= 63 and label.isascii() and label.replace("-", "").replace("_", "").isalnum()
        for label in text.split(".")
    )
