"""A lab with the SBC in it, and a watch on both links: what a scenario needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self

from tests.support.capture import Capture, Frame, payloads
from tests.support.edge import Edge
from tests.support.lab import BEHIND_NAT, PRIVATE, PUBLIC, Lab, wait_until
from tests.support.leaks import Token, address_tokens, foreign_addresses, sightings, tokens_of
from tests.support.sipp import Sipp

ZONES = f"""
[zones.public]
address = "{PUBLIC.edge}"
[zones.private]
address = "{PRIVATE.edge}"
"""


def peer(name: str, address: str, *more: str) -> str:
    """Part of a configuration: an element of the private side; `more` are further lines of it."""
    lines = (f"[peers.{name}]", 'zone = "private"', f'address = "{address}"', *more)
    return "\n".join(lines) + "\n"


def calls_to(number: str, *to: str, more: str = "") -> str:
    """Part of a configuration: calls from outside to `number` (any, if empty) go to these peers, or URIs, one after the
    other; `more` are further lines of it."""
    lines = ("[[routes]]", 'from = "public"', *([f'number = "{number}"'] if number else []), f"to = {list(to)}", more)
    return "\n".join(lines) + "\n"


PBX = peer("pbx", PRIVATE.host)
PLAIN = ZONES.replace(f'"{PUBLIC.edge}"', f'["{PUBLIC.edge}", "{PUBLIC.edge6}"]') + PBX
"""The smallest configuration that a border has."""


class _Watch:
    """Looks on one link for what names the other side. What to look for gathers, so that a late packet of an earlier
    call is recognised as well."""

    def __init__(self, addresses: Iterable[str], allowed: Iterable[str], networks: Iterable[str]) -> None:
        self._tokens: set[Token] = address_tokens(addresses)
        self._innocent: set[Token] = set()
        self._allowed = tuple(allowed)
        self._networks = tuple(networks)

    def leaks(self, hidden: list[Frame], shown: list[Frame]) -> list[str]:
        """What of the frames of the `hidden` link shows on the other, in words."""
        self._tokens |= tokens_of(hidden, self._allowed)
        seen = sightings(shown, self._tokens - self._innocent)
        self._innocent |= {sighting.token for sighting in seen if not sighting.is_leak}
        found = [str(sighting) for sighting in seen if sighting.is_leak]
        return found + [f"{address} in an IP header" for address in foreign_addresses(shown, self._networks)]


class Border:
    """Public side, SBC, private side. The captures begin before the SBC does.

    `start` puts it into the lab; left out: as it stands here, with `config`."""

    def __init__(self, config: str = PLAIN, *, nat: bool = False, start: Callable[[Lab], Edge] | None = None) -> None:
        self.lab = Lab(nat=nat)
        self._captures: list[Capture] = []
        self._taken: list[Frame] = []
        try:
            self._public, self._private = Capture(self.lab.public), Capture(self.lab.private)
            self._captures = [self._public, self._private]
            self.edge = start(self.lab) if start else Edge(self.lab, config)
        except BaseException:
            self._close()
            raise
        self._outside = _Watch((*PRIVATE.addresses(), BEHIND_NAT), PUBLIC.names(), [PRIVATE.network])
        self._inside = _Watch(PUBLIC.names(), PRIVATE.addresses(), [PUBLIC.network])

    def leaks(self) -> list[str]:
        """What showed of the private side on the public link since the last time, in words."""
        taken, self._taken = self._taken + self._private.take(), []
        return self._outside.leaks(taken, self._public.take())

    def sent_inside(self) -> bytes:
        """All that the SBC has sent on the private link since the last look for leaks, in lower case."""
        self._taken += self._private.take()
        return b"\n".join(payload.data for payload in payloads(self._taken) if not payload.by_host).lower()

    def leaks_inwards(self) -> list[str]:
        """What showed of the public side on the private link since the last time: for zones that are both hidden."""
        return self._inside.leaks(self._public.take(), self._private.take())

    def record(self, caller: Sipp, number: int = 1) -> dict[str, Any]:
        """The record of the call that `caller` placed, once it has ended. Raises AssertionError if there is none."""
        return self.record_where(lambda record: record["a"]["call_id"] == caller.call_id(number))

    def records(self, count: int) -> list[dict[str, Any]]:
        """The records of all calls, once there are `count` and all have ended."""
        found: list[dict[str, Any]] = []

        def ended() -> bool:
            found[:] = self.edge.calls()
            return len(found) == count and all(record["ended"] for record in found)

        wait_until(ended, f"{count} records of calls", timeout=8, step=0.2)
        return found

    def record_where(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        found: list[dict[str, Any]] = []

        def ended() -> bool:
            found[:] = [record for record in self.edge.calls() if record["ended"] and wanted(record)]
            return bool(found)

        wait_until(ended, "a record of the call", timeout=20, step=0.1)
        return found[0]

    def close(self) -> None:
        """Raises AssertionError if the SBC had trouble or did not end well."""
        try:
            self.edge.stop()
        finally:
            self._close()

    def _close(self) -> None:
        for capture in self._captures:
            capture.close()
        self.lab.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
