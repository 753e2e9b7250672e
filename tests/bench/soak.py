"""Half an hour of everything at once: mixed calls at a third of full load, and what is left of them.

    python -m tests.bench.soak [--minutes 30] [--rate 100] [--growth 12]

Tells memory of each process and CPU time every minute; at the end, how many calls succeeded, failed as intended, and
failed. The exit code is 1 if a call failed that should not have, if the SBC had trouble or its tables are not empty, or
if its memory grew by more than `--growth` MiB from a sixth of the time (minute 5 of 30) to the last minute of load.

Full load is 300 calls a second (`tests.bench.load`). Wants root, SIPp, and a machine with nothing else to do: to SIPp
much of what is sent again is a failure, so that a machine that stands still for half a second fails calls. It says when
that happens.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from tests.support import sipp_calls
from tests.support.border import ZONES, peer
from tests.support.edge import Edge
from tests.support.lab import PRIVATE, PUBLIC, Lab
from tests.support.sipp import SCENARIOS, Sipp
from tests.support.sipp_calls import (
    AS_RE_INVITE,
    BUSY,
    RELIABLE,
    RELIABLE_ANSWER,
    RINGS_AND_IS_CANCELLED,
    TIMED,
    TIMED_ANSWER,
)

MIB = 1 << 20
LINGER = 45
"""Seconds after which nothing waits any more: 64 * T1, and the subscription of a transfer."""


def _talking(calls: str, talk: str = "1 s") -> str:
    return calls.replace("0.2 s", talk)


CALL = _talking(sipp_calls.CALL)
ANSWER = sipp_calls.ANSWER.replace("-> 180", "-> 180\n    0.2 s")
REFUSED = "-> INVITE sdp\n<- 100 maybe\n<- 180 maybe\n<- 486\n-> ACK"
RINGS_AND_REFUSES = BUSY.replace("-> 486", "-> 180\n    -> 486")
GIVES_UP = """
    -> INVITE sdp
    <- 100 maybe
    <- 180
    0.5 s
    -> CANCEL
    <- 200 CANCEL
    <- 487
    -> ACK
"""
LATE_OFFER = CALL.replace("INVITE sdp", "INVITE").replace("-> ACK", "-> ACK sdp")
UPDATED = sipp_calls.UPDATED.replace("0.1 s", "0.5 s")


class Flow(NamedTuple):
    """One kind of call. Scenarios are scripts (`tests.support.script`) or names of files of tests/scenarios/sipp."""

    name: str
    share: int
    """Of a hundred calls."""
    caller: str
    callees: tuple[str, ...]
    values: tuple[tuple[str, object], ...] = ()
    """What the caller's file wants; `callee_values` what those of the callees want."""
    callee_values: tuple[tuple[str, object], ...] = ()
    together: bool = False
    """The callees ring at the same time, not one after the other."""
    fails: bool = False
    """Its calls are not answered, and are not to be."""
    apart: int = 0
    """So many of the callees, the last ones, have a number of their own."""


SPEAKS = "caller_speaks"
TRANSFER_TO = "{elsewhere}"
FLOWS = (
    Flow("plain", 38, CALL, (ANSWER,)),
    Flow("with RTP", 5, SPEAKS, ("callee",), (("talk", 2000), ("audio", "{audio}")), (("delay", 50),)),
    Flow("hold and resume", 8, "caller_holds", ("callee_is_held",)),
    Flow("refused", 8, REFUSED, (RINGS_AND_REFUSES,), fails=True),
    Flow("cancelled", 6, GIVES_UP, (RINGS_AND_IS_CANCELLED,), fails=True),
    Flow("busy, the next target answers", 8, CALL, (BUSY, ANSWER)),
    Flow("find me", 4, CALL, (RINGS_AND_IS_CANCELLED, ANSWER), together=True),
    Flow("100rel", 7, _talking(RELIABLE), (RELIABLE_ANSWER,)),
    Flow("late offer", 4, LATE_OFFER, (ANSWER.replace("<- ACK", "<- ACK sdp"),)),
    Flow("UPDATE into re-INVITE", 4, UPDATED, (AS_RE_INVITE,)),
    Flow(
        "transfer done here", 4, "caller_transfers", ("callee", "callee_hangs_up"),
        (("refer_to", TRANSFER_TO), ("final", 200)), (("delay", 100),), apart=1,
    ),
    Flow("session timers", 4, TIMED, (TIMED_ANSWER,)),
)  # fmt: skip
HEAD = f"""
[calls]
session_expires = 6
min_session_expires = 3
failover_statuses = [408, 486, 500, 502, 503, 504]
[records]
max_size = "256M"
{ZONES}"""


def numbers(index: int, flow: Flow) -> list[tuple[str, list[int]]]:
    """The numbers that this flow calls, each with the places of its callees."""
    first = len(flow.callees) - flow.apart
    own = [(f"{100 + index}9", list(range(first, len(flow.callees))))] if flow.apart else []
    return [(f"{100 + index}0", list(range(first))), *own]


def configuration(flows: Iterable[Flow]) -> str:
    text = HEAD
    for index, flow in enumerate(flows):
        for place in range(len(flow.callees)):
            text += peer(f"p{index}-{place}", f"{PRIVATE.host}:{_port(index, place)}")
    for index, flow in enumerate(flows):
        for number, places in numbers(index, flow):
            names = ", ".join(f'"p{index}-{place}"' for place in places)
            to = f"[[{names}]]" if flow.together else f"[{names}]"
            text += f'[[routes]]\nfrom = "public"\nnumber = "{number}"\nto = {to}\n'
    return text


def _port(index: int, place: int) -> int:
    return 5100 + 10 * index + place


def _media_port(index: int, place: int) -> int:
    return 30000 + 200 * index + 20 * place


class Soak:
    """All callers and callees of the flows, around one SBC; no capture."""

    def __init__(self, lab: Lab, rate: float, seconds: float) -> None:
        self.lab, self._rate, self._timeout = lab, rate, seconds + 600
        self.edge = Edge(lab, configuration(FLOWS))
        self._folder = lab.edge.directory()
        audio = self._folder / "audio.raw"
        audio.write_bytes(bytes(range(256)) * 400)
        self._filled = {"{audio}": audio}
        self.callees = [
            self._callee(index, place) for index, flow in enumerate(FLOWS) for place in range(len(flow.callees))
        ]
        self.callers = {flow: self._caller(index, flow) for index, flow in enumerate(FLOWS)}

    def _values(
        self, scenario: str, values: tuple[tuple[str, object], ...], filled: dict[str, object]
    ) -> dict[str, object]:
        text = "" if "\n" in scenario else (SCENARIOS / f"{scenario}.xml").read_text()
        return {name: filled.get(str(value), value) for name, value in values if f"%{name}%" in text}

    def _callee(self, index: int, place: int) -> Sipp:
        flow = FLOWS[index]
        scenario = flow.callees[place]
        return Sipp(
            self.lab.private, scenario, PRIVATE.host, _port(index, place), calls=10**9, timeout=self._timeout,
            trace=False, replace=self._values(scenario, flow.callee_values, {}),
            extra=("-mp", str(_media_port(index, place)), *(("-rtp_echo",) if flow.caller == SPEAKS else ())),
        )  # fmt: skip

    def _caller(self, index: int, flow: Flow) -> Sipp:
        dialled, *elsewhere = [f"sip:{number}@{PUBLIC.edge}" for number, _ in numbers(index, flow)]
        filled = {**self._filled, TRANSFER_TO: elsewhere[0] if elsewhere else ""}
        period = round(1000 * 100 / self._rate)  # ms in which a hundred calls of all kinds begin
        return Sipp(
            self.lab.public, flow.caller, PUBLIC.host, _port(index, 0), target=f"{PUBLIC.edge}:5060", calls=10**9,
            timeout=self._timeout, trace=False, dialled=dialled, replace=self._values(flow.caller, flow.values, filled),
            extra=("-r", str(flow.share), "-rp", str(period), "-l", "5000", "-mp", str(_media_port(index, 0))),
        )  # fmt: skip

    def end(self) -> None:
        """No new calls; those in progress go to their end."""
        for party in (*self.callers.values(), *self.callees):
            party.finish()


class StandStills(threading.Thread):
    """Tells when this machine did not let us run for a while."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.longest = 0.0

    def run(self) -> None:
        while True:
            before = time.monotonic()
            time.sleep(_BLINK)
            late = time.monotonic() - before - _BLINK
            self.longest = max(self.longest, late)
            if late > _NOTICEABLE:
                print(f"the machine stood still for {late:.1f} s", flush=True)


_BLINK, _NOTICEABLE = 0.05, 0.3


def watched(soak: Soak, minutes: float) -> list[dict[str, int]]:
    """Memory of each process at the end of every minute, told as it is measured."""
    measured: list[dict[str, int]] = []
    begun, cpu = time.monotonic(), soak.edge.cpu()
    count = max(2, round(minutes))
    pause = minutes * 60 / count
    for number in range(1, count + 1):
        time.sleep(max(0.0, begun + number * pause - time.monotonic()))
        memory, spent = soak.edge.memories(), soak.edge.cpu()
        told = ", ".join(f"{name} {size / MIB:.1f} MiB" for name, size in memory.items())
        print(
            f"{number * pause / 60:5.1f} min: {told}; CPU {(spent - cpu) / pause * 100:.0f} % of one core", flush=True
        )
        measured.append(memory)
        cpu = spent
        ended = [flow.name for flow, party in soak.callers.items() if not party.runs()]
        if ended:
            print(f"callers that have ended before their time: {', '.join(ended)}")
            break
    return measured


def grown(measured: list[dict[str, int]], bound: float) -> list[str]:
    """Processes that grew by more than `bound` MiB from a sixth of the time to its end, or were replaced."""
    early, late = measured[len(measured) // 6], measured[-1]
    faults = [f"{name} is gone, or another one" for name in early.keys() ^ late.keys()]
    for name in early.keys() & late.keys():
        growth = (late[name] - early[name]) / MIB
        print(f"{name} grew by {growth:.1f} MiB (bound {bound:.0f})")
        if growth > bound:
            faults.append(f"{name} grew by {growth:.1f} MiB")
    return faults


def first_trouble(party: Sipp) -> str:
    """The first that SIPp complains of, without what it always does."""
    said = re.split(r"(?=\d{4}-\d\d-\d\d\t)", party.errors())
    return "".join([line for line in said if "Cannot record route set" not in line][:4])[:4000]


def counted(soak: Soak) -> list[str]:
    """What became of the calls, told; those that failed although they should not have."""
    faults = []
    total = {True: 0, False: 0}
    for flow, party in soak.callers.items():
        good, bad = party.count("Successful call"), party.count("Failed call")
        print(f"{flow.name}: {good} {'refused or cancelled as intended' if flow.fails else 'good'}, {bad} failed")
        total[flow.fails] += good
        if bad or not good:
            faults.append(f"{flow.name}: {bad} calls failed, {good} went as they should\n{first_trouble(party)}")
    for party in soak.callees:
        bad = party.count("Failed call")
        if bad:
            faults.append(f"callee {Path(party.scenario).name}: {bad} calls failed\n{first_trouble(party)}")
    print(f"in all {total[False]} calls good, {total[True]} failed as intended, {len(faults)} kinds with others")
    return faults


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--rate", type=float, default=100, help="calls a second, all kinds together")
    parser.add_argument("--growth", type=float, default=12, help="MiB that a process may grow")
    wanted = parser.parse_args()
    os.nice(-10)
    still = StandStills()
    still.start()
    with Lab() as lab:
        soak = Soak(lab, wanted.rate, wanted.minutes * 60)
        measured = watched(soak, wanted.minutes)
        soak.end()
        faults = counted(soak) + grown(measured, wanted.growth)
        time.sleep(LINGER)
        at_rest = ", ".join(f"{name} {size / MIB:.1f} MiB" for name, size in soak.edge.memories().items())
        print(f"at rest: {at_rest}")
        try:
            soak.edge.stop()
        except AssertionError as trouble:
            faults.append(f"the SBC had trouble: {str(trouble)[-3000:]}")
        left = {name: size for name, size in soak.edge.table_sizes().items() if size}
        if left:
            faults.append(f"tables are not empty: {left}")
    print(f"the machine never stood still for more than {still.longest:.2f} s")
    print("\n".join(["", *faults]) if faults else "tables empty, no call failed that should not have")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
