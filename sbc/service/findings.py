"""What comes up while a document is completed: faults, warnings, and what was inferred from what."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sbc.service.faults import Fault, key_text
from sbc.service.positions import KeyPath, line_of


class Inferred(NamedTuple):
    """A value that the file does not state as such."""

    value: Any
    origin: str


@dataclass(slots=True)
class Findings:
    file: str
    positions: dict[KeyPath, int]
    declared: frozenset[str] = frozenset()
    """Names of zones and peers that stand in the file, also those whose tables have faults of their own."""
    faults: list[Fault] = field(default_factory=list)
    warnings: list[Fault] = field(default_factory=list)
    """The configuration can be used, but probably not as it was meant, or not on this machine."""
    inferred: dict[KeyPath, Inferred] = field(default_factory=dict)

    def fault(self, path: KeyPath, message: str) -> None:
        self.faults.append(self._at(path, message))

    def warn(self, path: KeyPath, message: str) -> None:
        self.warnings.append(self._at(path, message))

    def infer(self, path: KeyPath, value: Any, origin: str) -> None:
        self.inferred[path] = Inferred(value, f"inferred: {origin}")

    def _at(self, path: KeyPath, message: str) -> Fault:
        if path and isinstance(path[-1], int) and path not in self.positions:
            path = path[:-1]  # a single value in place of a list
        return Fault(self.file, line_of(self.positions, path), key_text(path), message)

    def place(self, path: KeyPath) -> str:
        """ "sbc.toml:12"."""
        return f"{self.file.rpartition('/')[2]}:{line_of(self.positions, path)}"
