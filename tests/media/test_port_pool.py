from __future__ import annotations

from sbc.media import MediaSettings, PortPool, PortsReady
from sbc.sip import Address

HOST = "192.0.2.1"


def pool(*ports: int, **settings: float) -> PortPool:
    made = PortPool(MediaSettings(hosts=(HOST,), **settings))  # type: ignore[arg-type]
    made.ready(PortsReady(HOST, ports), 0.0)
    return made


def test_only_announced_ports_are_given_and_each_once():
    ports = pool(4000, 4002)
    assert {ports.take(HOST, 1.0), ports.take(HOST, 1.0)} == {Address(HOST, 4000), Address(HOST, 4002)}
    assert ports.take(HOST, 1.0) is None
    assert ports.take("192.0.2.9", 1.0) is None
    assert ports.in_use == 2


def test_a_port_rests_before_it_is_used_again():
    ports = pool(4000, drain=5.0)
    port = ports.take(HOST, 1.0)
    assert port is not None
    ports.give_back(port, 10.0)
    assert ports.in_use == 0
    assert ports.take(HOST, 14.9) is None
    assert ports.take(HOST, 15.0) == port


def test_a_port_given_back_twice_is_there_once():
    ports = pool(4000, drain=0.0)
    port = ports.take(HOST, 1.0)
    assert port is not None
    ports.give_back(port, 1.0)
    ports.give_back(port, 1.0)
    assert ports.take(HOST, 2.0) == port
    assert ports.take(HOST, 2.0) is None


def test_below_the_low_water_mark_ports_are_wanted_once():
    ports = pool(4000, 4002, low_water=2, high_water=5)
    assert ports.wanted() == []
    ports.take(HOST, 1.0)
    assert ports.wanted() == [(HOST, 4)]
    ports.take(HOST, 1.0)
    assert ports.wanted() == []
    ports.ready(PortsReady(HOST, (4004, 4006, 4008, 4010)), 2.0)
    assert ports.wanted() == []
    assert ports.free == 4


def test_ports_are_wanted_at_once_for_a_host_that_is_new():
    ports = pool(4000, low_water=1, high_water=3)
    ports.use_host("2001:db8::1")
    assert ports.wanted() == [("2001:db8::1", 3)]


def test_a_plane_that_has_no_more_ports_is_asked_again_only_after_a_while():
    ports = pool(low_water=1, high_water=3, retry=10.0)
    assert ports.wanted() == [(HOST, 3)]
    ports.ready(PortsReady(HOST, ()), 1.0)
    assert ports.wanted() == []
    ports.take(HOST, 10.9)
    assert ports.wanted() == []
    ports.take(HOST, 11.0)
    assert ports.wanted() == [(HOST, 3)]


def test_a_lost_plane_takes_its_free_and_resting_ports_with_it_but_not_those_in_use():
    ports = pool(4000, 4002, 4004, low_water=1, high_water=2, drain=1.0)
    used, resting = ports.take(HOST, 1.0), ports.take(HOST, 1.0)
    assert used is not None
    assert resting is not None
    ports.give_back(resting, 1.0)
    ports.plane_lost(2.0)
    assert ports.take(HOST, 9.0) is None
    assert ports.wanted() == [(HOST, 2)]
    ports.ready(PortsReady(HOST, (used.port, 4002)), 10.0)
    assert ports.take(HOST, 10.0) == Address(HOST, 4002)
    assert ports.take(HOST, 10.0) is None, "the port in use was announced again, and must not be given twice"
    ports.give_back(used, 11.0)
    assert ports.take(HOST, 12.0) == used
