"""Names of one side for the other side: they tell nothing there, are always the same, and can be read again here.

The same text gives the same name (a synthetic initialisation vector, as in RFC 5297, made with BLAKE2), so that what is
told twice is recognised; nobody else can make a name that opens. Nothing is remembered for it: what is told may be
without limit, and is known after a restart, too.
"""

from __future__ import annotations

from base64 import b32decode, b32encode
from binascii import Error
from hashlib import blake2s

_FIRST = "r"
"""Some names have to begin with a letter (XML's identifiers)."""
_LONGEST = 136
"""Bytes of a text that can be read again: its name has to fit where Call-IDs and tags do (255 octets)."""
_BLOCK = 8
"""Lengths are told in steps of so many bytes."""
_MARK = 10


def sealed(key: bytes, side: str, text: str) -> str:
    """The name for `text` of `side`; `key` is secret, and at most 32 bytes of it count. What is too long to be read
    again gets a name that only means nothing."""
    plain = text.encode()
    mark = _mark(key, side, plain)
    if len(plain) > _LONGEST:
        return _written(mark)
    padded = plain + b"\0" * (-len(plain) % _BLOCK)
    return _written(mark + _mixed(key, side, mark, padded))


def opened(key: bytes, side: str, name: str) -> str | None:
    """The text of `side` that `name` stands for; None where it is no such name."""
    try:
        raw = b32decode(name[1:].upper() + "=" * (-len(name[1:]) % 8))
    except (Error, ValueError):
        return None
    mark, mixed = raw[:_MARK], raw[_MARK:]
    if len(mixed) % _BLOCK or len(mixed) > _LONGEST:
        return None
    plain = _mixed(key, side, mark, mixed).rstrip(b"\0")
    if not plain or name != _written(raw) or _mark(key, side, plain) != mark:
        return None
    return plain.decode()


def _written(raw: bytes) -> str:
    return _FIRST + b32encode(raw).decode().rstrip("=").lower()


def _mark(key: bytes, side: str, plain: bytes) -> bytes:
    said = len(side.encode()).to_bytes(2, "big") + side.encode() + plain
    return blake2s(said, key=key[:32], person=b"mark", digest_size=_MARK).digest()


def _mixed(key: bytes, side: str, mark: bytes, text: bytes) -> bytes:
    """`text` with a stream of octets that nobody knows without the key; mixed twice it is as before."""
    stream = b"".join(
        blake2s(mark + bytes([block]), key=key[:32], person=b"stream").digest() for block in range(len(text) // 32 + 1)
    )
    return bytes(one ^ other for one, other in zip(text, stream, strict=False))
