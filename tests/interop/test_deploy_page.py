"""docs/deploy-remote-phones.md, followed word by word.

What it tells to type, to write and to open, on a machine that had nothing; and what it says that one then sees, with
phones behind NAT and a real PBX.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest

from tests.support import remote_phones
from tests.support.baresip import Baresip, assert_heard, converse
from tests.support.border import Border
from tests.support.clean_machine import Installed, Page
from tests.support.kamailio import Kamailio
from tests.support.lab import BEHIND_NAT, PRIVATE, PUBLIC, wait_until
from tests.support.nat import PHONES, SYMMETRIC, Home
from tests.support.raw import header_lines, request, status

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_peers("baresip", "kamailio", "kamcmd", "nft", "adduser")]

ALICE, BOB, DESK = 440, 880, 1320
"""Hz of the tone that each one plays."""


@pytest.fixture(scope="module")
def page() -> Page:
    return Page()


@pytest.fixture(scope="module")
def border(page: Page) -> Iterator[Border]:
    with Border(start=lambda lab: Installed(lab, page)) as border:
        # whatever goes out after a second of silence is new to this firewall, and needs its place in the table
        for state in ("udp_timeout", "udp_timeout_stream"):
            border.lab.edge.sysctl(f"net.netfilter.nf_conntrack_{state}", "1")
        yield border


@pytest.fixture
def pbx(border: Border) -> Kamailio:
    pbx = Kamailio(border.lab, "kamailio_registrar.cfg")
    log = border.edge.log
    wait_until(
        lambda: log().count("peer pbx does not answer") == log().count("peer pbx answers again"),
        "that the last one ended has been overcome",
        20,
    )
    return pbx


def remote(page: Page, home: Home, user: str, tone: int, number: int, transport: str) -> Baresip:
    """A phone set up by the table of section 6."""
    values = dict(page.rows("6"))
    (domain,) = re.findall(r"`(.*)`", values["domain, registrar, SIP server"])
    (proxy,) = re.findall(r"`(.*)`", values["outbound proxy"])
    phone = Baresip(
        home.phones, user, PHONES[number], tone=tone, answers=True, port=5062 + 2 * number, rtp=20000 + 200 * number,
        transport=transport, proxy=f"sip:{proxy};transport={transport}", domain=domain,
        password={"alice": "wonderland-1", "bob": "builder-2"}[user],
    )  # fmt: skip
    wait_until(phone.registered, f"{user} is registered", 20)
    return phone


def masked(line: str) -> list[str]:
    """The columns of a line of a table, numbers aside."""
    return re.split(r"  +", re.sub(r"\d+", "#", line.strip()))


def answer(border: Border, uri: str, *headers: str) -> bytes:
    """What the SBC says to a REGISTER of somebody."""
    with border.lab.public.udp((PUBLIC.host, 0)) as phone:
        phone.settimeout(10)
        phone.sendto(request("REGISTER", uri, phone.getsockname(), headers=headers), (PUBLIC.edge, 5060))
        return phone.recv(65535)


def refused(border: Border, wanted: int) -> None:
    """What the page says about the log: who was refused, from where and why."""
    told = re.compile(rf"REGISTER of \S+ from {PUBLIC.host} refused: {wanted}: \w+")
    wait_until(lambda: told.search(border.edge.log()) is not None, f"the log tells of {wanted}")


def test_remote_phones_register_and_call_and_the_operator_sees_it(border: Border, page: Page, pbx: Kamailio) -> None:
    with Home(border.lab, SYMMETRIC) as home:
        alice = remote(page, home, "alice", ALICE, 0, "udp")
        bob = remote(page, home, "bob", BOB, 1, "tcp")
        wait_until(lambda: len(border.edge.registrations()) == 2, "both are in the table", step=0.2)
        list_them, look_back = page.blocks("7", "sh")
        assert isinstance(border.edge, Installed)
        shown, (as_written,) = border.edge.run(list_them), page.blocks("7", "")
        assert [masked(line)[:4] for line in shown.splitlines()] == [
            masked(line)[:4] for line in as_written.splitlines()
        ]

        desk = Baresip(border.lab.private, "desk", PRIVATE.others[0], tone=DESK, proxy=f"sip:{PRIVATE.host}")
        time.sleep(1.5)  # until the firewall has forgotten alice, whose NAT has not
        converse(desk, alice, f"sip:alice@{PRIVATE.host}")
        converse(bob, alice, "sip:alice@example.com")
        for phone, tones in ((desk, [ALICE]), (alice, [DESK, BOB]), (bob, [ALICE])):
            assert_heard(phone, *tones)

        wait_until(lambda: all(call["ended"] for call in border.edge.calls()), "all is written down", step=0.2)
        printed = border.edge.run(look_back)
        assert re.search(r"from caller: \d+ packets, .*\n +from callee: \d+ packets", printed), printed


@pytest.mark.parametrize(("transport", "why"), [("tcp", "has no flow to us now"), ("udp", "the phone does not answer")])
def test_who_calls_a_phone_that_is_off_hears_480(
    border: Border, page: Page, pbx: Kamailio, transport: str, why: str
) -> None:
    with Home(border.lab, SYMMETRIC) as home:
        phone = remote(page, home, "bob", BOB, 1, transport)
        wait_until(lambda: border.edge.registrations() != [], "it is in the table", step=0.2)
        phone.kill()
        if transport == "tcp":
            wait_until(lambda: border.edge.registrations() == [], "its flow is gone", step=0.2)
        desk = Baresip(border.lab.private, "desk", PRIVATE.others[0], tone=DESK, proxy=f"sip:{PRIVATE.host}")
        desk.dial(f"sip:bob@{PRIVATE.host}")
        wait_until(lambda: "480" in desk.log(), "the desk hears of it", 40)
        wait_until(lambda: why in border.edge.sbc("explain", "last"), "so does the operator", step=0.2)


def test_where_no_media_come_from_is_told(border: Border, page: Page, pbx: Kamailio) -> None:
    (row,) = [row for row in page.rows("When it does not work") if row[0].startswith("a call, but silence")]
    (said,) = re.findall(r'"(.*)" from', row[1])
    border.lab.edge.run(["nft", "insert rule inet filter input iifname outside udp dport 20000-29999 drop"])
    with Home(border.lab, SYMMETRIC) as home:
        alice = remote(page, home, "alice", ALICE, 0, "udp")
        desk = Baresip(border.lab.private, "desk", PRIVATE.others[0], tone=DESK, proxy=f"sip:{PRIVATE.host}")
        converse(desk, alice, f"sip:alice@{PRIVATE.host}")
    wait_until(lambda: all(call["ended"] for call in border.edge.calls()), "all is written down", step=0.2)
    printed = border.edge.sbc("explain", "last")
    assert re.search(rf"from caller: \d+ packets, .*\n +from callee: {said}", printed), printed


def test_in_a_cloud_one_line_more_says_the_address_that_others_see(page: Page) -> None:
    (line,) = re.findall(r"`(advertise = .*)` below it", page.sections["2"])
    has = f'address = "{BEHIND_NAT}"\n'
    config = remote_phones.configuration(BEHIND_NAT, PRIVATE.edge, PRIVATE.host).replace(has, f"{has}{line}\n")
    assert line in config
    with Border(config, nat=True) as border, Home(border.lab, SYMMETRIC) as home:
        Kamailio(border.lab, "kamailio_registrar.cfg")
        alice = remote(page, home, "alice", ALICE, 0, "udp")
        desk = Baresip(border.lab.private, "desk", PRIVATE.others[0], tone=DESK, proxy=f"sip:{PRIVATE.host}")
        converse(desk, alice, f"sip:alice@{PRIVATE.host}")
        assert_heard(desk, ALICE)
        assert_heard(alice, DESK)
        border.lab.clear()
        assert border.leaks() == []


def test_the_refusals_that_the_page_explains_are_those_that_one_gets(border: Border, page: Page, pbx: Kamailio) -> None:
    explained = " ".join(row[0] for row in page.rows("When it does not work"))
    for wanted, heard in (
        (404, answer(border, "sip:alice@wrong.example")),
        (423, answer(border, "sip:alice@example.com", "Expires: 20")),
    ):
        assert (status(heard), str(wanted) in explained) == (wanted, True)
        refused(border, wanted)
    pbx.stop()
    heard = answer(border, "sip:alice@example.com")
    assert (status(heard), len(header_lines(heard, "retry-after"))) == (503, 1)
    assert "503 with Retry-After" in explained
    refused(border, 503)
    wait_until(lambda: "peer pbx does not answer" in border.edge.log(), "the log says whose silence it is")
