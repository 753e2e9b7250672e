from __future__ import annotations

import time

import pytest

from sbc.sip import Limits, RemoteProtocolError, Request, Response, StreamFramer, make_response, parse

LIMITS = Limits()
VIA = "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1"
HEAD = (VIA, "From: <sip:a@b>;tag=1", "To: <sip:c@d>", "Call-ID: x", "CSeq: 1 INVITE")


def octets(*lines: str, start: str = "INVITE sip:c@d SIP/2.0", body: bytes = b"") -> bytes:
    return "\r\n".join((start, *(lines or HEAD), "\r\n")).encode() + body


def fault(data: bytes, limits: Limits = LIMITS) -> RemoteProtocolError:
    with pytest.raises(RemoteProtocolError) as caught:
        parse(data, limits)
    return caught.value


def checked(data: bytes) -> None:
    request = parse(data, LIMITS)
    assert isinstance(request, Request)
    request.check()


# -- what is read -----------------------------------------------------------------------------------------------------


def test_a_request() -> None:
    data = octets(body=b"\0\xff")
    message = parse(data, LIMITS)
    assert isinstance(message, Request)
    assert (message.method, message.uri, message.body, message.raw) == ("INVITE", "sip:c@d", b"\0\xff", data)


@pytest.mark.parametrize(
    ("line", "status", "reason"),
    [
        ("SIP/2.0 200 OK", 200, "OK"),
        ("sip/2.0 699 a  b", 699, "a  b"),
        ("SIP/2.0 100 ", 100, ""),
        ("SIP/2.0 100", 100, ""),
    ],
)
def test_a_response(line: str, status: int, reason: str) -> None:
    message = parse(octets(start=line), LIMITS)
    assert isinstance(message, Response)
    assert (message.status, message.reason) == (status, reason)


@pytest.mark.parametrize(
    "line",
    ["SIP/2.0 099 x", "SIP/2.0 700 x", "SIP/2.0 2000 x", "SIP/2.0  200 x", "SIP/2.0 20 x", "SIP/3.0 200 x", "SIP/2.0 "],
)
def test_bad_status_lines_are_never_answered(line: str) -> None:
    assert fault(octets(start=line)).request is None


def test_line_ends_before_the_message_mean_nothing() -> None:
    assert parse(b"\r\n\r\n" + octets(), LIMITS).call_id == "x"


def test_folded_lines_are_one() -> None:
    message = parse(octets(*HEAD, "Subject: a", " b", "\t c", "X:", " y"), LIMITS)
    assert message.headers.get("Subject") == "a b c"
    assert message.headers.get("X") == "y"
    assert b"\r\n " not in message.to_bytes()


def test_without_content_length_the_body_is_the_rest() -> None:
    assert parse(octets(body=b"abc"), LIMITS).body == b"abc"


def test_the_body_is_cut_at_content_length() -> None:
    assert parse(octets(*HEAD, "l : 002", body=b"abc"), LIMITS).body == b"ab"
    assert parse(octets(*HEAD, "Content-Length: 0", body=b"abc"), LIMITS).body == b""


def test_a_missing_empty_line_is_forgiven_where_there_is_no_body() -> None:
    assert parse(octets()[:-2], LIMITS).body == b""
    assert fault(octets(*HEAD, "Content-Length: 1")[:-2]).status_hint == 400
    assert fault(octets()[:-4]).status_hint == 400


def test_latin_1_in_free_text_is_mended() -> None:
    data = octets('From: "M\u00fcller" <sip:a@b>;tag=1', *HEAD[:1], *HEAD[2:])
    message = parse(data.replace("\u00fc".encode(), b"\xfc"), LIMITS)
    assert message.from_.display_name == '"M\u00fcller"'
    assert message.to_bytes().startswith(data[:-4])


@pytest.mark.parametrize("index", range(5))
def test_no_utf_8_where_it_matters_is_refused(index: int) -> None:
    lines = [line.encode() for line in HEAD]
    lines[index] += b"\xfc"
    message = b"\r\n".join((b"INVITE sip:c@d SIP/2.0", *lines, b"\r\n"))
    with pytest.raises(RemoteProtocolError) as caught:
        checked(message)
    assert caught.value.status_hint == 400
    assert fault(message.replace(b"c@d SIP", b"\xfc@d SIP").replace(lines[index], lines[index][:-1])).status_hint == 400


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "INVITE sip:c@d",
        "INVITE  sip:c@d SIP/2.0",
        "INVITE sip:c@d  SIP/2.0",
        "INVITE sip:c@d SIP/2.0 ",
        " INVITE sip:c@d SIP/2.0",
        "INVITE sip:c@d;a b SIP/2.0",
        "INVITE <sip:c@d> SIP/2.0",
        "INVITE sip:c@d?a=b SIP/2.0",
        "INVITE c@d SIP/2.0",
        "INVITE sip:c@d XIP/2.0",
        "INVITE sip:c@d SIP/2",
        "INV(ITE sip:c@d SIP/2.0",
        "\u00c4 sip:c@d SIP/2.0",
        "sip:c@d SIP/2.0",
        "",
    ],
)
def test_bad_request_lines(line: str) -> None:
    assert fault(octets(start=line)).status_hint == 400


@pytest.mark.parametrize("version", ["SIP/1.0", "SIP/7.0", "sip/2.1", "SIP/2.00"])
def test_other_versions(version: str) -> None:
    error = fault(octets(start=f"INVITE sip:c@d {version}"))
    assert error.status_hint == 505
    assert error.request is not None
    assert make_response(error.request, 505).via.host == "192.0.2.1"


def test_the_version_is_read_in_any_case() -> None:
    message = parse(octets(start="INVITE sip:c@d sip/2.0"), LIMITS)
    assert message.to_bytes().startswith(b"INVITE sip:c@d SIP/2.0\r\n")


@pytest.mark.parametrize("name", ["Via", "From", "To", "Call-ID", "CSeq"])
def test_mandatory_headers(name: str) -> None:
    error = fault(octets(*(line for line in HEAD if not line.startswith(name))))
    assert (error.status_hint, error.reason) == (400, f"missing {name}")
    assert (error.request is None) == (name == "Via")


@pytest.mark.parametrize(
    "line",
    ["f: <sip:x@y>", "t: <sip:x@y>", "i: y", "CSEQ: 1 INVITE", "Max-Forwards: 1", "l: 0", "Expires: 1", "c: a/b"],
)
def test_repeated_single_headers(line: str) -> None:
    error = fault(octets(*HEAD, "Max-Forwards: 1", "Content-Length: 0", "Expires: 2", "Content-Type: a/b", line))
    assert error.status_hint == 400
    assert error.reason.startswith("repeated ")
    assert error.request is not None


def test_lists_and_descriptions_may_repeat() -> None:
    parse(
        octets(
            *HEAD,
            VIA,
            "Allow: A",
            "Allow: B",
            "Date: x",
            "Date: y",
            "User-Agent: x",
            "User-Agent: y",
            "X-A: a",
            "X-A: b",
        ),
        LIMITS,
    )


@pytest.mark.parametrize(
    "cseq", ["1 BYE", "1 invite", "x INVITE", "2147483648 INVITE", "-1 INVITE", "1", "", "1 INVITE, 2 INVITE"]
)
def test_cseq_has_to_fit(cseq: str) -> None:
    assert fault(octets(*HEAD[:4], f"CSeq: {cseq}")).status_hint == 400


@pytest.mark.parametrize(
    ("value", "status"),
    [
        ("-1", 400),
        ("+1", 400),
        ("", 400),
        ("x", 400),
        ("1, 1", 400),
        ("1 1", 400),
        ("\u0661", 400),
        ("5", 400),
        ("65536", 413),
        ("9" * 6000, 413),
    ],
)
def test_content_length_has_to_fit(value: str, status: int) -> None:
    assert fault(octets(*HEAD, f"Content-Length: {value}", body=b"abcd")).status_hint == status


@pytest.mark.parametrize("stray", ["\r", "\n", "\0", "\x1b", "\x7f", '"\0"', '"\\\n"'])
def test_stray_controls(stray: str) -> None:
    for line in (f"X: a{stray}b", f"X{stray}: a", f"X: {stray}"):
        error = fault(octets(*HEAD, line))
        assert error.status_hint == 400
        assert error.request is not None
        assert "X" not in error.request.headers
    assert fault(octets(start=f"INVITE sip:c{stray}@d SIP/2.0")).status_hint == 400


@pytest.mark.parametrize("line", ["", "x", ": x", "a b: x", "\u00e4: x", "Via"])
def test_lines_that_are_no_headers(line: str) -> None:
    error = fault(octets(line or "=", *HEAD))
    assert error.status_hint == 400
    assert error.request is not None
    assert error.request.headers.get("Call-ID") == "x"


def test_a_folded_start_line_is_none() -> None:
    assert fault(octets(" x", *HEAD)).status_hint == 400


def test_limits() -> None:
    limits = Limits(max_message=1000, max_header_line=100, max_headers=8, max_uri=20)
    parse(octets(*HEAD, "X: " + "a" * 97, body=b"a" * 500), limits)
    assert fault(octets(body=b"a" * 1000), limits).status_hint == 513
    assert fault(octets(*HEAD, "Content-Length: 1001"), limits).status_hint == 413
    assert fault(octets(*HEAD, "X: " + "a" * 98), limits).status_hint == 400
    assert fault(octets(*HEAD, "X: " + "a" * 60, " " + "a" * 60), limits).status_hint == 400
    assert fault(octets(*HEAD, *["X-A: y"] * 4), limits).status_hint == 400
    error = fault(octets(start="INVITE sip:" + "c" * 20 + " SIP/2.0"), limits)
    assert error.status_hint == 414
    assert error.request is not None


def test_what_cannot_be_answered() -> None:
    ack = [line.replace("INVITE", "ACK") for line in HEAD]
    for data in (
        b"",
        b"\r\n\r\n",
        b"\0" * 100,
        b"hello",
        b"GET / HTTP/1.1\r\nVia: 1.1 x\r\n\r\n",
        b"\xff" * 2000,
        octets(start="ACK sip:c@d SIP/7.0"),
        octets(*ack[:4], "CSeq: 1 BYE", start="ACK sip:c@d SIP/2.0"),
        octets(*HEAD[1:]),
    ):
        assert fault(data).request is None


@pytest.mark.parametrize(
    "data",
    [
        octets(*HEAD, "X: " + " " * 60000 + "x"),
        octets(*HEAD, "X: " + '"\\"' * 20000, "Y: \x01"),
        octets(*HEAD, "X:" + "\r\n " * 20000),
        octets(*["X-A: y"] * 10000),
        octets(*HEAD, "Content-Length:" + " " * 60000),
        octets(start=" " * 60000),
        octets(start="INVITE sip:" + ";" * 60000 + " SIP/2.0"),
        b"A sip:x SIP/2.0" + b"\r\n" * 1 + b"l:\r\n " * 10000,
    ],
)
def test_hostile_messages_take_no_more_than_linear_time(data: bytes) -> None:
    begin = time.process_time()
    fault(data)
    assert time.process_time() - begin < 1.0


# -- streams ----------------------------------------------------------------------------------------------------------

PING = b"\r\n\r\n"


def message(body: bytes = b"", name: str = "Content-Length") -> bytes:
    return octets(*HEAD, f"{name}: {len(body)}", body=body)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100, 10000])
def test_messages_come_whole_in_pieces_of_any_size(size: int) -> None:
    wanted = [message(b"a\r\n\r\nb"), message(name="l  "), PING, message(b"\0" * 5000), message(name="l")]
    stream = b"\r\n" + b"".join(wanted)
    framer = StreamFramer(LIMITS)
    got = [each for at in range(0, len(stream), size) for each in framer.feed(stream[at : at + size])]
    assert got == wanted
    assert not framer.begun


def test_folded_content_length() -> None:
    data = octets(*HEAD, "Content-Length:", " 3", "Y: z", body=b"abc")
    assert StreamFramer(LIMITS).feed(data) == [data]


def test_a_content_length_in_another_header_or_the_body_is_none() -> None:
    data = octets(
        *HEAD, "X: y", " Content-Length: 99", "Content-Length: 22", body=b"\r\nContent-Length: 7\r\n\r\n"[:22]
    )
    assert StreamFramer(LIMITS).feed(data) == [data]


def test_keep_alives() -> None:
    framer = StreamFramer(LIMITS)
    assert framer.feed(b"\r\n") == []  # a pong
    assert framer.feed(b"\r\n") == [PING]
    assert framer.feed(PING * 1000) == [PING]
    assert framer.feed(b"\r\n" + message()) == [message()]
    assert framer.feed(PING + message() + PING) == [PING, message(), PING]
    assert not framer.begun


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (octets(), 400),
        (octets(*HEAD, "Content-Length: -1"), 400),
        (octets(*HEAD, "Content-Length: x"), 400),
        (octets(*HEAD, "Content-Length: 1", "l: 1"), 400),
        (octets(*HEAD, "Content-Length: 1, 1"), 400),
        (octets(*HEAD, "Content-Length: 65536"), 413),
        (octets(*HEAD, "Content-Length: 65500"), 413),
        (octets(*HEAD, "Content-Length: " + "9" * 5000), 413),
        (octets(*HEAD, "X: " + "y" * 70000), 513),
        (b"INVITE sip:c@d SIP/2.0\r\n" + VIA.encode() + b"\r\nX: " + b"y" * 70000, 513),
    ],
)
def test_lost_framing(data: bytes, status: int) -> None:
    framer = StreamFramer(LIMITS)
    assert framer.feed(message() + data) == [message()]
    assert framer.fault is not None
    for more in (b"", b"x", message()):
        with pytest.raises(RemoteProtocolError) as caught:
            framer.feed(more)
        assert caught.value.status_hint == status
    salvaged = framer.salvage()
    assert len(salvaged) <= LIMITS.max_message + 1
    error = fault(salvaged)
    assert error.request is not None
    assert error.status_hint == status


def test_lost_framing_at_once() -> None:
    with pytest.raises(RemoteProtocolError):
        StreamFramer(LIMITS).feed(octets())


def test_one_octet_at_a_time_costs_no_more_than_linear_time() -> None:
    framer = StreamFramer(LIMITS)
    data = octets(*HEAD, "X: " + "\r\n " * 10000, "Content-Length: 30000", body=b"\r\n" * 15000)
    begin = time.process_time()
    got = [each for at in range(len(data)) for each in framer.feed(data[at : at + 1])]
    assert got == [data]
    assert time.process_time() - begin < 2.0  # some 50 ms; a quadratic one takes minutes


def test_a_stream_of_nothing_does_not_grow() -> None:
    framer = StreamFramer(LIMITS)
    for _ in range(1000):
        framer.feed(b"\r\n" * 999)
    assert not framer.begun
    for _ in range(65):
        framer.feed(b"a" * 1000)
    with pytest.raises(RemoteProtocolError):
        framer.feed(b"a" * 100_000)
    assert len(framer.salvage()) <= LIMITS.max_message + 1
