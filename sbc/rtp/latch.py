"""Who may send to us on one port of one side: latching (RFC 7362 section 4), made to resist RTP bleed.

The rules, in the order in which they are asked about a packet's source:

1. The latched source is accepted. If a new exchange had opened the latch, its word closes it again: nobody has moved.
2. While the latch is closed, everybody else is refused.
3. Where signalling names no place (`expected` is None), nobody new is accepted.
4. The place that signalling named is accepted, latched, and the latch closes. That holds in every mode.
5. So is, by the mode, another port of that host or of the host that the signalling comes from ("signalling"), or anyone
   ("any"); "strict" accepts nobody else.

The latch is opened by the first exchange, and again by each later one, once. What then becomes of the old source
depends on whether signalling named another place than before. If not (hold and resume, a codec change), the old
source stays, and we go on sending to it, until somebody acceptable comes before it does. If so, the old source is
forgotten: we send to the new place at once. Its packets still on the way must not latch again, so for `GRACE`
seconds the old source is refused, unless it is exactly the new place; after that it is as good as any other (a NAT
may map the new place to the old source).

When the signalling of the element goes over to another place (a phone in another network, a NAT that has forgotten it),
it has nothing new to say about media, and the old source may send for a while yet. So for `WINDOW` seconds the new host
of the signalling may latch, by the mode, whatever the old source does; once.
"""

from __future__ import annotations

Source = tuple[str, int]
"""Host and port."""

GRACE = 1.0
"""Seconds for which packets of the source that has just been left behind do not latch."""
WINDOW = 30.0
"""Seconds in which an element whose signalling has moved is awaited at its new place."""


class Latch:
    """The latch of one port. `destination` is where to send, `source` the one that is latched."""

    __slots__ = (
        "_barred",
        "_barred_until",
        "_mode",
        "_named",
        "_signalling",
        "_window_until",
        "confined_to",
        "expected",
        "is_open",
        "source",
    )

    def __init__(
        self, mode: str, expected: Source | None, signalling: str | None, source: Source | None = None
    ) -> None:
        """`mode`: "strict", "signalling" or "any". A `source` that is known already (a flow handed over) is locked."""
        self._mode = mode
        self._signalling = signalling
        self._named = expected  # the last place that signalling named; survives a hold by c=0.0.0.0
        self._barred: Source | None = None
        self._barred_until = 0.0
        self._window_until = float("-inf")
        self.expected = expected
        self.source = source
        self.is_open = source is None
        self.confined_to: str | None = None
        """Host that a new source must have (RTCP follows RTP's latch); None: not confined."""

    @property
    def destination(self) -> Source | None:
        """The latched source (symmetric RTP, RFC 4961), before that the place that signalling named. None: do not
        send."""
        return None if self.expected is None else self.source or self.expected

    def renew(self, mode: str, expected: Source | None, signalling: str | None, now: float) -> None:
        """A new exchange changed this side: the latch may be set anew, once."""
        self._mode = mode
        self._signalling = signalling
        self.expected = expected
        if expected is not None:
            if self._named is not None and expected != self._named:
                if self.source is not None:
                    self._barred, self._barred_until = self.source, now + GRACE
                self.source = None
            self._named = expected
        self.is_open = True

    def follow(self, signalling: str | None, now: float) -> None:
        """The signalling has moved, and comes from `signalling` now."""
        self._signalling = signalling
        self._window_until = now + WINDOW

    def confine(self, host: str) -> None:
        """From now on a source must be `host`; one latched elsewhere is forgotten."""
        self.confined_to = host
        if self.source is not None and self.source[0] != host:
            self.source = None
            self.is_open = True

    def admit(self, source: Source, now: float) -> bool:
        """Whether a packet from `source` is accepted; the first acceptable one is latched."""
        if source == self.source:
            self.is_open = False
            return True
        if not (self.is_open or now < self._window_until) or not self._acceptable(source, now):
            return False
        self.source = source
        self.is_open = False
        self._window_until = float("-inf")
        self._barred = None
        return True

    def _acceptable(self, source: Source, now: float) -> bool:
        expected = self.expected
        if expected is None or (self.confined_to is not None and source[0] != self.confined_to):
            return False
        if source == expected:
            return True
        if self._mode == "strict" or (source == self._barred and now < self._barred_until):
            return False
        if self._mode == "any" or source[0] == self._signalling:
            return True
        return self.is_open and source[0] == expected[0]
