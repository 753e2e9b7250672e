"""SIP over UDP (RFC 3261 section 18): one unconnected socket for each listener.

Twisted's own `udp.Port` takes an ICMP error for the end of the socket, truncates datagrams at 8 KiB unless told, and
checks the address on each write; this descriptor has the error queue, reads a bounded number of datagrams a wake-up,
and keeps one `Hop` for each remote address.
"""

from __future__ import annotations

import contextlib
import errno
import re
import socket
import struct
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReadDescriptor
from zope.interface import implementer

from sbc.b2bua import Listener, Zone
from sbc.rtp import answer_binding, is_stun
from sbc.sip import Address, Hop, Packet, TransactionId
from sbc.transport.pace import Pace

Receive = Callable[[Packet], None]
Failed = Callable[[TransactionId, str], None]

ERRORS_AT_ONCE = 32
"""ICMP errors taken before others get their turn."""
KNOWN_REMOTES = 4096
"""Hops kept; when there are more remote addresses (or somebody makes them up), all are forgotten at once."""
MAX_DATAGRAM = 65535

FIRST_OF_A_MESSAGE = b"\x21"
"""Every request and response begins with a token; what begins lower is a keep-alive, or blank before a message."""
BLANK, LONGEST_BLANK = b"\r\n\0 ", 16
"""What phones and routers send to keep a mapping open, beside STUN (RFC 5626 section 4.4.2)."""

SO_RCVBUFFORCE = 33  # linux/socket.h
IP_RECVERR, IPV6_RECVERR = 11, 25  # linux/in.h, linux/in6.h
MSG_ERRQUEUE = 0x2000
SO_EE_ORIGIN_LOCAL = 1  # linux/errqueue.h
EXTENDED_ERROR = struct.Struct("=IBBB")  # sock_extended_err: ee_errno, ee_origin, ee_type, ee_code ...

UNREACHABLE = frozenset({errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENOPROTOOPT, errno.EHOSTDOWN})
"""ICMP host, network, port or protocol unreachable; others SHOULD be ignored (RFC 3261 section 18.4)."""
CONGESTED = frozenset({errno.EAGAIN, errno.ENOBUFS})
"""Our own queue is full: a loss like any other, made good by retransmission."""

TOP_BRANCH = re.compile(rb"\bbranch\s*=\s*([^\s;,]+)")


@implementer(IReadDescriptor)
class UdpSocket:
    """One listener's socket. Reading starts with `start`; sending works at once."""

    def __init__(self, pace: Pace, zone: Zone, listener: Listener, bound: socket.socket, receive_buffer: int) -> None:
        self._pace = pace
        self._zone = zone.name
        self._local = listener.local
        self._socket = bound
        self._open = True
        self._receive: Receive = _nobody
        self._failed: Failed = _no_transaction
        self._hops: dict[Any, Hop] = {}
        self._hosts: dict[str, str] = {}
        self._errors_wait = False
        """A send was told of an error, so that no read will be."""
        self.lost = 0
        """Datagrams that our side of the network did not take."""
        enlarge_receive_buffer(bound, receive_buffer)
        if bound.family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
        else:
            bound.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)

    def start(self, receive: Receive, failed: Failed) -> None:
        self._receive = receive
        self._failed = failed
        self._pace.add(self)

    def close(self) -> None:
        if self._open:
            self._open = False
            self._pace.remove(self)
            self._socket.close()

    def send(self, data: bytes, remote: Address, transaction: TransactionId | None) -> None:
        """Send at once; what the network says against it goes to `failed`."""
        try:
            self._socket.sendto(data, remote)
        except OSError as error:
            self._send_again(data, remote, transaction, error)

    def _send_again(self, data: bytes, remote: Address, transaction: TransactionId | None, error: OSError) -> None:
        """With IP_RECVERR a socket tells of an earlier datagram's ICMP error by refusing the next one, to whomever:
        the second attempt shows whether this one was meant."""
        if error.errno not in CONGESTED:
            self._errors_wait = True
            try:
                self._socket.sendto(data, remote)
                return
            except OSError as second:
                error = second
        self.lost += 1
        if transaction is not None and error.errno not in CONGESTED:
            self._failed(transaction, error.strerror or str(error))

    def take(self, most: int) -> int:
        """Receive up to `most` datagrams that wait; how many there were."""
        if self._errors_wait:
            self._take_errors()
            if not self._open:
                return 0
        recvfrom, hops, receive = self._socket.recvfrom, self._hops, self._receive
        for count in range(most):
            try:
                data, source = recvfrom(MAX_DATAGRAM)
            except BlockingIOError:
                return count
            except OSError:  # an ICMP error, reported here in place of a datagram
                self._take_errors()
                if self._open:
                    continue
                return count
            if data[:1] < FIRST_OF_A_MESSAGE and self._keeps_alive(data, source):
                continue
            hop = hops.get(source)
            if hop is None:
                hop = self._new_hop(source)
            receive(Packet(data, hop))
            if not self._open:
                return count + 1
        return most

    def _keeps_alive(self, data: bytes, source: Any) -> bool:
        """Whether a datagram was there for the NATs on its way only: STUN is answered, line ends are not."""
        if not is_stun(data):
            return len(data) <= LONGEST_BLANK and not data.strip(BLANK)
        response = answer_binding(data, source[0], source[1])
        if response is None:
            return False  # let it be counted as what nobody understands
        with contextlib.suppress(OSError):  # lost like any other; the asker asks again
            self._socket.sendto(response, source)
        return True

    def _new_hop(self, source: Any) -> Hop:
        if len(self._hops) >= KNOWN_REMOTES:
            self._hops.clear()
            self._hosts.clear()
        host = self._hosts.setdefault(source[0], source[0])  # thousands behind one NAT need it once
        hop = self._hops[source] = Hop(self._zone, "UDP", self._local, Address(host, source[1]))
        return hop

    # -- what the reactor calls ---------------------------------------------------------------------------------------

    def doRead(self) -> None:
        self._pace.woken(self)

    def fileno(self) -> int:
        return self._socket.fileno()

    def logPrefix(self) -> str:
        return "sip-udp"

    def connectionLost(self, reason: Any) -> None:
        """Twisted takes EPOLLERR without EPOLLIN for the end; here it means that the error queue holds something."""
        if self._open:
            self._take_errors()
        if self._open:  # still: the failure told may have been the last thing that the service waited for
            self._pace.again(self)

    # -- ICMP errors --------------------------------------------------------------------------------------------------

    def _take_errors(self) -> None:
        """Empty the error queue; fail the transaction of each request that came back as unreachable.

        The kernel hands back the datagram as the ICMP message quotes it. A request has our Via near its top, and the
        name of its transaction in it: nothing needs remembering, and who forges ICMP has to know the branch.
        """
        self._errors_wait = False
        self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        for _ in range(ERRORS_AT_ONCE):
            try:
                quoted, ancillary, _flags, _remote = self._socket.recvmsg(2048, 512, MSG_ERRQUEUE)
            except OSError:
                return
            code = extended_errno(ancillary)
            if code not in UNREACHABLE or quoted.startswith(b"SIP/2.0"):
                continue
            branch = TOP_BRANCH.search(quoted)
            if branch is not None:
                self.lost += 1
                self._failed(branch[1].decode("latin-1"), errno.errorcode[code])


def extended_errno(ancillary: list[tuple[int, int, bytes]]) -> int:
    """What the network (not our own kernel) said about a datagram, as an errno; 0: nothing."""
    for level, kind, value in ancillary:
        if (level, kind) in ((socket.IPPROTO_IP, IP_RECVERR), (socket.IPPROTO_IPV6, IPV6_RECVERR)):
            code, origin, _type, _code = EXTENDED_ERROR.unpack_from(value)
            return 0 if origin == SO_EE_ORIGIN_LOCAL else int(code)
    return 0


def enlarge_receive_buffer(bound: socket.socket, size: int) -> None:
    """As much of `size` as the system grants: SO_RCVBUFFORCE (CAP_NET_ADMIN) passes over net.core.rmem_max."""
    try:
        bound.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, size)
    except OSError:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)


def _nobody(packet: Packet) -> None:
    """Until `start`."""


def _no_transaction(transaction: TransactionId, reason: str) -> None:
    """Until `start`."""
