"""The call-flow ladder: who said what to whom, when, and what was decided in between, as lines of text. Pure.

```
    time   192.0.2.7:5060               SBC                    pbx
              │                          │                      │
  +0.000      │── INVITE sip:100@… SDP ─>│                      │
  +0.001      │                          │ * route/default: pbx: the only peer there
```
Three lifelines: caller, SBC, callee. A message is one line; its repetitions are folded into it ("x3"). A decision
stands in time order, beside the lifeline of the SBC.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import NamedTuple

CALLER, SBC, CALLEE = 0, 1, 2
_TIME = 10
_PLAIN = str.maketrans({"│": "|", "─": "-", "…": "~"})


class Arrow(NamedTuple):
    """A message. `start` and `end` are lifelines; one of them is the SBC."""

    at: float
    start: int
    end: int
    text: str
    same: bytes = b""
    """What a repetition has in common with the first (its bytes): repetitions are folded. Empty: never folded."""


class Note(NamedTuple):
    """A decision, or anything else that happened inside the SBC."""

    at: float
    text: str
    bad: bool = False
    """It refused or ended something."""


class Style(NamedTuple):
    """How lines are marked on a terminal: what is written before and after. Empty: not at all."""

    note: str = ""
    bad: str = ""
    good: str = ""
    end: str = ""


NO_COLOURS = Style()
COLOURS = Style(note="\x1b[2m", bad="\x1b[31m", good="\x1b[32m", end="\x1b[0m")


def ladder(
    names: Sequence[str],
    steps: Iterable[Arrow | Note],
    *,
    began: float,
    width: int = 100,
    style: Style = NO_COLOURS,
    plain: bool = False,
) -> list[str]:
    """The lines of the ladder: `names` of caller, SBC and callee, `steps` sorted by time where they are not in order,
    times relative to `began`.

    No line is longer than `width` (at least 60) characters, colours apart. `plain` draws with ASCII only.
    """
    width = max(60, width)
    gap = (width - _TIME - 14) // 2
    columns = (_TIME + 2, _TIME + 2 + gap, _TIME + 2 + 2 * gap)
    lines = [_heading(names, columns, width), _line("", columns, width)]
    for step, count in _folded(sorted(steps, key=lambda step: step.at)):
        time = f"{step.at - began:+8.3f}"
        if isinstance(step, Note):
            marks = (style.bad if step.bad else style.note, style.end)
            lines.extend(_note_lines(time, step, columns, width, marks))
        else:
            lines.append(_arrow_line(time, step, count, columns, width, style))
    lines.append(_line("", columns, width))
    return [line.translate(_PLAIN) if plain else line for line in lines]


def _folded(steps: Iterable[Arrow | Note]) -> list[tuple[Arrow | Note, int]]:
    """Each step with how often it came; a repetition counts where the message came first."""
    order: list[tuple[Arrow | Note, int]] = []
    first: dict[tuple[int, int, bytes], int] = {}
    for step in steps:
        if isinstance(step, Arrow) and step.same:
            key = (step.start, step.end, step.same)
            if key in first:
                index = first[key]
                order[index] = (order[index][0], order[index][1] + 1)
                continue
            first[key] = len(order)
        order.append((step, 1))
    return order


def _put(line: list[str], position: int, text: str) -> None:
    line[position : position + len(text)] = text


def _heading(names: Sequence[str], columns: Sequence[int], width: int) -> str:
    line = [" "] * width
    room = columns[1] - columns[0] - 2
    for name, column in zip(names, columns, strict=True):
        name = _cut(name, room)
        start = min(max(2, column - len(name) // 2), width - len(name))
        _put(line, start, name)
    return "".join(line).rstrip()


def _line(time: str, columns: Sequence[int], width: int) -> str:
    line = [" "] * width
    _put(line, 0, time)
    for column in columns:
        line[column] = "│"
    return "".join(line).rstrip()


def _arrow_line(time: str, arrow: Arrow, count: int, columns: Sequence[int], width: int, style: Style) -> str:
    left, right = sorted((columns[arrow.start], columns[arrow.end]))
    repeated = f" (x{count})" if count > 1 else ""
    room = right - left - 7 - len(repeated)
    label = f" {_cut(arrow.text, room)}{repeated} "
    if arrow.start < arrow.end:
        shaft = "──" + label + "─" * (right - left - 4 - len(label)) + ">"
    else:
        shaft = "<" + "─" * (right - left - 4 - len(label)) + label + "──"
    line = list(_line(time, columns, width).ljust(right + 1))
    _put(line, left + 1, shaft)
    mark = style.bad if arrow.text[:1] in "3456" and arrow.text[:3].isdigit() else ""
    mark = style.good if arrow.text[:1] == "2" and arrow.text[:3].isdigit() else mark
    if mark:
        _mark(line, left + 3, left + 1 + len(shaft), mark, style.end)
    return "".join(line)


def _mark(line: list[str], start: int, stop: int, mark: str, end: str) -> None:
    line[start] = mark + line[start]
    line[stop - 1] += end


def _note_lines(time: str, note: Note, columns: Sequence[int], width: int, marks: tuple[str, str]) -> list[str]:
    room = width - columns[1] - 5
    pieces = textwrap.wrap(note.text, room, max_lines=2, placeholder=" …", break_long_words=True) or [""]
    lines = []
    for index, piece in enumerate(pieces):
        line = list(_line(time if index == 0 else "", columns[:2], width).ljust(columns[1] + 1))
        text = (" * " if index == 0 else "   ") + piece
        line.append(f"{marks[0]}{text}{marks[1]}")
        if columns[1] + 1 + len(text) < columns[2]:
            line.append(" " * (columns[2] - columns[1] - 1 - len(text)) + "│")
        lines.append("".join(line))
    return lines


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else text[: max(0, room - 1)] + "…"
