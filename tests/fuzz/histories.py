"""Many random call histories, one after the other: what they have in common, how they run, and what is said of them.

    python -m tests.fuzz.two_legs COUNT FIRST_SEED
    python -m tests.fuzz.polite COUNT FIRST_SEED

run the histories of COUNT seeds from FIRST_SEED (0) on: progress every ten seconds, each bad seed with its faults, and
a summary at the end. The exit code is 1 if any was bad. A history of one seed is always the same: `... 1 SEED` plays it
again. One core runs some 200 a second, so that 200,000 take a quarter of an hour; two cores run two with seeds of their
own.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Protocol

from tests.support.conduct import Conduct
from tests.support.hiding import leaks
from tests.support.world import INSIDE, OUTSIDE, OUTSIDE6, Edge, Events, Wires

_MOST_PRINTED = 50
"""Bad seeds whose faults are printed; more are counted."""
_PAUSE = 10.0


class History(Protocol):
    """A world drawn from a seed, at its beginning."""

    events: Events
    edge: Edge
    network: Wires
    conduct: Conduct

    def faults(self) -> list[str]:
        """What only this kind of history looks at, when it is over."""
        ...


def played(history: History, most_steps: int, horizon: float) -> list[str]:
    """Play it to its end, which must come within `most_steps` events; nothing happens after `horizon` seconds. What is
    wrong with it."""
    for _ in range(most_steps):
        if not history.events.step(horizon):
            break
    else:
        return ["it never ends"]
    faults = [f"{name} left: {size}" for name, size in history.edge.left_over().items()]
    faults += [f"leaked: {token}" for token in leaks(history.network.sent, (OUTSIDE, OUTSIDE6), INSIDE)]
    return faults + history.conduct.end() + history.faults()


def tried(play: Callable[[int], list[str]], seed: int) -> list[str]:
    """What is wrong with the history of this seed, exceptions included."""
    try:
        return play(seed)
    except Exception as error:
        trace = "".join(traceback.format_tb(error.__traceback__)[-6:])
        return [f"{type(error).__name__}: {error}\n{trace}"]


def _bad(run: Callable[[int], list[str]], first: int, count: int) -> Iterator[tuple[int, list[str]]]:
    """The seeds that are bad, as they are found; progress is printed."""
    begun = said = time.monotonic()
    for done, seed in enumerate(range(first, first + count), 1):
        faults = run(seed)
        if faults:
            yield seed, faults
        now = time.monotonic()
        if now >= said + _PAUSE:
            said = now
            print(f"{done} of {count}: {done / (now - begun):.0f} a second", flush=True)
    took = max(time.monotonic() - begun, 1e-9)
    print(f"{count} histories of the seeds {first} to {first + count - 1} in {took:.0f} s, {count / took:.0f} a second")


def main(run: Callable[[int], list[str]]) -> None:
    """The command line of a module with histories."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    bad = 0
    kinds: Counter[str] = Counter()
    for seed, faults in _bad(run, first, count):
        bad += 1
        kinds.update({fault.partition(":")[0].partition("\n")[0] for fault in faults})
        if bad <= _MOST_PRINTED:
            print(seed, *faults, sep="\n  ", flush=True)
    for kind, times in kinds.most_common():
        print(f"{times} times: {kind}")
    print(f"{bad} bad" if bad else "all clean")
    sys.exit(bool(bad))
