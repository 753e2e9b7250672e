"""Messages on their way through. The examples are those of RFC 4975, section 4 and 11, but for line ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.msrp import MessageStream
from sbc.msrp.stream import LONGEST_HEAD

OURS = "msrp://203.0.113.10:20000/ours4alice;tcp"
TO, FROM = "msrp://bob.example.com:8888/9di4eae923wzd;tcp", "msrp://10.0.0.1:30000/ours4bob;tcp"
ALICE = "msrp://alicepc.example.com:7777/iau39soe2843z;tcp"


def wire(text: str) -> bytes:
    """A message written as in the RFC: an indented block with plain line ends."""
    return "".join(line.strip() + "\r\n" for line in text.strip().splitlines()).encode()


def stream(session: str = "ours4alice", **options: bytes) -> MessageStream:
    made = MessageStream(session, **options)
    made.aim(TO, FROM)
    return made


SEND = wire(f"""
    MSRP d93kswow SEND
    To-Path: {OURS}
    From-Path: {ALICE}
    Message-ID: 12339sdqwer
    Byte-Range: 1-16/16
    Content-Type: text/plain

    Hi, I'm Alice!
    -------d93kswow$
""")
SEND_TO_BOB = SEND.replace(OURS.encode(), TO.encode()).replace(ALICE.encode(), FROM.encode())
RESPONSE = wire(f"""
    MSRP d93kswow 200 OK
    To-Path: {OURS}
    From-Path: {ALICE}
    -------d93kswow$
""")
REPORT = wire(f"""
    MSRP dkei38sd REPORT
    To-Path: {OURS}
    From-Path: {ALICE}
    Message-ID: 12339sdqwer
    Byte-Range: 1-106/106
    Status: 000 200 OK
    -------dkei38sd$
""")
CHUNKS = wire(f"""
    MSRP dkei38sd SEND
    To-Path: {OURS}
    From-Path: {ALICE}
    Message-ID: 4564dpWd
    Byte-Range: 1-*/8
    Content-Type: text/plain

    abcd
    -------dkei38sd+
    MSRP dkei38ia SEND
    To-Path: {OURS}
    From-Path: {ALICE}
    Message-ID: 4564dpWd
    Byte-Range: 5-8/8
    Content-Type: text/plain

    EFGH
    -------dkei38ia$
""")
EMPTY = wire(f"""
    MSRP a786hjs2 SEND
    To-Path: {OURS}
    From-Path: {ALICE}
    Message-ID: 87652491
    -------a786hjs2$
""")


def moved(data: bytes) -> bytes:
    """As the other side gets it."""
    return data.replace(OURS.encode(), TO.encode()).replace(ALICE.encode(), FROM.encode())


@pytest.mark.parametrize("message", [SEND, RESPONSE, REPORT, CHUNKS, EMPTY])
def test_only_the_paths_of_a_message_change(message: bytes) -> None:
    one = stream()
    assert one.feed(message) == moved(message)
    assert one.fault == ""
    assert one.messages == message.count(b"To-Path:")


@pytest.mark.parametrize("message", [SEND, RESPONSE, REPORT, CHUNKS, EMPTY])
def test_it_does_not_matter_where_the_network_cuts(message: bytes) -> None:
    message = message * 2
    for cut in range(len(message) + 1):
        one = stream()
        assert one.feed(message[:cut]) + one.feed(message[cut:]) == moved(message)
    drip = stream()
    assert b"".join(drip.feed(message[at : at + 1]) for at in range(len(message))) == moved(message)


def test_a_response_goes_to_the_nearest_hop_and_requests_along_the_whole_path() -> None:
    """RFC 4975 section 7.2: responses to SEND go to the previous hop only."""
    one = MessageStream("ours4alice")
    one.aim(f"msrp://relay.example.com:9000/r;tcp {TO}", FROM)
    assert b"To-Path: msrp://relay.example.com:9000/r;tcp\r\n" in one.feed(RESPONSE)
    assert f"To-Path: msrp://relay.example.com:9000/r;tcp {TO}\r\n".encode() in one.feed(REPORT)


def test_a_body_passes_before_its_end_is_there() -> None:
    one = stream()
    head, _, rest = SEND.partition(b"Hi, ")
    assert one.feed(head + b"Hi, ") == moved(head + b"Hi, ")
    assert one.feed(b"x" * 100_000) == b"x" * 100_000
    assert one.feed(rest) == rest


def test_at_most_a_possible_end_line_is_held() -> None:
    one = stream()
    one.feed(SEND.partition(b"I'm ")[0])
    assert one.feed(b"text\r\n-------d93k") == b"text"
    assert one.feed(b"not") == b"\r\n-------d93knot"
    assert one.feed(b"\r") == b""
    assert one.feed(b"\r\n") == b"\r"
    assert one.feed(b"-------d93kswow$") == b""
    assert one.feed(b"\r\nMSRP") == b"\r\n-------d93kswow$\r\n"


@pytest.mark.parametrize(
    "body",
    [
        b"-------d93kswow$\r\n",
        b"\r\n-------",
        b"\r\n-------d93kswow0$\r\n",
        b"\r\n-------d93kswo$\r\n",
        b"\n-------d93kswow$\n",
        b"\r\n\r\n\r\n",
        b"\r\n-------\r\n-------d93kswow",
        b"MSRP x SEND\r\n\r\n",
        bytes(range(256)),
    ],
)
def test_a_body_may_hold_what_looks_like_an_end(body: bytes) -> None:
    message = SEND.replace(b"Hi, I'm Alice!", b"<" + body + b">")
    for size in (1, 2, 7, len(message)):
        one = stream()
        got = b"".join(one.feed(message[at : at + size]) for at in range(0, len(message), size))
        assert (got, one.fault) == (moved(message), "")


def test_an_empty_body_ends_with_or_without_a_line_of_its_own() -> None:
    for body in (b"\r\n\r\n\r\n-------", b"\r\n\r\n-------"):
        message = SEND.replace(b"\r\n\r\nHi, I'm Alice!\r\n-------", body)
        one = stream()
        assert one.feed(message + EMPTY) == moved(message + EMPTY)
        assert one.messages == 2


@pytest.mark.parametrize("flag", [b"$", b"+", b"#"])
def test_each_flag_ends_a_message(flag: bytes) -> None:
    message = SEND.replace(b"wow$", b"wow" + flag)
    one = stream()
    assert one.feed(message + EMPTY) == moved(message + EMPTY)


def test_of_the_header_fields_only_those_for_the_other_end_cross() -> None:
    more = b"Use-Path: msrp://relay.inside.example:1/x;tcp\r\nX-Host: pc.inside.example\r\nContent-ID: <a@b>\r\n"
    one = stream()
    got = one.feed(SEND.replace(b"Content-Type", more + b"Content-Type"))
    assert b"inside" not in got
    assert b"Content-ID: <a@b>\r\nContent-Type: text/plain\r\n\r\nHi" in got


def test_the_response_to_our_own_request_ends_here() -> None:
    one = stream(answered=b"d93kswow")
    assert one.feed(RESPONSE + SEND) == SEND_TO_BOB


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        OURS.replace("ours4alice", "ours4bob"),
        OURS.replace("ours4alice", "OURS4ALICE"),
        OURS.replace("/ours4alice", ""),
        f"{OURS} {ALICE}",
        "nonsense",
        "\u00fc",
    ],
)
def test_a_request_for_another_session_is_answered_481_and_the_end(path: str) -> None:
    one = stream()
    assert one.feed(SEND.replace(OURS.encode(), path.encode()) + SEND) == b""
    assert one.fault
    assert one.answer == wire(f"""
        MSRP d93kswow 481 Session Does Not Exist
        To-Path: {ALICE}
        From-Path: {path}
        -------d93kswow$
    """)
    assert one.messages == 0
    assert one.feed(SEND) == b""


def test_what_came_before_is_passed() -> None:
    one = stream()
    assert one.feed(SEND + SEND.replace(OURS.encode(), b"x")) == SEND_TO_BOB
    assert one.answer


@pytest.mark.parametrize(
    "message",
    [
        RESPONSE.replace(b"ours4alice", b"another"),
        REPORT.replace(b"ours4alice", b"another"),
        SEND.replace(b"ours4alice", b"another").replace(b"Byte-Range: 1-16/16", b"Failure-Report: no"),
    ],
)
def test_who_wants_no_response_gets_none(message: bytes) -> None:
    """RFC 4975 sections 7.1.2 and 7.2."""
    one = stream()
    one.feed(message)
    assert one.fault
    assert one.answer == b""


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"\r\n",
        b"MSRP d93kswow\r\n\r\n",
        b"MSRP d93kswow 2000 OK\r\n\r\n",
        b"MSRP d93kswow send\r\n\r\n",
        b"MSRP  SEND\r\n\r\n",
        b"MSRP " + b"x" * 65 + b" SEND\r\n\r\n",
        b"MSRP d93kswow SEND\r\n\r\n",
        SEND.replace(b"To-Path", b"Path"),
        SEND.replace(b"From-Path", b"To-Path"),
        SEND.replace(b"From-Path: ", b"From-Path:\x00"),
        SEND.replace(b"Message-ID", b": x"),
        SEND.replace(b"Byte-Range: ", b"Byte-Range: \n"),
        SEND.replace(b"Byte-Range: ", b"Byte-Range: \r"),
        SEND.replace(b"Byte-Range: 1-16/16", b"Byte-Range"),
        SEND.replace(b"wow$\r\n", b"wow$x\n"),
        SEND.replace(b"wow$\r\n", b"wow$\r\r"),
        EMPTY.replace(b"js2$", b"js3$"),
        EMPTY.replace(b"js2$", b"js2!"),
        RESPONSE.replace(b"\r\n-------", b"\r\n\r\n\r\n-------"),
    ],
)
@pytest.mark.parametrize("size", [1, 100_000])
def test_what_is_no_message_is_the_end(data: bytes, size: int) -> None:
    one = stream()
    data += b"\r\n" * 20
    for at in range(0, len(data), size):
        one.feed(data[at : at + size])
    assert one.fault
    assert one.feed(SEND) == b""


@pytest.mark.parametrize("size", [1, 999, LONGEST_HEAD, 100_000])
def test_a_head_without_end_is_not_gathered(size: int) -> None:
    one = stream()
    data = b"MSRP d93kswow SEND\r\nTo-Path: " + b"x" * LONGEST_HEAD * 2
    taken = 0
    while taken < len(data) and not one.fault:
        assert one.feed(data[taken : taken + size]) == b""
        taken += size
    assert one.fault
    assert taken <= LONGEST_HEAD + size


def test_a_second_connection_can_be_refused() -> None:
    one = stream()
    one.feed(EMPTY)
    assert one.refuse(506, "Session In Use").startswith(
        b"MSRP a786hjs2 506 Session In Use\r\nTo-Path: " + ALICE.encode()
    )


# -- changes in mid-stream ---------------------------------------------------------------------------------------------


def test_the_rest_of_a_message_for_somebody_else_is_dropped() -> None:
    one = stream()
    one.feed(SEND[:-30])
    one.aim(TO.replace("bob", "carol"), FROM)
    assert one.feed(SEND[-30:] + EMPTY) == moved(EMPTY).replace(b"bob.", b"carol.")


def test_the_same_aim_again_changes_nothing() -> None:
    one = stream()
    head = one.feed(SEND[:-30])
    one.aim(TO, FROM)
    assert head + one.feed(SEND[-30:]) == SEND_TO_BOB


def test_a_message_whose_rest_will_not_come_is_aborted() -> None:
    """RFC 4975 section 7.1: "#" says that no further chunks come."""
    one = stream()
    passed = one.feed(SEND[:-30])
    reader = MessageStream("9di4eae923wzd")
    reader.aim("msrp://x:1/x;tcp", "msrp://y:1/y;tcp")
    reader.feed(passed + one.cut() + SEND_TO_BOB)
    assert (reader.messages, reader.fault) == (2, "")
    assert one.feed(b"more") == b""
    assert stream().cut() == b""


# -- anything ----------------------------------------------------------------------------------------------------------

_bodies = st.binary(max_size=40).map(lambda body: body.replace(b"\r\n-------tid", b""))


@given(
    st.lists(st.tuples(st.sampled_from(["+", "$", "#"]), _bodies), max_size=6),
    st.lists(st.integers(1, 30), min_size=1, max_size=40),
)
def test_any_messages_cut_anyhow_come_out_the_same(messages: list[tuple[str, bytes]], sizes: list[int]) -> None:
    data = b""
    for number, (flag, body) in enumerate(messages):
        head = f"MSRP tid{number} SEND\r\nTo-Path: {OURS}\r\nFrom-Path: {ALICE}\r\nMessage-ID: 1\r\n"
        data += f"{head}Content-Type: a/b\r\n\r\n".encode() + body + f"\r\n-------tid{number}{flag}\r\n".encode()
    one = stream()
    got, at, turn = b"", 0, 0
    while at < len(data):
        got += one.feed(data[at : at + sizes[turn % len(sizes)]])
        at += sizes[turn % len(sizes)]
        turn += 1
    assert (got, one.fault, one.messages) == (moved(data), "", len(messages))


@given(st.binary(max_size=300), st.sampled_from([b"", b"MSRP ", SEND[:60], SEND[:-20], EMPTY]))
def test_garbage_raises_nothing_and_is_held_within_bounds(garbage: bytes, before: bytes) -> None:
    one = stream()
    one.feed(before)
    one.feed(garbage)
    assert len(one._held) <= LONGEST_HEAD
