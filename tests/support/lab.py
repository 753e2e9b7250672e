"""A laboratory of real network namespaces: a public host, the edge, a private host, and links between them.

    public (phones)  ---- [nat] ----  edge (the SBC)  ----  private (the PBX)

Everything is made through pyroute2 with names that carry this process's id, so that two test runs never meet; it takes
some 50 ms. Needs root. pyroute2's synchronous calls fail inside a running asyncio loop: build a lab outside of one.
"""

from __future__ import annotations

import contextlib
import ipaddress
import itertools
import os
import re
import signal
import socket as sockets
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

from pyroute2 import NetNS, netns

T = TypeVar("T")

_labs = itertools.count(1)


class PublicSide(NamedTuple):
    """Addresses on the public link. `edge` is where callers send to: behind the NAT it is the NAT's address."""

    edge: str = "203.0.113.10"
    edge6: str = "2001:db8:113::10"
    host: str = "203.0.113.20"
    others: tuple[str, ...] = ("203.0.113.21", "203.0.113.22")
    host6: str = "2001:db8:113::20"
    network: str = "203.0.113.0/24"

    def names(self) -> tuple[str, ...]:
        """What everybody may know: the addresses of the public side."""
        return (self.edge, self.edge6, self.host, self.host6, *self.others)


class PrivateSide(NamedTuple):
    """Addresses on the private link. Their bytes are rare, so that four of them in a row in a capture mean something.

    `absent` is in the network but nobody's.
    """

    edge: str = "10.201.173.1"
    host: str = "10.201.173.85"
    others: tuple[str, ...] = ("10.201.173.86", "10.201.173.87")
    edge6: str = "fdc9:ad55::a1"
    host6: str = "fdc9:ad55::b5"
    absent: str = "10.201.173.99"
    network: str = "10.201.173.0/24"

    def addresses(self) -> tuple[str, ...]:
        return (self.edge, self.edge6, self.host, self.host6, *self.others, self.absent)


BEHIND_NAT = "10.88.77.2"
"""The edge's own address on the public side where a NAT stands before it."""
_NAT_INSIDE = "10.88.77.1"

PUBLIC = PublicSide()
PRIVATE = PrivateSide()


class Namespace:
    """One network namespace, and the processes started in it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._processes: list[subprocess.Popen[bytes]] = []
        self._scratch = tempfile.TemporaryDirectory(prefix=f"{name}-")
        netns.create(name)

    def directory(self) -> Path:
        """A new directory that lives as long as this namespace."""
        return Path(tempfile.mkdtemp(dir=self._scratch.name))

    def popen(self, argv: Sequence[str | Path], **options: Any) -> subprocess.Popen[bytes]:
        """Start a program here. It dies with this process, even if this process is killed."""
        options.setdefault("stdin", subprocess.DEVNULL)
        command = ["setpriv", "--pdeathsig=KILL", "ip", "netns", "exec", self.name, *map(str, argv)]
        process = subprocess.Popen(command, **options)
        self._processes.append(process)
        return process

    def run(self, argv: Sequence[str | Path], **options: Any) -> str:
        """Run a program here to its end; its output. Raises CalledProcessError."""
        command = ["ip", "netns", "exec", self.name, *map(str, argv)]
        options.setdefault("timeout", 30)
        finished: subprocess.CompletedProcess[str]
        finished = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **options)
        return finished.stdout

    def call(self, function: Callable[[], T]) -> T:
        """What `function` returns when a thread that has entered this namespace calls it. Sockets made so stay here."""
        results: list[T] = []
        failures: list[BaseException] = []

        def inside() -> None:
            try:
                netns.setns(self.name)
                results.append(function())
            except BaseException as failure:
                failures.append(failure)

        thread = threading.Thread(target=inside)
        thread.start()
        thread.join()
        if failures:
            raise failures[0]
        return results[0]

    def socket(self, kind: int, address: tuple[str, int]) -> sockets.socket:
        """A socket of this namespace bound to `address`; SOCK_DGRAM or SOCK_STREAM, IPv4 or IPv6 by the address."""
        family = sockets.AF_INET6 if ":" in address[0] else sockets.AF_INET
        made = self.call(lambda: sockets.socket(family, kind))
        made.setsockopt(sockets.SOL_SOCKET, sockets.SO_REUSEADDR, 1)
        made.bind(address)
        return made

    def udp(self, address: tuple[str, int]) -> sockets.socket:
        return self.socket(sockets.SOCK_DGRAM, address)

    def connect(self, source: str, target: tuple[str, int], timeout: float = 5.0) -> sockets.socket:
        """A TCP connection from `source` to `target`."""
        made = self.socket(sockets.SOCK_STREAM, (source, 0))
        made.settimeout(timeout)
        try:
            made.connect(target)
        except BaseException:
            made.close()
            raise
        return made

    def is_bound(self, port: int, transport: str) -> bool:
        """Whether a socket here waits at `port`; `transport` is "udp" or "tcp"."""
        wanted = re.compile(rf"^\s*\d+: [0-9A-F]+:{port:04X} [0-9A-F]+:0000 (07|0A) ", re.MULTILINE)
        tables = [Path("/proc/thread-self/net") / name for name in (transport, transport + "6")]
        return any(wanted.search(text) for text in self.call(lambda: [table.read_text() for table in tables]))

    def sysctl(self, key: str, value: str) -> None:
        path = Path("/proc/sys") / key.replace(".", "/")
        self.call(lambda: path.write_text(value))

    def clear(self) -> None:
        """End what runs here, with the children of what was started."""
        for process in self._processes:
            end_process(process, signal.SIGKILL)
        self._processes.clear()
        for pid in map(int, netns.ns_pids().get(self.name, [])):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not netns.ns_pids().get(self.name), f"nothing runs in {self.name}")

    def close(self) -> None:
        """End what runs here, then remove the namespace."""
        self.clear()
        with contextlib.suppress(OSError):
            netns.remove(self.name)
        self._scratch.cleanup()


class Lab:
    """`public`, `edge`, `private`, joined by veth pairs; `nat` between the first two if asked for.

    Interfaces: `eth0` in public and private; `outside` and `inside` in the edge. With `routed` the edge forwards
    packets as a router does (for tests of the tests: a call that no SBC stands in). IPv6 addresses are usable at once.
    """

    def __init__(self, *, nat: bool = False, routed: bool = False) -> None:
        _remove_stale()
        number = next(_labs)
        self.behind_nat = nat
        self._namespaces: dict[str, Namespace] = {}
        self._netns: dict[str, NetNS] = {}
        try:
            for role in ("public", "edge", "private", *(["nat"] if nat else [])):
                self._open(role, f"sbc{os.getpid()}-{number}-{role}")
            self._wire(routed)
        except BaseException:
            self.close()
            raise
        finally:
            for handle in self._netns.values():
                handle.close()

    @property
    def public(self) -> Namespace:
        return self._namespaces["public"]

    @property
    def edge(self) -> Namespace:
        return self._namespaces["edge"]

    @property
    def private(self) -> Namespace:
        return self._namespaces["private"]

    @property
    def edge_address(self) -> str:
        """IPv4 address that the SBC binds on the public side."""
        return BEHIND_NAT if self.behind_nat else PUBLIC.edge

    def lose(self, percent: int) -> None:
        """From now on each UDP packet that arrives over the public link, at either end, is lost with this probability.

        Captures see it still; the senders do not notice.
        """
        outer = self._namespaces["nat"] if self.behind_nat else self.edge
        for namespace, interface in ((self.public, "eth0"), (outer, "outside")):
            rule = f'iifname "{interface}" meta l4proto udp numgen random mod 100 < {percent} drop'
            chain = f"chain in {{ type filter hook prerouting priority -300; {rule}; }}"
            rules = f"table inet loss {{}}\ndelete table inet loss\ntable inet loss {{ {chain}\n}}\n"
            namespace.run(["nft", "-f", "-"], input=rules)

    def clear(self) -> None:
        """End what runs on the hosts, whatever it is doing; the edge goes on."""
        self.public.clear()
        self.private.clear()

    def close(self) -> None:
        for namespace in self._namespaces.values():
            namespace.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- building -----------------------------------------------------------------------------------------------------

    def _open(self, role: str, name: str) -> None:
        self._namespaces[role] = Namespace(name)
        self._netns[role] = NetNS(name)
        self._up(role, "lo")
        self._namespaces[role].sysctl("net.ipv4.ip_forward", "0")

    def _wire(self, routed: bool) -> None:
        outer = "nat" if self.behind_nat else "edge"
        self._link("public", "eth0", outer, "outside")
        self._link("private", "eth0", "edge", "inside")
        self._address("public", "eth0", PUBLIC.host, PUBLIC.host6, *PUBLIC.others)
        self._address(outer, "outside", PUBLIC.edge, PUBLIC.edge6)
        self._address("private", "eth0", PRIVATE.host, PRIVATE.host6, *PRIVATE.others)
        self._address("edge", "inside", PRIVATE.edge, PRIVATE.edge6)
        if self.behind_nat:
            self._link("nat", "toedge", "edge", "outside")
            self._address("nat", "toedge", _NAT_INSIDE)
            self._address("edge", "outside", BEHIND_NAT)
            self._default("edge", _NAT_INSIDE)
            self._translate()
        if routed:
            self.edge.sysctl("net.ipv4.ip_forward", "1")
            self._default("public", PUBLIC.edge)
            self._default("private", PRIVATE.edge)

    def _link(self, here: str, name: str, there: str, peer_name: str) -> None:
        peer = {"ifname": peer_name, "net_ns_fd": self._namespaces[there].name}
        self._netns[here].link("add", ifname=name, kind="veth", peer=peer)
        self._up(here, name)
        self._up(there, peer_name)

    def _index(self, role: str, interface: str) -> int:
        (index,) = self._netns[role].link_lookup(ifname=interface)
        return int(index)

    def _up(self, role: str, interface: str) -> None:
        self._netns[role].link("set", index=self._index(role, interface), state="up")

    def _address(self, role: str, interface: str, *addresses: str) -> None:
        index = self._index(role, interface)
        for address in addresses:
            version = ipaddress.ip_address(address).version
            flags = {"flags": 0x02} if version == 6 else {}  # IFA_F_NODAD
            self._netns[role].addr("add", index=index, address=address, prefixlen=64 if version == 6 else 24, **flags)

    def _default(self, role: str, gateway: str) -> None:
        self._netns[role].route("add", dst="default", gateway=gateway)

    def _translate(self) -> None:
        """What a cloud does: one public address for one inside, ports untouched."""
        nat = self._namespaces["nat"]
        nat.sysctl("net.ipv4.ip_forward", "1")
        inwards = f'iifname "outside" ip daddr {PUBLIC.edge} dnat to {BEHIND_NAT}'
        outwards = f'oifname "outside" ip saddr {BEHIND_NAT} snat to {PUBLIC.edge}'
        rules = f"""table ip one_to_one {{
          chain in {{ type nat hook prerouting priority -100; {inwards}; }}
          chain out {{ type nat hook postrouting priority 100; {outwards}; }}
        }}"""
        nat.run(["nft", "-f", "-"], input=rules)


def end_process(process: subprocess.Popen[bytes], how: signal.Signals = signal.SIGTERM, patience: float = 10.0) -> int:
    """End a child of ours, harder if it does not listen; its return code."""
    if process.poll() is None:
        process.send_signal(how)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()


def wait_until(condition: Callable[[], bool], what: str, timeout: float = 10.0, step: float = 0.02) -> None:
    """Raises AssertionError naming `what` when `condition` has not come true in `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {timeout} s")
        time.sleep(step)


def _remove_stale() -> None:
    """Remove the namespaces of test runs that were killed; their processes died with them."""
    for name in netns.listnetns():
        if (made := re.match(r"sbc(\d+)-", name)) and not Path(f"/proc/{made[1]}").exists():
            with contextlib.suppress(OSError):
                netns.remove(name)
