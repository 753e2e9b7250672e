"""RFC 5118, IPv6 in SIP, every message: see data/README.md for the corpus."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sbc.sip import Limits, RemoteProtocolError, Request, parse, parse_via

CORPUS = Path(__file__).parent / "data" / "rfc5118"
VERDICTS: dict[str, dict[str, Any]] = {
    f"{verdict['file']}.sip": verdict for verdict in json.loads((CORPUS / "verdicts.json").read_text())
}


def request(name: str) -> Request:
    message = parse((CORPUS / f"{name}.sip").read_bytes(), Limits())
    assert isinstance(message, Request)
    message.check()
    return message


def test_every_message_has_a_verdict() -> None:
    assert {path.name for path in CORPUS.glob("*.sip")} == set(VERDICTS)
    assert len(VERDICTS) == 12


@pytest.mark.parametrize("name", sorted(VERDICTS))
def test_verdict(name: str) -> None:
    verdict = VERDICTS[name]
    if verdict["expect"] == "accept":
        message = request(verdict["file"])
        again = parse(message.to_bytes(), Limits())
        assert again.headers == message.headers
        assert again.body == message.body
    else:
        with pytest.raises(RemoteProtocolError) as caught:
            request(verdict["file"])
        assert caught.value.status_hint in verdict["codes"]
        assert caught.value.request is not None


def test_port_needs_the_bracket_before_it() -> None:
    uri = request("port-ambiguous").request_uri
    assert (uri.host, uri.port) == ("2001:db8::10:5070", None)
    uri = request("port-unambiguous").request_uri
    assert (uri.host, uri.port) == ("2001:db8::10", 5070)
    assert str(uri) == "sip:[2001:db8::10]:5070"


def test_received_with_and_without_brackets() -> None:
    assert request("via-received-param-with-delim").via.received == "2001:db8::9:255"
    assert request("via-received-param-no-delim").via.received == "2001:db8::9:255"


def test_both_families_in_one_message() -> None:
    vias = [parse_via(value) for value in request("mult-ip-in-header").headers.values("Via")]
    assert [(via.host, via.port, via.received) for via in vias] == [
        ("2001:db8::9:1", 6050, None),
        ("192.0.2.1", None, None),
        ("2001:db8::9:255", None, "192.0.2.200"),
    ]


def test_ipv4_mapped() -> None:
    message = request("ipv4-mapped-ipv6")
    assert (message.via.host, message.via.port) == ("::ffff:192.0.2.10", 19823)
    assert message.contact is not None
    assert message.contact.uri.host == "::ffff:192.0.2.2"


def test_three_colons_are_read_as_two() -> None:
    message = request("ipv6-bug-abnf-3-colons")
    assert message.request_uri.host == message.to.uri.host == "2001:db8::192.0.2.1"
    assert str(message.request_uri) == request("ipv6-correct-abnf-2-colons").uri
