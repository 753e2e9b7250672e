from __future__ import annotations

import socket

import pytest

from sbc.b2bua import Listener
from sbc.sip import Address
from sbc.transport.sockets import bound_socket
from tests.support.sockets import free_port


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_an_ipv6_listener_leaves_the_ipv4_port_to_another(kind: socket.SocketKind) -> None:
    port = free_port("127.0.0.1", kind)
    wildcard6, wildcard4 = Address("::", port), Address("0.0.0.0", port)
    with bound_socket(Listener("X", wildcard6, wildcard6), kind) as six:
        assert six.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1
        with bound_socket(Listener("X", wildcard4, wildcard4), kind) as four:
            assert not four.getblocking()
