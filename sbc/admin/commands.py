"""The subcommands that read the record of calls, and `sbc demo`, as argparse knows them. Light to import.

What lies outside this room is handed in through the parser's defaults: `database` (path of the record of calls) and
`open_record` (path -> what reads it; `open_registrations` reads what lies beside it).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol

Facts = dict[str, Any]
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


class Record(Protocol):
    """What reads the record of calls. Raises OSError (cannot be read) or LookupError (no such call)."""

    def calls(
        self, limit: int = 20, *, since: float | None = None, failed: bool = False, number: str = ""
    ) -> list[Facts]: ...

    def call(self, name: str) -> Facts: ...

    def close(self) -> None: ...


class Registered(Protocol):
    """What reads registrations; raises as `Record` does."""

    def registrations(self, user: str = "") -> list[Facts]: ...

    def close(self) -> None: ...


def add_calls_command(subparsers: Any) -> None:
    parser = subparsers.add_parser("calls", help="list the latest calls", description="The latest calls, newest first.")
    parser.add_argument("--limit", "-n", type=int, default=20, help="how many (0: all)")
    parser.add_argument("--since", type=_since, metavar="WHEN", help="2h, 30m, 7d ago, or an ISO date")
    parser.add_argument("--failed", action="store_true", help="only calls that were not answered")
    parser.add_argument("--number", default="", metavar="X", help="only calls with X in From, To or Request-URI")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.set_defaults(run=_reading(_calls))


def add_explain_command(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "explain",
        help="say what happened in a call and why",
        description="Show one call: its messages on both legs, each decision with its reason, media figures.",
    )
    parser.add_argument("call", help='id of the call, or an unambiguous beginning of it, or "last"')
    parser.add_argument("--messages", action="store_true", help="every message in full as well (secrets masked)")
    parser.add_argument("--json", action="store_true", help="all facts as JSON")
    parser.add_argument("--no-color", action="store_true", help="no colours (also: NO_COLOR set, or not a terminal)")
    parser.add_argument("--ascii", action="store_true", help="draw with ASCII only")
    parser.add_argument("--width", type=int, default=0, help="columns (default: those of the terminal, up to 140)")
    parser.set_defaults(run=_reading(_explain))


def add_registrations_command(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "registrations",
        help="list the phones that are registered",
        description="The flows of all registered phones; with a user (or a part of it), more about each of its own.",
    )
    parser.add_argument("user", nargs="?", default="", help="address of record, or a part of one")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.set_defaults(run=_reading(_registrations, "open_registrations"))


def add_demo_command(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "demo",
        help="place a real call through the running service and show what happened",
        description="Make two accounts, register a phone on the public side and one on the private side, and call the "
        "second from the first through the running service, a few seconds of tone each way. Shows the ladder, what "
        "each side heard, and that nothing private came out.",
    )
    parser.add_argument("--target", metavar="HOST:PORT", default="", help="public side of the service (default: found)")
    parser.add_argument("--inside", metavar="HOST:PORT", default="", help="private side (default: 127.0.0.2)")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long to talk (default: 3)")
    parser.add_argument("--wait", type=float, default=0.0, metavar="SECONDS", help="for the service to come up")
    parser.add_argument("--no-color", action="store_true", help="no colours")
    parser.set_defaults(run=_demo)


def _reading(
    show: Callable[[argparse.Namespace, Any], int], opener: str = "open_record"
) -> Callable[[argparse.Namespace], int]:
    """A command that opens the record of calls, or what else `opener` names, and says plainly when that fails."""

    def run(args: argparse.Namespace) -> int:
        try:
            record = getattr(args, opener)(args.database)
            try:
                return show(args, record)
            finally:
                record.close()
        except (OSError, LookupError) as error:
            if isinstance(error, BrokenPipeError):
                return _pipe_closed()
            print(f"sbc: {error.args[0] if error.args else error}", file=sys.stderr)
            return 1

    return run


def _pipe_closed() -> int:
    """Whoever read our output has seen enough (`sbc calls | head`)."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _calls(args: argparse.Namespace, record: Record) -> int:
    from sbc.admin.listing import listing

    found = record.calls(args.limit, since=args.since, failed=args.failed, number=args.number)
    if args.json:
        for facts in found:
            print(json.dumps(facts, ensure_ascii=False))
    else:
        print("\n".join(listing(found, time.time())))
    sys.stdout.flush()
    return 0


def _registrations(args: argparse.Namespace, reader: Registered) -> int:
    from sbc.admin.registered import registered

    found = reader.registrations(args.user)
    if args.json:
        print("\n".join(json.dumps(facts, ensure_ascii=False) for facts in found))
    else:
        print("\n".join(registered(found, time.time(), bool(args.user))))
    sys.stdout.flush()
    return 0


def _explain(args: argparse.Namespace, record: Record) -> int:
    from sbc.admin.explain import explanation, message_lines

    call = record.call(args.call)
    if args.json:
        print(json.dumps(call, ensure_ascii=False, indent=1))
        return 0
    style, width, plain = terminal(args.no_color, getattr(args, "width", 0))
    lines = explanation(call, now=time.time(), width=width, style=style, plain=plain or args.ascii)
    if args.messages:
        lines += ["", *message_lines(call)]
    print("\n".join(lines).encode(sys.stdout.encoding or "utf-8", "replace").decode(sys.stdout.encoding or "utf-8"))
    sys.stdout.flush()
    return 0


def terminal(no_color: bool, width: int = 0) -> tuple[Any, int, bool]:
    """How to draw on the standard output: style, width, ASCII only."""
    from sbc.admin.ladder import COLOURS, Style

    coloured = sys.stdout.isatty() and not no_color and "NO_COLOR" not in os.environ
    plain = "utf" not in (sys.stdout.encoding or "").lower()
    columns = width or min(140, max(80, shutil.get_terminal_size((110, 40)).columns))
    return (COLOURS if coloured else Style()), columns, plain


def _demo(args: argparse.Namespace) -> int:
    from sbc.admin.demo import demo

    return demo(args)


def _since(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhdw])", text.strip())
    if match:
        return time.time() - float(match[1]) * _UNITS[match[2]]
    import datetime

    try:
        return datetime.datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise argparse.ArgumentTypeError(f'{text!r} is neither like "2h" nor an ISO date and time') from None
