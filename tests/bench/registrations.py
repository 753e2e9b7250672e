"""What many registered phones cost, and how long they take to come back.

    python -m tests.bench.registrations [--devices 20000] [--rate 100] [--steady 120] [--nat]

Devices (with a flow each, as far as the system allows) register through the SBC with a Kamailio (usrloc) that gets
`--rate` REGISTERs a second at most, and refresh over UDP with a 60 s timer, each at its own time. Prints:

1. how long it takes from an empty SBC until all are registered (they come at once, get 503 and try again as told);
2. CPU time of a refresh, memory of a registration, the answers' delays, and how much of it the PBX sees;
3. how long it takes after kill -9 of the SBC until all are refreshed again, and how many were refused anything;
4. the same after the PBX was gone for a minute.

`--nat`: the devices say private addresses, so that their flows are kept alive as well. Wants root, kamailio, nft, and a
quiet machine; takes some eight minutes as it stands.
"""

from __future__ import annotations

import argparse
import contextlib
import heapq
import re
import resource
import select
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.edge import Edge
from tests.support.kamailio import Kamailio
from tests.support.lab import PRIVATE, PUBLIC, Lab, Namespace, end_process
from tests.support.raw import header_lines, response, status

HERE = Path(__file__).parent
KIB = 1 << 10
TIMER, REFRESH = 60, 51.0
"""Seconds that devices are granted, and after which they refresh."""
SPARE = 500
"""Files that are no flow. Where the system allows fewer flows than devices, some have two users."""
T1, GIVE_UP = 0.5, 32.0
CALL_ID = re.compile(rb"\r\nCall-ID: call-(\d+)")
RETRY_AFTER = re.compile(rb"\r\nRetry-After: (\d+)")
CONFIG = f"""
[zones.public]
address = "{PUBLIC.edge}"
[zones.private]
address = "{PRIVATE.edge}"
[peers.pbx]
address = "{PRIVATE.host}"
[access]
domain = "example.com"
registrar = "pbx"
expires_udp = {TIMER}
rate = %d
"""


class Device:
    """One phone: a socket, its registration, and the request that is under way."""

    __slots__ = ("answered", "begun", "contact", "cseq", "due", "name", "request", "resend", "socket")

    def __init__(self, sock: socket.socket, number: int, nat: bool) -> None:
        self.socket = sock
        self.name = f"{number:06d}"
        host, port = sock.getsockname()
        self.contact = f"192.168.{number // 250 % 250}.{number % 250 + 1}:5060" if nat else f"{host}:{port}"
        self.cseq = 0
        self.request = b""
        self.begun = self.resend = 0.0
        self.due = 0.0
        """When it sends next; entries of the queue for another time do not count."""
        self.answered = 0.0
        """When it was told last that it is registered."""


class Devices:
    """All phones, and what happened to them since `reset`."""

    def __init__(self, namespace: Namespace, count: int, nat: bool) -> None:
        hosts = (PUBLIC.host, *PUBLIC.others)

        def made() -> list[socket.socket]:
            found = []
            for number in range(min(count, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - SPARE)):
                sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
                sock.bind((hosts[number % len(hosts)], 0))
                sock.connect((PUBLIC.edge, 5060))
                found.append(sock)
            return found

        flows = namespace.call(made)
        self.all = [Device(flows[number % len(flows)], number, nat) for number in range(count)]
        self._by_fd = {sock.fileno(): sock for sock in flows}
        self._epoll = select.epoll()
        for fd in self._by_fd:
            self._epoll.register(fd, select.EPOLLIN)
        now = time.monotonic()
        self._queue: list[tuple[float, int]] = []
        for number, device in enumerate(self.all):
            self._plan(device, now + REFRESH * number / count)
        self.reset()

    def reset(self) -> None:
        self.sent = self.good = self.refused = self.lost = self.pings = self.questions = 0
        self.delays: list[float] = []

    def run(self, until: Callable[[], bool], most: float) -> bool:
        """Register, refresh and answer until it is so; False if `most` seconds have not been enough."""
        end, look = time.monotonic() + most, 0.0
        while (now := time.monotonic()) < end:
            if now >= look:
                look = now + 0.25
                if until():
                    return True
            while self._queue and self._queue[0][0] <= now:
                due, number = heapq.heappop(self._queue)
                if due == self.all[number].due:
                    self._due(self.all[number], now)
            for fd, _ in self._epoll.poll(0.01, 256):
                self._receive(self._by_fd[fd])
        return until()

    def _plan(self, device: Device, when: float) -> None:
        device.due = when
        heapq.heappush(self._queue, (when, int(device.name)))

    def _due(self, device: Device, now: float) -> None:
        if not device.request:
            device.cseq += 1
            device.begun, device.resend = now, T1
            device.request = self._register(device)
            self.sent += 1
        elif now - device.begun > GIVE_UP:
            device.request = b""
            self.lost += 1
            self._plan(device, now + 1.0)
            return
        else:
            device.resend = min(2 * device.resend, 4.0)
        self._send(device, device.request)
        self._plan(device, now + device.resend)

    def _send(self, device: Device, data: bytes) -> None:
        with contextlib.suppress(OSError):  # ICMP while nobody listens: sent again like all that is lost
            device.socket.send(data)

    def _register(self, device: Device) -> bytes:
        user = f"<sip:{device.name}@example.com>"
        return (
            f"REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP {device.contact};branch=z9hG4bK{device.name}x"
            f"{device.cseq};rport\r\nFrom: {user};tag=t{device.name}\r\nTo: {user}\r\nCall-ID: call-{device.name}\r\n"
            f"CSeq: {device.cseq} REGISTER\r\nMax-Forwards: 70\r\nContact: <sip:{device.name}@{device.contact}>;"
            f'+sip.instance="<urn:uuid:00000000-0000-0000-0000-000000{device.name}>"\r\nExpires: 3600\r\n'
            "User-Agent: Bench phone 1.0\r\nAllow: INVITE, ACK, BYE, CANCEL, OPTIONS, NOTIFY, REFER\r\n"
            "Content-Length: 0\r\n\r\n"
        ).encode()

    def _receive(self, flow: socket.socket) -> None:
        try:
            data = flow.recv(4096)
        except OSError:
            return
        of = CALL_ID.search(data)
        device = self.all[int(of[1])] if of else None
        if data.startswith(b"OPTIONS"):
            self.questions += 1
            flow.send(response(data, "200 OK", "x"))
        elif not data.startswith(b"SIP/2.0"):
            self.pings += 1
        elif (
            device is not None
            and device.request
            and header_lines(data, "cseq") == [f"CSeq: {device.cseq} REGISTER".encode()]
        ):
            self._answered(device, data)

    def _answered(self, device: Device, data: bytes) -> None:
        code, now = status(data), time.monotonic()
        if code < 200:
            return
        device.request = b""
        wait = REFRESH
        if code == 200:
            self.good += 1
            self.delays.append(now - device.begun)
            device.answered = now
        else:
            self.refused += 1
            told = RETRY_AFTER.search(data)
            wait = float(told[1]) if told else 30.0
        self._plan(device, now + wait)


class Bench:
    """The SBC between the devices and the PBX, and what is read off them."""

    def __init__(self, lab: Lab, wanted: argparse.Namespace) -> None:
        self.lab = lab
        self.pbx = self._start_pbx()
        counting = "chain in { type filter hook input priority 0; udp dport 5060 counter; }"
        lab.private.run(["nft", "-f", "-"], input=f"table inet seen {{ {counting}\n}}\n")
        self.edge = Edge(lab, CONFIG % wanted.rate)
        self.empty = self.edge.memory()
        self.devices = Devices(lab.public, wanted.devices, wanted.nat)

    def _start_pbx(self) -> Kamailio:
        return Kamailio(self.lab, HERE / "registrar.cfg", memory=512)

    def seen_by_pbx(self) -> int:
        """Datagrams that it got so far."""
        found = re.search(r"counter packets (\d+)", self.lab.private.run(["nft", "list", "table", "inet", "seen"]))
        assert found
        return int(found[1])

    def all_back(self, what: str, most: float) -> None:
        """Print how long it takes until each device is told anew that it is registered."""
        devices, begun, seen = self.devices, time.monotonic(), self.seen_by_pbx()
        devices.reset()

        def missing() -> int:
            return sum(device.answered < begun for device in devices.all)

        done = devices.run(lambda: not missing(), most)
        took = time.monotonic() - begun
        print(
            f"{what}: {'all' if done else f'all but {missing()}'} of {len(devices.all)} after {took:.0f} s; "
            f"{devices.refused} refused (503), {devices.lost} without an answer, "
            f"{self.seen_by_pbx() - seen} requests to the PBX",
            flush=True,
        )

    def steady(self, seconds: float) -> None:
        """Print what refreshes cost while nothing happens."""
        devices, edge = self.devices, self.edge
        devices.reset()
        begun, cpu, seen = time.monotonic(), edge.cpu(), self.seen_by_pbx()
        devices.run(lambda: False, seconds)
        took, spent, seen = time.monotonic() - begun, edge.cpu() - cpu, self.seen_by_pbx() - seen
        count, delays = max(devices.good, 1), sorted(devices.delays) or [0.0]
        median, late, latest = delays[len(delays) // 2], delays[int(len(delays) * 0.99)], delays[-1]
        print(f"{devices.good} refreshes in {took:.0f} s, {devices.refused + devices.lost} not answered 200")
        print(f"CPU: {spent / count * 1000:.3f} ms a refresh, {spent / took * 100:.1f} % of one core")
        print(f"delay in ms: median {median * 1000:.1f}, 99 % {late * 1000:.1f}, most {latest * 1000:.0f}")
        print(f"the PBX saw {seen} of them: {seen / count:.2%}")
        print(f"memory: {(edge.memory() - self.empty) / len(devices.all) / KIB:.2f} KiB a registration")
        alive = devices.pings + devices.questions
        print(f"keep-alives: {alive / took:.0f}/s, {devices.questions} of {alive} OPTIONS", flush=True)

    def without_pbx(self, seconds: float) -> None:
        """The PBX is gone for a while, and has forgotten everything when it is back."""
        end_process(self.pbx.process, signal.SIGKILL)
        devices = self.devices
        devices.reset()
        devices.run(lambda: False, seconds)
        print(f"while the PBX was gone: {devices.good} refreshes answered, {devices.refused} refused", flush=True)
        self.pbx = self._start_pbx()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=20_000)
    parser.add_argument("--rate", type=int, default=100, help="REGISTERs a second that the PBX gets at most")
    parser.add_argument("--steady", type=float, default=120.0, help="seconds")
    parser.add_argument("--nat", action="store_true", help="behind NAT")
    wanted = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    patience = 600 + 4 * wanted.devices / wanted.rate
    with Lab() as lab:
        bench = Bench(lab, wanted)
        bench.all_back("from nothing", patience)
        bench.steady(wanted.steady)
        bench.edge.kill_and_start()
        bench.all_back("after kill -9 of the SBC", patience)
        bench.without_pbx(60.0)
        bench.all_back("after a minute without the PBX", patience)
        bench.edge.stop()


if __name__ == "__main__":
    main()
