"""RFC 4475, every message, as far as the parser and `Request.check` decide: see data/README.md for the corpus.

What a message may not do further up (416, 420, 483, a response that is not for us) is decided by the rooms that know;
here it is shown that they are given what they decide by.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sbc.sip import (
    Limits,
    RemoteProtocolError,
    Request,
    Response,
    make_response,
    parse,
    parse_name_address,
    parse_seconds,
    parse_via,
)

CORPUS = Path(__file__).parent / "data" / "rfc4475"
VERDICTS: dict[str, dict[str, Any]] = {
    verdict["file"]: verdict for verdict in json.loads((CORPUS / "verdicts.json").read_text())
}

READ_OTHERWISE = {
    # Section 3.1.2.12. The verdict allows leniency here. Nothing that an SBC decides hangs on Date, so it is not read;
    # refusing would cost the calls of phones whose clocks are set badly.
    "baddate.dat",
}

DECIDED_LATER: dict[str, Callable[[Any], bool]] = {
    # 3.3.2, 3.3.3: 416 by whoever routes, since he knows what schemes he can route
    "unkscm.dat": lambda request: request.request_uri.scheme == "nobodyknowsthisscheme",
    "novelsc.dat": lambda request: request.request_uri.scheme == "soap.beep",
    # 3.3.5: 420 by whoever knows which extensions are supported
    "bext01.dat": lambda request: (
        request.headers.values("Require") == ["nothingSupportsThis", "nothingSupportsThisEither"]
    ),
    # 3.3.10: dropped by the stack, since the topmost Via is not ours (18.1.2)
    "bcast.dat": lambda response: response.via.host == "192.0.2.198",
    # 3.3.11: 483 by whoever would pass it on
    "zeromf.dat": lambda request: request.max_forwards == 0,
}


UNREADABLE_ANSWERS = {"insuf.dat", "scalar02.dat"}
"""8.2.6.2 has the answer repeat what is wrong here: nothing for From, To and Call-ID; a CSeq out of range."""


def octets(name: str) -> bytes:
    return (CORPUS / name).read_bytes()


def read(name: str) -> Request | Response:
    message = parse(octets(name), Limits())
    if isinstance(message, Request):
        message.check()
    else:
        _ = (message.via, message.from_, message.to, message.call_id)
    return message


def request(name: str) -> Request:
    message = read(name)
    assert isinstance(message, Request)
    return message


def test_every_message_has_a_verdict() -> None:
    assert {path.name for path in CORPUS.glob("*.dat")} == set(VERDICTS)
    assert len(VERDICTS) == 49


@pytest.mark.parametrize("name", sorted(VERDICTS))
def test_verdict(name: str) -> None:
    verdict = VERDICTS[name]
    if name in DECIDED_LATER:
        assert DECIDED_LATER[name](read(name))
    elif verdict["expect"] in ("accept", "accept-resp") or name in READ_OTHERWISE:
        message = read(name)
        assert isinstance(message, Response if verdict["expect"] == "accept-resp" else Request)
    else:
        with pytest.raises(RemoteProtocolError) as caught:
            read(name)
        if verdict["expect"] == "drop":
            assert caught.value.request is None
        else:
            assert caught.value.status_hint in verdict["codes"]
            assert caught.value.request is not None
            answer = make_response(caught.value.request, caught.value.status_hint, to_tag="a1")
            assert answer.headers.get_all("Via") == caught.value.request.headers.get_all("Via")
            assert len(answer.headers) - len(answer.headers.get_all("Via")) <= 4
            if name not in UNREADABLE_ANSWERS:
                assert (parse(answer.to_bytes(), Limits()).headers.get("To") or "").count("tag=") == 1


@pytest.mark.parametrize("name", sorted(VERDICTS))
def test_what_is_read_and_written_is_read_the_same(name: str) -> None:
    try:
        message = parse(octets(name), Limits())
    except RemoteProtocolError:
        assert VERDICTS[name]["expect"] in ("reject", "drop")
        return
    again = parse(message.to_bytes(), Limits())
    assert type(again) is type(message)
    assert again.body == message.body
    assert [field for field in again.headers if field[0] != "Content-Length"] == [
        field for field in message.headers if field[0] != "Content-Length"
    ]


# -- what must survive: the column `forward_constraint` ---------------------------------------------------------------


def test_wsinv_white_space_and_folding_mean_nothing() -> None:
    message = request("wsinv.dat")
    assert message.headers.get("NewFangledHeader") == "newfangled value continued newfangled value"
    assert message.headers.get("UnknownHeaderWithUnusualValue") == ";;,,;;,;"
    assert message.headers.get("Subject") == ""
    assert (message.max_forwards, message.cseq.number, message.cseq.method) == (68, 9, "INVITE")
    vias = [parse_via(value) for value in message.headers.values("Via")]
    assert [(via.protocol, via.transport, via.host, via.branch) for via in vias] == [
        ("SIP/2.0", "UDP", "192.0.2.2", "390skdjuw"),
        ("SIP/2.0", "TCP", "spindle.example.com", "z9hG4bK9ikj8"),
        ("SIP/2.0", "UDP", "192.168.255.111", "z9hG4bK30239"),
    ]
    assert message.to.tag == "1918181833n"
    assert (message.from_.display_name, message.from_.tag) == (r'"J Rosenberg \\\""', "98asjd8")
    assert message.contact is not None
    assert message.contact.params == {"newparam": "newvalue", "secondparam": None, "q": "0.33"}
    assert message.request_uri.params == {"unknownparam": None}


def test_intmeth_every_character_survives() -> None:
    message = request("intmeth.dat")
    assert message.method == "!interesting-Method0123456789_*+`.%indeed'~"
    assert message.request_uri.user == "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"
    assert message.request_uri.password == "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"
    assert message.request_uri.host == "example.com"
    assert str(message.request_uri) == message.uri
    assert message.to.display_name == '"BEL:\\\x07 NUL:\\\x00 DEL:\\\x7f"'
    assert message.from_.display_name == "token1~` token2'+_ token3*%!.-"
    assert (
        message.from_.params["fromparam''~+*_!.-%"] == '"\u0440\u0430\u0431\u043e\u0442\u0430\u044e\u0449\u0438\u0439"'
    )
    assert message.from_.tag == "_token~1'+`*%!-."
    assert message.call_id == "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{"
    assert message.max_forwards == 255
    assert message.headers.get("extensionHeader-!.%*+_`'~") == "\ufeff\u5927\u505c\u96fb"
    assert octets("intmeth.dat").partition(b"To: ")[2].partition(b"\r\n")[0] in message.to_bytes()


def test_esc01_escapes_are_undone_once_for_comparing_and_never_in_values() -> None:
    message = request("esc01.dat")
    assert message.request_uri.user == "sips%3Auser%40example.com"
    assert message.request_uri.host == "example.net"
    assert message.to.uri.user == "%75se%72"
    assert message.contact is not None
    assert message.contact.uri.user == "cal%6Cer"
    assert message.contact.uri.params == {"lr": None, "name": "v%61lue%25%34%31"}
    assert message.contact.uri_text == "sip:cal%6Cer@host5.example.net;%6C%72;n%61me=v%61lue%25%34%31"


def test_escnull_users_do_not_end_at_nul() -> None:
    message = request("escnull.dat")
    contacts = [parse_name_address(value) for value in message.headers.values("Contact")]
    assert [contact.uri.user for contact in contacts] == ["%00", "%00%00"]
    assert message.to.uri.user == "null-%00-null"


def test_esc02_escapes_outside_uris_are_none() -> None:
    message = request("esc02.dat")
    assert message.method == "RE%47IST%45R"
    assert message.headers.get_all("Contact") == ["<sip:alias1@host1.example.com>", "<sip:alias3@host3.example.com>"]
    assert message.headers.get("C%6Fntact") == "<sip:alias2@host2.example.com>"
    assert message.to.display_name == message.from_.display_name == '"%Z%45"'


def test_lwsdisp_display_name_without_space() -> None:
    assert request("lwsdisp.dat").from_.display_name == "caller"


def test_longreq_long_values_are_whole() -> None:
    message = request("longreq.dat")
    assert len(message.headers.values("Via")) == 34
    assert len(message.headers.get_all("Via")) == 34
    raw = octets("longreq.dat")
    assert message.call_id.encode() in raw
    assert message.from_.tag is not None
    assert len(message.from_.tag) > 100
    assert message.from_.tag.encode() in raw


def test_dblreq_octets_after_the_body_are_no_message() -> None:
    message = request("dblreq.dat")
    assert message.body == b""
    assert b"INVITE" not in message.to_bytes()


def test_semiuri_parameters_in_the_user_part() -> None:
    uri = request("semiuri.dat").request_uri
    assert (uri.user, uri.host, uri.params) == ("user;par=u%40example.net", "example.com", {})


def test_transports_any_transport_is_read() -> None:
    values = request("transports.dat").headers.values("Via")
    assert [parse_via(value).transport for value in values] == ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"]


def test_mpart01_body_is_untouched() -> None:
    message = request("mpart01.dat")
    assert message.content_type == "multipart/mixed"
    assert message.body == octets("mpart01.dat").partition(b"\r\n\r\n")[2]
    assert b"\0" in message.body
    assert message.to_bytes().endswith(message.body)


def test_unreason_and_noreason() -> None:
    message = read("unreason.dat")
    assert isinstance(message, Response)
    assert message.reason.startswith("= 2**3 * 5**2 ")
    assert message.reason.encode() in octets("unreason.dat")
    message = read("noreason.dat")
    assert isinstance(message, Response)
    assert (message.status, message.reason) == (100, "")
    assert message.to_bytes().startswith(b"SIP/2.0 100 \r\n")


def test_unksm2_unknown_schemes_in_headers() -> None:
    message = request("unksm2.dat")
    assert (message.to.uri.scheme, message.to.uri.opaque) == ("isbn", "2983792873")
    assert str(message.from_.uri) == "http://www.example.com"
    assert message.contact is not None
    assert message.contact.uri.scheme == "name"


def test_cparam_parameters_belong_to_header_or_uri() -> None:
    bare, bracketed = request("cparam01.dat").contact, request("cparam02.dat").contact
    assert bare is not None
    assert bracketed is not None
    assert (bare.params, bare.uri.params) == ({"unknownparam": None}, {})
    assert (bracketed.params, bracketed.uri.params) == ({}, {"unknownparam": None})


def test_regescrt_header_stays_in_the_uri() -> None:
    message = request("regescrt.dat")
    assert message.contact is not None
    assert message.contact.uri.headers == "Route=%3Csip:sip.example.com%3E"
    assert "Route" not in message.headers


def test_regaut01_unknown_scheme_is_kept() -> None:
    assert request("regaut01.dat").headers.get("Authorization") == "NoOneKnowsThisScheme opaque-data=here"


def test_inv2543_lacks_what_rfc_2543_lacked() -> None:
    message = request("inv2543.dat")
    assert (message.via.branch, message.from_.tag, message.max_forwards) == (None, None, None)
    assert message.to.params == {"user": "phone"}
    assert message.body.startswith(b"v=0\r\n")


def test_large_seconds_are_capped_not_refused() -> None:
    # 3.1.2.4, 3.1.2.5: out of the range of 20.19, but nothing that a call has to fail for; what is refused is the CSeq
    assert parse_seconds("10" + "0" * 98) == parse_seconds("949302838503028349304023988") == 2**32 - 1
