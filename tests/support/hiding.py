"""Whether anything of the private side of a `tests.support.world` has shown on its public side."""

from __future__ import annotations

import re
from collections.abc import Iterable

from sbc.sip import Address

_NAMED = re.compile(
    rb"^(?:Call-ID|i)[ \t]*:[ \t]*([^\s@]{8,})|;[ \t]*tag=([^;>,\s]{6,})|;[ \t]*branch=([^;>,\s]{8,})",
    re.IGNORECASE | re.MULTILINE,
)
FIXED = (b"10.0.0.", b"10%2e0", b"SecretPBX", b"secret session", b"secret.example", b"secret phrase")
"""What phones of the private side write wherever they can, besides what names their transactions and dialogs."""

Datagram = tuple[float, Address, Address, bytes]


def leaks(sent: Iterable[Datagram], outside: tuple[Address, ...], inside: Address) -> list[str]:
    """Private tokens found in what the SBC sent from its sockets `outside`: addresses, names, Call-IDs, tags and
    branches of the other side. `sent` is every datagram of the world."""
    public: list[bytes] = []
    tokens: set[bytes] = set(FIXED)
    for _, source, target, data in sent:
        if source in outside:
            public.append(data)
        elif source == inside or target == inside:
            tokens.update(group for match in _NAMED.findall(data) for group in match if group)
    blob = b"\n".join(public).lower()
    return sorted(token.decode("latin-1") for token in tokens if token.lower() in blob)
