"""`sbc demo`: one real call through the running service, and what came of it.

A phone on the public side calls the built-in answering peer on the private side; both play a tone and measure what
they hear. Everything that the phone receives is kept and searched for what only the private side says.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError

from sbc.admin.answering import FILE, TONE
from sbc.admin.audio_line import Heard
from sbc.admin.commands import terminal
from sbc.admin.explain import explanation
from sbc.admin.phone import Phone, PhoneSettings
from sbc.admin.privacy import Finding, Token, leaks, private_tokens
from sbc.sip import Address

reactor: Any = installed_reactor
OUR_TONE = 440.0
_PORT = 5060
_POLL = 0.25
_RECORD_WAIT = 10.0
_ANSWER_WAIT = 15.0


class DemoError(Exception):
    """The demo cannot go on; the text says why and what to do."""


class Evidence(NamedTuple):
    """All that the demo saw of its call."""

    call: dict[str, Any]
    """Facts of the record."""
    here: Heard
    """What our phone, on the public side, heard."""
    there: Heard | None
    """What the answering peer heard; None if it did not tell."""
    tokens: list[Token]
    findings: list[Finding]
    datagrams: int
    """How many were searched."""


def demo(args: argparse.Namespace) -> int:
    """Run it; 0 only if everything held, 1 if something did not, 2 if there was no call to look at."""
    outcome: list[Evidence | str] = []

    async def run() -> None:
        try:
            outcome.append(await _call_and_look(args))
        except DemoError as error:
            outcome.append(str(error))
        except (OSError, CannotListenError) as error:
            outcome.append(f"no socket for the phone: {error}")

    def begin() -> None:
        Deferred.fromCoroutine(run()).addErrback(_unexpected, outcome).addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(begin)
    reactor.run()
    if not outcome or isinstance(outcome[0], str):
        print(f"sbc demo: {outcome[0] if outcome else 'interrupted'}", file=sys.stderr)
        return 2
    evidence = outcome[0]
    style, width, plain = terminal(args.no_color)
    for line in explanation(evidence.call, now=time.time(), width=width, style=style, plain=plain):
        print(line)
    faults = verdict(evidence, args.seconds, args.user)
    for line in report(evidence, faults):
        print(line)
    return 1 if faults else 0


def _unexpected(failure: Any, outcome: list[Evidence | str]) -> None:
    outcome.append(f"unexpected: {failure.getTraceback()}")


async def _call_and_look(args: argparse.Namespace) -> Evidence:
    received: list[bytes] = []
    sent: list[bytes] = []
    directory = Path(args.database).parent
    target, phone = await _service(args, directory, received, sent)
    received.clear()
    sent.clear()
    try:
        call = phone.call(args.user, target, OUR_TONE)
        await _within(_ANSWER_WAIT, phone.when(call, "answered"))
        if call.state != "answered":
            phone.hang_up(call)
            raise DemoError(
                f"the call to {args.user} at {_text(target)} was not answered: {call.ended_by or 'nothing came'}"
            )
        await _sleep(args.seconds)
        phone.hang_up(call)
        await _within(5.0, phone.when(call, "ended"))
        facts = await _recorded(args, call.call_id)
        there, names = await _heard_there(directory, facts)
        await _sleep(0.2)  # what may still come
    finally:
        await phone.stop()
    private = [message for message in facts["messages"] if message["zone"] != facts["a"]["zone"]]
    tokens = private_tokens(private, names, sent)
    return Evidence(facts, call.line.heard(), there, tokens, leaks(tokens, received), len(received))


async def _service(
    args: argparse.Namespace, directory: Path, received: list[bytes], sent: list[bytes]
) -> tuple[Address, Phone]:
    """Where the service answers, and a phone that can reach it."""
    deadline = time.monotonic() + max(args.wait, 2.0)
    while True:
        target = _target(args.target, directory)
        settings = PhoneSettings(
            host=_own_address(target), user="demo-phone", user_agent="sbc-demo-phone", cname="demo@phone.invalid"
        )
        phone = Phone(reactor, settings, tap=received.append, sent=sent.append)
        phone.start()
        answer = phone.options(target)
        status = await _within(min(2.0, max(0.5, deadline - time.monotonic())), answer)
        if status is not None and status < 300:
            return target, phone
        await phone.stop()
        if time.monotonic() >= deadline:
            found = f"answers {status}" if status and status not in (408, 503) else "answers"
            raise DemoError(
                f"no service {found} at udp {_text(target)}. Start it first: `make run`, or `twistd -n sbc`; "
                "another address: --target HOST:PORT"
                if found == "answers"
                else f"what listens at udp {_text(target)} {found}: is that the service?"
            )
        await _sleep(_POLL)


def _target(given: str, directory: Path) -> Address:
    """The public side: as told, else that of the embedded default, which has the same port on all its addresses."""
    if given:
        host, colon, port = given.rpartition(":")
        if not colon or not port.isdigit():
            host, port = given, str(_PORT)
        return Address(host.strip("[]"), int(port))
    try:
        return Address("127.0.0.1", int(json.loads((directory / FILE).read_text())["port"]))
    except (OSError, ValueError, KeyError):
        return Address("127.0.0.1", _PORT)


def _own_address(target: Address) -> str:
    """Our address on the way to `target`."""
    import socket

    try:
        with socket.socket(socket.AF_INET6 if ":" in target.host else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((target.host, target.port))
            return str(probe.getsockname()[0])
    except OSError as error:
        raise DemoError(f"no way to {target.host}: {error.strerror}") from error


async def _recorded(args: argparse.Namespace, call_id: str) -> dict[str, Any]:
    """The facts of our call, once its record is complete."""
    deadline = time.monotonic() + _RECORD_WAIT
    problem = "it holds no such call"
    while time.monotonic() < deadline:
        try:
            record = args.open_record(args.database)
            try:
                for facts in record.calls(50):
                    if facts["a"] and facts["a"]["call_id"] == call_id and facts["ended"] is not None:
                        found: dict[str, Any] = record.call(facts["id"])
                        return found
            finally:
                record.close()
        except (OSError, LookupError) as error:
            problem = str(error)
        await _sleep(_POLL)
    raise DemoError(f"the call went through, but its record was not found in {args.database}: {problem}")


async def _heard_there(directory: Path, facts: dict[str, Any]) -> tuple[Heard | None, list[str]]:
    """What the answering peer says that it heard in our call, and the names that it goes by."""
    call_id = (facts["b"] or {}).get("call_id")
    names: list[str] = []
    for _ in range(12):
        try:
            told = json.loads((directory / FILE).read_text())
            names = [str(name) for name in told["names"]]
            for call in told["calls"]:
                if call["call_id"] == call_id:
                    return Heard(**call["heard"]), names
        except (OSError, ValueError, KeyError, TypeError):
            pass
        await _sleep(_POLL)
    return None, names


def verdict(evidence: Evidence, seconds: float, user: str) -> list[str]:
    """What did not hold, one line each; nothing if all did."""
    faults = []
    expected = int(seconds * 50)
    tone = OUR_TONE if user == "echo" else TONE
    sides = [("the phone", evidence.here, tone)]
    if evidence.there is None:
        faults.append("the answering peer did not tell what it heard")
    elif user != "echo":
        sides.append(("the answering peer", evidence.there, OUR_TONE))
    for name, heard, frequency in sides:
        if abs(heard.frequency - frequency) > 5 or heard.share < 0.9:
            heard_text = f"{heard.frequency:.0f} Hz ({heard.share:.0%} of the power)"
            faults.append(f"{name} heard {heard_text}, not {frequency:.0f} Hz")
        if heard.packets < 0.9 * expected:
            faults.append(f"{name} received {heard.packets} packets, not about {expected}")
        if heard.lost > 0.02 * expected:
            faults.append(f"{name} lost {heard.lost} packets")
    if evidence.call["cause"] != "BYE" or evidence.call["ended_by"] != "caller":
        faults.append(f"the record says {evidence.call['cause']} by {evidence.call['ended_by']}, not BYE by caller")
    if not evidence.tokens:
        faults.append("no private token is known: nothing was looked for")
    faults += [
        f"{item.token.kind} {item.token.text!r} of the private side shows in {item.where}" for item in evidence.findings
    ]
    return faults


def report(evidence: Evidence, faults: list[str]) -> list[str]:
    """What each side heard, what was looked for, and the verdict, as lines."""
    lines = ["", f"heard by the phone (public):            {_heard_text(evidence.here)}"]
    there = _heard_text(evidence.there) if evidence.there is not None else "not told"
    lines += [f"heard by the answering peer (private):  {there}", ""]
    found = {item.token for item in evidence.findings}
    lines.append(
        f"private tokens looked for in {evidence.datagrams} datagrams on the public side: "
        f"{len(evidence.tokens)}, found: {len(found)}"
    )
    kinds: dict[str, list[str]] = {}
    for token in evidence.tokens:
        shown = token.pattern.hex(" ") if token.kind == "address in binary" else token.text
        kinds.setdefault(token.kind, []).append(shown + (" FOUND" if token in found else ""))
    for kind, texts in kinds.items():
        more = f" and {len(texts) - 4} more" if len(texts) > 4 else ""
        lines.append(f"  {kind:<18} {', '.join(text[:60] for text in texts[:4])}{more}")
    lines.append("")
    if faults:
        return [*lines, *(f"FAILED: {fault}" for fault in faults)]
    call = evidence.call
    return [
        *lines,
        "Everything held: the call crossed the border both ways, and nothing of the private side came out.",
        f"See it again: sbc explain {call['id']} --messages",
        "Call in yourself, with any softphone and no registration:",
        f"  sip:echo@{_public(call)} gives back what you say, sip:tone@{_public(call)} plays 880 Hz",
    ]


def _public(call: dict[str, Any]) -> str:
    """Our public address in that call."""
    for message in call["messages"]:
        if message["zone"] == call["a"]["zone"]:
            return str(message["local"])
    return "the public address"


def _heard_text(heard: Heard) -> str:
    whole = heard.packets + heard.lost
    loss = 100 * heard.lost / whole if whole else 0.0
    return (
        f"{heard.frequency:.0f} Hz with {heard.share:.1%} of the power, {heard.packets} packets, "
        f"lost {heard.lost} ({loss:.1f}%), jitter {heard.jitter:.1f} ms"
    )


def _sleep(seconds: float) -> Deferred[None]:
    done: Deferred[None] = Deferred()
    reactor.callLater(seconds, done.callback, None)
    return done


def _within(seconds: float, awaited: Deferred[Any]) -> Deferred[Any]:
    """What `awaited` gives, or None after `seconds`."""
    result: Deferred[Any] = Deferred()
    timer = reactor.callLater(seconds, result.callback, None)

    def arrived(value: Any) -> None:
        if timer.active():
            timer.cancel()
            result.callback(value)

    awaited.addCallback(arrived)
    return result


def _text(address: Address) -> str:
    return f"[{address.host}]:{address.port}" if ":" in address.host else f"{address.host}:{address.port}"
