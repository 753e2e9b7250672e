"""Twisted adapters for SIP (RFC 3261 section 18): UDP and TCP sockets, names to addresses. Nothing is decided here."""

from sbc.transport.resolver import ResolveError, Resolver, ResolverSettings
from sbc.transport.settings import TransportSettings
from sbc.transport.sockets import ListenError
from sbc.transport.transports import Transports

__all__ = ["ListenError", "ResolveError", "Resolver", "ResolverSettings", "TransportSettings", "Transports"]
