"""Bound sockets for listeners, and the error that says which could not be had."""

from __future__ import annotations

import os
import socket

from sbc.b2bua import Listener, Zone


class ListenError(Exception):
    """Some listeners could not be bound. `faults` holds a line for each, naming zone, transport, address and reason."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


def bound_socket(listener: Listener, kind: socket.SocketKind) -> socket.socket:
    """A non-blocking socket bound to the listener's local address; an IPv6 one speaks IPv6 only.

    Raises OSError.
    """
    host, port = listener.local
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, kind)
    try:
        bound.setblocking(False)
        if kind is socket.SOCK_STREAM:  # a restart must not wait for the last run's connections in TIME_WAIT
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(socket.getaddrinfo(host, port, family, kind, 0, socket.AI_NUMERICHOST)[0][4])
    except OSError:
        bound.close()
        raise
    return bound


def listen_fault(zone: Zone, listener: Listener, error: OSError) -> str:
    """One line for the operator."""
    host, port = listener.local
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    what = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
    return f"zone {zone.name}: cannot listen on {listener.transport} {where}: {what}"
