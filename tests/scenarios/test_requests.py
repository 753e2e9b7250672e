"""Requests outside calls through a real twistd, by SIPp on both sides: subscriptions, messages, publications."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.border import Border
from tests.support.lab import PUBLIC
from tests.support.scenario import INWARDS, OUTWARDS, Route, callee, caller

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


@pytest.fixture(scope="module")
def border() -> Iterator[Border]:
    with Border() as border:
        yield border


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
