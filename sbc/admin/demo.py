"""`sbc demo`: one real call through the running service, and what came of it.

Two accounts are made for it. A phone on the public side and one on the private side register with them, the first calls
the second; both play a tone and measure what they hear. Everything that the phone outside receives is kept and searched
for what only the private side says. Then the accounts are taken back.
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

from sbc.admin.answering import FILE
from sbc.admin.audio_line import Heard
from sbc.admin.commands import terminal
from sbc.admin.explain import explanation
from sbc.admin.phone import Phone
from sbc.admin.phone_account import Account, PhoneSettings
from sbc.admin.privacy import Finding, Token, leaks, private_tokens
from sbc.admin.users import made_up_password
from sbc.sip import Address

reactor: Any = installed_reactor
OUR_TONE, THEIR_TONE = 440.0, 880.0
INSIDE_NAME = "desk.private.invalid"
"""A name that only the private side knows (RFC 6761): the phone there says it all over, so that hiding has something to
hide."""
_PORT = 5060
_POLL = 0.25
_RECORD_WAIT = 10.0
_ANSWER_WAIT = 15.0
_ACCOUNTS_SEEN = 0.6
"""Seconds after which the service mostly knows a new account; who comes earlier is refused, and stands in the log."""
_ACCOUNTS_WAIT = 10.0
_EXPIRES = 60
_INSIDE, _INSIDE_PHONE = "127.0.0.2", "127.0.0.4"
"""The private side of the embedded default, and the address there that the phone inside takes."""


class DemoError(Exception):
    """The demo cannot go on; the text says why and what to do."""


class Evidence(NamedTuple):
    """All that the demo saw of its call."""

    call: dict[str, Any]
    """Facts of the record."""
    here: Heard
    """What our phone on the public side heard."""
    there: Heard | None
    """What the one on the private side heard; None if it had no call."""
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
    faults = verdict(evidence, args.seconds)
    for line in report(evidence, faults):
        print(line)
    return 1 if faults else 0


def _unexpected(failure: Any, outcome: list[Evidence | str]) -> None:
    outcome.append(f"unexpected: {failure.getTraceback()}")


async def _call_and_look(args: argparse.Namespace) -> Evidence:
    received: list[bytes] = []
    sent: list[bytes] = []
    target = await _service(args)
    outer, inner = _accounts(args.open_users(args.state_directory))
    await _sleep(_ACCOUNTS_SEEN)
    return await _between(args, target, outer, inner, received, sent)


def _accounts(users: Any) -> tuple[Account, Account]:
    """Two new accounts, for as long as this process lasts."""
    made: list[Account] = []

    def take_back() -> None:
        for account in made:
            users.remove(f"{account.user}@{account.domain}")

    reactor.addSystemEventTrigger("before", "shutdown", take_back)
    for side in ("outside", "inside"):
        password = made_up_password()
        try:
            user, _, domain = users.add(f"demo-{side}-{made_up_password()[:6]}", password).rpartition("@")
        except (OSError, LookupError) as error:
            raise DemoError(f"no accounts for the phones: {error}") from error
        made.append(Account(user, domain, password))
    return made[0], made[1]


async def _between(
    args: argparse.Namespace, target: Address, outer: Account, inner: Account, received: list[bytes], sent: list[bytes]
) -> Evidence:
    """One call from `outer` to `inner`."""
    inside = _address(args.inside, Address(_INSIDE, target.port))
    heard_inside: list[Heard] = []
    phone = Phone(
        reactor,
        PhoneSettings(
            host=_own_address(target),
            user=outer.user,
            user_agent="sbc-demo-phone",
            cname="demo@phone.invalid",
            account=outer,
        ),
        tap=received.append,
        sent=sent.append,
    )
    desk_settings = PhoneSettings(
        host=_INSIDE_PHONE if inside.host == _INSIDE else _own_address(inside),
        user=inner.user,
        user_agent=f"sbc-demo-desk-phone ({INSIDE_NAME})",
        cname=f"demo@{INSIDE_NAME}",
        tool=f"desk phone at {INSIDE_NAME}",
        account=inner,
    )
    desk = Phone(
        reactor,
        desk_settings,
        frequency_of=lambda user: THEIR_TONE,
        ended=lambda call: heard_inside.append(call.line.heard()),
    )
    phone.start()
    desk.start()
    try:
        await _registered(phone, target, "outside")
        await _registered(desk, inside, "inside")
        call = phone.call(inner.user, target, OUR_TONE)
        await _within(_ANSWER_WAIT, phone.when(call, "answered"))
        if call.state != "answered":
            phone.hang_up(call)
            raise DemoError(f"the call through {_text(target)} was not answered: {call.ended_by or 'nothing came'}")
        await _sleep(args.seconds)
        phone.hang_up(call)
        await _within(5.0, phone.when(call, "ended"))
        facts = await _recorded(args, call.call_id)
        for each, where in ((phone, target), (desk, inside)):
            await _within(5.0, each.register(where, 0))
        await _sleep(0.2)  # what may still come
    finally:
        await phone.stop()
        await desk.stop()
    private = [message for message in facts["messages"] if message["zone"] != facts["a"]["zone"]]
    names = [INSIDE_NAME, desk_settings.user_agent, desk_settings.cname, desk_settings.tool]
    tokens = private_tokens(private, names, sent)
    there = heard_inside[0] if heard_inside else None
    return Evidence(facts, call.line.heard(), there, tokens, leaks(tokens, received), len(received))


async def _registered(phone: Phone, target: Address, side: str) -> None:
    """Register `phone`; the service takes a moment to see that there is an account."""
    deadline = time.monotonic() + _ACCOUNTS_WAIT
    while True:
        status = await _within(5.0, phone.register(target, _EXPIRES))
        if status == 200:
            return
        if time.monotonic() >= deadline:
            raise DemoError(f"the phone {side} could not register at {_text(target)}: {status or 'no answer'}")
        await _sleep(_POLL)


async def _service(args: argparse.Namespace) -> Address:
    """Where the service answers."""
    deadline = time.monotonic() + max(args.wait, 2.0)
    while True:
        target = _target(args.target, Path(args.database).parent)
        phone = Phone(reactor, PhoneSettings(host=_own_address(target), user="demo-phone"))
        phone.start()
        status = await _within(min(2.0, max(0.5, deadline - time.monotonic())), phone.options(target))
        await phone.stop()
        if status is not None and status < 300:
            return target
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
    try:
        port = int(json.loads((directory / FILE).read_text())["port"])
    except (OSError, ValueError, KeyError):
        port = _PORT
    return _address(given, Address("127.0.0.1", port))


def _address(given: str, default: Address) -> Address:
    """HOST:PORT or HOST as typed, with brackets or without."""
    if not given:
        return default
    host, colon, port = given.rpartition(":")
    if not colon or not port.isdigit():
        host, port = given, str(_PORT)
    return Address(host.strip("[]"), int(port))


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


def verdict(evidence: Evidence, seconds: float) -> list[str]:
    """What did not hold, one line each; nothing if all did."""
    faults = []
    expected = int(seconds * 50)
    sides = [("the phone outside", evidence.here, THEIR_TONE)]
    if evidence.there is None:
        faults.append("the phone inside had no call")
    else:
        sides.append(("the phone inside", evidence.there, OUR_TONE))
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
    lines = ["", f"heard by the phone outside:  {_heard_text(evidence.here)}"]
    there = _heard_text(evidence.there) if evidence.there is not None else "nothing"
    lines += [f"heard by the phone inside:   {there}", ""]
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
        "Everything held: both phones registered, the call crossed the border both ways, and nothing of the private "
        "side came out.",
        f"See it again: sbc explain {call['id']} --messages",
        "Call yourself, with a softphone: the service has said what accounts it has, and how to set one up.",
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
