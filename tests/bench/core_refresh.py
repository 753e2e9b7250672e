"""What a refresh costs in the two cores alone, what a device takes there, and how many refreshes the PBX sees in the
long run: a day of a thousand devices. `python -m tests.bench.core_refresh [--devices 1000] [--hours 24]`

No sockets, no disk. Each device has a flow of its own, is granted 60 s, and comes again after 45 to 55 s. `--profile`
shows where the time goes.
"""

from __future__ import annotations

import argparse
import cProfile
import heapq
import pstats
import random
import re
import time
import tracemalloc

from sbc.b2bua import Access, KeepAlive, Settings
from sbc.sip import Address, Hop, Packet
from tests.bench.core_call import Bench, answer
from tests.bench.fleet import register
from tests.support.world import OUTSIDE, PBX

ACCESS = Access("public", ("example.com",), "pbx", expires_udp=60, rate=10**6, keepalive=KeepAlive.OFF, key=b"site")
_TOKEN = re.compile(rb"Contact: (<sip:[^>]+>)")


class Day:
    """Devices that register and come again, and a PBX that grants them an hour."""

    def __init__(self, devices: int) -> None:
        self.bench = Bench(Settings(access=ACCESS))
        self.random = random.Random(1)
        self.now = 1000.0
        self.hops = [
            Hop("public", "UDP", OUTSIDE, Address(f"198.51.100.{number % 250 + 1}", 10000 + number))
            for number in range(devices)
        ]
        self.cseq = [0] * devices
        self.due = [(self.now + 50.0 * number / devices, number) for number in range(devices)]
        self.refreshes = self.passed = 0

    def one(self) -> None:
        """The next REGISTER, whosever it is."""
        self.now, number = heapq.heappop(self.due)
        heapq.heappush(self.due, (self.now + self.random.uniform(45.0, 55.0), number))
        bench, hop = self.bench, self.hops[number]
        self.cseq[number] += 1
        data = register(number, hop.remote, self.cseq[number], f"z9hG4bK{number}-{self.cseq[number]}")
        bench.out.clear()
        bench.take(Packet(data, hop), self.now)
        self.refreshes += 1
        if bench.out[-1].startswith(b"REGISTER"):
            self.passed += 1
            contact = _TOKEN.search(bench.out[-1])
            assert contact is not None
            response = answer(bench.out[-1], "200 OK", number)
            listed = b"Contact: %s;expires=3600\r\n" % contact[1]
            bench.feed(re.sub(rb"Contact: .*\r\n", listed, response), PBX, self.now)
        assert bench.out[-1].startswith(b"SIP/2.0 200"), bench.out[-1]
        bench.see_to_timers(self.now)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--profile", action="store_true")
    wanted = parser.parse_args()
    day = Day(wanted.devices)
    tracemalloc.start()
    for _ in range(wanted.devices):
        day.one()
    while day.now < 1000.0 + 100.0:  # transactions of the first REGISTERs are over
        day.one()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    print(f"{held / wanted.devices:.0f} octets a device, with its part of the transactions")
    profile = cProfile.Profile() if wanted.profile else None
    day.refreshes = day.passed = 0
    started, ends = time.process_time(), day.now + wanted.hours * 3600.0
    if profile:
        profile.enable()
    while day.now < ends:
        day.one()
    spent = time.process_time() - started
    if profile:
        profile.disable()
        pstats.Stats(profile).sort_stats("tottime").print_stats(45)
    print(f"{spent / day.refreshes * 1e6:.1f} us a refresh in the cores, the devices' own work included")
    print(f"{day.passed} of {day.refreshes} refreshes reached the PBX: {day.passed / day.refreshes:.2%}")


if __name__ == "__main__":
    main()
