"""What many registered phones cost, and how long they take to come back.

    python -m tests.bench.registrations [--devices 20000] [--rate 100] [--minutes 3] [--nat]

Phones (`fleet`; each with a flow of its own, as far as the system allows) register by digest, through the SBC, with a
Kamailio that gets `--rate` REGISTERs a second at most. They are granted 60 s, and refresh after 45 to 54 s. Prints:

1. how long it takes until all are registered, when all come at once to an SBC and a PBX that know nobody;
2. CPU time of a refresh, memory of a registration, and how much of it all the PBX sees;
3. how long it takes after kill -9 of the SBC until all are refreshed, and whether calls from the PBX reach phones that
   have done nothing since;
4. what becomes of the phones while the PBX is away for a minute, and how long it takes until it knows all of them
   again, having forgotten them.

With `--nat` the phones are behind two routers that forget a mapping after 30 s, and in place of 3 and 4 it prints what
it costs to keep their flows alive, and how many of all phones a call reaches: with keep-alives, and then without.

Ends with 1 if a phone was lost, a refresh got no 200, or a call did not arrive. `--minutes 60` is an hour of refreshes
on real sockets. Wants root, kamailio, nft and two quiet processors; takes a quarter
of an hour as it stands, and never more than an hour.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import resource
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench.fleet import DOMAIN, EXPIRES, Fleet, user
from tests.support.edge import Edge
from tests.support.kamailio import Kamailio
from tests.support.lab import PRIVATE, PUBLIC, Lab
from tests.support.nat import PHONES, Home, Kind
from tests.support.raw import header_lines, request, status

HERE = Path(__file__).parent
KIB = 1 << 10
SPARE = 500
"""Files that are no flow. Where the system allows fewer flows than phones, some have two."""
AWAY = 60.0
"""Seconds that the PBX is away."""
CALLED = 20
"""Phones that are called after kill -9."""
CONFIG = f"""
[zones.public]
address = "{PUBLIC.edge}"
[zones.private]
address = "{PRIVATE.edge}"
[peers.pbx]
address = "{PRIVATE.host}"
[access]
domain = "{DOMAIN}"
registrar = "pbx"
expires_udp = {EXPIRES}
rate = %d
"""
RULES = """table inet seen {
  chain in { type filter hook input priority 0; udp dport 5060 @th,64,32 0x52454749 counter; }
}
"""
"""Counts what begins with "REGI", behind the eight octets of UDP's own header."""


class Bench:
    """The SBC between the fleet and the PBX, and what is read off them."""

    def __init__(self, lab: Lab, wanted: argparse.Namespace) -> None:
        self.lab, self.size = lab, int(wanted.devices)
        self.patience = 300.0 + 4.0 * self.size / wanted.rate
        self.faults: list[str] = []
        self.pbx = self._start_pbx()
        lab.private.run(["nft", "-f", "-"], input=RULES)
        self.edge = Edge(lab, CONFIG % wanted.rate)
        self.empty = self.edge.memory()
        cpu = self.edge.cpu()
        time.sleep(10.0)
        self.idle = (self.edge.cpu() - cpu) / 10.0
        self.home = self._home() if wanted.nat else None
        self.fleet = Fleet(self.size, self._flows(), (PUBLIC.edge, 5060))

    def _start_pbx(self) -> Kamailio:
        return Kamailio(self.lab, HERE / "registrar.cfg", memory=512)

    def _home(self) -> Home:
        """Two routers, as one namespace: each address of the LAN has another one outside."""
        first, second = PUBLIC.others
        outside = f"snat to ip saddr map {{{{ {PHONES[0]} : {first}, {PHONES[1]} : {second} }}}}"
        home = Home(self.lab, Kind("two routers", "endpoint", "address and port", True, outside), public=first)
        self.lab.public.run(["nft", "add", "rule", "ip", "home", "here", "ip", "daddr", second, "drop"])
        return home

    def _flows(self) -> list[socket.socket]:
        hosts = PHONES if self.home is not None else (PUBLIC.host, *PUBLIC.others)
        namespace = self.home.phones if self.home is not None else self.lab.public

        def made() -> list[socket.socket]:
            found = []
            for number in range(min(self.size, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - SPARE)):
                flow = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
                flow.bind((hosts[number % len(hosts)], 0))
                found.append(flow)
            return found

        return namespace.call(made)

    def close(self) -> None:
        self.fleet.close()
        self.edge.stop()
        if self.home is not None:
            self.home.close()

    def seen_by_pbx(self) -> int:
        """REGISTERs that it got so far."""
        found = re.search(r"counter packets (\d+)", self.lab.private.run(["nft", "list", "table", "inet", "seen"]))
        assert found
        return int(found[1])

    def tell(self, what: str, *, fault: bool = False) -> None:
        print(what, flush=True)
        if fault:
            self.faults.append(what)

    def wait(self, done: Callable[[], bool], most: float) -> float:
        """Seconds until it is so, or `most`."""
        begun = time.monotonic()
        while not done() and time.monotonic() - begun < most:
            time.sleep(0.25)
        return time.monotonic() - begun

    def memory(self) -> str:
        return f"{(self.edge.memory() - self.empty) / self.size / KIB:.2f} KiB a registration"

    def story(self) -> str:
        """What happened to the phones since their counters were cleared."""
        return ", ".join(f"{count} {name}" for name, count in sorted(self.fleet.counts.items()))

    # -- phases --------------------------------------------------------------------------------------------------------

    def come_at_once(self) -> None:
        fleet, seen, cpu = self.fleet, self.seen_by_pbx(), self.edge.cpu()
        fleet.begin(self.size / EXPIRES)
        took = self.wait(lambda: fleet.answered_since(1.0) == self.size, self.patience)
        there = fleet.answered_since(1.0)
        passed = self.seen_by_pbx() - seen
        self.tell(
            f"from nothing: {there} of {self.size} after {took:.0f} s, {passed / took:.0f} REGISTERs/s to the PBX"
        )
        self.tell(f"  {self.story()}; CPU {(self.edge.cpu() - cpu) / took:.1%} of one core; {self.memory()}")
        if there < self.size:
            self.tell(f"{self.size - there} phones never registered; {fleet.last_refusal()}", fault=True)

    def refresh(self, seconds: float) -> None:
        fleet, edge = self.fleet, self.edge
        time.sleep(EXPIRES)  # until what the beginning has left is over
        fleet.counts.clear()
        begun, cpu, seen = time.monotonic(), edge.cpu(), self.seen_by_pbx()
        time.sleep(seconds)
        took, spent, counts = time.monotonic() - begun, edge.cpu() - cpu, dict(fleet.counts)
        done = max(counts.get("answered", 0), 1)
        self.tell(f"{done} refreshes answered in {took:.0f} s: {self.story()}")
        self.tell(f"  CPU {(spent - self.idle * took) / done * 1000:.3f} ms a refresh, {spent / took:.1%} of one core")
        self.tell(f"  {self.memory()}; the PBX saw {(self.seen_by_pbx() - seen) / done:.2%} of them")
        self._none_lost("while nothing happened")

    def _none_lost(self, when: str) -> None:
        fleet = self.fleet
        wrong = {name: fleet.counts[name] for name in ("unanswered", "refused", "turned away") if fleet.counts[name]}
        lapsed = fleet.lapsed()
        if wrong or lapsed:
            self.tell(f"{when}: {lapsed} phones are not registered, {wrong}; {fleet.last_refusal()}", fault=True)

    def kill(self) -> None:
        """kill -9 of the SBC."""
        fleet = self.fleet
        fleet.counts.clear()
        killed = time.monotonic()
        self.edge.kill_and_start()
        ready = time.monotonic() - killed
        self._call(killed)
        back = time.monotonic()
        took = self.wait(lambda: fleet.answered_since(killed) == self.size, self.patience) + back - killed
        there = fleet.answered_since(killed)
        self.tell(
            f"after kill -9: it answers after {ready:.1f} s, {there} of {self.size} are refreshed after {took:.0f} s"
        )
        self.tell(f"  {self.story()}; {self.memory()}")
        self._none_lost("after kill -9")

    def _call(self, killed: float) -> None:
        """The PBX calls phones whose next refresh is not near."""
        now = time.monotonic()
        silent = [each for each in self.fleet.devices if not each.data and each.at > now + 15.0][:CALLED]
        local = (PRIVATE.others[0], 5070)
        reached = 0
        with self.lab.private.udp(local) as caller:
            caller.settimeout(5.0)
            for device in silent:
                caller.sendto(request("INVITE", f"sip:{user(device.number)}@{DOMAIN}", local), (PRIVATE.host, 5060))
                try:
                    while status(answer := caller.recv(65535)) < 200:
                        pass
                except TimeoutError:
                    continue
                reached += status(answer) == 486 and device.invited > killed and device.asked < killed
        self.tell(
            f"  {reached} of {len(silent)} calls reached phones that had done nothing since", fault=reached < CALLED
        )

    def behind_nat(self, seconds: float) -> None:
        """What keep-alives cost, and what they are good for."""
        spent = [self._kept(seconds, "with keep-alives", True)]
        self.edge.config.write_text(self.edge.config.read_text() + 'keepalive = "off"\n')
        self.edge.stop()
        self.edge.kill_and_start()
        spent.append(self._kept(seconds, "without them", False))
        self.tell(f"  keep-alives: {(spent[0] - spent[1]) * 1000:.2f} ms of CPU a second for {self.size} phones")

    def _kept(self, seconds: float, how: str, all_are_reached: bool) -> float:
        """CPU time of the SBC in a second."""
        fleet, edge = self.fleet, self.edge
        time.sleep(EXPIRES + 30.0)
        fleet.counts.clear()
        begun, cpu = time.monotonic(), edge.cpu()
        time.sleep(seconds)
        took, spent = time.monotonic() - begun, edge.cpu() - cpu
        self.tell(f"{how}: {self.story()} in {took:.0f} s; CPU {spent / took:.1%} of one core")
        self._none_lost(how)
        reached = self._call_all()
        self.tell(f"  {reached} of {self.size} reached by a call", fault=all_are_reached and reached < self.size)
        return spent / took

    def _call_all(self) -> int:
        """The PBX calls each phone once, a hundred in a second. How many of them heard of it."""
        begun, local = time.monotonic(), (PRIVATE.others[0], 5071)
        with self.lab.private.udp(local) as caller:
            caller.setblocking(False)
            for device in self.fleet.devices:
                uri = f"sip:{user(device.number)}@{DOMAIN}"
                caller.sendto(request("INVITE", uri, local), (PRIVATE.host, 5060))
                time.sleep(0.01)
                self._acknowledge(caller)
            self.wait(lambda: self._acknowledge(caller) or self._reached(begun) == self.size, 10.0)
        return self._reached(begun)

    def _reached(self, since: float) -> int:
        return sum(device.invited >= since for device in self.fleet.devices)

    def _acknowledge(self, caller: socket.socket) -> bool:
        """Take what waits, and have refusals not repeated. Always False."""
        with contextlib.suppress(BlockingIOError):
            while True:
                answer = caller.recv(65535)
                if status(answer) >= 300:
                    kept = header_lines(answer, "via", "from", "to", "call-id")
                    ack = [f"ACK sip:{DOMAIN} SIP/2.0".encode(), *kept, b"CSeq: 1 ACK", b"Content-Length: 0", b"", b""]
                    caller.sendto(b"\r\n".join(ack), (PRIVATE.host, 5060))
        return False

    def lose_pbx(self) -> None:
        """The PBX goes, and comes back without knowing anybody."""
        fleet = self.fleet
        fleet.counts.clear()
        self.pbx.stop()
        time.sleep(AWAY)
        self.tell(f"the PBX was away for {AWAY:.0f} s: {self.story()}; {fleet.lapsed()} phones not registered")
        self.pbx, seen = self._start_pbx(), self.seen_by_pbx()
        took = self.wait(lambda: self.pbx.count("usrloc.registered_users") == self.size, self.patience)
        known, passed = self.pbx.count("usrloc.registered_users"), self.seen_by_pbx() - seen
        self.tell(f"{known} of {self.size} known to it after {took:.0f} s, {passed / took:.0f} REGISTERs/s to it")
        self.tell(f"  {self.story()}", fault=known < self.size)
        self._none_lost("with the PBX away and back")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=20_000)
    parser.add_argument("--rate", type=int, default=100, help="REGISTERs a second that the PBX gets at most")
    parser.add_argument("--minutes", type=float, default=3.0, help="of refreshes while nothing happens")
    parser.add_argument("--nat", action="store_true", help="behind NAT: what keep-alives cost, and bring")
    wanted = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with Lab() as lab:
        bench = Bench(lab, wanted)
        bench.come_at_once()
        if wanted.nat:
            bench.behind_nat(wanted.minutes * 60.0)
        else:
            bench.refresh(wanted.minutes * 60.0)
            bench.kill()
            bench.lose_pbx()
        bench.close()
    sys.exit(bool(bench.faults))


if __name__ == "__main__":
    main()
