"""A machine with the addresses and routes that a test wants."""

from __future__ import annotations

import ipaddress

from sbc.service.machine import InterfaceAddress, Machine, Route


class FakeMachine(Machine):
    """`addresses`: interface -> "address/prefix length"s; `routes`: host -> (interface, source address)."""

    def __init__(
        self, addresses: dict[str, list[str]] | None = None, routes: dict[str, tuple[str, str]] | None = None
    ) -> None:
        self._known = tuple(
            InterfaceAddress(name, text.split("/")[0], ipaddress.ip_network(text, strict=False))
            for name, texts in (addresses or {}).items()
            for text in texts
        )
        self._routes = routes or {}

    def addresses(self) -> tuple[InterfaceAddress, ...]:
        return self._known

    def route(self, host: str) -> Route | None:
        return Route(*self._routes[host]) if host in self._routes else None


EDGE = FakeMachine(
    {
        "lo": ["127.0.0.1/8", "::1/128"],
        "eth0": ["203.0.113.10/24", "2001:db8::10/64"],
        "eth1": ["10.0.0.1/24"],
    }
)
"""As in etc/sbc.toml: public on eth0, private on eth1."""
