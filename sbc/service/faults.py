"""What is wrong with a configuration, told so that it can be mended: file, line, key, what is there, what was meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from sbc.service.models import keys_of, table_at
from sbc.service.positions import KeyPath, line_of


class Fault(NamedTuple):
    file: str
    line: int
    """From 1; 0 where no line can be named."""
    key: str
    """"zones.public.address[1]", "" for the file as a whole."""
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return ": ".join(part for part in (place, self.key, self.message) if part)


class ConfigError(Exception):
    """The configuration cannot be used; `faults` are all that was found, in order of their lines."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = sorted(faults, key=lambda fault: fault.line)
        super().__init__("\n".join(map(str, self.faults)))


def key_text(path: KeyPath) -> str:
    """A key as an operator would write it."""
    return "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def meant(wrong: str, known: Iterable[str]) -> str:
    """ "; did you mean ...?", or nothing."""
    known = list(known)
    lowered = {name.lower(): name for name in known}
    close = difflib.get_close_matches(wrong.lower(), lowered, 1, 0.6)
    return f"; did you mean {lowered[close[0]]!r}?" if close else ""


def _known(names: Iterable[str]) -> str:
    names = sorted(names)
    return ", ".join(names) if names else "none"


def unknown_name(what: str, wrong: str, known: Iterable[str]) -> str:
    known = list(known)
    return f"no {what} is named {wrong!r}" + (meant(wrong, known) or f" (there is: {_known(known)})")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


_EXPECTED = {
    "string_type": "expected a text in quotes",
    "int_type": "expected a whole number",
    "int_from_float": "expected a whole number",
    "float_type": "expected a number of seconds",
    "bool_type": "expected true or false",
    "dict_type": "expected a table",
    "model_type": "expected a table",
    "model_attributes_type": "expected a table",
    "tuple_type": "expected a list",
}


def _message(path: KeyPath, error: ErrorDetails) -> str:
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    if kind == "extra_forbidden":
        table = table_at(path[:-1])
        known = keys_of(table) if table is not None else []
        return "unknown key" + (meant(str(path[-1]), known) or f" (there is: {_known(known)})")
    if kind == "missing":
        return "must be given"
    if kind == "too_short":
        return "at least one is needed"
    if kind == "literal_error":
        expected = str(context.get("expected", ""))
        words = [word.strip("' ") for word in expected.replace(" or ", ",").split(",")]
        return f"expected {expected}, not {_shown(value)}" + (meant(value, words) if isinstance(value, str) else "")
    if kind == "value_error":
        text = str(context.get("error", error["msg"]))
        return text if isinstance(value, dict) else f"{text}; not {_shown(value)}"
    if kind in _EXPECTED:
        return f"{_EXPECTED[kind]}, not {_shown(value)}"
    text = error["msg"].replace("Input should be", "must be").replace("Input should", "must")
    return f"{text}, not {_shown(value)}"


def validation_faults(
    file: str, error: ValidationError, positions: Mapping[KeyPath, int], raw: Mapping[str, Any]
) -> list[Fault]:
    """Each of pydantic's findings as a fault at its place."""
    faults = []
    for detail in error.errors(include_url=False):
        path = _written(detail["loc"], raw)
        faults.append(Fault(file, line_of(dict(positions), path), key_text(path), _message(path, detail)))
    return faults


def _written(location: KeyPath, raw: Any) -> KeyPath:
    """pydantic's location as far as it stands in the file: no index into a list that was written as a single value.

    A key that is missing counts as standing there.
    """
    path: KeyPath = ()
    for part in location:
        if isinstance(raw, dict) and isinstance(part, str) and part != "[key]":
            raw = raw.get(part)
        elif isinstance(raw, list) and isinstance(part, int) and part < len(raw):
            raw = raw[part]
        elif isinstance(raw, list) and isinstance(part, str):
            continue  # which of the kinds that may stand here it was taken for
        else:
            break
        path = (*path, part)
    return path


def left_out(raw: dict[str, Any], detail: ErrorDetails) -> bool:
    """Take out of `raw` what a finding is about: a key, or the table in which a key is missing. False if that fails."""
    path = _written(detail["loc"], raw)
    if detail["type"] == "missing":
        path = path[:-1]
    if path[:1] == ("routes",) and len(path) == 2:
        # the other routes keep their places: one that calls never take stands in
        raw["routes"][path[1]] = {"reject": 404, "number": f"route {path[1]}"}
        return True
    while path and isinstance(path[-1], int):
        path = path[:-1]
    table: Any = raw
    for part in path[:-1]:
        if (table := table.get(part) if isinstance(table, dict) else table[part]) is None:
            return True  # went with another finding
    return bool(path) and table.pop(path[-1], None) is not None
