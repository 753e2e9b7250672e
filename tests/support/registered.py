"""What tests of registrations have in common: phone "caller" that registers through the SBC with PBX "callee"."""

from __future__ import annotations

from collections.abc import Callable

from sbc.b2bua import Access
from tests.support.ladder import Ladder

ACCESS = Access("public", ("example.com",), "pbx", expires_udp=60, key=b"site")
REGISTERED = """
    caller -> REGISTER sip:example.com | To: <sip:1001@example.com> | From: <sip:1001@example.com>;tag=phone
    | User-Agent: Phone/1.0
    callee <- REGISTER sip:example.com | Contact: <sip:$token@10.0.0.1:5060>;expires=3600 | To: <sip:1001@example.com>
    callee -> 200 REGISTER | Contact: <sip:$token@10.0.0.1:5060>;expires=3600
    caller <- 200 REGISTER | Contact: <sip:caller@198.51.100.7:5070>;expires=60
"""
REFRESH = "caller -> REGISTER sip:example.com | To: <sip:1001@example.com>"
REFRESHED = "caller <- 200 REGISTER | Contact: <sip:caller@198.51.100.7:5070>;expires=60"
TO_THE_PBX = "callee <- REGISTER sip:example.com | Contact: <sip:$token@10.0.0.1:5060>;expires=3600"
TAKEN = "callee -> 200 REGISTER | Contact: <sip:$token@10.0.0.1:5060>;expires=3600"
CALLED = """
    callee -> INVITE sip:$token@10.0.0.1 sdp
    callee <- 100
    caller <- INVITE sip:caller@198.51.100.7:5070 sdp
    caller -> 486
    caller <- ACK
    callee <- 486
    callee -> ACK
"""
NewAccess = Callable[..., Ladder]
"""Makes a world in which phones register, with these properties of its `Access`."""


def decision(ladder: Ladder) -> str:
    (device,) = ladder.edge.b2bua.registered.by_aor("1001@example.com")
    (flow,) = device.flows.values()
    return flow.decision


def send(ladder: Ladder, line: str) -> None:
    """What the SBC does about it is looked at afterwards."""
    words, *changes = line.partition("-> ")[2].split(" | ")
    ladder.parties["caller"].send(words.split(), changes)
    ladder.wait(0.0)


def refresh_until_passed(ladder: Ladder) -> int:
    """How many refreshes were answered here before the PBX saw one, which it has now."""
    for count in range(100):
        ladder.wait(55.0)
        send(ladder, REFRESH)
        if ladder.parties["callee"].inbox:
            return count
        ladder.play(REFRESHED)
    raise AssertionError("the PBX sees none of them")
