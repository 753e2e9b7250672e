"""What the registrar sees, and what is made of its answer."""

from __future__ import annotations

import pytest

from sbc.b2bua.registrar_side import granted, service_route
from sbc.b2bua.registrations import Device
from sbc.sip import Headers, Response

DEVICE = Device("1001@example.com", "desk", "token")


def answer(*fields: tuple[str, str]) -> Response:
    return Response(200, "OK", Headers(fields))


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ((("Contact", "<sip:other@h>;expires=9, <sip:token@10.0.0.1>;expires=70"),), 70),
        ((("Contact", "<sip:token@10.0.0.1>"), ("Expires", "50")), 50),
        ((("Contact", "<sip:token@10.0.0.1>"),), 3600),
        ((("Contact", "<sip:other@h>;expires=9"),), 0),
        ((("Contact", "rubbish <<"), ("Expires", "50")), 50),
        ((), 3600),
        ((("Expires", "7200"),), 3600),
    ],
)
def test_what_is_granted_stands_with_our_contact(fields: tuple[tuple[str, str], ...], seconds: int) -> None:
    assert granted(answer(*fields), DEVICE, 3600)[0] == seconds


def test_a_service_route_is_kept_as_far_as_it_is_one() -> None:
    assert service_route(answer(("Service-Route", "<sip:a@10.0.0.5;lr>, rubbish <"), ("Service-Route", "<tel:1>"))) == (
        "<sip:a@10.0.0.5;lr>",
    )
