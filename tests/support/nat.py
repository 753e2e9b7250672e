"""Homes behind a NAT: a LAN of phones, and a router before it that translates in one of the ways of RFC 4787.

    phones (192.168.188.x) ---- router = the public host of a `Lab` ---- edge

The router is Linux with nftables, so it is what nftables can do, which `tests/scenarios/test_nat_lab.py` shows:

- Linux by itself maps each pair of endpoints anew, keeps the port where it is free (which looks endpoint-independent
  from outside) and filters by address and port.
- Mapping that does not depend on the remote port: the outer port is a hash of what it may depend on.
- Filtering that asks less than address and port: maps that outgoing packets write and incoming ones read (their
  elements time out like the mappings of a NAT); these keep the port.

No type does hairpinning. TCP is translated as Linux does, whatever the type.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from pyroute2 import NFCTSocket

from tests.support.lab import PUBLIC, Lab, Namespace

_homes = itertools.count(1)

PHONES = ("192.168.188.21", "192.168.188.22")
"""Addresses of the phones of a home; rare bytes, so that their coming through somewhere means something."""
ROUTER = "192.168.188.1"


@dataclass(frozen=True)
class Kind:
    """Behaviour of a NAT in the words of RFC 4787 sections 4 and 5.

    `source` is the nftables statement that translates UDP going out; `admits` says which of what comes in without being
    an answer is let through: "" none (address and port-dependent), "address", "any".
    """

    name: str
    mapping: str
    filtering: str
    keeps_port: bool
    source: str
    admits: str = ""


_KEEPS = "snat to {public}"
FULL_CONE = Kind("full cone", "endpoint", "endpoint", True, _KEEPS, "any")
ADDRESS_RESTRICTED = Kind("address restricted", "endpoint", "address", True, _KEEPS, "address")
PORT_RESTRICTED = Kind("port restricted", "endpoint", "address and port", True, _KEEPS)
MOVED_PORT = Kind(
    "port restricted, other port", "endpoint", "address and port", False,
    "snat to {public} : jhash ip saddr . udp sport mod 20000 seed 0x5bc offset 30000",
)  # fmt: skip
ADDRESS_DEPENDENT = Kind(
    "address-dependent mapping", "address", "address and port", False,
    "snat to {public} : jhash ip saddr . udp sport . ip daddr mod 20000 seed 0x5bc offset 30000",
)  # fmt: skip
SYMMETRIC = Kind("symmetric", "address and port", "address and port", False, "snat to {public} fully-random")

KINDS = (FULL_CONE, ADDRESS_RESTRICTED, PORT_RESTRICTED, MOVED_PORT, ADDRESS_DEPENDENT, SYMMETRIC)


class Home:
    """A LAN behind `kind` of NAT, which shows `public` to the world and forgets UDP after `timeout` seconds.

    `phones` is the LAN: one namespace with an address for each phone. One home to a `Lab` at a time.
    """

    def __init__(self, lab: Lab, kind: Kind, *, public: str = PUBLIC.others[1], timeout: int = 30) -> None:
        self.router = lab.public
        self.public = public
        self._kind, self._timeout = kind, timeout
        self.phones = Namespace(f"sbc{os.getpid()}-home{next(_homes)}-lan")
        try:
            self._wire()
            for state in ("udp_timeout", "udp_timeout_stream"):
                self.router.sysctl(f"net.netfilter.nf_conntrack_{state}", str(timeout))
            self.move(public)
        except BaseException:
            self.close()
            raise

    def _wire(self) -> None:
        self.router.run(["ip", "link", "add", "lan", "type", "veth", "peer", "name", "eth0", "netns", self.phones.name])
        self.router.run(["ip", "address", "add", f"{ROUTER}/24", "dev", "lan"])
        self.router.run(["ip", "link", "set", "lan", "up"])
        self.router.sysctl("net.ipv4.ip_forward", "1")
        self.phones.run(["ip", "link", "set", "lo", "up"])
        for address in PHONES:
            self.phones.run(["ip", "address", "add", f"{address}/24", "dev", "eth0"])
        self.phones.run(["ip", "link", "set", "eth0", "up"])
        self.phones.run(["ip", "route", "add", "default", "via", ROUTER])

    def move(self, public: str) -> None:
        """The router is seen with this address from now on, and knows nothing of former connections, as after it has
        dialled in anew."""
        self.public = public
        self._drop_rules()
        self.router.run(["nft", "-f", "-"], input=rules(self._kind, public, self._timeout))
        self.forget()

    def _drop_rules(self) -> None:
        self.router.run(["nft", "-f", "-"], input="table ip home {}\ndelete table ip home\n")

    def forget(self) -> None:
        """Let the router lose what it knows of connections, as if it had been switched off and on."""

        def flush() -> None:
            with NFCTSocket() as table:
                table.flush()

        self.router.call(flush)
        for of in ("map ip home mapped", "set ip home spoken_to"):
            self.router.run(["nft", "flush", *of.split()])

    def close(self) -> None:
        with contextlib.suppress(subprocess.CalledProcessError):  # it was never made
            self.router.run(["ip", "link", "delete", "lan"], stderr=subprocess.DEVNULL)
        self._drop_rules()
        self.phones.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def rules(kind: Kind, public: str, timeout: int) -> str:
    """The router's nftables for a home."""
    learns = inwards = ""
    if kind.admits == "any":
        learns = f"update @mapped {{ udp sport timeout {timeout}s : ip saddr . udp sport }}"
        inwards = "dnat ip to udp dport map @mapped"
    elif kind.admits == "address":
        learns = (
            f"update @mapped {{ udp sport timeout {timeout}s : ip saddr . udp sport }} "
            f"update @spoken_to {{ ip daddr . udp sport timeout {timeout}s }}"
        )
        inwards = "ip saddr . udp dport @spoken_to dnat ip to udp dport map @mapped"
    learning = f'iifname "lan" oifname "eth0" meta l4proto udp {learns}' if learns else ""
    admitting = f'iifname "eth0" ip daddr {public} meta l4proto udp {inwards}' if inwards else ""
    return f"""table ip home {{
      map mapped {{ type inet_service : ipv4_addr . inet_service; flags dynamic,timeout; size 65535; }}
      set spoken_to {{ type ipv4_addr . inet_service; flags dynamic,timeout; size 65535; }}
      chain in {{ type nat hook prerouting priority -100; {admitting}
      }}
      chain through {{ type filter hook forward priority 0; policy drop;
        {learning}
        iifname "lan" oifname "eth0" accept
        iifname "eth0" ct state established,related accept
        iifname "eth0" ct status dnat accept
      }}
      chain here {{ type filter hook input priority 0; ip daddr {public} drop; }}
      chain out {{ type nat hook postrouting priority 100;
        iifname "lan" oifname "eth0" meta l4proto udp {kind.source.format(public=public)}
        iifname "lan" oifname "eth0" snat to {public}
      }}
    }}
    """
