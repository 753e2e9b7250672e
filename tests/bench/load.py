"""What no ratio shows: many calls a second, many at once, many in a row.

    python -m tests.bench.load [--rate 300] [--calls 20000] [--standing 1000]

Prints failed calls, CPU time of a call, memory of a call in progress, and memory and tables before and after. Wants
root, SIPp, and a quiet machine; takes some four minutes as it stands.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path

from tests.support.border import PLAIN
from tests.support.edge import Edge
from tests.support.lab import PRIVATE, PUBLIC, Lab
from tests.support.sipp import Sipp

HERE = Path(__file__).parent
KIB, MIB = 1 << 10, 1 << 20
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
    """Many calls, a given number a second; what they cost, and what is left of them."""
    callee = load.callee()
    load.place(500, 100).wait()
    cpu, begun = load.edge.cpu(), time.monotonic()
    caller = load.place(calls, rate)
    memory = []
    while caller.runs():
        time.sleep(10)
        memory.append(load.edge.memory())
    took, spent = time.monotonic() - begun, load.edge.cpu() - cpu
    good, bad = caller.count("Successful call"), caller.count("Failed call")
    print(f"{calls} calls at {rate} calls/s: {good} good, {bad} failed")
    print(f"CPU: {spent / calls * 1000:.3f} ms a call, {spent / took * 100:.0f} % of one core")
    time.sleep(LINGER)
    memory.append(load.edge.memory())
    print("memory every ten seconds, then at rest: " + " ".join(f"{each / MIB:.1f}" for each in memory) + " MiB")
    callee.stop()


def at_once(load: Load, calls: int) -> None:
    """Many calls in progress at the same time; the memory that each one takes."""
    callee = load.callee()
    load.place(20, 10).wait()
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
    measures = (partial(at_once, calls=wanted.standing), partial(in_a_row, calls=wanted.calls, rate=wanted.rate))
    for measure in measures:
        with Lab() as lab:
            load = Load(lab)
            measure(load)
            load.edge.stop()
            print("in use: " + ", ".join(f"{name} {size}" for name, size in load.edge.table_sizes().items()))


if __name__ == "__main__":
    main()
