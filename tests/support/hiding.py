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
    branches of the other side. `sent` is every datagram of the world. What the public side has said, or was told,
    before the private side is no secret of the latter."""
    public: list[tuple[int, bool, bytes]] = []
    learned: dict[bytes, int] = dict.fromkeys(map(bytes.lower, FIXED), -1)
    """When the private side said it first."""
    for number, (_, source, target, data) in enumerate(sent):
        if source in outside or target in outside:
            public.append((number, source in outside, data.lower()))
        elif source == inside or target == inside:
            for match in _NAMED.findall(data.lower()):
                for token in filter(None, match):
                    learned.setdefault(token, number)
    blob = b"\n".join(data for _, ours, data in public if ours)
    return sorted(
        token.decode("latin-1")
        for token, when in learned.items()
        if token in blob and not any(number < when and token in data for number, _, data in public)
    )
