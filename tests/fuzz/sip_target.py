"""One function for each way in; they raise nothing whatever comes. Run as a program it fuzzes, guided by coverage if
`atheris` is installed (`pip install atheris`), else at random: python -m tests.fuzz.sip_target [seconds]."""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

from sbc.sip import (
    Limits,
    LocalProtocolError,
    RemoteProtocolError,
    Request,
    StreamFramer,
    make_response,
    parse,
    parse_name_address,
)

LIMITS = Limits(max_message=20000)


def read_datagram(data: bytes) -> None:
    """Parse; read all that is ever read; write; parse again and find the same. A fault is answerable if it says so."""
    try:
        message = parse(data, LIMITS)
    except RemoteProtocolError as error:
        check_fault(error)
        return
    written = message.to_bytes()
    again = parse(written, LIMITS)
    assert again.to_bytes() == written
    assert again.body == message.body
    assert [field for field in again.headers if field[0].lower() not in ("content-length", "l")] == [
        field for field in message.headers if field[0].lower() not in ("content-length", "l")
    ]
    try:
        if isinstance(message, Request):
            message.check()
            make_response(message, 200, to_tag="tag").to_bytes()
        for name in ("Contact", "Route", "P-Asserted-Identity"):
            for value in message.headers.values(name):
                address = parse_name_address(value)
                assert address.uri_text == "*" or parse_name_address(str(address)) == address
                _ = address.uri
        _ = (message.via.received, message.from_.uri, message.to.uri, message.call_id, message.content_type)
    except RemoteProtocolError:
        pass
    except LocalProtocolError as error:
        raise AssertionError("what was read cannot be written") from error


def check_fault(fault: RemoteProtocolError) -> None:
    """It can be told, and answered if it carries a request."""
    assert 400 <= fault.status_hint <= 699
    assert fault.reason.isprintable()
    if fault.request is not None:
        assert fault.request.method != "ACK"
        make_response(fault.request, fault.status_hint, fault.reason, "tag").to_bytes()


def read_stream(data: bytes, size: int) -> None:
    """Feed in pieces of `size`. The same messages come as from one piece, and nothing is kept beyond the limit."""
    cut: list[bytes] = []
    framer = StreamFramer(LIMITS)
    try:
        for at in range(0, len(data), size):
            cut += framer.feed(data[at : at + size])
    except RemoteProtocolError:
        salvaged = framer.salvage()
        assert len(salvaged) <= LIMITS.max_message + 1
        try:
            parse(salvaged, LIMITS)
        except RemoteProtocolError:
            pass
        else:
            raise AssertionError("a message that was cut off has been read as a whole one") from None
    whole = StreamFramer(LIMITS)
    try:
        at_once = whole.feed(data)
    except RemoteProtocolError:
        at_once = []
    pings = (b"\r\n\r\n",)
    assert [each for each in cut if each not in pings] == [each for each in at_once if each not in pings]


def run_one(data: bytes) -> None:
    read_datagram(data)
    read_stream(data, 1 + len(data) % 50)


def main() -> None:
    try:
        import atheris  # type: ignore[import-not-found]
    except ImportError:
        from tests.fuzz.test_sip_messages import SEEDS, mutated

        ends = time.monotonic() + (float(sys.argv[1]) if len(sys.argv) > 1 else 60)
        chance = random.Random()
        pool = list(SEEDS)
        while time.monotonic() < ends:
            data = mutated(chance.choice(pool), chance)
            try:
                run_one(data)
            except Exception:
                Path("crash-sip").write_bytes(data)
                raise
            if chance.random() < 0.01 and len(data) < 4000:
                pool[len(SEEDS) :] = [*pool[len(SEEDS) :][-200:], data]
    else:
        atheris.instrument_all()
        atheris.Setup(sys.argv, run_one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
