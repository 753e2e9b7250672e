"""Where in a TOML document a key stands (tomllib does not keep positions)."""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right

KeyPath = tuple[str | int, ...]
"""Names of tables and keys, and indexes into arrays: ("routes", 0, "to")."""

_DULL = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_KEY_PART = re.compile(r"""[A-Za-z0-9_-]+|"(?:\\.|[^"\\])*"|'[^']*'""")
_STRING = re.compile(
    r'"""(?:\\[\s\S]|[^\\])*?"{3,5}' r"|'''[\s\S]*?'{3,5}" r'|"(?:\\.|[^"\\])*"' r"|'[^']*'"
)  # fmt: skip
_BARE = re.compile(r"[^,\]}#\r\n]*")


def positions(text: str) -> dict[KeyPath, int]:
    """The line (from 1) of each table, key and array element of a document that tomllib accepts."""
    return _Document(text).found


def line_of(found: dict[KeyPath, int], path: KeyPath) -> int:
    """The line of `path`, or of the nearest table or key around it; 1 where there is none."""
    while path and path not in found:
        path = path[:-1]
    return found.get(path, 1)


class _Document:
    """Walks once over a document that is known to be right, so that nothing needs checking."""

    def __init__(self, text: str) -> None:
        self.found: dict[KeyPath, int] = {}
        self._text = text
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self._at = 0
        self._lengths: dict[KeyPath, int] = {}
        self._read()

    def _read(self) -> None:
        table: KeyPath = ()
        while (self._skip(_DULL), self._at)[1] < len(self._text):
            start = self._at
            if self._text.startswith("[[", start):
                self._at += 2
                array = self._inside_arrays(self._key(), start)
                index = self._lengths[array] = self._lengths.get(array, -1) + 1
                table = (*array, index)
                self._note(array, start)
                self._note(table, start)
                self._at = self._text.index("]]", self._at) + 2
            elif self._text[start] == "[":
                self._at += 1
                table = self._inside_arrays(self._key(), start)
                self.found[table] = self._line(start)
                self._at = self._text.index("]", self._at) + 1
            else:
                self._key_and_value(table)

    def _line(self, at: int) -> int:
        return bisect_right(self._starts, at)

    def _note(self, path: KeyPath, at: int) -> None:
        self.found.setdefault(path, self._line(at))

    def _skip(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        assert match is not None
        self._at = match.end()
        return match[0]

    def _key(self) -> list[str]:
        """A dotted key; the place is behind it then."""
        parts: list[str] = []
        while True:
            self._skip(_SPACE)
            raw = self._skip(_KEY_PART)
            parts.append(tomllib.loads(f"key = {raw}")["key"] if raw[0] in "\"'" else raw)
            self._skip(_SPACE)
            if self._text[self._at] != ".":
                return parts
            self._at += 1

    def _inside_arrays(self, parts: list[str], start: int) -> KeyPath:
        """A header's key names the last element of each array of tables on its way."""
        path: KeyPath = ()
        for number, part in enumerate(parts, 1):
            path = (*path, part)
            if number < len(parts):
                self._note(path, start)
            if number < len(parts) and path in self._lengths:
                path = (*path, self._lengths[path])
        return path

    def _key_and_value(self, table: KeyPath) -> None:
        start = self._at
        path = table
        for part in self._key():
            path = (*path, part)
            self._note(path, start)
        self._at = self._text.index("=", self._at) + 1
        self._value(path)

    def _value(self, path: KeyPath) -> None:
        self._skip(_DULL)
        self._note(path, self._at)
        character = self._text[self._at]
        if character in "\"'":
            self._skip(_STRING)
        elif character == "[":
            self._at += 1
            index = 0
            while not self._closed("]"):
                self._value((*path, index))
                index += 1
        elif character == "{":
            self._at += 1
            while not self._closed("}"):
                self._key_and_value(path)
        else:
            self._skip(_BARE)

    def _closed(self, bracket: str) -> bool:
        """Step over a comma, or over the closing bracket."""
        self._skip(_DULL)
        if self._text[self._at] == ",":
            self._at += 1
            self._skip(_DULL)
        if self._text[self._at] != bracket:
            return False
        self._at += 1
        return True
