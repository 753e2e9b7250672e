"""The bytes of one segment: messages and decisions of one call, one behind the other, in the order in which they
happened.

Each entry is a head of 15 bytes (kind, wall-clock time, lengths), what it is about (hop or decision, NUL between its
parts), and for a message its bytes. A segment that was cut off is read as far as it is whole.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

RECEIVED = b"<"
SENT = b">"
DECISION = b"D"

_HEAD = struct.Struct(">cdHI")
pack_head = _HEAD.pack


class Entry(NamedTuple):
    kind: bytes
    at: float
    about: tuple[str, ...]
    """zone, transport, local, remote of a message; hook, policy, verdict, reason of a decision."""
    data: bytes
    size: int
    """Bytes of the whole entry in its segment."""


def about_text(parts: tuple[str, ...]) -> bytes:
    """What an entry is about, as it is framed; cut to what fits."""
    return "\0".join(parts).encode("utf-8", "replace")[:65535]


def entries(segment: bytes) -> Iterator[Entry]:
    """The entries of `segment`; those behind damage are left out."""
    position = 0
    while position + _HEAD.size <= len(segment):
        kind, at, about_length, data_length = _HEAD.unpack_from(segment, position)
        about_end = position + _HEAD.size + about_length
        data_end = about_end + data_length
        if data_end > len(segment):
            return
        about = segment[position + _HEAD.size : about_end].decode("utf-8", "replace")
        yield Entry(kind, at, tuple(about.split("\0")), segment[about_end:data_end], data_end - position)
        position = data_end


def entry_facts(entry: Entry) -> dict[str, Any]:
    """An entry as plain facts, ready for JSON."""
    if entry.kind == DECISION:
        names: tuple[str, ...] = ("hook", "policy", "verdict", "reason")
        facts: dict[str, Any] = {"at": entry.at}
    else:
        names = ("zone", "transport", "local", "remote")
        facts = {"at": entry.at, "sent": entry.kind == SENT, "text": entry.data.decode("utf-8", "backslashreplace")}
    facts.update(zip(names, (*entry.about, "", "", "", ""), strict=False))
    return facts
