"""Scenarios for SIPp, written as one party sees them; the XML is made from that.

    -> INVITE sdp | Supported: 100rel
    <- 100 maybe
    <- 183 sdp | Require: 100rel | RSeq: (\\d+) as rseq
    -> PRACK | RAck: [$rseq] 1 INVITE
    <- 200 PRACK
    2 s

`->` is sent, `<-` must come (`maybe`: may come). What comes is a status, with the method that it answers unless that is
INVITE, or a method. `sdp` is a session description, `mute` one without telephone-events, `digit=5` the body of an INFO
(`application/dtmf-relay`). Behind `|` stand header fields: of what is sent as they are; of what comes patterns that
must be found in their value (`as name` keeps the first group, for `[$name]`), or `-Name` for one that must not be
there. Messages name their sender all over, so that a leak shows. `press 5` on a line of its own sends a telephone-event
(RFC 4733).
"""

from __future__ import annotations

import re
from xml.sax.saxutils import escape

from sbc.sip import REASONS

_METHODS = ("INVITE", "ACK", "BYE", "CANCEL", "PRACK", "UPDATE", "INFO", "REFER", "NOTIFY", "OPTIONS")
_LINE = re.compile(r"(->|<-) (\S+)((?: [^|\s]+)*)((?: \| [^|]+)*)")
_SDP = """
v=0
o=telltale-[pid] 80[pid] {version} IN IP[media_ip_type] [media_ip]
s=session-of-[pid]
e=owner@mail-[pid].home.example
c=IN IP[media_ip_type] [media_ip]
t=0 0
m=audio [media_port] RTP/AVP 0 101
a=rtpmap:0 PCMU/8000
a=rtpmap:101 telephone-event/8000
a=sendrecv
"""
_EVENTS = "/usr/share/sip-tester/dtmf_2833_%s.pcap"
"""SIPp's own recordings of telephone-events, of payload number 101."""
_ALLOW = "INVITE, ACK, BYE, CANCEL, OPTIONS, PRACK, UPDATE, INFO, REFER, NOTIFY"


def caller(text: str) -> str:
    """The scenario of who calls `[dialled]`."""
    return _Script("Caller", text).xml()


def callee(text: str) -> str:
    """The scenario of who is called."""
    return _Script("Callee", text).xml()


class _Script:
    def __init__(self, name: str, text: str) -> None:
        self._name, self._calls = name, name == "Caller"
        self._text = text
        self._steps: list[str] = []
        self._variables: list[str] = []
        self._cseq = 0
        self._invite = 0
        """CSeq number of the last INVITE sent."""
        self._established = False
        self._final = 0
        """Last final status that came for an INVITE of ours."""
        self._version = 0
        self._begun = False

    def xml(self) -> str:
        for line in filter(None, map(str.strip, self._text.splitlines())):
            if pause := re.fullmatch(r"([\d.]+) s", line):
                self._steps.append(f'<pause milliseconds="{float(pause[1]) * 1000:.0f}"/>')
                continue
            if press := re.fullmatch(r"press (\w+)", line):
                self._steps.append(f'<nop><action><exec play_pcap_audio="{_EVENTS % press[1]}"/></action></nop>')
                continue
            match = _LINE.fullmatch(line)
            assert match is not None, f"no line of a script: {line}"
            direction, first, rest, changes = match.groups()
            words, headers = rest.split(), [part.strip() for part in changes.split(" | ") if part.strip()]
            if direction == "<-":
                self._receive(first, words, headers)
            elif first.isdigit():
                self._respond(int(first), words, headers)
            else:
                self._request(first, words, headers)
        names = f'<Reference variables="{",".join(dict.fromkeys(self._variables))}"/>' if self._variables else ""
        steps = "\n".join(self._steps)
        return (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<scenario name="{self._name}">\n{steps}\n{names}\n</scenario>\n'
        )

    # -- what comes ----------------------------------------------------------------------------------------------------

    def _receive(self, first: str, words: list[str], headers: list[str]) -> None:
        method = next((word for word in words if word in _METHODS), "INVITE")
        actions = [self._found(header) for header in headers]
        for word in words:
            if word.startswith("digit="):
                pattern = f"Signal={re.escape(word[6:])}.*Duration=[0-9]+"
                actions.append(self._kept("body", 'search_in="body"', pattern, check=True))
        if "sdp" in words:
            actions.append(self._kept("body", 'search_in="body"', "m=audio", check=True))
        what = f'response="{first}"' if first.isdigit() else f'request="{first}"'
        if first.isdigit() and method != "INVITE":
            what += f' response_txn="{method.lower()}"'
        if first.isdigit() and method == "INVITE" and first[0] in "2345678" and int(first) >= 200:
            self._final = int(first)
            self._established = self._established or self._final < 300
        if not first.isdigit():
            if first == "INVITE" and not self._begun and not self._calls:
                self._begun = True
                actions.append(self._kept("theirs", 'search_in="hdr" header="From:"', "[^ ].*"))
                actions.append(self._kept("mine", 'search_in="hdr" header="To:"', "[^ ].*"))
            actions.append(self._kept(f"via{first}", 'search_in="hdr" header="Via:"', "[^ ].*"))
            actions.append(self._kept(f"cseq{first}", 'search_in="hdr" header="CSeq:"', "[^ ].*"))
        maybe = ' optional="true"' if "maybe" in words else ""
        routes = "" if first == "100" else ' rrs="true"'
        self._steps.append(f"<recv {what}{maybe}{routes}><action>{''.join(actions)}</action></recv>")

    def _found(self, header: str) -> str:
        if header.startswith("-"):
            return self._kept("absent", 'search_in="msg"', f"\\n{header[1:]}:", inverse=True)
        name, _, pattern = header.partition(": ")
        pattern, _, kept = pattern.partition(" as ")
        if kept:
            self._variables += ["whole", kept]
            return (
                f'<ereg regexp="{escape(pattern)}" search_in="hdr" header="{name}:" check_it="true" '
                f'assign_to="whole,{kept}"/>'
            )
        return self._kept("found", f'search_in="hdr" header="{name}:"', pattern, check=True)

    def _kept(self, name: str, where: str, pattern: str, check: bool = False, inverse: bool = False) -> str:
        self._variables.append(name)
        how = ' check_it="true"' if check else ' check_it_inverse="true"' if inverse else ""
        return f'<ereg regexp="{escape(pattern)}" {where}{how} assign_to="{name}"/>'

    # -- what is sent --------------------------------------------------------------------------------------------------

    def _respond(self, status: int, words: list[str], headers: list[str]) -> None:
        method = next((word for word in words if word in _METHODS), "INVITE")
        lines = [
            f"SIP/2.0 {status} {REASONS.get(status, 'Whatever')}",
            f"Via: [$via{method}]",
            *self._identities(request=False),
            f"CSeq: [$cseq{method}]",
        ]
        repeats = method == "INVITE" and (status >= 200 or any(header.startswith("RSeq") for header in headers))
        self._send(lines, words, headers, ' retrans="500"' if repeats else "")

    def _request(self, method: str, words: list[str], headers: list[str]) -> None:
        if method not in ("ACK", "CANCEL"):
            self._cseq += 1
        if method == "INVITE":
            self._invite = self._cseq
        number = self._invite if method in ("ACK", "CANCEL") else self._cseq
        first = method == "INVITE" and not self._begun
        hop_by_hop = method == "CANCEL" or (method == "ACK" and self._final >= 300)
        self._begun = True
        via = "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]"
        if method == "ACK" and hop_by_hop:
            via = "[last_Via:]"
        elif method == "CANCEL":
            via = via.replace("[branch]", "[$branch]")
        elif first:
            via = via.replace("[branch]", "z9hG4bK-[pid]-[call_number]-first")
        uri = "[dialled]" if first or (hop_by_hop and not self._established) else "[next_url]"
        lines = [
            f"{method} {uri} SIP/2.0",
            via.replace("[$branch]", "z9hG4bK-[pid]-[call_number]-first"),
            *self._identities(request=True, first=first or method == "CANCEL"),
            f"CSeq: {number} {method}",
            "Max-Forwards: 70",
        ]
        how = "" if method == "ACK" else ' retrans="500"'
        if method not in ("INVITE", "ACK"):
            how += f' start_txn="{method.lower()}"'
        self._send(lines, words, headers, how)

    def _identities(self, *, request: bool, first: bool = False) -> list[str]:
        if self._calls:
            own = '"Caller" <sip:caller@[local_ip]:[local_port]>;tag=[pid]caller[call_number]'
            other = "<[dialled]>" + ("" if first else "[peer_tag_param]")
        else:
            own, other = "[$mine];tag=[pid]callee[call_number]", "[$theirs]"
        return [
            f"From: {own if request else other}",
            f"To: {other if request else own}",
            "Call-ID: [call_id]",
        ]

    def _send(self, lines: list[str], words: list[str], headers: list[str], how: str) -> None:
        role = self._name.lower()
        lines += [
            f"Contact: <sip:{role}@[local_ip]:[local_port];transport=[transport]>",
            f"{'User-Agent' if lines[0].endswith('SIP/2.0') else 'Server'}: Telltale {self._name} [pid] at [local_ip]",
            "Organization: Owner [pid] of [local_ip]",
        ]
        named = {header.partition(":")[0].lower() for header in headers}
        if "allow" not in named:
            lines.append(f"Allow: {_ALLOW}")
        lines = [line for line in lines if line.partition(":")[0].lower() not in named] + headers
        body = ""
        if "sdp" in words or "mute" in words:
            self._version += 1
            lines.append("Content-Type: application/sdp")
            body = _SDP.format(version=self._version)
            if "mute" in words:
                body = body.replace(" 0 101\n", " 0\n").replace("a=rtpmap:101 telephone-event/8000\n", "")
        for word in words:
            if word.startswith("digit="):
                lines.append("Content-Type: application/dtmf-relay")
                body = f"\nSignal={word[6:]}\nDuration=200\n"
        text = "\n".join([*lines, "Content-Length: [len]"])
        self._steps.append(f"<send{how}><![CDATA[\n{text}\n{body}\n]]></send>")
