"""The NAT boxes of the laboratory are what they say, seen from both of their sides."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from tests.support.lab import PUBLIC, Lab
from tests.support.nat import FULL_CONE, KINDS, PHONES, SYMMETRIC, Home, Kind

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_peers("nft")]

OTHER = "203.0.113.77"
"""A second host beside the edge."""

World = dict[str, socket.socket]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        lab.edge.run(["ip", "address", "add", f"{OTHER}/24", "dev", "outside"])
        yield lab


@pytest.fixture
def world(lab: Lab) -> Iterator[World]:
    """Hosts of the world: two ports of one, and one of another."""
    ends = {
        "here": lab.edge.udp((PUBLIC.edge, 4001)),
        "other port": lab.edge.udp((PUBLIC.edge, 4002)),
        "elsewhere": lab.edge.udp((OTHER, 4001)),
    }
    for end in ends.values():
        end.settimeout(5)
    yield ends
    for end in ends.values():
        end.close()


def seen_by(end: socket.socket, phone: socket.socket) -> tuple[str, int]:
    """Where `end` sees `phone` come from."""
    phone.sendto(b"hello", end.getsockname())
    source: tuple[str, int] = end.recvfrom(100)[1]
    return source


def heard(phone: socket.socket) -> list[bytes]:
    """What reaches the phone, up to and without "last"."""
    phone.settimeout(5)
    got = []
    while (data := phone.recv(100)) != b"last":
        got.append(data)
    return got


def phone_at(home: Home, number: int = 0, port: int = 5070) -> socket.socket:
    return home.phones.udp((PHONES[number], port))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_nat_maps_and_filters_as_its_type_says(lab: Lab, world: World, kind: Kind) -> None:
    with Home(lab, kind) as home, phone_at(home) as phone, phone_at(home, 1, 5080) as neighbour:
        outer = seen_by(world["here"], phone)
        assert outer[0] == home.public
        assert (outer[1] == 5070) is kind.keeps_port

        world["other port"].sendto(b"other port", outer)
        world["elsewhere"].sendto(b"elsewhere", outer)
        neighbour.sendto(b"hairpin", outer)
        world["here"].sendto(b"last", outer)
        expected = {"endpoint": [b"other port", b"elsewhere"], "address": [b"other port"], "address and port": []}
        assert heard(phone) == expected[kind.filtering]

        by_port = seen_by(world["other port"], phone) == outer
        by_address = seen_by(world["elsewhere"], phone) == outer
        assert (by_port, by_address) == {
            "endpoint": (True, True),
            "address": (True, False),
            "address and port": (False, False),
        }[kind.mapping]
        assert seen_by(world["here"], neighbour) not in (outer, neighbour.getsockname())


@pytest.mark.parametrize("kind", [FULL_CONE, SYMMETRIC], ids=lambda k: k.name)
def test_a_mapping_dies_when_its_time_is_over(lab: Lab, world: World, kind: Kind) -> None:
    with Home(lab, kind, timeout=1) as home, phone_at(home) as phone:
        here = world["here"]
        outer = seen_by(here, phone)
        time.sleep(2.2)
        here.sendto(b"late", outer)
        here.sendto(b"last", seen_by(here, phone))
        assert heard(phone) == []


def test_what_comes_in_keeps_a_mapping_alive(lab: Lab, world: World) -> None:
    with Home(lab, SYMMETRIC, timeout=3) as home, phone_at(home) as phone:
        here = world["here"]
        outer = seen_by(here, phone)
        for _ in range(8):
            time.sleep(0.6)
            here.sendto(b"ping", outer)
        here.sendto(b"last", outer)
        assert heard(phone) == [b"ping"] * 8


def test_a_router_that_was_switched_off_has_forgotten_everything(lab: Lab, world: World) -> None:
    with Home(lab, FULL_CONE) as home, phone_at(home) as phone:
        here = world["here"]
        outer = seen_by(here, phone)
        home.forget()
        here.sendto(b"late", outer)
        here.sendto(b"last", seen_by(here, phone))
        assert heard(phone) == []


def test_tcp_passes_outwards_only(lab: Lab) -> None:
    listening = lab.edge.socket(socket.SOCK_STREAM, (PUBLIC.edge, 4003))
    with Home(lab, FULL_CONE) as home, listening:
        listening.listen()
        with home.phones.connect(PHONES[0], (PUBLIC.edge, 4003)) as phone:
            accepted, source = listening.accept()
            assert source[0] == home.public
            with accepted:
                accepted.sendall(b"back")
                assert phone.recv(10) == b"back"
        with pytest.raises(TimeoutError):  # dropped, not refused
            lab.edge.connect(PUBLIC.edge, (home.public, 5070), timeout=0.5)
