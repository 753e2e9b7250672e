"""`sbc explain`: one call on one screen, from the facts of its record. The text is made by pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sbc.admin.figures import called, clock, result, spoken, stream_line, user
from sbc.admin.ladder import CALLEE, CALLER, NO_COLOURS, SBC, Arrow, Note, Style, ladder

Facts = Mapping[str, Any]
_REFUSING = ("reject", "drop", "ban", "refus", "cut", "dropped", "end", "fail")


def explanation(
    call: Facts,
    *,
    now: float,
    width: int = 100,
    style: Style = NO_COLOURS,
    plain: bool = False,
) -> list[str]:
    """Header, ladder and media figures of `call` (as the record of calls gives it)."""
    names = (_side_name(call["a"], "caller"), "SBC", _side_name(call["b"], "callee"))
    facts = sorted([*call["messages"], *call["decisions"]], key=lambda fact: (fact["at"], fact["order"]))
    steps = [_arrow(call, fact) if "text" in fact else _note(fact) for fact in facts]
    lines = [*_header(call, now, style), ""]
    lines += ladder(names, steps, began=call["started"], width=width, style=style, plain=plain)
    if call["streams"]:
        lines += ["", *_media(call)]
    return lines


def message_lines(call: Facts) -> list[str]:
    """Every message in full, secrets masked as they are in the record."""
    lines = []
    for message in call["messages"]:
        arrow = "->" if message["sent"] else "<-"
        lines.append(
            f"---- {message['at'] - call['started']:+.3f}  {message['zone']}  {message['local']} {arrow} "
            f"{message['remote']}  {message['transport']}"
        )
        lines += printable(message["text"]).replace("\r\n", "\n").rstrip("\n").split("\n")
        lines.append("")
    return lines


def printable(text: str) -> str:
    """`text` without anything that a terminal would obey: what the record holds was written by strangers."""
    return "".join(c if c.isprintable() or c in "\r\n\t" else "�" for c in text)


def _header(call: Facts, now: float, style: Style) -> list[str]:
    a, b = call["a"] or {}, call["b"] or {}
    caller = printable(user(a.get("from_uri", "")) or "?")
    callee = printable(called(a) or "?")
    bad = call["ended"] is not None and call["answered"] is None
    mark = style.bad if bad else style.good
    lines = [
        f"Call {call['id']}   {caller} -> {callee}   {clock(call['started'])}",
        f"{mark}{printable(result(call))}{style.end if mark else ''}   answered for {spoken(call, now)}",
        f"from {_where(a)}   to {_where(b) if b else 'nobody: no target was tried'}"
        + (f"   ({call['attempts']} targets tried)" if (call["attempts"] or 0) > 1 else ""),
    ]
    return lines


def _where(leg: Facts) -> str:
    name = f"{leg['peer']}, " if leg.get("peer") else ""
    agent = f", {printable(leg['user_agent'])[:40]}" if leg.get("user_agent") else ""
    return f"{leg.get('zone', '?')} ({name}{leg.get('remote', '?')}{agent})"


def _side_name(leg: Facts | None, default: str) -> str:
    if not leg:
        return default
    address = str(leg["remote"]).partition("/")[0]
    return printable(f"{leg['peer']} {address}".strip()) or default


def _arrow(call: Facts, message: Facts) -> Arrow:
    text: str = message["text"]
    head = text.partition("\r\n\r\n")[0]
    side = _side(call, message, head)
    label = _label(text, head)
    leg = call["a"] if side == CALLER else call["b"]
    if leg and leg["remote"] and message["remote"] != str(leg["remote"]).partition("/")[0]:
        label += f" [{message['remote']}]"
    start, end = (SBC, side) if message["sent"] else (side, SBC)
    return Arrow(message["at"], start, end, printable(label), text.encode("utf-8", "replace"))


def _side(call: Facts, message: Facts, head: str) -> int:
    """The lifeline of the other element: by Call-ID, which is a leg's own; by the zone where there is none."""
    a = call["a"] or {}
    call_id = _header_value(head, "call-id", "i")
    if call_id and a.get("call_id"):
        return CALLER if call_id == a["call_id"] else CALLEE
    return CALLER if message["zone"] == a.get("zone") else CALLEE


def _label(text: str, head: str) -> str:
    """The first line, shortened: "INVITE (SDP) sip:100@host", "180 Ringing"; with the method of a response's
    CSeq where it is not INVITE."""
    first = head.partition("\r\n")[0]
    body = " (SDP)" if "\r\n\r\n" in text and "\nm=" in text else ""
    if first.startswith("SIP/2.0 "):
        method = _header_value(head, "cseq", "cseq").rpartition(" ")[2]
        return first[8:].strip() + ("" if method in ("INVITE", "") else f" ({method})") + body
    method, _, rest = first.partition(" ")
    return f"{method}{body}" + (f" {rest.rpartition(' ')[0]}" if method == "INVITE" else "")


def _header_value(head: str, name: str, compact: str) -> str:
    for line in head.split("\r\n")[1:]:
        key, colon, value = line.partition(":")
        if colon and key.strip().lower() in (name, compact):
            return value.strip()
    return ""


def _note(fact: Facts) -> Note:
    verdict = str(fact["verdict"])
    where = fact["hook"] + (f"/{fact['policy']}" if fact["policy"] and fact["policy"] != fact["hook"] else "")
    text = f"{where}: {verdict}" + (f": {fact['reason']}" if fact["reason"] else "")
    return Note(fact["at"], printable(text), verdict.lower().startswith(_REFUSING))


def _media(call: Facts) -> list[str]:
    lines = []
    for index, stream in enumerate(call["streams"]):
        name = printable(f"{stream['kind']} {stream['codec']}".strip())
        lines.append(f"media {index}: {name}   from caller: {stream_line(stream['a'])}")
        lines.append(f"{' ' * len(f'media {index}: {name}')}   from callee: {stream_line(stream['b'])}")
    return lines
