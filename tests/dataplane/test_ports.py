"""Port pairs without a worker around them."""

from __future__ import annotations

import socket

import pytest

from sbc.dataplane.ports import Ports, reachable


def test_the_order_in_which_ports_are_given_out_cannot_be_told_beforehand() -> None:
    orders = set()
    for _ in range(5):
        ports = Ports([("127.0.0.1", 28010, 28049)])
        orders.add(tuple(pair.port for pair in ports.bind("127.0.0.1", 20)))
        ports.close()
    assert len(orders) > 1
    assert {tuple(sorted(order)) for order in orders} == {tuple(range(28010, 28050, 2))}


def test_a_pair_that_is_asked_for_by_name_is_bound_once() -> None:
    ports = Ports([("*", 28010, 28049)])
    pair, fresh = ports.pair("127.0.0.1", 28012)
    assert fresh
    assert ports.pair("127.0.0.1", 28012) == (pair, False)
    assert 28012 not in [made.port for made in ports.bind("127.0.0.1", 100)]
    ports.close()


def test_a_host_without_a_range_gets_none() -> None:
    with pytest.raises(ValueError, match="no port range"):
        Ports([("127.0.0.1", 28010, 28049)]).bind("::1", 1)


@pytest.mark.parametrize(
    ("place", "family", "expected"),
    [
        (["192.0.2.1", 4000], socket.AF_INET, ("192.0.2.1", 4000)),
        (["20.0.0.1", 4000], socket.AF_INET, ("20.0.0.1", 4000)),
        (["2001:DB8:0:0::1", 4000], socket.AF_INET6, ("2001:db8::1", 4000)),
        (["192.0.2.1", 4000], socket.AF_INET6, None),
        (["2001:db8::1", 4000], socket.AF_INET, None),
        (["192.0.2.1", 0], socket.AF_INET, None),
        (["192.0.2.1", 65536], socket.AF_INET, None),
        (["192.0.2.1", "4000"], socket.AF_INET, None),
        (["239.1.1.1", 4000], socket.AF_INET, None),
        (["255.255.255.255", 4000], socket.AF_INET, None),
        (["0.0.0.0", 4000], socket.AF_INET, None),
        (["ff02::1", 4000], socket.AF_INET6, None),
        (["::", 4000], socket.AF_INET6, None),
        (["phone.example", 4000], socket.AF_INET, None),
        (["a\0b", 4000], socket.AF_INET, None),
        (None, socket.AF_INET, None),
        ("192.0.2.1:4000", socket.AF_INET, None),
    ],
)
def test_where_a_packet_may_be_sent(
    place: object, family: socket.AddressFamily, expected: tuple[str, int] | None
) -> None:
    assert reachable(place, family) == expected
