from __future__ import annotations

import pytest

from sbc.sip import (
    REASONS,
    Headers,
    Limits,
    LocalProtocolError,
    RemoteProtocolError,
    Request,
    Response,
    make_response,
    parse,
)


def headers() -> Headers:
    return Headers(
        [
            ("Via", "SIP/2.0/UDP a;branch=z9hG4bK1, SIP/2.0/UDP b;branch=z9hG4bK2"),
            ("v", "SIP/2.0/UDP c;branch=z9hG4bK3"),
            ("f", '"x, y" <sip:alice@a>;tag=f1'),
            ("To", "<sip:bob@b>"),
            ("Call-ID", "c1"),
            ("CSeq", "1 INVITE"),
            ("Allow", "INVITE, ACK"),
            ("ALLOW", "BYE"),
        ]
    )


def request() -> Request:
    return Request("INVITE", "sip:bob@b", headers())


# -- Headers ----------------------------------------------------------------------------------------------------------


def test_names_in_any_case_and_compact() -> None:
    fields = headers()
    assert fields.get("from") == fields.get("F") == fields.get("FROM") == '"x, y" <sip:alice@a>;tag=f1'
    assert "i" in fields
    assert "X-Absent" not in fields
    assert fields.get("X-Absent") is None
    assert fields.values("X-Absent") == fields.get_all("X-Absent") == []


def test_lists_over_all_lines() -> None:
    assert headers().values("allow") == ["INVITE", "ACK", "BYE"]
    assert headers().get_all("allow") == ["INVITE, ACK", "BYE"]
    assert len(headers().values("Via")) == 3
    assert headers().values("From") == ['"x, y" <sip:alice@a>;tag=f1']


def test_order_and_names_as_received() -> None:
    assert [name for name, _ in headers()] == ["Via", "v", "f", "To", "Call-ID", "CSeq", "Allow", "ALLOW"]
    assert len(headers()) == 8


def test_set_takes_the_place_of_the_first_line() -> None:
    fields = headers()
    fields.set("allow", "OPTIONS")
    fields.set("Subject", "x")
    assert [name for name, _ in fields][-3:] == ["CSeq", "allow", "Subject"]
    assert fields.values("Allow") == ["OPTIONS"]
    fields.set("to", "<sip:new@b>")
    assert list(fields)[3] == ("to", "<sip:new@b>")


def test_prepend_stands_before_its_like() -> None:
    fields = headers()
    fields.prepend("Via", "SIP/2.0/UDP z")
    fields.prepend("Record-Route", "<sip:r>")
    assert [name for name, _ in fields][:3] == ["Record-Route", "Via", "Via"]
    assert fields.values("Via")[0] == "SIP/2.0/UDP z"


def test_replace_first_keeps_the_others_of_its_line() -> None:
    fields = headers()
    fields.replace_first("Via", "SIP/2.0/UDP a;received=::1")
    assert fields.values("Via") == [
        "SIP/2.0/UDP a;received=::1",
        "SIP/2.0/UDP b;branch=z9hG4bK2",
        "SIP/2.0/UDP c;branch=z9hG4bK3",
    ]
    with pytest.raises(LocalProtocolError):
        fields.replace_first("Subject", "x")


def test_remove_and_copy() -> None:
    fields = headers()
    copy = fields.copy()
    fields.remove("v")
    fields.remove("X-Absent")
    assert "Via" not in fields
    assert copy == headers() != fields
    assert copy != "x"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X", "a\r\nVia: x"),
        ("X", "a\rb"),
        ("X", "a\nb"),
        ("X", "a\0b"),
        ("X", "a\n b"),
        ("X", "\x1b[2J"),
        ("X", '"a\0b"'),
        ("X", '"\\\r\n'),
        ("X", "\ud800"),
        ("X\r\nVia", "a"),
        ("X:", "a"),
        ("X Y", "a"),
        ("", "a"),
        ("\u00e4", "a"),
    ],
)
def test_nothing_is_smuggled_into_a_header(name: str, value: str) -> None:
    fields = headers()
    for change in (fields.add, fields.set, fields.prepend):
        with pytest.raises(LocalProtocolError):
            change(name, value)
    if name == "X":
        with pytest.raises(LocalProtocolError):
            fields.replace_first("To", value)
    assert fields == headers()


def test_a_quoted_nul_may_pass() -> None:
    fields = Headers([("To", '"a\\\0" <sip:a@b>')])
    assert fields.get("To") == '"a\\\0" <sip:a@b>'


# -- typed values -----------------------------------------------------------------------------------------------------


def test_typed_values() -> None:
    message = request()
    message.headers.add("Max-Forwards", "70")
    message.headers.add("m", '"a, b" <sip:c@d>;q=1, <sip:e@f>')
    message.headers.add("c", "Application/SDP;x=y")
    assert (message.via.host, message.via.branch) == ("a", "z9hG4bK1")
    assert (message.from_.tag, message.to.tag) == ("f1", None)
    assert (message.call_id, message.cseq.number, message.cseq.method) == ("c1", 1, "INVITE")
    assert message.contact is not None
    assert (message.contact.display_name, message.contact.uri_text) == ('"a, b"', "sip:c@d")
    assert (message.max_forwards, message.content_type) == (70, "application/sdp")
    assert message.request_uri.user == "bob"
    message.check()


def test_typed_values_that_may_lack() -> None:
    message = request()
    assert (message.contact, message.max_forwards, message.content_type) == (None, None, None)


@pytest.mark.parametrize("change", ["add", "set", "prepend", "replace_first", "remove"])
def test_a_changed_header_is_read_anew(change: str) -> None:
    message = request()
    assert message.via.host == "a"
    if change == "remove":
        message.headers.remove("Via")
        with pytest.raises(RemoteProtocolError):
            _ = message.via
        return
    getattr(message.headers, change)("v", "SIP/2.0/UDP new")
    assert message.via.host == ("a" if change == "add" else "new")


def test_a_copy_changes_alone() -> None:
    message = request()
    _ = message.to
    copy = Request("INVITE", "sip:bob@b", message.headers.copy())
    copy.headers.set("To", "<sip:other@b>")
    assert (message.to.uri_text, copy.to.uri_text) == ("sip:bob@b", "sip:other@b")


@pytest.mark.parametrize("name", ["Via", "From", "To", "Call-ID", "CSeq"])
def test_faults_name_the_header_and_carry_the_request(name: str) -> None:
    for damage in ("", "\u00e4 \u00e4"):
        message = request()
        message.headers.set(name, damage)
        with pytest.raises(RemoteProtocolError, match=name) as caught:
            message.check()
        assert caught.value.status_hint == 400
        assert caught.value.request is message
    message = request()
    message.headers.remove(name)
    with pytest.raises(RemoteProtocolError, match=f"{name}: missing"):
        message.check()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Via", "SIP/2.0/UDP a;;"),
        ("Contact", "a b"),
        ("Contact", "<sip:a@b>, a b"),
        ("Route", "<sip:a@b"),
        ("Record-Route", "<sip:a@b>, x"),
        ("Max-Forwards", "256"),
        ("Content-Type", "sdp"),
    ],
)
def test_check_reads_every_value(name: str, value: str) -> None:
    message = request()
    message.headers.add(name, value)
    with pytest.raises(RemoteProtocolError, match=name):
        message.check()


def test_ack_and_responses_are_never_to_be_answered() -> None:
    ack = Request("ACK", "x y", Headers())
    for read in (lambda: ack.via, lambda: ack.request_uri, lambda: Response(200, "OK", Headers()).via):
        with pytest.raises(RemoteProtocolError) as caught:
            read()
        assert caught.value.request is None


# -- writing ----------------------------------------------------------------------------------------------------------


def test_content_length_is_exact() -> None:
    message = request()
    message.body = "\u00e4\0".encode()
    assert message.to_bytes().endswith(b"\r\nContent-Length: 3\r\n\r\n\xc3\xa4\0")
    message.headers.add("l", "77")
    assert message.to_bytes().endswith(b"\r\nl: 3\r\n\r\n\xc3\xa4\0")
    assert message.to_bytes().lower().count(b"content-length") == 0
    assert message.headers.get("Content-Length") == "77"


def test_start_lines() -> None:
    assert request().to_bytes().startswith(b"INVITE sip:bob@b SIP/2.0\r\nVia: ")
    assert Response(200, "", Headers()).to_bytes() == b"SIP/2.0 200 \r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    "message",
    [
        Request("INVITE", "sip:a b", Headers()),
        Request("INVITE", "sip:a\r\nVia: x", Headers()),
        Request("IN VITE", "sip:a", Headers()),
        Request("", "sip:a b", Headers()),
        Response(200, "OK\r\nVia: x", Headers()),
        Response(200, "OK\n", Headers()),
    ],
)
def test_nothing_is_smuggled_into_a_start_line(message: Request | Response) -> None:
    with pytest.raises(LocalProtocolError):
        message.to_bytes()


def test_text_that_cannot_be_encoded_is_a_local_fault() -> None:
    with pytest.raises(LocalProtocolError):
        Response(200, "\ud800", Headers()).to_bytes()


# -- make_response ----------------------------------------------------------------------------------------------------


def test_make_response_copies_what_8_2_6_2_says() -> None:
    message = request()
    message.headers.add("Timestamp", "54")
    response = make_response(message, 180, to_tag="t1", headers=[("Contact", "<sip:x>")], body=b"b")
    assert list(response.headers) == [
        *[field for field in headers() if field[0] in ("Via", "v", "f")],
        ("To", "<sip:bob@b>;tag=t1"),
        ("Call-ID", "c1"),
        ("CSeq", "1 INVITE"),
        ("Contact", "<sip:x>"),
    ]
    assert (response.status, response.reason, response.body) == (180, "Ringing", b"b")
    assert parse(response.to_bytes(), Limits()).to.tag == "t1"


def test_make_response_leaves_a_tag_alone_and_adds_none_unasked() -> None:
    message = request()
    assert make_response(message, 200).to.tag is None
    message.headers.set("To", "<sip:bob@b>;tag=old")
    assert make_response(message, 200, to_tag="new").to.tag == "old"


def test_timestamp_comes_back_in_100_only() -> None:
    message = request()
    message.headers.add("Timestamp", "54")
    assert make_response(message, 100).headers.get("Timestamp") == "54"
    assert "Timestamp" not in make_response(message, 200).headers


def test_make_response_serves_faulty_requests() -> None:
    faulty = Request("INVITE", "", Headers([("Via", "SIP/2.0/UDP a"), ("To", '"x <sip:a>'), ("To", "y"), ("To", "z")]))
    response = make_response(faulty, 400, "Malformed To", to_tag="t")
    assert list(response.headers) == [("Via", "SIP/2.0/UDP a"), ("To", '"x <sip:a>;tag=t')]
    assert response.reason == "Malformed To"


def test_changing_a_response_leaves_its_request_alone() -> None:
    message = request()
    make_response(message, 200).headers.set("Via", "x")
    assert message.headers == headers()


def test_reasons() -> None:
    assert (REASONS[200], REASONS[481]) == ("OK", "Call/Transaction Does Not Exist")
    assert make_response(request(), 299).reason == "Unknown"


def test_select_gives_each_wanted_line_in_order() -> None:
    assert list(headers().select({"allow": 1, "to": 2})) == [(2, "<sip:bob@b>"), (1, "INVITE, ACK"), (1, "BYE")]
