from __future__ import annotations

import pytest

from sbc.sip import Dialog, RemoteProtocolError, Request, Response, make_response, parse
from sbc.sip.dialog import check_dialog
from tests.support.sip_stack import LIMITS, request_bytes

RECORD_ROUTE = "Record-Route: <sip:p2.example;lr>, <sip:p1.example;lr>\r\n"


def received(more: str = "", **changes: str) -> Request:
    request = parse(request_bytes(more=more, **changes), LIMITS)  # type: ignore[arg-type]
    assert isinstance(request, Request)
    return request


def answer(status: int = 200, to_tag: str | None = "bob-tag", *headers: tuple[str, str]) -> Response:
    return make_response(received(), status, to_tag=to_tag, headers=headers)


def test_as_uas_local_and_remote_are_to_and_from_without_tags() -> None:
    dialog = Dialog.as_uas(received(), "our-tag")
    assert (dialog.call_id, dialog.local_tag, dialog.remote_tag) == ("call-1", "our-tag", "alice-tag")
    assert (dialog.local, dialog.remote) == ("<sip:bob@example.com>", "Alice <sip:alice@example.com>")
    assert dialog.remote_target == "sip:alice@10.9.9.9:5062"
    assert (dialog.local_cseq, dialog.remote_cseq, dialog.confirmed) == (0, 1, False)


def test_as_uac_local_and_remote_are_from_and_to_without_tags() -> None:
    dialog = Dialog.as_uac(received(), answer(200, "bob-tag", ("Contact", '"B" <sip:bob@10.1.1.1;transport=tcp>')))
    assert (dialog.call_id, dialog.local_tag, dialog.remote_tag) == ("call-1", "alice-tag", "bob-tag")
    assert (dialog.local, dialog.remote) == ("Alice <sip:alice@example.com>", "<sip:bob@example.com>")
    assert dialog.remote_target == "sip:bob@10.1.1.1;transport=tcp"
    assert (dialog.local_cseq, dialog.remote_cseq, dialog.confirmed) == (1, None, True)


def test_a_provisional_response_makes_an_early_dialog() -> None:
    assert not Dialog.as_uac(received(), answer(180)).confirmed


def test_the_route_set_is_in_order_for_the_uas_and_reversed_for_the_uac() -> None:
    assert Dialog.as_uas(received(RECORD_ROUTE), "t").route_set == ("<sip:p2.example;lr>", "<sip:p1.example;lr>")
    response = answer(200, "t", ("Record-Route", "<sip:p2.example;lr>"), ("Record-Route", "<sip:p1.example;lr>"))
    assert Dialog.as_uac(received(), response).route_set == ("<sip:p1.example;lr>", "<sip:p2.example;lr>")


def test_without_a_contact_the_target_is_the_from_or_the_request_uri() -> None:
    request = received()
    request.headers.remove("Contact")
    assert Dialog.as_uas(request, "t").remote_target == "sip:alice@example.com"
    assert Dialog.as_uac(received(), answer()).remote_target == "sip:bob@sbc.example.com"


def test_a_peer_of_rfc_2543_has_no_tag_and_gets_none() -> None:
    dialog = Dialog.as_uas(received(from_tag=None), "t")  # type: ignore[arg-type]
    assert dialog.remote_tag == ""
    assert dialog.request("BYE", None).headers.get("To") == "Alice <sip:alice@example.com>"
    assert Dialog.as_uac(received(), answer(200, None)).remote_tag == ""


def test_a_request_in_the_dialog_is_as_12_2_1_1_says() -> None:
    dialog = Dialog.as_uas(received(), "our-tag")
    invite = dialog.request("INVITE", "<sip:us@192.0.2.1>")
    assert (invite.method, invite.uri) == ("INVITE", "sip:alice@10.9.9.9:5062")
    assert list(invite.headers) == [
        ("Max-Forwards", "70"),
        ("From", "<sip:bob@example.com>;tag=our-tag"),
        ("To", "Alice <sip:alice@example.com>;tag=alice-tag"),
        ("Call-ID", "call-1"),
        ("CSeq", "1 INVITE"),
        ("Contact", "<sip:us@192.0.2.1>"),
    ]


def test_the_cseq_grows_by_one_and_an_ack_has_that_of_its_invite() -> None:
    dialog = Dialog.as_uac(received(), answer())
    assert dialog.request("ACK", None, cseq=1).headers.get("CSeq") == "1 ACK"
    assert dialog.request("INFO", None).headers.get("CSeq") == "2 INFO"
    assert dialog.request("BYE", None).headers.get("CSeq") == "3 BYE"


def test_loose_routers_stand_in_route() -> None:
    dialog = Dialog.as_uas(received(RECORD_ROUTE), "t")
    bye = dialog.request("BYE", None)
    assert bye.uri == "sip:alice@10.9.9.9:5062"
    assert bye.headers.get_all("Route") == ["<sip:p2.example;lr>", "<sip:p1.example;lr>"]
    assert dialog.next_hop == "sip:p2.example;lr"


def test_a_strict_router_stands_in_the_request_uri_and_the_target_last_in_route() -> None:
    strict = "Record-Route: <sip:strict.example;method=INVITE?a=b>;lr, <sip:p1.example;lr>\r\n"
    bye = Dialog.as_uas(received(strict), "t").request("BYE", None)
    assert bye.uri == "sip:strict.example"
    assert bye.headers.get_all("Route") == ["<sip:p1.example;lr>", "<sip:alice@10.9.9.9:5062>"]


def test_the_target_loses_what_may_not_stand_in_a_request_uri() -> None:
    response = answer(200, "t", ("Contact", "<sip:bob@10.1.1.1;method=BYE;lr?Subject=x>"))
    assert Dialog.as_uac(received(), response).remote_target == "sip:bob@10.1.1.1;lr"


def test_the_next_hop_without_routes_is_the_target() -> None:
    assert Dialog.as_uas(received(), "t").next_hop == "sip:alice@10.9.9.9:5062"


def test_requests_out_of_order_are_not_accepted() -> None:
    dialog = Dialog.as_uas(received(), "t")
    dialog.remote_cseq = 5
    assert not dialog.accept(parse_request("INFO", 4))
    assert dialog.accept(parse_request("INFO", 5))
    assert dialog.accept(parse_request("INFO", 9))
    assert not dialog.accept(parse_request("BYE", 8))
    assert dialog.remote_cseq == 9


def test_the_first_request_of_a_callee_may_have_any_number() -> None:
    dialog = Dialog.as_uac(received(), answer())
    assert dialog.accept(parse_request("BYE", 2**31 - 1))


def test_an_ack_is_in_order_and_changes_nothing() -> None:
    dialog = Dialog.as_uas(received(), "t")
    dialog.remote_cseq = 5
    assert dialog.accept(parse_request("ACK", 4))
    assert dialog.remote_cseq == 5


def test_a_target_refresh_takes_the_new_contact_over_if_it_can_be_read() -> None:
    dialog = Dialog.as_uas(received(), "t")
    refresh = received()
    refresh.headers.set("Contact", "<sip:alice@10.7.7.7>")
    dialog.refresh_target(refresh)
    assert dialog.remote_target == "sip:alice@10.7.7.7"
    for unusable in ("<sip:a b>", "*", "<sip:>"):
        refresh.headers.set("Contact", unusable)
        dialog.refresh_target(refresh)
        assert dialog.remote_target == "sip:alice@10.7.7.7"
    refresh.headers.remove("Contact")
    dialog.refresh_target(refresh)
    assert dialog.remote_target == "sip:alice@10.7.7.7"


@pytest.mark.parametrize("name", ["Contact", "Record-Route", "From", "To"])
def test_no_dialog_is_made_from_a_malformed_header(name: str) -> None:
    request = received()
    request.headers.set(name, "<sip:a b>")
    with pytest.raises(RemoteProtocolError):
        Dialog.as_uas(request, "t")


def test_a_response_always_makes_a_dialog_since_a_2xx_has_to_be_acknowledged() -> None:
    response = answer(200, "t", ("Contact", "<sip:>"), ("Record-Route", "<sip:p1.example;lr>"))
    dialog = Dialog.as_uac(received(), response)
    assert (dialog.remote_target, dialog.route_set) == ("sip:bob@sbc.example.com", ())


@pytest.mark.parametrize("name", ["Contact", "Record-Route"])
def test_an_address_whose_uri_is_malformed_makes_no_dialog(name: str) -> None:
    request = received()
    request.headers.set(name, "<sip:>")
    with pytest.raises(RemoteProtocolError):
        Dialog.as_uas(request, "t")
    with pytest.raises(RemoteProtocolError):
        check_dialog(request)


def test_a_malformed_from_matters_only_without_a_contact() -> None:
    request = received()
    request.headers.set("From", "<sip:>;tag=x")
    check_dialog(request)
    request.headers.remove("Contact")
    with pytest.raises(RemoteProtocolError):
        check_dialog(request)


def parse_request(method: str, cseq: int) -> Request:
    request = parse(request_bytes(method, cseq=cseq, to_tag="t"), LIMITS)
    assert isinstance(request, Request)
    return request
