"""Scenarios for SIPp, written as one party sees them; the XML is made from that.

    -> INVITE sdp | Supported: 100rel
    <- 100 maybe
    <- 183 sdp | Require: 100rel | RSeq: (\\d+) as rseq
    -> PRACK | RAck: [$rseq] 1 INVITE
    <- 200 PRACK
    2 s

`->` is sent, `<-` must come (`maybe`: may come). What comes is a status, with the method that it answers unless that is
INVITE, or a method. `sdp` is a session description, `sendonly` and the like its direction (`sdp@10.0.0.9`: one that
names this address; in what comes `sdp at@10.0.0.9`), `mute` one without telephone-events, `frag200` a sipfrag,
`digit=5` the body of an INFO (`application/dtmf-relay`). Behind `|` stand header fields: of what is sent as they are;
of what comes patterns that must be found in their value (`as name` keeps the first group, for `[$name]`), or `-Name`
for one that must not be there. `auth` answers the challenge that came. Messages name their sender all over, so that a
leak shows.

    press 5                 a telephone-event is sent (RFC 4733)
    speaks 0.4 s            RTP is sent for so long
    ! name text             tells others that this point is reached (`dialog` as text: the dialog, as URI?Replaces=...)
    ? name                  waits until somebody has told, then [$name] is the text, and [$name_refer]
    or: pattern             what follows is done in place of the above in another call, whose INVITE has this in it

All but `press` need somebody who conducts the parties: `tests.support.flows`, which fills in `%signals%`, `%party%`
and `%audio%`.
"""

from __future__ import annotations

import re
from xml.sax.saxutils import quoteattr

from sbc.sip import REASONS

_METHODS = ("INVITE", "ACK", "BYE", "CANCEL", "PRACK", "UPDATE", "INFO", "REFER", "NOTIFY", "OPTIONS", "MESSAGE")
_DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")
_LINE = re.compile(r"(->|<-) (\S+)((?: [^|\s]+)*)((?: \| [^|]+)*)")
_SDP = """
v=0
o=telltale-[pid] 80[pid] {version} IN IP[media_ip_type] [media_ip]
s=session-of-[pid]
e=owner@mail-[pid].home.example
c=IN IP[media_ip_type] {place}
t=0 0
m=audio [{port}] RTP/AVP 0 101
a=rtpmap:0 PCMU/8000
a=rtpmap:101 telephone-event/8000
a={direction}
"""
_EVENTS = "/usr/share/sip-tester/dtmf_2833_%s.pcap"
"""SIPp's own recordings of telephone-events, of payload number 101."""
_SPEAKS = (
    '<nop><action><exec rtp_stream="%audio%,-1,0,PCMU/8000"/></action></nop>\n'
    '<pause milliseconds="{milliseconds}"/>\n'
    '<nop><action><exec rtp_stream="pause"/></action></nop>'
)
_TELL = (
    """<nop><action><exec command="cd %signals%; echo '{text}' > {name}.new; mv {name}.new {name}"/></action></nop>"""
)
_ALLOW = "INVITE, ACK, BYE, CANCEL, OPTIONS, PRACK, UPDATE, INFO, REFER, NOTIFY"


def caller(text: str) -> str:
    """The scenario of who calls `[dialled]`."""
    return _scenario("Caller", text)


def callee(text: str) -> str:
    """The scenario of who is called."""
    return _scenario("Callee", text)


def ways(text: str) -> int:
    """In how many calls a party does what its script says: one for each `or:`, and one."""
    return len(_OR.split(text)) // 2 + 1


_OR = re.compile(r"^\s*or: (.*)$", re.MULTILINE)


def _scenario(name: str, text: str) -> str:
    first, *others = _OR.split(text)
    scripts = [_Script(name, section, text) for section in (first, *others[1::2])]
    steps = scripts[0].steps
    for number, (pattern, script) in enumerate(zip(others[::2], scripts[1:], strict=True), 1):
        choice = f'<ereg regexp={_attribute(pattern)} search_in="msg" assign_to="or{number}"/>'
        steps[0] = steps[0].replace("</action>", choice + "</action>")
        steps.insert(1, f'<nop next="or{number}" test="or{number}"/>')  # the last one is asked first
        steps += ['<nop next="over"/>', f'<label id="or{number}"/>', *script.steps[1:]]
    body = "\n".join([*steps, '<label id="over"/>'] if others else steps)
    variables = dict.fromkeys(each for names in re.findall(r'assign_to="([^"]+)"', body) for each in names.split(","))
    names = f'<Reference variables="{",".join(variables)}"/>' if variables else ""
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<scenario name="{name}">\n{body}\n{names}\n</scenario>\n'


def _attribute(text: str) -> str:
    return quoteattr(text, {'"': "&quot;"})


class _Script:
    """The steps of one call of a party."""

    def __init__(self, name: str, text: str, whole: str) -> None:
        self._name, self._calls = name, name == "Caller"
        self.steps: list[str] = []
        self._port = "rtpstream_audio_port" if "speaks " in whole else "media_port"
        self._keeps_tag = " dialog" in whole
        self._cseq = 0
        self._invite = 0
        """CSeq number of the last INVITE sent."""
        self._established = False
        self._final = 0
        """Last final status that came for an INVITE of ours."""
        self._version = 0
        self._begun = False
        self._late = False
        """It takes part in a dialog whose beginning it has not seen."""
        for line in filter(None, map(str.strip, text.splitlines())):
            self._line(line)

    def _line(self, line: str) -> None:
        if timed := re.fullmatch(r"(speaks )?([\d.]+) s", line):
            milliseconds = f"{float(timed[2]) * 1000:.0f}"
            pause = f'<pause milliseconds="{milliseconds}"/>'
            self.steps.append(_SPEAKS.format(milliseconds=milliseconds) if timed[1] else pause)
        elif press := re.fullmatch(r"press (\w+)", line):
            self.steps.append(f'<nop><action><exec play_pcap_audio="{_EVENTS % press[1]}"/></action></nop>')
        elif told := re.fullmatch(r"! (\w+) ?(.*)", line):
            self.steps.append(_TELL.format(name=told[1], text=self._dialog() if told[2] == "dialog" else told[2]))
        elif awaited := re.fullmatch(r"\? (\w+)", line):
            self._await(awaited[1])
        else:
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

    # -- what others are told and tell ---------------------------------------------------------------------------------

    def _dialog(self) -> str:
        own = f"[pid]{self._name.lower()}[call_number]"
        return f"[next_url]?Replaces=[call_id];to-tag=[$their_tag];from-tag={own}"

    def _await(self, name: str) -> None:
        self.steps.append(_TELL.format(name=f"%party%.awaits.{name}", text="[call_id]"))
        kept = [
            self._kept(variable, f'search_in="hdr" header="{header}:"', "[^ ].*")
            for variable, header in ((name, "Text"), (f"{name}_refer", "Refer"))
        ]
        self.steps.append(f'<recv request="CUE"><action>{"".join(kept)}</action></recv>')

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
        for word in words:
            if word.startswith("at@"):
                actions.append(self._kept("place", 'search_in="body"', f"c=IN IP4 {word[3:]}", check=True))
            if word in _DIRECTIONS:
                actions.append(self._kept("direction", 'search_in="body"', f"a={word}", check=True))
        what = f'response="{first}"' if first.isdigit() else f'request="{first}"'
        if first.isdigit() and method != "INVITE":
            what += f' response_txn="{method.lower()}"'
        if first.isdigit() and method == "INVITE" and first[0] in "2345678" and int(first) >= 200:
            self._final = int(first)
            self._established = self._established or self._final < 300
        if first in ("401", "407"):
            what += ' auth="true"'
        if self._keeps_tag and method == "INVITE" and (first == "INVITE") != self._calls and first != "100":
            header = "To" if self._calls else "From"
            actions.append(self._their_tag(header))
        if not first.isdigit():
            self._late = self._late or (first != "INVITE" and not self._begun)
            if first == "INVITE" and not self._begun and not self._calls:
                self._begun = True
                actions.append(self._kept("theirs", 'search_in="hdr" header="From:"', "[^ ].*"))
                actions.append(self._kept("mine", 'search_in="hdr" header="To:"', "[^ ].*"))
            actions.append(self._kept(f"via{first}", 'search_in="hdr" header="Via:"', "[^ ].*"))
            actions.append(self._kept(f"cseq{first}", 'search_in="hdr" header="CSeq:"', "[^ ].*"))
        maybe = ' optional="true"' if "maybe" in words else ""
        routes = "" if first == "100" else ' rrs="true"'
        self.steps.append(f"<recv {what}{maybe}{routes}><action>{''.join(actions)}</action></recv>")

    def _found(self, header: str) -> str:
        if header.startswith("-"):
            return self._kept("absent", 'search_in="msg"', f"\\n{header[1:]}:", inverse=True)
        name, _, pattern = header.partition(": ")
        pattern, _, kept = pattern.partition(" as ")
        if kept:
            return (
                f'<ereg regexp={_attribute(pattern)} search_in="hdr" header="{name}:" check_it="true" '
                f'assign_to="whole,{kept}"/>'
            )
        return self._kept("found", f'search_in="hdr" header="{name}:"', pattern, check=True)

    def _kept(self, name: str, where: str, pattern: str, check: bool = False, inverse: bool = False) -> str:
        how = ' check_it="true"' if check else ' check_it_inverse="true"' if inverse else ""
        return f'<ereg regexp={_attribute(pattern)} {where}{how} assign_to="{name}"/>'

    def _their_tag(self, header: str) -> str:
        return f'<ereg regexp="tag=([^;]*)" search_in="hdr" header="{header}:" assign_to="tag,their_tag"/>'

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
        first = method == "INVITE" and not self._established and (self._calls or not self._begun)
        hop_by_hop = method == "CANCEL" or (method == "ACK" and self._final >= 300)
        self._begun = True
        via = "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]"
        if method == "ACK" and hop_by_hop:
            via = "[last_Via:]"
        elif method == "CANCEL" or first:
            via = via.replace("[branch]", self._branch())
        uri = "[dialled]" if first or (hop_by_hop and not self._established) else "[next_url]"
        lines = [
            f"{method} {uri} SIP/2.0",
            via,
            *self._identities(request=True, first=first or method == "CANCEL"),
            f"CSeq: {number} {method}",
            "Max-Forwards: 70",
        ]
        how = "" if method == "ACK" else ' retrans="500"'
        if method not in ("INVITE", "ACK"):
            how += f' start_txn="{method.lower()}"'
        self._send(lines, words, headers, how)

    def _branch(self) -> str:
        return f"z9hG4bK-[pid]-[call_number]-{self._invite}"

    def _identities(self, *, request: bool, first: bool = False) -> list[str]:
        if self._late:
            return ["[last_From:]", "[last_To:]", "[last_Call-ID:]"]
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
        if "auth" in words:
            lines.append("[authentication username=alice password=secret]")
        kind, body = self._body(words)
        if kind:
            lines.append(f"Content-Type: {kind}")
        text = "\n".join([*lines, "Content-Length: [len]"])
        self.steps.append(f"<send{how}><![CDATA[\n{text}\n{body}\n]]></send>")

    def _body(self, words: list[str]) -> tuple[str, str]:
        """Content type and body; two empty texts where no word asks for one."""
        for word in words:
            kind, _, place = word.partition("@")
            if kind in ("sdp", "mute"):
                self._version += 1
                direction = next((each for each in words if each in _DIRECTIONS), "sendrecv")
                where = {"place": place or "[media_ip]", "port": self._port, "direction": direction}
                body = _SDP.format(version=self._version, **where)
                if kind == "mute":
                    body = body.replace(" 0 101\n", " 0\n").replace("a=rtpmap:101 telephone-event/8000\n", "")
                return "application/sdp", body
            if word.startswith("frag"):
                return "message/sipfrag;version=2.0", f"\nSIP/2.0 {word[4:]} {REASONS[int(word[4:])]}\n"
            if word.startswith("digit="):
                return "application/dtmf-relay", f"\nSignal={word[6:]}\nDuration=200\n"
        return "", ""
