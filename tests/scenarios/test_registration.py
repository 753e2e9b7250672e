"""Phones register through the SBC with a PBX, by SIPp: digest end to end, refreshes, calls to them, and kill -9."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.border import PLAIN, Border
from tests.support.lab import PRIVATE, PUBLIC, wait_until
from tests.support.scenario import OUTWARDS, callee, caller
from tests.support.sipp import Sipp

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_peers("sipp", "nft")]

CONFIG = f"""{PLAIN}
[access]
domain = "example.com"
registrar = "pbx"
expires_udp = 60
watch = 0
"""
CONTACT = "Contact: &lt;sip:1001@192.168.7.7:5060;line=[0-9]*>;expires=60"


@pytest.fixture
def border() -> Iterator[Border]:
    with Border(CONFIG) as border:
        yield border


def registrar(border: Border) -> Sipp:
    return Sipp(border.lab.private, "registrar", PRIVATE.host, 5060)


def phone(border: Border, refreshes: int, *, username: str = "1001", answer: int = 200, expect: str = CONTACT) -> Sipp:
    values = {"refreshes": refreshes, "username": username, "answer": answer, "expect": expect}
    return Sipp(border.lab.public, "registers", PUBLIC.host, 5060, target=f"{PUBLIC.edge}:5060", replace=values)


def register(border: Border, refreshes: int = 0) -> tuple[Sipp, str]:
    """A registered phone; what the PBX saw of it, and the user part of its contact there."""
    pbx = registrar(border)
    registering = phone(border, refreshes)
    registering.wait()
    pbx.wait()
    wait_until(lambda: border.edge.registrations("1001@") != [], "the registration written down", timeout=8)
    (binding,) = border.edge.registrations("1001@")
    return pbx, binding["token"]


def call(border: Border, token: str) -> None:
    """The PBX calls the contact that it has; the phone, at the address that it registered from, answers."""
    answering = callee(border, OUTWARDS, "callee", {"delay": 100})
    calling = caller(border, OUTWARDS, "caller", {"talk": 200}, dialled=f"sip:{token}@{PRIVATE.edge}:5060")
    calling.wait()
    answering.wait()
    assert "INVITE sip:1001@192.168.7.7:5060;line=" in answering.messages()
    record = border.record(calling)
    assert (record["status"], record["ended_by"]) == (200, "caller")


def test_a_phone_registers_with_digest_and_its_refreshes_do_not_reach_the_pbx(border: Border) -> None:
    pbx, token = register(border, refreshes=20)
    seen = pbx.messages()
    assert seen.count("REGISTER sip:example.com SIP/2.0") == 2
    assert f"Contact: <sip:{token}@{PRIVATE.edge}:5060>;expires=3600" in seen
    assert "192.168.7.7" not in seen
    assert PUBLIC.host not in seen
    assert "auth-int" not in border.edge.sbc("registrations", "1001")


def test_a_wrong_password_registers_nobody(border: Border) -> None:
    pbx = registrar(border)
    phone(border, 0, username="1002", answer=403, expect="Forbidden").wait()
    pbx.wait()
    assert border.edge.registrations() == []


def test_the_pbx_calls_the_phone_where_it_registered_from(border: Border) -> None:
    _, token = register(border)
    call(border, token)


def test_after_kill_9_a_call_reaches_a_phone_that_has_done_nothing_since(border: Border) -> None:
    _, token = register(border)
    border.edge.kill_and_start()
    call(border, token)
