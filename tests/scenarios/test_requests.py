"""Requests outside calls through a real twistd, by SIPp on both sides: subscriptions, messages, publications."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sbc.sip import Address
from tests.support.border import Border
from tests.support.lab import PRIVATE, PUBLIC, wait_until
from tests.support.scenario import INWARDS, OUTWARDS, Route, callee, caller
from tests.support.wire_ladder import WireLadder, wire_ladder

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_peers("sipp")]

OVER_TCP = Route("outwards over TCP", outwards=True, caller_tcp=True, callee_tcp=True)

_DIALOG_INFO = """<?xml version="1.0"?>
<dialog-info xmlns="urn:ietf:params:xml:ns:dialog-info" version="1" state="full" entity="sip:1001@[local_ip]">
<dialog id="d[pid]-[local_ip]" call-id="inner-[pid]-call@[local_ip]" local-tag="inner-[pid]-tag" direction="initiator">
<state>early</state><local><target uri="sip:1001@[local_ip]:5062"/></local></dialog></dialog-info>"""
_PIDF = """<?xml version="1.0"?>
<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="pres:1001@[local_ip]"><tuple id="t1">
<status><basic>open</basic></status><contact>sip:1001@[local_ip]:5062</contact></tuple></presence>"""
_MWI = """Messages-Waiting: yes
Message-Account: sip:1001@[local_ip]
Voice-Message: 2/8 (0/2)
"""
KINDS = [
    ("dialog", "application/dialog-info+xml", _DIALOG_INFO, "early"),
    ("presence", "application/pidf+xml", _PIDF, "open"),
    ("message-summary", "application/simple-message-summary", _MWI, "Voice-Message: 2/8"),
]


@pytest.mark.parametrize("route", [INWARDS, OUTWARDS, OVER_TCP], ids=lambda route: route.name)
@pytest.mark.parametrize(("event", "kind", "body", "wanted"), KINDS, ids=[kind[0] for kind in KINDS])
def test_a_subscription_from_beginning_to_end(
    border: Border, route: Route, event: str, kind: str, body: str, wanted: str
) -> None:
    notifier = callee(border, route, "notifier", {"event": event, "kind": kind, "body": body})
    watcher = caller(border, route, "watcher", {"event": event, "kind": kind, "wanted": wanted})
    watcher.wait()
    notifier.wait()
    if route is INWARDS:
        assert f"1001@{PUBLIC.edge}" in watcher.messages()
        assert "inner-" not in watcher.messages()


@pytest.mark.parametrize("route", [INWARDS, OUTWARDS], ids=lambda route: route.name)
@pytest.mark.parametrize(
    ("method", "status", "header", "expect"),
    [
        ("MESSAGE", 202, "Date: now", "Date: now"),
        ("PUBLISH", 412, "Retry-After: 5", "412 "),
        ("MESSAGE", 401, 'WWW-Authenticate: Digest realm="r", nonce="n", qop="auth,auth-int"', 'qop="auth"'),
    ],
)
def test_a_request_of_no_dialog(
    border: Border, route: Route, method: str, status: int, header: str, expect: str
) -> None:
    taker = callee(border, route, "takes_request", {
        "method": method, "status": status, "header": header, "expect": "Max-Forwards: 69",
    })  # fmt: skip
    values = {
        "method": method, "status": status, "expect": expect.replace('"', "&quot;"), "max_forwards": 70, "to_tag": "",
    }  # fmt: skip
    caller(border, route, "request", values).wait()
    taker.wait()


# -- bodies, whichever way they go -------------------------------------------------------------------------------------

_REPORT = "VQSessionReport: CallTerm\r\nCallID: 6d5@[local_ip]\r\nLocalAddr:IP=[local_ip] PORT=5000 SSRC=1\r\n"
_LIST = f"""--x
Content-Type: application/rlmi+xml
Content-ID: <list@[local_ip]>

<list xmlns="urn:ietf:params:xml:ns:rlmi" uri="sip:friends@[local_ip]" version="1" fullState="true"/>
--x
Content-Type: application/pidf+xml

{_PIDF}
--x--
""".replace("\n", "\r\n")
BODIES = {
    "dialog": ("application/dialog-info+xml", _DIALOG_INFO),
    "pidf": ("application/pidf+xml", _PIDF),
    "mwi": ("application/simple-message-summary", _MWI),
    "report": ("application/vq-rtcpxr", _REPORT),
    "fragment": ("message/sipfrag", "SIP/2.0 486 Busy at [local_ip]\r\nContact: <sip:1001@[local_ip]>\r\n"),
    "list": ('multipart/related;type="application/rlmi+xml";boundary=x', _LIST),
}
WATCHES = """
    phone -> SUBSCRIBE | Event: message-summary | Expires: 600
    pbx <- SUBSCRIBE
    pbx -> 200 SUBSCRIBE | Expires: 600
    phone <- 200 SUBSCRIBE
"""
NOTIFIED = """
    pbx -> NOTIFY mwi-pbx | Event: message-summary | Subscription-State: active
    phone <- NOTIFY body
    phone -> 200 NOTIFY
    pbx <- 200 NOTIFY
"""
BOMB = ("application/unheard-of+xml", b'<!DOCTYPE a [<!ENTITY x "ha">]><a>&x;&x;</a>')
AT_HOME = "192.168.7.77"
"""What the phone calls itself, behind its NAT."""


@pytest.fixture
def ladder(border: Border) -> Iterator[WireLadder]:
    with wire_ladder(border) as ladder:
        phone = Address(PUBLIC.host, 5072)
        ladder.join("phone", phone, f"sip:1002@{PUBLIC.edge}")
        ladder.join("pbx", Address(PRIVATE.host, 5060), f"sip:1001@{phone.host}:{phone.port}")
        for name, (kind, text) in BODIES.items():
            for who, address in (("phone", AT_HOME), ("pbx", PRIVATE.host)):
                body = text.replace("[local_ip]", address).replace("[pid]", who)
                ladder.bodies[f"{name}-{who}"] = kind, body.encode()
        ladder.bodies["bomb"] = BOMB
        yield ladder


def test_a_subscription_goes_on_after_kill_9(border: Border, ladder: WireLadder) -> None:
    ladder.play(WATCHES, NOTIFIED, NOTIFIED)
    phone, pbx = ladder.parties["phone"], ladder.parties["pbx"]
    told = phone.requests["NOTIFY"].cseq.number, pbx.requests["SUBSCRIBE"].cseq.number
    wait_until(lambda: len(border.edge.subscriptions()) == 1, "the subscription written down")
    border.edge.kill_and_start()
    ladder.play(NOTIFIED, WATCHES, NOTIFIED)
    assert phone.requests["NOTIFY"].cseq.number > told[0]
    assert pbx.requests["SUBSCRIBE"].cseq.number > told[1]
    ladder.play(NOTIFIED.replace("active", "terminated"))
    wait_until(lambda: border.edge.subscriptions() == [], "the subscription forgotten")


@pytest.mark.parametrize("name", BODIES)
def test_bodies_of_requests_and_responses_name_nobody_of_the_other_side(
    border: Border, ladder: WireLadder, name: str
) -> None:
    contact = f"Contact: <sip:1001@{AT_HOME}:5060>"
    ladder.play(
        f"""
        phone -> PUBLISH {name}-phone | Event: x | {contact}
        pbx <- PUBLISH body
        pbx -> 404 PUBLISH {name}-pbx
        phone <- 404 PUBLISH body
        pbx -> NOTIFY {name}-pbx | Event: x | Subscription-State: active
        phone <- NOTIFY body
        phone -> 488 NOTIFY {name}-phone | {contact}
        pbx <- 488 NOTIFY body
    """
    )
    sent = border.sent_inside()
    assert AT_HOME.encode() not in sent
    assert b"inner-phone" not in sent
    assert sent.count(BODIES[name][0].partition(";")[0].encode()) >= 2


def test_xml_that_could_do_harm_reaches_nobody(border: Border, ladder: WireLadder) -> None:
    ladder.play("phone -> MESSAGE bomb", "phone <- 400 MESSAGE")
    ladder.parties["phone"].identity = None
    ladder.play("phone -> MESSAGE text", "pbx <- MESSAGE text", "pbx -> 488 MESSAGE bomb", "phone <- 488 MESSAGE")
    ladder.parties["pbx"].identity = None
    ladder.play("pbx -> MESSAGE text", "phone <- MESSAGE text", "phone -> 488 MESSAGE bomb", "pbx <- 488 MESSAGE")
    assert b"doctype" not in border.sent_inside()
