"""What no ratio shows: many calls a second, many at once, many in a row.

    python -m tests.bench.load [--rate 300] [--calls 20000] [--standing 1000]

Prints failed calls, CPU time of a call, memory of a call in progress, and memory and tables before and after. Wants
root, SIPp, and a quiet machine; takes some four minutes as it stands.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from tests.support.border import PLAIN
from tests.support.edge import Edge
from tests.support.lab import PRIVATE, PUBLIC, Lab
from tests.support.sipp import Sipp

HERE = Path(__file__).parent
KIB = 1024
CONFIG = "[media]\nsilence = 0\n" + PLAIN
LINGER = 35
"""Seconds after which nothing waits for retransmissions any more (64 * T1 = 32 s)."""


class Load:
    """An SBC between SIPp and SIPp; no capture."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.edge = lab, Edge(lab, CONFIG)

    def callee(self) -> Sipp:
        return Sipp(
            self.lab.private, str(HERE / "uas"), PRIVATE.host, 5060, calls=10**9, timeout=100_000, trace=False
        )  # fmt: skip

    def place(self, calls: int, rate: int, scenario: str = "uac") -> Sipp:
        return Sipp(
            self.lab.public, str(HERE / scenario), PUBLIC.host, 5070, target=f"{PUBLIC.edge}:5060", calls=calls,
            timeout=calls / rate + 60, trace=False, extra=("-r", str(rate), "-l", "100000"),
        )  # fmt: skip


def in_a_row(load: Load, calls: int, rate: int) -> None:
    """Many calls, a given number a second; what is left of them."""
    callee = load.callee()
    warm = load.place(500, 100)
    warm.wait()
    time.sleep(LINGER)
    before, cpu, begun = load.edge.memory(), load.edge.cpu(), time.monotonic()
    caller = load.place(calls, rate)
    ended = caller.ended()
    took, spent = time.monotonic() - begun, load.edge.cpu() - cpu
    good, bad = caller.count("Successful call"), caller.count("Failed call")
    print(f"{calls} calls at {rate} calls/s in {took:.0f} s: {good} good, {bad} failed (SIPp ended with {ended})")
    print(f"CPU: {spent / calls * 1000:.3f} ms a call, {spent / took * 100:.0f} % of one core")
    time.sleep(LINGER)
    after = load.edge.memory()
    print(f"memory at rest: {before // KIB} KiB after 500 calls, {after // KIB} KiB after {calls} more")
    callee.stop()


def at_once(load: Load, calls: int) -> None:
    """Many calls in progress at the same time; the memory that each one takes."""
    callee = load.callee()
    before = load.edge.memory()
    caller = load.place(calls, 100, "uac_stays")
    time.sleep(calls / 100 + LINGER)
    during = load.edge.memory()
    print(f"{calls} calls in progress: {(during - before) / calls / KIB:.1f} KiB each")
    caller.stop()
    callee.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=300, help="calls a second")
    parser.add_argument("--calls", type=int, default=20_000, help="calls in a row")
    parser.add_argument("--standing", type=int, default=1000, help="calls in progress at once")
    wanted = parser.parse_args()
    with Lab() as lab:
        load = Load(lab)
        in_a_row(load, wanted.calls, wanted.rate)
        at_once(load, wanted.standing)
        load.edge.stop()
        print("tables at the end: " + ", ".join(f"{name} {size}" for name, size in load.edge.table_sizes().items()))


if __name__ == "__main__":
    main()
