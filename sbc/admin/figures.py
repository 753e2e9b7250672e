"""Facts of a call as short text: times, durations, causes, media figures. Pure; shared by the list and the
explanation.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from typing import Any

Facts = Mapping[str, Any]
_CONTACT = re.compile(r"[0-9a-f]{24}")


def clock(at: float) -> str:
    """Local date and time."""
    return datetime.datetime.fromtimestamp(at).strftime("%Y-%m-%d %H:%M:%S")


def duration(seconds: float) -> str:
    """3.2 s, 4:05, 1:02:03."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def user(uri: str) -> str:
    """The user part of a SIP URI, or what names it otherwise: without scheme, host, parameters."""
    text = uri.partition("<")[2].partition(">")[0] if "<" in uri else uri
    scheme, _, rest = text.partition(":")
    if not rest:
        return text
    name, at, host = rest.partition("@")
    return (name if at or scheme == "tel" else host or name).partition(";")[0]


def called(leg: Facts) -> str:
    """Who was called by the INVITE that made `leg`: by its Request-URI, unless that is one of our contacts for a
    registered phone, whose user part means nothing to a person; then by To."""
    name = user(leg.get("request_uri", ""))
    if not name or _CONTACT.fullmatch(name):
        return user(leg.get("to_uri", "")) or name
    return name


def result(call: Facts) -> str:
    """How the call stands or ended, in few words."""
    status, ended_by = call["status"], call["ended_by"]
    if call["ended"] is None:
        return "in progress" if call["answered"] else "ringing" if call["ringing"] else "being set up"
    return f"{status or '-'}, ended by {ended_by or 'nobody'}: {call['cause'] or 'no cause recorded'}"


def spoken(call: Facts, now: float) -> str:
    """How long the call was (or has been) answered; "-" for one that was not."""
    if call["answered"] is None:
        return "-"
    return duration((call["ended"] or now) - call["answered"])


def loss(stats: Facts) -> str:
    """What one side's stream lost, in per cent; "-" where nothing came."""
    packets, lost = _number(stats, "packets"), _number(stats, "lost")
    if not packets:
        return "-"
    return f"{100 * lost / (packets + lost):.1f}%"


def worst_loss(call: Facts) -> str:
    """The loss of each side, over all streams: "0.0%/1.2%" (from the caller / from the callee)."""
    sides = []
    for side in ("a", "b"):
        total = {name: sum(_number(stream[side], name) for stream in call["streams"]) for name in ("packets", "lost")}
        sides.append(loss(total))
    return "/".join(sides)


def stream_line(stats: Facts) -> str:
    """The figures of what one side sent."""
    packets = int(_number(stats, "packets"))
    if not packets:
        return "nothing came"
    parts = [f"{packets} packets", f"lost {int(_number(stats, 'lost'))} ({loss(stats)})"]
    if "jitter" in stats:
        parts.append(f"jitter {_number(stats, 'jitter'):.1f} ms")
    for name, word in (("reordered", "reordered"), ("mismatched", "from elsewhere, dropped")):
        if _number(stats, name):
            parts.append(f"{int(_number(stats, name))} {word}")
    return ", ".join(parts)


def _number(stats: Facts, name: str) -> float:
    value = stats.get(name, 0)
    return float(value) if isinstance(value, int | float) else 0.0
