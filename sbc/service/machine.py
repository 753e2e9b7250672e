"""What this machine knows of its network: addresses, interfaces, routes (rtnetlink, through pyroute2)."""

from __future__ import annotations

import ipaddress
from typing import NamedTuple

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class InterfaceAddress(NamedTuple):
    """One address of one interface."""

    interface: str
    host: str
    network: Network
    """What is reached over the interface directly."""


class Route(NamedTuple):
    """The way that the kernel takes to a host."""

    interface: str
    source: str
    """The address of ours that packets leave with."""


class Machine:
    """Asked when the configuration leaves something to be found out."""

    def __init__(self) -> None:
        self._addresses: tuple[InterfaceAddress, ...] | None = None

    def addresses(self) -> tuple[InterfaceAddress, ...]:
        """All addresses of all interfaces but IPv6 link-local ones, as they were when first asked for; () where
        rtnetlink cannot be had."""
        if self._addresses is None:
            self._addresses = self._look()
        return self._addresses

    def _look(self) -> tuple[InterfaceAddress, ...]:
        from pyroute2 import IPRoute

        try:
            with IPRoute() as netlink:
                names = {link["index"]: str(link.get_attr("IFLA_IFNAME")) for link in netlink.get_links()}
                found = [
                    (names.get(entry["index"], ""), entry.get_attr("IFA_LOCAL") or entry.get_attr("IFA_ADDRESS"), entry)
                    for entry in netlink.get_addr()
                ]
        except OSError:
            return ()
        return tuple(
            InterfaceAddress(name, str(host), ipaddress.ip_network(f"{host}/{entry['prefixlen']}", strict=False))
            for name, host, entry in found
            if host and not ipaddress.ip_address(host).is_link_local
        )

    def route(self, host: str) -> Route | None:
        """The route to an IP address; None if there is none."""
        from pyroute2 import IPRoute
        from pyroute2.netlink.exceptions import NetlinkError

        try:
            with IPRoute() as netlink:
                answer = netlink.route("get", dst=host)[0]
                link = netlink.get_links(answer.get_attr("RTA_OIF"))[0]
        except (OSError, NetlinkError, IndexError):
            return None
        source = answer.get_attr("RTA_PREFSRC")
        return Route(str(link.get_attr("IFLA_IFNAME")), str(source)) if source else None
