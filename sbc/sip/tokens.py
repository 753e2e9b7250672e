"""The one source of what we put on the wire and expect back."""

from __future__ import annotations

from collections.abc import Callable

from sbc.sip.grammar import is_token
from sbc.sip.header_values import MAGIC_COOKIE

_BLOCK = 1200
"""Octets of entropy drawn at once: 100 tokens."""
_LENGTH = 24
"""Hexadecimal digits of a token: 96 bits that cannot be guessed."""


class Tokens:
    """Makes Call-IDs, tags, branches and Contact users: unguessable, and naming neither host nor sequence.

    `entropy(n)` gives n random octets (`secrets.token_bytes`; something seeded in tests). `node` is a short name of
    this process, put in front so that what comes back can be brought to whom it belongs; it must be a token.
    """

    __slots__ = ("_entropy", "_node", "_ready")

    def __init__(self, entropy: Callable[[int], bytes], node: str = "") -> None:
        if node and not is_token(node):
            raise ValueError("node is not a token")
        self._entropy = entropy
        self._node = node
        self._ready: list[str] = []

    def call_id(self) -> str:
        return self._next()

    def tag(self) -> str:
        return self._next()

    def branch(self) -> str:
        return MAGIC_COOKIE + self._next()

    def user(self) -> str:
        """For the user part of a Contact."""
        return self._next()

    def number(self, below: int) -> int:
        """A number from 0 to `below` - 1, for waiting times."""
        return int(self._next()[-8:], 16) % below

    def _next(self) -> str:
        if not self._ready:
            digits = self._entropy(_BLOCK).hex()
            self._ready = [self._node + digits[start : start + _LENGTH] for start in range(0, len(digits), _LENGTH)]
        return self._ready.pop()
