from __future__ import annotations

from ipaddress import ip_network

from sbc.service.machine import InterfaceAddress, Machine, Route


def test_this_machine_has_its_loopback_address() -> None:
    assert InterfaceAddress("lo", "127.0.0.1", ip_network("127.0.0.0/8")) in Machine().addresses()


def test_the_way_to_a_loopback_address_is_the_loopback_interface() -> None:
    assert Machine().route("127.0.0.77") == Route("lo", "127.0.0.1")


def test_what_is_no_unicast_destination_has_no_route() -> None:
    assert Machine().route("255.255.255.255.1") is None
