"""Call flows between several parties, each a SIPp of its own, and who waits for whom.

    alice calls bob
        -> INVITE sdp
        ...
    bob
        <- INVITE sdp
        ...
        ! held dialog
        ? resumed
    bob2 calls carol
        ? held
        ...

A flow is the texts of its parties (`tests.support.script`) below their names. A party that calls dials a party, a
number or a URI; one whose text begins with `? name` does not start before. A name with a digit is another line of the
same phone. `alice again` is what a caller does when it is called itself meanwhile. `%bob%` stands for an address,
`%edge%` for that of the SBC on the party's side. What was told as a dialog or as a Refer-To (`! name text`) is taken
apart as well: `[$name.uri]` and `[$name.replaces]`, where it is awaited in the first line; elsewhere `[$name_refer]` is
what a Refer-To says.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from tests.support import script
from tests.support.border import Border
from tests.support.lab import PRIVATE, PUBLIC, Namespace
from tests.support.sipp import Sipp

OUTSIDE = {"alice": PUBLIC.host, "carol": PUBLIC.others[0], "gateway": PUBLIC.others[1]}
INSIDE = {"bob": PRIVATE.host, "server": PRIVATE.others[0], "colleague": PRIVATE.others[1]}
NUMBERS = {"bob": "1001", "server": "1002", "colleague": "1003"}
"""What is dialled for those inside."""
ADDRESSES = OUTSIDE | INSIDE | {"outside": PUBLIC.edge, "inside": PRIVATE.edge, "absent": PRIVATE.absent}
_PATIENCE = 40.0
_PARTY = re.compile(r"^(?P<name>[a-z]+)(?P<line>\d?)(?: calls (?P<callee>\S+)| (?P<again>again))?$")
_STEP = 0.01

CALLS = """
        -> INVITE sdp
        <- 100 maybe
        <- 180
        <- 200 sdp
        -> ACK
"""
CALLS_FIRST = CALLS + "! up"
"""Who is called may wait for it before it changes anything: until the ACK of the caller is there, that would be 491."""
ANSWERS = """
        <- INVITE sdp
        -> 180
        -> 200 sdp
        <- ACK
"""
HANGS_UP = """
        -> BYE
        <- 200 BYE
"""
HEARS_BYE = """
        <- BYE
        -> 200 BYE
"""
HOLDS = """
        -> INVITE sdp sendonly
        <- 100 maybe
        <- 200 sdp recvonly
        -> ACK
"""
IS_HELD = """
        <- INVITE sdp sendonly
        -> 200 sdp recvonly
        <- ACK
"""
RESUMES = """
        -> INVITE sdp
        <- 100 maybe
        <- 200 sdp
        -> ACK
"""
IS_RESUMED = """
        <- INVITE sdp sendrecv
        -> 200 sdp
        <- ACK
"""


@dataclass(frozen=True)
class Outcome:
    """What the record of one call says."""

    status: int = 200
    ended_by: str = "caller"
    cause: str = ""
    """Part of it."""
    attempts: int = 1
    with_: str = ""
    """Whom it is with at its end, where a transfer has made two calls of the one that the party placed."""
    heard: bool = False
    """Media went both ways."""
    trail: tuple[str, ...] = ()
    """What `sbc explain` says of it, among other things."""


@dataclass(frozen=True)
class Flow:
    section: str
    title: str
    does: str
    """What the SBC does in it, for docs/call-flows.md."""
    text: str
    calls: Mapping[str, Outcome] = field(default_factory=dict)
    """By the party that places the call. A call that is not listed does not pass the SBC."""
    variant: str = ""

    @property
    def name(self) -> str:
        return self.section + (f" {self.variant}" if self.variant else "")


class _Party:
    """One phone line: its text, and its SIPp once it has begun."""

    def __init__(self, name: str, line: str, callee: str) -> None:
        self.key, self.name, self.callee = name + line, name, callee
        self.port = 5060 + 10 * int(line or 0)
        self.address = ADDRESSES[name]
        self.inside = name in INSIDE
        self.text = ""
        self.again = ""
        self.sipp: Sipp | None = None

    @property
    def awaited(self) -> str:
        """What it waits for before it begins; "" for nothing."""
        first = self.text.strip().partition("\n")[0].strip()
        return first[2:] if first.startswith("? ") and self.callee else ""


class _Stage:
    """A flow that is being played."""

    def __init__(self, border: Border, flow: Flow) -> None:
        self._border = border
        self._folder: Path = border.lab.public.directory()
        self._signals = self._folder / "signals"
        self._signals.mkdir()
        self._audio = self._folder / "audio.raw"
        self._audio.write_bytes(bytes(range(256)) * 400)
        self.parties = _parties(flow.text)
        self._cued: set[str] = set()

    def play(self) -> None:
        """All to their ends. Raises AssertionError unless everybody saw and heard what is written."""
        for party in self.parties.values():
            if not party.callee:
                self._start(party)
        deadline = time.monotonic() + _PATIENCE
        while not self._over():
            self._go_on()
            assert time.monotonic() < deadline, f"told: {self._told()}, {self._unfinished()}"
            time.sleep(_STEP)
        for party in self.parties.values():
            assert party.sipp is not None
            party.sipp.wait()

    def stop(self) -> None:
        for party in self.parties.values():
            if party.sipp is not None:
                party.sipp.stop()

    def _over(self) -> bool:
        """Everybody is through, or somebody has failed, which `Sipp.wait` tells."""
        ended = [party.sipp is not None and not party.sipp.runs() for party in self.parties.values()]
        failed = [party for party in self.parties.values() if party.sipp is not None and party.sipp.failed]
        for party in failed:
            assert party.sipp is not None
            party.sipp.wait()
        return all(ended)

    def _go_on(self) -> None:
        told = self._told()
        for party in self.parties.values():
            if party.sipp is None and (not party.awaited or party.awaited in told):
                self._start(party)
        for at in told:
            who, _, name = at.partition(".awaits.")
            if name and name in told and at not in self._cued:
                self._cued.add(at)
                self._cue(self.parties[who], (self._signals / at).read_text().strip(), self._text(name))

    def _told(self) -> set[str]:
        return {path.name for path in self._signals.iterdir() if path.suffix != ".new"}

    def _text(self, name: str) -> str:
        return (self._signals / name).read_text().strip()

    def _unfinished(self) -> str:
        troubles = [
            f"{party.key}: {party.sipp.trouble() if party.sipp else 'not begun'}"
            for party in self.parties.values()
            if party.sipp is None or party.sipp.runs()
        ]
        return "\n".join(["not through:", *troubles])

    def _cue(self, party: _Party, call_id: str, text: str) -> None:
        """SIPp waits for a request CUE in its call; no other end of the lab sees it."""
        message = (
            f"CUE sip:{party.key} SIP/2.0\r\nVia: SIP/2.0/UDP {party.address}:9;branch=z9hG4bK{time.monotonic_ns()}\r\n"
            f"From: <sip:conductor>\r\nTo: <sip:{party.key}>\r\nCall-ID: {call_id}\r\nCSeq: 1 CUE\r\n"
            f"Text: {text}\r\nRefer: {_refer_to(text)}\r\nContent-Length: 0\r\n\r\n"
        )
        with self._namespace(party).udp((party.address, 0)) as opened:
            opened.sendto(message.encode(), (party.address, party.port))

    def _namespace(self, party: _Party) -> Namespace:
        return self._border.lab.private if party.inside else self._border.lab.public

    # -- one party -----------------------------------------------------------------------------------------------------

    def _start(self, party: _Party) -> None:
        text, values = party.text, {}
        if party.awaited:
            text = text.strip().partition("\n")[2]
            values = _taken_apart(party.awaited, self._text(party.awaited))
        for name, value in values.items():
            text, party.callee = text.replace(name, value), party.callee.replace(name, value)
        path = self._written(party, party.key, script.caller(text) if party.callee else script.callee(text))
        extra = ["-mp", str(6000 + 4 * (party.port - 5060)), "-rtp_echo"]
        options: dict[str, Any] = {"calls": 1 if party.callee else script.ways(text)}
        options["timeout"] = _PATIENCE
        if party.callee:
            uri = self._dialled(party)
            options |= {"dialled": uri, "target": self._next_hop(party, uri)}
        if party.again:
            extra += ["-oocsf", f"{self._written(party, party.key + '-again', script.callee(party.again))}.xml"]
        party.sipp = Sipp(self._namespace(party), str(path), party.address, party.port, extra=extra, **options)

    def _written(self, party: _Party, name: str, xml: str) -> Path:
        places = {"signals": self._signals, "party": party.key, "audio": self._audio, "edge": self._edge(party)}
        for place, value in places.items():
            xml = xml.replace(f"%{place}%", str(value))
        path = self._folder / name
        path.with_suffix(".xml").write_text(xml)
        return path

    def _edge(self, party: _Party) -> str:
        return PRIVATE.edge if party.inside else PUBLIC.edge

    def _dialled(self, party: _Party) -> str:
        callee = party.callee
        if callee.startswith("sip:"):
            return callee
        if callee in OUTSIDE:
            return f"sip:{callee}@{OUTSIDE[callee]}"
        return f"sip:{NUMBERS.get(callee, callee)}@{self._edge(party)}"

    def _next_hop(self, party: _Party, uri: str) -> str:
        """Who is on the same side is called without the SBC."""
        place = re.match(r"sip:(?:[^@]*@)?([^:;?>]+)(?::(\d+))?", uri)
        assert place is not None, uri
        host, port = place.groups()
        neighbours = INSIDE if party.inside else OUTSIDE
        return f"{host if host in neighbours.values() else self._edge(party)}:{port or 5060}"


def _parties(text: str) -> dict[str, _Party]:
    parties: dict[str, _Party] = {}
    at: tuple[_Party, bool] | None = None
    for name, address in ADDRESSES.items():
        text = text.replace(f"%{name}%", address)
    for line in filter(None, map(str.strip, text.splitlines())):
        if match := _PARTY.fullmatch(line):
            key = match["name"] + match["line"]
            party = parties[key] if match["again"] else _Party(match["name"], match["line"], match["callee"] or "")
            parties[key] = party
            at = party, bool(match["again"])
        else:
            assert at is not None, f"nobody's line: {line}"
            party, again = at
            if again:
                party.again += f"{line}\n"
            else:
                party.text += f"{line}\n"
    return parties


def _taken_apart(name: str, text: str) -> dict[str, str]:
    uri, _, headers = text.partition("?")
    fields = dict(each.partition("=")[::2] for each in headers.split("&"))
    return {f"[${name}.uri]": uri, f"[${name}.replaces]": unquote(fields.get("Replaces", "")), f"[${name}]": text}


def _refer_to(text: str) -> str:
    """What was told as a dialog as a URI for Refer-To (RFC 5589 section 7)."""
    uri, found, replaces = text.partition("?Replaces=")
    return f"{uri}?Replaces={quote(replaces, safe='')}&Require=replaces" if found else text


def play(border: Border, flow: Flow) -> None:
    """The flow from beginning to end, and what is told of its calls afterwards."""
    stage = _Stage(border, flow)
    try:
        stage.play()
        for name, outcome in flow.calls.items():
            sipp = stage.parties[name].sipp
            assert sipp is not None
            _compare(border, sipp, name, outcome)
    except AssertionError as failure:
        time.sleep(1)  # until the record is written
        told = "\n".join(border.edge.sbc("explain", record["id"]) for record in border.edge.calls()[:3])
        raise AssertionError(f"{flow.name}: {failure}\n{told}") from None
    finally:
        stage.stop()


def _compare(border: Border, caller: Sipp, name: str, outcome: Outcome) -> None:
    place = ADDRESSES.get(outcome.with_, "")
    record = border.record_where(
        lambda each: each["a"]["call_id"] == caller.call_id() and (not place or f"{place}:" in each["b"]["remote"])
    )
    found = (record["status"], record["ended_by"], record["attempts"])
    assert found == (outcome.status, outcome.ended_by, outcome.attempts), f"{name}: {record}"
    assert outcome.cause in record["cause"], f"{name}: {record}"
    if outcome.heard:
        assert record["streams"], f"{name}: no media"
        for stream in record["streams"]:
            assert min(stream[side]["packets"] for side in "ab") >= 3, f"{name}: {stream}"
    if outcome.trail:
        explained = border.edge.sbc("explain", record["id"], "--width", "240")
        assert [part for part in outcome.trail if part not in explained] == [], f"{name}: {explained}"
