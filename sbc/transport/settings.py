"""Limits of the transports, in one value."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TransportSettings:
    """What no remote element may exceed, and how long we wait for one. Times in seconds, sizes in bytes."""

    udp_receive_buffer: int = 4 * 1024 * 1024
    """SO_RCVBUF of each UDP socket; the kernel caps it at net.core.rmem_max unless the process may override that."""
    max_connections: int = 2000
    """Streams accepted from others, over all listeners; as many again may be opened by us."""
    max_connections_per_source: int = 100
    """Streams accepted from one IP address."""
    idle_timeout: float = 600.0
    """A stream on which nothing came or went for so long is closed (RFC 3261 section 18 asks for at least the longest
    transaction, 32 s)."""
    message_timeout: float = 10.0
    """A message that has begun to arrive must be whole within this time."""
    connect_timeout: float = 4.0
    """For a stream that we open."""
    output_limit: int = 512 * 1024
    """What may wait for a peer that does not read; past it the stream is aborted."""
