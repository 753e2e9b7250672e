"""`sbc registrations`: who is registered, over which flows, for how long, and why it is so. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from sbc.admin.explain import printable
from sbc.admin.figures import clock

_HEADS = ("USER", "FLOW", "EXPIRES out/in", "NAT", "AGENT")
_WIDEST = 40
_public = re.compile(r';pub-gruu="([^"\\]*)"').search


def registered(bindings: Sequence[Mapping[str, Any]], now: float, detailed: bool = False) -> list[str]:
    """A line for each flow; `detailed`: and below it its device, its contact and the last decision."""
    if not bindings:
        return ["nobody is registered"]
    rows = [_HEADS, *(_row(binding, now) for binding in bindings)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADS) - 1)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]) for row in rows
    ]
    if not detailed:
        return lines
    told = lines[:1]
    for line, binding in zip(lines[1:], bindings, strict=True):
        told += [line, *_details(binding, now)]
    return told


def _row(binding: Mapping[str, Any], now: float) -> tuple[str, ...]:
    _, transport, _, (host, port), _ = binding["hop"]
    return (
        printable(binding["aor"])[:_WIDEST],
        f"{f'[{host}]' if ':' in host else host}:{port}/{transport}",
        f"{_left(binding['until'], now)}/{_left(binding['inside_until'], now)}",
        "yes" if binding["nat"] else "no",
        printable(binding["user_agent"])[:_WIDEST],
    )


def _left(until: float, now: float) -> str:
    """Of the short timer nothing is written down but now and then: what is over by it has been refreshed since, or
    would not be here."""
    seconds = int(until - now)
    return f"{seconds} s" if seconds >= 0 else "-"


def _details(binding: Mapping[str, Any], now: float) -> list[str]:
    written = int(now - binding["written_at"])
    lines = [
        f"  device    {printable(binding['device'])}" + (f", reg-id {binding['reg_id']}" if binding["reg_id"] else ""),
        f"  contact   {printable(binding['contact'])}; to the registrar: {binding['token']}",
        f"  checked   {clock(binding['checked'])}: credentials passed the registrar, "
        f"which granted {binding['inside_granted']} s",
        f"  decision  {printable(binding['decision'])} ({written} s ago)",
    ]
    if binding["nat"]:
        signs = binding["nat"].replace(", ", " and ")
        lines.append(f"  nat       its {signs} said another address than it comes from")
    gruu = _gruu(binding.get("shown", ""))
    if gruu:
        lines.append(f"  gruu      {printable(gruu)}")
    for name, title in (("path", "path"), ("service_route", "route"), ("associated", "also")):
        if binding[name]:
            lines.append(f"  {title:<9} {printable(', '.join(binding[name]))}")
    return lines


def _gruu(shown: str) -> str:
    """What calls this device alone (RFC 5627), out of its Contact as it is told; "" if there is nothing."""
    found = _public(shown)
    return found[1] if found else ""
