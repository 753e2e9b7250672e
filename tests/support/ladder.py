"""A call as a ladder: each line says who sends what to the SBC (->) or what the SBC sends to whom (<-).

    ladder.play('''
        caller -> INVITE sdp | Subject: lunch
        caller <- 100
        callee <- INVITE sdp | Call-ID: $id | Max-Forwards: 69 | -User-Agent
        callee -> 486
        callee <- ACK
        caller <- 486
        caller -> ACK
    ''')

The parties are raw: they send what a line says and nothing else, so that a lost message is one that no line sends.
What the SBC sends must stand in the ladder, in its order for each party; what does not is a failure. `2.5 s` on a line
of its own lets time pass.

- The first word is a method or a status. `sdp` is the party's session description, another word one of
  `ladder.bodies`; a message without such a word has no body. A method word behind a status (`200 BYE`) says which
  request is answered, else INVITE; a word with a colon is the Request-URI; `tag=x` is the To tag of a response;
  `again` sends the last message once more, octet by octet; `rel` makes a provisional response reliable (RFC 3262), and
  one of the SBC that is reliable must be expected so. A PRACK is for the last reliable response that came.
- A line that begins with `|` goes on with the one before it.
- `| Name: value` sets a header field in what a party sends, `| +Name: value` adds one, `| -Name` takes it out.
- In what the SBC sends, `| Name: pattern` must match, with `*` for anything and `$name` for a text that is bound where
  it stands first and must be the same afterwards (`ladder["name"]` tells it); `| -Name` must not be there. What is
  bound may stand in what a party sends, too.
- The REGISTERs of a party that name a domain are those of the user 1001, have a Call-ID of their own, and count their
  CSeq.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field
from random import Random
from typing import Any

from sbc.b2bua import CallEnded, CallRecord
from sbc.sip import REASONS, Address, Limits, Request, Response, parse
from tests.support.hiding import leaks
from tests.support.phone import sdp
from tests.support.world import CALLER, INSIDE, OUTSIDE, OUTSIDE6, PBX, PBX2, Edge, Events, Weather, Wires, written

Message = Request | Response

RINGING = """
    caller -> INVITE sdp
    caller <- 100
    callee <- INVITE sdp
    callee -> 180
    caller <- 180
"""
ANSWERED = """
    caller -> INVITE sdp
    caller <- 100
    callee <- INVITE sdp
    callee -> 200 sdp
    callee <- ACK
    caller <- 200 sdp
    caller -> ACK
"""
HUNG_UP = """
    caller -> BYE
    caller <- 200 BYE
    callee <- BYE
    callee -> 200 BYE
    0.1 s
"""
OTHER_ANSWERS = """
    other -> 200 sdp
    other <- ACK
    caller <- 200 sdp
    caller -> ACK
    caller -> BYE
    caller <- 200 BYE
    other <- BYE
    other -> 200 BYE
    0.1 s
"""
"""How ladders begin and end."""
SIPFRAGS = {
    f"frag{status}": ("message/sipfrag;version=2.0", f"SIP/2.0 {status} {reason}\r\n".encode())
    for status, reason in REASONS.items()
}
"""Bodies that tell how a transfer goes (RFC 3515 section 2.4.5), for `Ladder.bodies`."""
_LINE = re.compile(r"(\w+) (->|<-) (.*)")
_CONTINUED = re.compile(r"\n\s*\| ")
_TIME = re.compile(r"([\d.]+) s")
_METHODS = frozenset(
    ("INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "INFO", "UPDATE", "MESSAGE", "PRACK", "REGISTER", "NONSENSE")
) | {"REFER", "NOTIFY", "SUBSCRIBE", "PUBLISH"}


_ALONE = frozenset(("INVITE", "ACK", "REGISTER", "OPTIONS", "MESSAGE", "NONSENSE", "SUBSCRIBE", "PUBLISH"))
_OPENING = frozenset(("INVITE", "SUBSCRIBE"))
"""Of no early dialog; and those that make a dialog."""


@dataclass
class Party:
    """A user agent without any automatism at one address."""

    name: str
    address: Address
    ladder: Ladder
    uri: str
    """Whom it calls."""
    transport: str = "UDP"
    connection: int | None = None
    """Number of its stream, where it opened it itself."""
    inbox: deque[Message] = field(default_factory=deque)
    requests: dict[str, Request] = field(default_factory=dict)
    """The last one received of each method."""
    heard: Message | None = None
    """What it received last."""
    described: bytes = b""
    """The last session description that it received."""
    sent: dict[str, list[str]] = field(default_factory=dict)
    """Head lines of the last request sent of each method."""
    last: bytes = b""
    """What it sent last."""
    identity: tuple[str, str, str] | None = None
    """Its dialog: Call-ID, our From or To value with tag, the other one."""
    early: tuple[str, str, str] | None = None
    """The same of an early dialog."""
    rseqs: dict[str, int] = field(default_factory=dict)
    """The last RSeq that it sent, by its tag."""
    rack: str = ""
    """What acknowledges the last reliable response that came."""
    target: str = ""
    cseq: int = 0
    registers: int = 0
    answered: int = 0
    """Status of the last final response to its INVITE."""
    sdp_version: int = 0

    @property
    def gateway(self) -> Address:
        if ":" in self.address.host:
            return OUTSIDE6
        return INSIDE if self.address.host.startswith("10.") else OUTSIDE

    @property
    def local(self) -> str:
        return f'"{self.name.title()}" <sip:{self.name}@{written(self.address).rpartition(":")[0]}>'

    # -- sending -------------------------------------------------------------------------------------------------------

    def send(self, words: list[str], changes: list[str]) -> None:
        if words == ["again"]:
            self.put(self.last)
            return
        first, *rest = words
        body, kind = self._body(rest)
        if first.isdigit():
            lines = self._response(int(first), rest)
        else:
            lines = self._request(first, rest)
        if body:
            lines.append(f"Content-Type: {kind}")
        lines = _changed(lines, changes)
        if not first.isdigit():
            self.sent[first] = lines
        self.put("\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body)

    def put(self, data: bytes) -> None:
        self.last = data
        self.ladder.edge.receive(data, self.address, self.gateway, self.transport, self.connection)

    def _body(self, words: list[str]) -> tuple[bytes, str]:
        for word in words:
            if word == "sdp":
                self.sdp_version += 1
                return sdp(self.address, 4000, self.sdp_version), "application/sdp"
            if word in self.ladder.bodies:
                return self.ladder.bodies[word][1], self.ladder.bodies[word][0]
        return b"", ""

    def _request(self, method: str, words: list[str]) -> list[str]:
        number = self.ladder.number()
        branch = f"z9hG4bK-{self.name}-{number}"
        uri = next((word for word in words if ":" in word), "")
        if method == "REGISTER" and (uri or self.identity is None):
            return self._register(uri or self.uri, branch)
        if method in ("ACK", "CANCEL") and (method == "CANCEL" or self.answered >= 300):
            return self._hop_by_hop(method)
        in_dialog = method not in _ALONE
        if self.early is not None and in_dialog and (self.identity is None or "tag=" not in self.identity[2]):
            return self._in_early_dialog(method, branch, self.early)
        if self.identity is None:
            self.cseq = 1
            uri = uri or self.uri
            call_id = f"{self.name}-call-{number}@{self.address.host}"
            self.identity = call_id, f"{self.local};tag={self.name}-tag-{number}", f"<{uri}>"
        call_id, local, remote = self.identity
        if method == "ACK":
            number = int(_value(self.sent["INVITE"], "CSeq").split()[0])
        else:
            if "tag=" in remote or method in _OPENING:
                self.cseq += 1
            number = self.cseq
        return self._lines(method, uri, branch, (call_id, local, remote), number)

    def _register(self, uri: str, branch: str) -> list[str]:
        """All of one phone have one Call-ID (RFC 3261 section 10.2)."""
        self.registers += 1
        user = f"<sip:1001@{uri.partition(':')[2].rpartition('@')[2]}>"
        dialog = f"{self.name}-registers@{self.address.host}", f"{user};tag={self.registers}", user
        return self._lines("REGISTER", uri, branch, dialog, self.registers)

    def _in_early_dialog(self, method: str, branch: str, dialog: tuple[str, str, str]) -> list[str]:
        self.cseq += 1
        return self._lines(method, "", branch, dialog, self.cseq)

    def _lines(self, method: str, uri: str, branch: str, dialog: tuple[str, str, str], number: int) -> list[str]:
        call_id, local, remote = dialog
        return [
            f"{method} {uri or self.target or self.uri} SIP/2.0",
            f"Via: SIP/2.0/{self.transport} {written(self.address)};branch={branch};rport",
            "Max-Forwards: 70",
            f"From: {local}",
            f"To: {remote}",
            f"Call-ID: {call_id}",
            f"CSeq: {number} {method}",
            f"Contact: <sip:{self.name}@{written(self.address)}{self._transport_parameter()}>",
            "User-Agent: SecretPBX/1.0" if self.gateway == INSIDE else "User-Agent: Phone/1.0",
            *([f"RAck: {self.rack}"] if method == "PRACK" else []),
        ]

    def _transport_parameter(self) -> str:
        return "" if self.transport == "UDP" else ";transport=tcp"

    def _hop_by_hop(self, method: str) -> list[str]:
        """ACK for a failure, or CANCEL, of the last INVITE."""
        kept = [line for line in self.sent["INVITE"] if line.startswith(("Via:", "From:", "Call-ID:", "To:", "Route:"))]
        start, number = self.sent["INVITE"][0].split()[1], _value(self.sent["INVITE"], "CSeq").split()[0]
        return [f"{method} {start} SIP/2.0", *kept, "Max-Forwards: 70", f"CSeq: {number} {method}"]

    def _response(self, status: int, words: list[str]) -> list[str]:
        method = next((word for word in words if word in _METHODS), "INVITE")
        request = self.requests[method]
        tag = next((word[4:] for word in words if word.startswith("tag=")), f"{self.name}-own-tag")
        to = request.headers.get("To") or ""
        if request.to.tag is None:
            to += f";tag={tag}"
        dialog = request.call_id, to, request.headers.get("From") or ""
        if method in _OPENING and request.to.tag is None and 200 <= status < 300 and self.identity is None:
            self.identity = dialog
        if method == "INVITE" and 100 < status < 200:
            self.early = dialog
        return [
            f"SIP/2.0 {status} Whatever SecretPBX says" if self.gateway == INSIDE else f"SIP/2.0 {status} As It Is",
            *(f"Via: {via}" for via in request.headers.get_all("Via")),
            f"From: {request.headers.get('From')}",
            f"To: {to}",
            f"Call-ID: {request.call_id}",
            f"CSeq: {request.cseq}",
            f"Contact: <sip:{self.name}@{written(self.address)}{self._transport_parameter()}>",
            "Server: SecretPBX/2.0" if self.gateway == INSIDE else "Server: Phone/2.0",
            *(self._reliable(tag) if "rel" in words else ()),
        ]

    def _reliable(self, tag: str) -> list[str]:
        self.rseqs[tag] = self.rseqs.get(tag, 500) + 1
        return ["Require: 100rel", f"RSeq: {self.rseqs[tag]}"]

    # -- receiving -----------------------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        message = parse(data, Limits())
        self.inbox.append(message)
        self.heard = message
        if message.content_type == "application/sdp":
            self.described = message.body
        if isinstance(message, Request):
            self.requests[message.method] = message
            contact = message.contact
        else:
            contact = message.contact
            if message.cseq.method == "INVITE" and message.status < 200 and message.to.tag is not None:
                self.early = message.call_id, message.headers.get("From") or "", message.headers.get("To") or ""
                if "RSeq" in message.headers:
                    self.rack = f"{message.headers.get('RSeq')} {message.cseq}"
            if message.cseq.method == "SUBSCRIBE" and message.status < 300 and self.identity is not None:
                self.identity = self.identity[0], self.identity[1], message.headers.get("To") or ""
            if message.cseq.method == "INVITE" and message.status >= 200:
                self.answered = message.status
                if self.identity is not None and message.status < 300:
                    self.identity = self.identity[0], self.identity[1], message.headers.get("To") or ""
                elif "tag=" not in (self.identity or ("", "", ""))[2]:
                    self.identity = None  # the next INVITE is a new call
        if contact is not None and message.cseq.method != "REGISTER":
            self.target = contact.uri_text


class Ladder:
    """The world of one test, and the parties in it by name."""

    def __init__(self, *, seed: int = 1, **edge: Any) -> None:
        self.seed = seed
        """What the SBC's names of things are made from: another process makes others."""
        self.events = Events()
        self.network = Wires(self.events, Random(1), Weather(delay=0.0))
        self.edge = Edge(self.events, self.network, seed, **edge)
        self.parties: dict[str, Party] = {}
        self.bound: dict[str, str] = {}
        self.bodies: dict[str, tuple[str, bytes]] = {
            "text": ("text/plain", b"hello"),
            "rubbish": ("application/sdp", b"v=rubbish\r\n"),
            "closed": ("application/pkcs7-mime", b"nobody knows"),
        }
        self.shown: list[str] = []
        self._number = 0
        self.party("caller", CALLER, f"sip:1001@{OUTSIDE.host}")
        self.party("callee", PBX, f"sip:2002@{INSIDE.host}")
        self.party("other", PBX2, f"sip:2002@{INSIDE.host}")
        self.wait(0.0)

    def party(
        self, name: str, address: Address, uri: str, transport: str = "UDP", connection: int | None = None
    ) -> Party:
        """A party, in place of another one of the same name."""
        party = self.parties[name] = Party(name, address, self, uri, transport, connection)
        if transport == "UDP":
            self.network.hosts[address] = lambda data, source: party.receive(data)
        else:
            self.edge.streams[address] = lambda data, hop: party.receive(data)
        return party

    def __getitem__(self, name: str) -> str:
        return self.bound[name]

    def number(self) -> int:
        self._number += 1
        return self._number

    def wait(self, seconds: float) -> None:
        """Let time pass, and everything happen that is due until then."""
        until = self.events.now + seconds
        while self.events.step(until):
            pass
        self.events.now = until

    # -- playing -------------------------------------------------------------------------------------------------------

    def play(self, *texts: str) -> None:
        self.wait(0.0)
        for line in filter(
            None, (line.partition("  #")[0].strip() for line in _CONTINUED.sub(" | ", "\n".join(texts)).splitlines())
        ):
            if time := _TIME.fullmatch(line):
                self.wait(float(time[1]))
                self.shown.append(line)
                continue
            match = _LINE.fullmatch(line)
            assert match is not None, f"not a line of a ladder: {line}"
            party, direction = self.parties[match[1]], match[2]
            words, *changes = (part.strip() for part in match[3].split(" | "))
            if direction == "->":
                self.shown.append(line)
                party.send(self._filled(words).split(), [self._filled(change) for change in changes])
                self.wait(0.0)
            else:
                self._expect(party, words.split(), changes, line)
        self.wait(0.0)
        left = {party.name: [_brief(message) for message in party.inbox] for party in self.parties.values()}
        assert not any(left.values()), self._told(f"these came besides: {left}")

    def _filled(self, text: str) -> str:
        return re.sub(r"\$(\w+)", lambda name: self.bound.get(name[1], name[0]), text)

    def _expect(self, party: Party, words: list[str], changes: list[str], line: str) -> None:
        assert party.inbox, self._told(f"{line}: nothing came")
        message = party.inbox.popleft()
        if isinstance(message, Request):
            party.requests[message.method] = message  # the one that is answered next, though others may have come
        self.shown.append(f"{party.name} <- {_brief(message)}")
        fault = self._differs(message, words, changes)
        octets = message.raw.decode("utf-8", "replace")
        assert fault is None, self._told(f"{line}: {fault} in\n{octets}")

    def _differs(self, message: Message, words: list[str], changes: list[str]) -> str | None:
        first, *rest = words
        method = next((word for word in rest if word in _METHODS), "INVITE")
        if isinstance(message, Request):
            if message.method != first:
                return f"not {first}"
            uri = next((word for word in rest if ":" in word), None)
            if uri is not None and not self._matches(uri, message.uri):
                return f"Request-URI is not {uri}"
        elif (str(message.status), message.cseq.method) != (first, method):
            return f"not {first} to {method}"
        elif ("rel" in rest) != ("RSeq" in message.headers and "100rel" in message.headers.values("Require")):
            return "not reliable" if "rel" in rest else "reliable"
        body = next((word for word in rest if word in ("sdp", "body") or word in self.bodies), "")
        if body == "body" and not message.body:  # whatever it is: see `Party.heard`
            return "no body"
        if body == "sdp" and not message.body.startswith(b"v=0\r\no=- "):
            return "no session description of ours"
        if body not in ("sdp", "body") and message.body != (self.bodies[body][1] if body else b""):
            return f"body is not {body or 'empty'}"
        return next(filter(None, (self._header_differs(message, change) for change in changes)), None)

    def _header_differs(self, message: Message, change: str) -> str | None:
        name, _, pattern = change.partition(": ")
        values = message.headers.get_all(name.lstrip("-+"))
        if change.startswith("-"):
            return f"there is {name[1:]}" if values else None
        if not any(self._matches(pattern, value) for value in values):
            return f"no {change}, but {values}"
        return None

    def _matches(self, pattern: str, text: str) -> bool:
        expression, names = "", []
        for part in re.split(r"(\*|\$\w+)", pattern):
            if part == "*":
                expression += ".*"
            elif part.startswith("$") and part[1:] in self.bound:
                expression += re.escape(self.bound[part[1:]])
            elif part.startswith("$") and len(part) > 1:
                names.append(part[1:])
                expression += "(.+?)"
            else:
                expression += re.escape(part)
        match = re.fullmatch(expression, text)
        if match is not None:
            self.bound.update(zip(names, match.groups(), strict=True))
        return match is not None

    def _told(self, fault: str) -> str:
        return "\n".join([*self.shown, fault])

    # -- afterwards ----------------------------------------------------------------------------------------------------

    @property
    def record(self) -> CallRecord:
        """The record of the last call that ended."""
        return next(c.record for c in reversed(self.edge.commands) if isinstance(c, CallEnded))

    @property
    def trail(self) -> list[str]:
        return self.edge.trail()

    def end(self) -> list[str]:
        """Hang everything up, let all clocks run out, and tell what is left that should not be, and what leaked."""
        edge = self.edge
        edge.run(edge.b2bua.hang_up_all(self.events.now))
        self.wait(300.0)
        faults = [f"{name} left: {size}" for name, size in edge.left_over().items()]
        if edge.hidden:
            faults += [f"leaked: {token}" for token in leaks(self.network.sent, (OUTSIDE, OUTSIDE6), INSIDE)]
        return faults


def _changed(lines: list[str], changes: list[str]) -> list[str]:
    for change in changes:
        name, _, _ = change.lstrip("+-").partition(":")
        same = [n for n, line in enumerate(lines) if n and line.partition(":")[0].lower() == name.lower()]
        if change.startswith("+"):
            lines.append(change[1:])
        elif change.startswith("-"):
            lines = [line for n, line in enumerate(lines) if n not in same]
        elif same:
            lines[same[0]] = change
        else:
            lines.append(change)
    return lines


def _value(lines: list[str], name: str) -> str:
    return next(line.partition(": ")[2] for line in lines if line.startswith(f"{name}:"))


def _brief(message: Message) -> str:
    body = " sdp" if message.content_type == "application/sdp" else " body" if message.body else ""
    if isinstance(message, Request):
        return f"{message.method}{body}"
    return f"{message.status} {message.cseq.method}{body}"
