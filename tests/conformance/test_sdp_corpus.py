"""Descriptions out of RFCs and of Chromium: read, written back, and put through a session (see sdp/README.md)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sbc.media import MediaError
from sbc.sdp import SdpError, parse_sdp
from tests.support.media_calls import A_SIDE, B_SIDE, media_with_ports, open_call

CORPUS = Path(__file__).parent / "sdp"
FILES = sorted(str(path.relative_to(CORPUS)) for path in CORPUS.rglob("*.sdp"))
TEMPLATES = {"rfc8839/002.sdp": 10, "rfc8839/004.sdp": 10}
"""The line where a $NAME cannot be a port."""
FILLED_IN = {
    "$L-PRIV-1.IP": "fd00::7777",
    "$NAT-PUB-1.IP": "2001:db8::7777",
    "$R-PUB-1.IP": "192.0.2.177",
    "$L-PRIV-1.PORT": "8998",
    "$NAT-PUB-1.PORT": "45664",
    "$R-PUB-1.PORT": "3478",
}
RELAYED = re.compile(rb"^m=\S+ [1-9]\d* (RTP/AVPF?|udptl|udp) ", re.MULTILINE | re.IGNORECASE)
SECRET = re.compile(
    r"^o=(?:-|\S+) (?P<id>\d{6,}) \d+ IN IP\d (?P<origin>\S+)|^c=IN IP\d (?P<c>[^/\s]+)"
    r"|^a=candidate:\S+ \d+ \S+ \d+ (?P<candidate>\S+)|raddr (?P<raddr>\S+)|^a=ice-pwd:(?P<pwd>\S+)"
    r"|inline:(?P<key>[^|\s]+)|^[uep]=(?P<contact>.+)|^a=fingerprint:\s*\S+ (?P<print>\S+)|cname:(?P<cname>\S+)",
    re.MULTILINE,
)


def read(name: str) -> bytes:
    text = (CORPUS / name).read_bytes().decode()
    for variable, value in FILLED_IN.items():
        text = text.replace(variable, value)
    return text.encode()


def pairs() -> list[tuple[str, str]]:
    """(offer, answer): neighbours in the RFCs. Chromium's are all encrypted and refused as offers, as shown above."""
    rfc = {
        "rfc3264": range(2, 9, 2),
        "rfc4317": range(1, 54, 2),
        "rfc4568": range(2, 3),
        "rfc8829": (1, 3, 7, 9),
        "rfc8839": (1,),
    }
    found = [(f"{name}/{n:03}.sdp", f"{name}/{n + 1:03}.sdp") for name, numbers in rfc.items() for n in numbers]
    found[-1] = ("rfc8839/001.sdp", "rfc8839/005.sdp")
    return [(offer, answer) for offer, answer in found if RELAYED.search(read(offer)) or b"\nm=" not in read(offer)]


def secrets(data: bytes) -> set[str]:
    text = data.decode().replace("\r", "")
    values = {value for match in SECRET.finditer(text) for value in match.groupdict().values() if value}
    return values - {"0.0.0.0", "::"}


def assert_nothing_left(original: bytes, rewritten: bytes) -> None:
    text = rewritten.decode()
    assert [secret for secret in secrets(original) if secret in text] == []
    for attribute in ("a=candidate", "a=ice-", "a=crypto", "a=fingerprint", "a=setup", "a=group:BUNDLE", "a=rtcp:"):
        assert attribute not in text


def test_the_corpus_is_there():
    assert len(FILES) == 117
    assert secrets(read("rfc8839/002.sdp")) == {"2890844526", "fd00::7777", "2001:db8::7777", "asd88fgpdd777uzjYhagZg"}


@pytest.mark.parametrize("name", FILES)
def test_it_is_read_and_written_back_byte_for_byte(name):
    if name in TEMPLATES:
        with pytest.raises(SdpError) as caught:
            parse_sdp((CORPUS / name).read_bytes())
        assert caught.value.line == TEMPLATES[name]
    assert parse_sdp(read(name)).to_bytes() == read(name)


@pytest.mark.parametrize("name", FILES)
def test_as_an_offer_it_crosses_without_its_sender_or_is_refused_with_488(name):
    offer = read(name)
    media = media_with_ports()
    session = open_call(media, A_SIDE._replace(hidden=True), B_SIDE)
    enabled = re.search(rb"^m=\S+ [1-9]", offer, re.MULTILINE)
    if enabled and not RELAYED.search(offer):
        with pytest.raises(MediaError) as caught:
            session.offer("a", offer, 1.0)
        assert caught.value.status == 488
    else:
        rewritten = session.offer("a", offer, 1.0).sdp
        assert_nothing_left(offer, rewritten)
        assert [m.media for m in parse_sdp(rewritten).media] == [m.media for m in parse_sdp(offer).media]
        assert len(RELAYED.findall(rewritten)) == len(RELAYED.findall(offer)) == media.ports_in_use / 2
    session.close(2.0)
    assert media.ports_in_use == 0


@pytest.mark.parametrize(("offered", "answered"), pairs())
def test_an_exchange_crosses_without_either_side(offered, answered):
    offer, answer = read(offered), read(answered)
    media = media_with_ports()
    session = open_call(media, A_SIDE._replace(hidden=True), B_SIDE)
    session.offer("a", offer, 1.0)
    exchange = session.answer("b", answer, 1.0)
    assert_nothing_left(answer, exchange.sdp)
    both = zip(parse_sdp(offer).media, parse_sdp(answer).media, strict=True)
    live = [index for index, (a, b) in enumerate(both) if a.port and b.port and RELAYED.match(b.line.encode())]
    assert [flow.id for flow in exchange.flows] == [f"call/{index}" for index in live]
    assert [index for index, m in enumerate(parse_sdp(exchange.sdp).media) if m.port] == live
    assert media.ports_in_use == 2 * len(live)
    session.close(2.0)
    assert media.ports_in_use == 0
