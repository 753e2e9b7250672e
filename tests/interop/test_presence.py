"""Kamailio as the presence server behind us: presence, busy lamps and message lamps of phones outside, and text
messages."""

from __future__ import annotations

import itertools
import re
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from sbc.sip import Address, Request, Response
from tests.support import raw
from tests.support.border import Border
from tests.support.edge import answers_options
from tests.support.lab import PRIVATE, PUBLIC, wait_until
from tests.support.wire_ladder import WireLadder, wire_ladder

MODULES = "/usr/lib/*/kamailio/modules/{}.so"
pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.needs_peers("kamailio", MODULES.format("presence_dialoginfo"), MODULES.format("db_sqlite")),
]

PHONE = PRIVATE.others[0]
KAMAILIO = Address(PRIVATE.host, 5060)
TABLES = Path("/usr/share/kamailio/db_sqlite")
USER = f"sip:1002@{PUBLIC.edge}"
_INSIDE = f"sip:1002@{PRIVATE.host}"

PIDF = f"""<?xml version="1.0"?>
<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="{_INSIDE}"><tuple id="desk"><status><basic>open</basic></status>
<contact>sip:1002@{PHONE}:5062</contact><note>at {PHONE}</note></tuple></presence>"""
DIALOG_INFO = f"""<?xml version="1.0"?>
<dialog-info xmlns="urn:ietf:params:xml:ns:dialog-info" version="1" state="full" entity="{_INSIDE}">
<dialog id="d1" call-id="inner-call@{PHONE}" local-tag="inner-tag-1" remote-tag="inner-tag-2" direction="recipient">
<state>early</state><local><identity>{_INSIDE}</identity><target uri="sip:1002@{PHONE}:5062"/></local>
<remote><identity display="Carol">sip:1003@{PRIVATE.host}</identity></remote></dialog></dialog-info>"""
MWI = f"Messages-Waiting: yes\r\nMessage-Account: {_INSIDE}\r\nVoice-Message: 2/8 (0/2)\r\n"


_ports = itertools.count(5060)


@pytest.fixture(autouse=True)
def presence_server(border: Border) -> None:
    """It is ended with whatever else runs on the private side."""
    directory = border.lab.private.directory()
    with sqlite3.connect(directory / "presence.sqlite") as database:
        for name in ("standard", "presence"):
            database.executescript((TABLES / f"{name}-create.sql").read_text())
    database.close()
    text = (Path(__file__).parent / "kamailio_presence.cfg").read_text()
    for name, value in (
        ("LISTEN", PRIVATE.host), ("PHONE", PHONE), ("BORDER", PRIVATE.edge), ("DIRECTORY", str(directory)),
    ):  # fmt: skip
        text = text.replace(f"@{name}@", value)
    (directory / "kamailio.cfg").write_text(text)
    with (directory / "log").open("wb") as log:
        running = border.lab.private.popen(
            ["kamailio", "-f", directory / "kamailio.cfg", "-DD", "-E", "-m", "16", "-Y", directory],
            stdout=log, stderr=subprocess.STDOUT, cwd=directory,
        )  # fmt: skip

    def ready() -> bool:
        assert running.poll() is None, (directory / "log").read_text(errors="replace")
        return answers_options(border.lab.private, (PRIVATE.host, 5060), 0.2, source=PRIVATE.host)

    wait_until(ready, "Kamailio answers")


@pytest.fixture
def ladder(border: Border) -> Iterator[WireLadder]:
    with wire_ladder(border) as ladder:
        # at an address of its own: what another one was told late must not come here
        ladder.join("watcher", Address(PUBLIC.host, next(_ports)), USER)
        yield ladder


def publish(border: Border, event: str, kind: str, body: str) -> None:
    """Somebody inside tells the presence server directly."""
    headers = (f"Event: {event}", f"Content-Type: {kind}", "Expires: 600")
    told = raw.request("PUBLISH", _INSIDE, (PHONE, 5070), headers=headers, body=body.encode())
    with border.lab.private.udp((PHONE, 5070)) as phone:
        phone.settimeout(1.0)
        for _ in range(8):
            phone.sendto(told, KAMAILIO)
            try:
                answer = phone.recv(65535)
            except TimeoutError:
                continue
            assert raw.status(answer) == 200, answer
            return
    raise AssertionError("the presence server does not take it")


def ask(ladder: WireLadder, event: str, expires: int) -> None:
    """The watcher subscribes, or asks again."""
    ladder.parties["watcher"].send(["SUBSCRIBE"], [f"Event: {event}", f"Expires: {expires}"])
    answer = ladder.take("watcher")
    assert isinstance(answer, Response), answer
    assert answer.status in (200, 202)
    assert answer.headers.get("Expires") == str(expires)


def notified(ladder: WireLadder, event: str, wanted: Callable[[Request], bool]) -> Request:
    """The first NOTIFY that is as wanted; it, and those before it, are answered."""
    for _ in range(10):
        notify = ladder.take("watcher")
        assert isinstance(notify, Request), notify
        assert (notify.headers.get("Event") or "").partition(";")[0] == event
        ladder.parties["watcher"].send(["200", "NOTIFY"], [])
        if wanted(notify):
            return notify
    raise AssertionError("no NOTIFY is as wanted")


def ended(notify: Request) -> bool:
    return (notify.headers.get("Subscription-State") or "").startswith("terminated")


KINDS = [
    ("presence", "application/pidf+xml", PIDF, b"<basic>open"),
    ("dialog", "application/dialog-info+xml", DIALOG_INFO, b"early"),
    ("message-summary", "application/simple-message-summary", MWI, b"Voice-Message: 2/8"),
]


@pytest.mark.parametrize(("event", "kind", "body", "wanted"), KINDS, ids=[kind[0] for kind in KINDS])
def test_a_phone_outside_watches_one_inside(
    border: Border, ladder: WireLadder, event: str, kind: str, body: str, wanted: bytes
) -> None:
    ask(ladder, event, 600)
    publish(border, event, kind, body)
    told = notified(ladder, event, lambda notify: wanted in notify.body).body
    assert b"1002@" + PUBLIC.edge.encode() in told
    assert PRIVATE.host.encode() not in told
    assert PHONE.encode() not in told
    if event == "dialog":
        (dialog,) = [each for each in ElementTree.fromstring(told).iter() if each.tag.endswith("}dialog")]
        assert "inner" not in str(dialog.attrib)
        assert re.fullmatch("r[a-z2-7]{20,}", dialog.attrib["call-id"])
    ask(ladder, event, 0)
    notified(ladder, event, ended)


def test_what_the_presence_server_tells_of_a_call_inside_can_be_picked_up(border: Border, ladder: WireLadder) -> None:
    """Kamailio passes the INVITE to the phone inside whose call it is: that one sees its own Call-ID and tags."""
    ladder.join("phone", Address(PHONE, 5060), "sip:nobody@nowhere.example", KAMAILIO)
    ask(ladder, "dialog", 600)
    publish(border, "dialog", "application/dialog-info+xml", DIALOG_INFO)
    told = notified(ladder, "dialog", lambda notify: b"early" in notify.body).body
    (dialog,) = [each.attrib for each in ElementTree.fromstring(told).iter() if each.tag.endswith("}dialog")]
    watcher = ladder.parties["watcher"]
    watching, watcher.identity = watcher.identity, None
    value = f"{dialog['call-id']};to-tag={dialog['remote-tag']};from-tag={dialog['local-tag']};early-only"
    real = f"inner-call@{PHONE};to-tag=inner-tag-2;from-tag=inner-tag-1;early-only"
    ladder.play(
        f"""
        watcher -> INVITE sdp | Replaces: {value} | Require: replaces | Supported: replaces
        watcher <- 100
        phone <- INVITE sdp | Replaces: {real} | Require: replaces
        phone -> 486
        phone <- ACK
        watcher <- 486
        watcher -> ACK
    """
    )
    watcher.identity = watching
    ask(ladder, "dialog", 0)
    notified(ladder, "dialog", ended)


def test_after_kill_9_the_phone_hears_what_changes_and_asks_again_in_its_dialog(
    border: Border, ladder: WireLadder
) -> None:
    ask(ladder, "presence", 600)
    notified(ladder, "presence", lambda notify: not ended(notify))
    wait_until(lambda: border.edge.subscriptions() != [], "the subscription written down")
    border.edge.kill_and_start()
    publish(border, "presence", "application/pidf+xml", PIDF)
    first = notified(ladder, "presence", lambda notify: b"<basic>open" in notify.body)
    ask(ladder, "presence", 500)
    assert notified(ladder, "presence", lambda notify: True).cseq.number > first.cseq.number
    ask(ladder, "presence", 0)
    notified(ladder, "presence", ended)
    wait_until(lambda: border.edge.subscriptions() == [], "the subscription forgotten")


def test_a_phone_outside_publishes_its_presence_and_another_one_sees_it(ladder: WireLadder) -> None:
    ladder.bodies["told"] = ("application/pidf+xml", PIDF.replace(PHONE, PUBLIC.host).encode())
    ladder.play(
        """
        watcher -> PUBLISH told | Event: presence | Expires: 600
        watcher <- 200 PUBLISH | SIP-ETag: $tag | Expires: 600
    """
    )
    ladder.parties["watcher"].identity = None
    ladder.play(
        f"""
        watcher -> PUBLISH | Event: presence | Expires: 600 | SIP-If-Match: {ladder["tag"]}
        watcher <- 200 PUBLISH | SIP-ETag: *
    """
    )
    ladder.parties["watcher"].identity = None
    ask(ladder, "presence", 0)
    assert b"<basic>open" in notified(ladder, "presence", ended).body


def test_what_nobody_can_watch_is_489(ladder: WireLadder) -> None:
    ladder.play("watcher -> SUBSCRIBE | Event: x-none", "watcher <- 489 SUBSCRIBE")


def test_messages_cross_both_ways(border: Border, ladder: WireLadder) -> None:
    outside = ladder.parties["watcher"].address
    ladder.join("phone", Address(PHONE, 5060), f"sip:1001@{outside.host}:{outside.port}", KAMAILIO)
    ladder.play(
        """
        watcher -> MESSAGE text
        phone <- MESSAGE text
        phone -> 200 MESSAGE
        watcher <- 200 MESSAGE
        phone -> MESSAGE text
        watcher <- MESSAGE text | -Contact
        watcher -> 202 MESSAGE
        phone <- 202 MESSAGE
    """
    )
