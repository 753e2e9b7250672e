"""One SIP stream (RFC 3261 section 18): framing, keep-alive and an output queue that knows what was not sent."""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.interfaces import IPullProducer
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from sbc.sip import Hop, Limits, Packet, RemoteProtocolError, StreamFramer, TransactionId
from sbc.transport.settings import TransportSettings

PING = b"\r\n\r\n"
PONG = b"\r\n"


class StreamOwner(Protocol):
    """What a stream tells, and to whom."""

    def received(self, packet: Packet) -> None: ...

    def lost(self, stream: SipStream, unsent: list[TransactionId], reason: str) -> None:
        """The stream is no more (or never came to be); these transactions' messages were not handed to the network."""


@implementer(IPullProducer)
class SipStream(TwistedProtocol):
    """A stream accepted or opened. It may be written to before it is open: what is written waits.

    Output is pulled: a batch is handed to Twisted only when the last one has been taken by the kernel, so that what
    waits is known in number and size, and what a lost connection leaves unsent is known by transaction.
    """

    def __init__(
        self, owner: StreamOwner, hop: Hop, limits: Limits, settings: TransportSettings, accepted: bool
    ) -> None:
        self.hop = hop
        self.accepted = accepted
        self._owner = owner
        self._settings = settings
        self._framer = StreamFramer(limits)
        self._waiting: list[bytes] = []
        self._waiting_size = 0
        self._unsent: list[TransactionId] = []
        self._in_flight: list[TransactionId] = []
        self._in_flight_size = 0
        self._pulling = False
        self._open = False
        self._over = False
        self._why = ""
        self._active = True
        self._idle_since = 0.0
        self._held_until = 0.0
        self._begun: float | None = None
        self._closing_since: float | None = None

    # -- what the owner calls -----------------------------------------------------------------------------------------

    def write(self, data: bytes, transaction: TransactionId | None) -> bool:
        """Put `data` behind what waits already. False: the stream is no more, and `lost` has been told before."""
        if self._over:
            return False
        self._active = True
        self._waiting.append(data)
        self._waiting_size += len(data)
        if transaction is not None:
            self._unsent.append(transaction)
        if self._waiting_size + self._in_flight_size > self._settings.output_limit:
            self.abort("the peer does not read")
        elif self._open and not self._pulling:
            self._pulling = True
            self._wire.registerProducer(self, False)
        return True

    def hold(self, until: float) -> None:
        """Do not close it for being idle before `until`, in the time of `check`; the latest wish counts."""
        self._held_until = until

    def finish(self, why: str) -> None:
        """Close once everything written has gone out."""
        if self._over:
            return
        self._why = self._why or why
        if self._open:
            self._wire.loseConnection()
        else:
            self.fail(why)

    def abort(self, why: str) -> None:
        """Close now."""
        if self._over:
            return
        self._why = self._why or why
        if self._open:
            self._wire.abortConnection()
        else:
            self.fail(why)

    def fail(self, why: str) -> None:
        """It will never open, or is lost: said once."""
        if not self._over:
            self._over = True
            self._open = False
            unsent, self._in_flight, self._unsent = self._in_flight + self._unsent, [], []
            self._waiting.clear()
            self._owner.lost(self, unsent, self._why or why)

    def check(self, now: float) -> None:
        """Called about once a second: ends a stream that is idle, or that dribbles a message.

        Nothing on the way of a message reads the clock for this.
        """
        if self._why:
            self._check_closing(now)
        elif self._active:
            self._active = False
            self._idle_since = now
        elif now - self._idle_since >= self._settings.idle_timeout and now >= self._held_until:
            self.finish("idle")
        if not self._framer.begun:
            self._begun = None
        elif self._begun is None:
            self._begun = now
        elif now - self._begun >= self._settings.message_timeout:
            self.abort("a message was not whole in time")

    def _check_closing(self, now: float) -> None:
        """`finish` waits for a peer that reads, but not for ever."""
        if self._closing_since is None:
            self._closing_since = now
        elif now - self._closing_since >= self._settings.message_timeout:
            self.abort(self._why)

    # -- what Twisted calls -------------------------------------------------------------------------------------------

    @property
    def _wire(self) -> Any:
        return self.transport

    def connectionMade(self) -> None:
        if self._over:  # closed by us while it was being opened
            self._wire.abortConnection()
            return
        self._open = True
        self._wire.setTcpNoDelay(True)
        self._wire.setTcpKeepAlive(True)
        if self._waiting:
            self._pulling = True
            self._wire.registerProducer(self, False)

    def dataReceived(self, data: bytes) -> None:
        self._active = True
        framer = self._framer
        try:
            messages = framer.feed(data)
        except RemoteProtocolError as fault:
            self._framing_lost(fault)
            return
        if messages:
            self._begun = None
            for message in messages:
                if message == PING:
                    self.write(PONG, None)  # RFC 5626 section 4.4.1
                else:
                    self._owner.received(Packet(message, self.hop))
        if framer.fault is not None:
            self._framing_lost(framer.fault)

    def _framing_lost(self, fault: RemoteProtocolError) -> None:
        """Where the next message begins is unknown: answer this one as far as it can be, then close (18.3)."""
        if not self._why:
            head = self._framer.salvage()
            if head:
                self._owner.received(Packet(head, self.hop))
            self.finish(fault.reason)

    def connectionLost(self, reason: Failure = None) -> None:  # type: ignore[assignment]
        self.fail(reason.getErrorMessage())

    def resumeProducing(self) -> None:
        """The last batch has gone out: the next one, or none."""
        if not self._waiting:
            self._in_flight.clear()
            self._in_flight_size = 0
            self._pulling = False
            self._wire.unregisterProducer()
            return
        self._in_flight, self._unsent = self._unsent, []
        self._in_flight_size, self._waiting_size = self._waiting_size, 0
        batch = b"".join(self._waiting)
        self._waiting.clear()
        self._wire.write(batch)

    def stopProducing(self) -> None:
        """`connectionLost` follows and says all."""
