"""Calls across a border, by SIPp on both sides, as one line of a test."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from tests.support.border import Border
from tests.support.lab import PRIVATE, PUBLIC
from tests.support.sipp import Sipp


class Route(NamedTuple):
    """Which way a call goes and over what."""

    name: str
    outwards: bool = False
    """From the PBX to the public side."""
    number: str = "1001"
    caller_tcp: bool = False
    callee_tcp: bool = False
    v6: bool = False
    """IPv6 on the public side."""

    @property
    def caller_address(self) -> str:
        return PRIVATE.host if self.outwards else PUBLIC.host6 if self.v6 else PUBLIC.host

    @property
    def callee_address(self) -> str:
        if not self.outwards:
            return PRIVATE.others[0] if self.callee_tcp else PRIVATE.host
        return PUBLIC.host6 if self.v6 else PUBLIC.host

    @property
    def edge_address(self) -> str:
        return PRIVATE.edge if self.outwards else PUBLIC.edge6 if self.v6 else PUBLIC.edge

    @property
    def uri(self) -> str:
        """What the caller dials: the SBC from the public side, the public phone from the private side."""
        host = self.callee_address if self.outwards else self.edge_address
        host = f"[{host}]" if ":" in host else host
        return f"sip:{self.number}@{host}" + (";transport=tcp" if self.outwards and self.callee_tcp else "")


INWARDS = Route("inwards")
OUTWARDS = Route("outwards", outwards=True)


def callee(
    border: Border, route: Route, scenario: str, values: Mapping[str, object] | None = None, **more: Any
) -> Sipp:
    """Start the one who is called."""
    namespace = border.lab.public if route.outwards else border.lab.private
    address = more.pop("address", route.callee_address)
    return Sipp(namespace, scenario, address, 5060, tcp=route.callee_tcp, replace=values, **more)


def caller(
    border: Border, route: Route, scenario: str, values: Mapping[str, object] | None = None, **more: Any
) -> Sipp:
    """Start the one who calls."""
    namespace = border.lab.private if route.outwards else border.lab.public
    target = _written(route.edge_address)
    if not scenario.startswith("-"):
        more.setdefault("dialled", route.uri)
    elif route.outwards:  # SIPp's own scenarios dial where they send to; a PBX dials the phone and sends to the SBC
        more["extra"] = ("-rsa", target)
        target = _written(route.callee_address)
    return Sipp(
        namespace, scenario, route.caller_address, 5060, target=target, tcp=route.caller_tcp, service=route.number,
        replace=values, **more,
    )  # fmt: skip


def refused(status: int, expect: str = "SIP/2.0", max_forwards: int = 70, to_tag: str = "") -> dict[str, object]:
    """Values of the scenario "caller_refused"; `expect` is a regular expression that the response must match."""
    return {"status": status, "expect": expect, "max_forwards": max_forwards, "to_tag": to_tag}


def _written(address: str) -> str:
    return f"[{address}]:5060" if ":" in address else f"{address}:5060"


def place(
    border: Border,
    route: Route,
    caller_scenario: str,
    callee_scenario: str,
    call: Mapping[str, object] | None = None,
    answer: Mapping[str, object] | None = None,
) -> dict[str, Any]:
    """One call from beginning to end; its record. Raises AssertionError unless both sides saw what they should."""
    answering = callee(border, route, callee_scenario, answer)
    calling = caller(border, route, caller_scenario, call)
    try:
        calling.wait()
        answering.wait()
    except AssertionError as failure:
        time.sleep(1)  # until the record is written
        raise AssertionError(f"{failure}\n{border.edge.sbc('explain', 'last')}") from None
    return border.record(calling)
