"""`sbc calls`: one line a call. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sbc.admin.explain import printable
from sbc.admin.figures import called, clock, result, spoken, user, worst_loss

_HEADS = ("CALL", "START", "FROM", "TO", "DURATION", "LOSS a/b", "RESULT")
_WIDEST = 24


def listing(calls: Sequence[Mapping[str, Any]], now: float) -> list[str]:
    """The table of `calls`, one line each, with a heading; says so when there are none."""
    if not calls:
        return ["no calls"]
    rows = [_HEADS, *(_row(call, now) for call in calls)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADS) - 1)]
    return [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]) for row in rows
    ]


def _row(call: Mapping[str, Any], now: float) -> tuple[str, ...]:
    a = call["a"] or {}
    caller, callee = user(a.get("from_uri", "")), called(a)
    return (
        call["id"],
        clock(call["started"]),
        printable(caller)[:_WIDEST] or "?",
        printable(callee)[:_WIDEST] or "?",
        spoken(call, now),
        worst_loss(call),
        printable(result(call)),
    )
