from __future__ import annotations

import pytest

from sbc.sip import LocalProtocolError, Request, Response, make_response, parse
from sbc.sip.derived import cancel_request, non_2xx_ack
from tests.support.sip_stack import LIMITS, request_bytes

ROUTES = "Route: <sip:one.example;lr>,\r\n <sip:two.example;lr>\r\nRoute: <sip:three.example;lr>\r\nSubject: x\r\n"


def invite() -> bytes:
    """As it goes out: not folded."""
    return request_bytes(cseq=77, more=ROUTES.replace("\r\n ", " "))


def read(data: bytes) -> Request:
    request = parse(data, LIMITS)
    assert isinstance(request, Request)
    return request


def test_the_ack_for_a_refusal_is_as_17_1_1_3_says() -> None:
    sent = read(invite())
    response = make_response(sent, 486, to_tag="bob-tag")
    ack = read(non_2xx_ack(invite(), response))
    assert (ack.method, ack.uri) == ("ACK", sent.uri)
    for same in ("From", "Call-ID", "Route", "Via"):
        assert ack.headers.get_all(same) == sent.headers.get_all(same)
    assert ack.headers.get("To") == "<sip:bob@example.com>;tag=bob-tag"
    assert (ack.cseq.number, ack.cseq.method) == (77, "ACK")
    assert ack.max_forwards == 70
    assert "Contact" not in ack.headers
    assert ack.body == b""


def test_a_response_without_a_to_still_gets_an_ack() -> None:
    response = Response(500, "", make_response(read(invite()), 500).headers)
    response.headers.remove("To")
    assert read(non_2xx_ack(invite(), response)).headers.get("To") == "<sip:bob@example.com>"


def test_the_cancel_is_as_9_1_says() -> None:
    sent = read(invite())
    cancel = read(cancel_request(invite(), ["SIP;cause=200", 'Q.850;cause=16;text="bye"']))
    assert (cancel.method, cancel.uri) == ("CANCEL", sent.uri)
    for same in ("From", "To", "Call-ID", "Route", "Via"):
        assert cancel.headers.get_all(same) == sent.headers.get_all(same)
    assert (cancel.cseq.number, cancel.cseq.method) == (77, "CANCEL")
    assert cancel.headers.get_all("Reason") == ["SIP;cause=200", 'Q.850;cause=16;text="bye"']
    assert cancel.body == b""


def test_compact_names_are_copied_too() -> None:
    compact = invite().replace(b"\r\nFrom:", b"\r\nf:").replace(b"\r\nTo:", b"\r\nt:").replace(b"Call-ID:", b"i:")
    cancel = read(cancel_request(compact, ()))
    assert (cancel.from_.tag, cancel.to.uri_text, cancel.call_id) == ("alice-tag", "sip:bob@example.com", "call-1")


@pytest.mark.parametrize("reason", ["a\r\nb", "a\nb", "a\0b"])
def test_a_reason_cannot_smuggle_a_line(reason: str) -> None:
    with pytest.raises(LocalProtocolError):
        cancel_request(invite(), [reason])
