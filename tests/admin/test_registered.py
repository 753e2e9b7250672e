"""`sbc registrations`."""

from __future__ import annotations

from typing import Any

from sbc.admin.registered import registered

BINDING: dict[str, Any] = {
    "aor": "1001@example.com",
    "device": '"<urn:uuid:1>"',
    "reg_id": 1,
    "contact": "sip:1001@192.168.1.5:5060;transport=udp",
    "hop": ["public", "UDP", ["192.0.2.1", 5060], ["198.51.100.7", 1024], None],
    "until": 1060.0,
    "inside_until": 4600.0,
    "inside_granted": 3600,
    "checked": 1000.0,
    "written_at": 990.0,
    "user_agent": "Phone\x1b[2J/1.0",
    "decision": "registered",
    "nat": "contact, via",
    "token": "abc",
    "path": [],
    "service_route": ["<sip:orig@10.0.0.5;lr>"],
    "associated": [],
}


def test_a_line_tells_who_where_and_how_long() -> None:
    head, line = registered([BINDING], 1000.0)
    assert head.split()[:2] == ["USER", "FLOW"]
    assert line.split()[:6] == ["1001@example.com", "198.51.100.7:1024/UDP", "60", "s/3600", "s", "yes"]
    assert "\x1b" not in line


def test_asked_for_one_user_it_tells_why() -> None:
    text = "\n".join(registered([BINDING], 1000.0, detailed=True))
    assert "decision  registered (10 s ago)" in text
    assert "reg-id 1" in text
    assert "route     <sip:orig@10.0.0.5;lr>" in text


def test_nobody_is_said() -> None:
    assert registered([], 0.0) == ["nobody is registered"]


def test_what_told_of_a_nat_is_told() -> None:
    assert "nat       its contact and via said" in "\n".join(registered([BINDING], 1000.0, detailed=True))
    direct = {**BINDING, "nat": ""}
    _, line, *details = registered([direct], 1000.0, detailed=True)
    assert line.split()[5] == "no"
    assert not any(detail.startswith("  nat ") for detail in details)


def test_what_calls_one_device_alone_is_told() -> None:
    given = {**BINDING, "shown": '<sip:a@b>;+sip.instance="<urn:uuid:1>";pub-gruu="sip:1001@example.com;gr=urn:uuid:1"'}
    assert "  gruu      sip:1001@example.com;gr=urn:uuid:1" in registered([given], 1000.0, detailed=True)
    assert "gruu" not in "\n".join(registered([BINDING], 1000.0, detailed=True))
