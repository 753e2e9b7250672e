"""What a leg can carry."""

from __future__ import annotations

import pytest

from sbc.b2bua.capabilities import ALLOW, ALLOWED, allow, unsupported_extensions
from sbc.sip import Headers, Request

OURS = {"INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "INFO"}


def request(*fields: tuple[str, str], body: bytes = b"") -> Request:
    return Request("INVITE", "sip:a@b", Headers(fields), body)


def methods(text: str) -> set[str]:
    return set(text.split(", "))


def test_a_leg_is_told_what_its_other_side_allows_as_well() -> None:
    assert "MESSAGE" not in methods(allow(request(("Allow", "INVITE, ACK, BYE, INFO"))))
    told = methods(allow(request(("Allow", "invite,ack"), ("Allow", "MESSAGE,SUBSCRIBE,PUBLISH"))))
    assert "MESSAGE" in told
    assert told <= set(ALLOWED)


def test_what_every_leg_must_do_is_always_allowed() -> None:
    assert methods(allow(request(("Allow", "")))) >= OURS


def test_a_side_that_does_not_say_may_do_anything() -> None:
    assert allow(request()) == allow(request(("Allow", ALLOW))) == ALLOW


@pytest.mark.parametrize("name", ["Require", "Proxy-Require"])
def test_extensions_that_nobody_knows_are_refused_by_name(name: str) -> None:
    verdict = unsupported_extensions(request((name, "x-one, x-two"), (name, "x-three")))
    assert verdict is not None
    assert verdict.status == 420
    assert verdict.headers == (("Unsupported", "x-one, x-two, x-three"),)


def test_nothing_required_is_nothing_refused() -> None:
    assert unsupported_extensions(request()) is None
    assert unsupported_extensions(request(("Require", ""))) is None
    assert unsupported_extensions(request(("Supported", "x-one"))) is None
