"""`sbc registrations`."""

from __future__ import annotations

from typing import Any

import pytest

from sbc.admin.registered import behind_nat, registered

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


@pytest.mark.parametrize(
    ("contact", "nat"),
    [
        ("sip:1001@198.51.100.7:1024", False),
        ("sip:1001@198.51.100.7:5060", True),
        ("sip:198.51.100.7:1024;ob", False),
        ("sip:1001@10.0.0.9", True),
    ],
)
def test_a_phone_that_calls_itself_something_else_is_behind_nat(contact: str, nat: bool) -> None:
    assert behind_nat({**BINDING, "contact": contact}) is nat
