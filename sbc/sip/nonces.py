"""Nonces of a server (RFC 7616 sections 3.3 and 5.4): nothing is kept of those that were given out, only of those that
a right answer has come for."""

from __future__ import annotations

import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import OrderedDict

_is_nonce = re.compile(r"[A-Za-z0-9_-]{24}").fullmatch
_HEAD = 10
"""Octets of time (4) and of what is unique (6); the proof that it is ours has 8. All go to whoever asks for nothing, so
they are few."""
_WINDOW = 32
"""Counts below the highest that may still come: UDP changes the order of what is sent together."""


class Nonces:
    """Makes nonces that nobody else can make, and lets each use of one count once.

    A nonce is its time, something unique, and their HMAC with `key` and the realm. `lifetime` is in seconds; `most` is
    of how many nonces uses are remembered: beyond that the oldest one stops being accepted, and all that are as old.
    """

    __slots__ = ("_epoch", "_key", "_lifetime", "_most", "_oldest", "_used")

    def __init__(self, key: bytes, lifetime: float = 600.0, most: int = 50_000) -> None:
        self._key = key
        self._lifetime = lifetime
        self._most = most
        self._epoch = int.from_bytes(hmac.digest(key, b"epoch", "sha256")[:4])
        self._oldest = -1.0
        """Nonces made up to this time are not accepted."""
        self._used: OrderedDict[bytes, tuple[float, int, int]] = OrderedDict()
        """A nonce without its proof -> its time, the highest count, and as bits which of those below it have come."""

    def __len__(self) -> int:
        return len(self._used)

    def make(self, realm: str, unique: str, now: float) -> str:
        """A nonce for a challenge of `realm`; `unique` ends in 12 hexadecimal digits that are different each time."""
        # the clock since boot is nobody's business: it starts somewhere else for each key
        head = ((int(now) + self._epoch) & 0xFFFFFFFF).to_bytes(4) + bytes.fromhex(unique[-12:])
        return urlsafe_b64encode(head + self._proof(head, realm)).decode()

    def is_fresh(self, nonce: str, realm: str, now: float) -> bool:
        """Whether `nonce` is of our making, for `realm`, and not too old. Changes nothing."""
        return self._made(nonce, realm, now) is not None

    def use(self, nonce: str, realm: str, count: int, now: float) -> bool:
        """Whether `nonce` is fresh, and was not used with this `count` before (0: without qop, which may be once).
        To be asked only for credentials that are proven: it is remembered."""
        made = self._made(nonce, realm, now)
        if made is None:
            return False
        count = count or 1
        unique = urlsafe_b64decode(nonce)[:_HEAD]
        _, highest, below = self._used.get(unique, (made, 0, 0))
        if count > highest:
            below = (below << 1 | (highest > 0)) << (count - highest - 1) if count - highest <= _WINDOW else 0
            highest = count
        else:
            behind = 1 << (highest - count - 1) if highest > count >= highest - _WINDOW else 0
            if not behind or below & behind:
                return False
            below |= behind
        self._used[unique] = (made, highest, below & (1 << _WINDOW) - 1)
        self._forget(now)
        return True

    def _forget(self, now: float) -> None:
        """Those that are out of date, and the oldest beyond `most`."""
        used = self._used
        while used:
            made = next(iter(used.values()))[0]
            if now < made + self._lifetime + 1 and len(used) <= self._most:
                return
            used.popitem(last=False)
            self._oldest = max(self._oldest, made)

    def _made(self, nonce: str, realm: str, now: float) -> float | None:
        """When `nonce` was made (whole seconds), if it is to be accepted."""
        if not _is_nonce(nonce):
            return None
        octets = urlsafe_b64decode(nonce)
        if not hmac.compare_digest(octets[_HEAD:], self._proof(octets[:_HEAD], realm)):
            return None
        made = float((int.from_bytes(octets[:4]) - self._epoch) & 0xFFFFFFFF)
        return made if self._oldest < made <= now < made + self._lifetime + 1 else None

    def _proof(self, head: bytes, realm: str) -> bytes:
        return hmac.digest(self._key, head + realm.encode("utf-8", "surrogateescape"), "sha256")[:8]
