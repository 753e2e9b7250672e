"""The `sbc` command: what an operator types beside the running service.

Starts in milliseconds: what a subcommand needs is imported when it runs.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sbc.admin import (
    add_calls_command,
    add_demo_command,
    add_explain_command,
    add_registrations_command,
    add_user_command,
)
from sbc.service import paths

if TYPE_CHECKING:
    from sbc.service.config import Setting

OK, FAULTY, USAGE = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; the exit status."""
    args = _parser().parse_args(arguments)
    if args.run is not check:
        where = _state(args.state, args.config)
        if where is None:
            return FAULTY
        args.state_directory, args.database = where
        args.open_record = _open_record
        args.open_registrations = partial(_open_registrations, args.state_directory)
        args.open_users = _open_users
    try:
        status: int = args.run(args)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # who reads it (head, less) has seen enough; what is left goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("sbc", description="Look after a session border controller (twistd sbc).")
    parser.set_defaults(state=None, config=None)
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_check_command(subparsers)
    for add in (add_calls_command, add_explain_command, add_registrations_command, add_demo_command):
        add(subparsers)
    of_a_service = [command for name, command in subparsers.choices.items() if name != "check"]
    for command in (*of_a_service, *add_user_command(subparsers)):
        where = command.add_argument_group("which service").add_mutually_exclusive_group()
        where.add_argument("--state", metavar="DIR", default=None, help="its state directory")
        where.add_argument("--config", metavar="FILE", default=None, help="its configuration")
    return parser


def _state(state: str | None, config: str | None) -> tuple[Path, Path] | None:
    """The state directory, and where the record of calls lies; None if the configuration that should tell is faulty
    (that is said then)."""
    if state is not None:
        return Path(state), Path(state) / paths.DATABASE
    if config is not None:
        from sbc.service.config import ConfigError, load

        try:
            found = load(config)
        except ConfigError as error:
            print(error, file=sys.stderr)
            return None
        folder = found.state_directory
        if found.document.service.state_directory is None and paths.is_of_the_unit(config):
            folder = paths.SYSTEM_STATE
        return folder, folder / (found.document.records.path or paths.DATABASE)
    database = paths.database_to_read()
    return database.parent, database


def _open_record(path: Path) -> Any:
    from sbc.store import CallReader

    return CallReader(path)


def _open_registrations(state_directory: Path, database: Path) -> Any:
    """They lie in the state directory, wherever a configuration has put the record of calls."""
    from sbc.store import RegistrationReader

    return RegistrationReader(state_directory / paths.REGISTRATIONS)


def _open_users(state_directory: Path) -> Any:
    from sbc.store import USERS, UserStore

    return UserStore(state_directory / USERS)


# -- sbc check --------------------------------------------------------------------------------------------------------


def _add_check_command(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "check",
        help="find the faults of a configuration, or show it as it is in force",
        description="Every fault of a configuration at once; or, if it has none, each key with its value in force and "
        "where that came from. Nothing is started.",
    )
    parser.add_argument("file", metavar="FILE", help="the configuration")
    parser.add_argument("--quiet", "-q", action="store_true", help="say nothing if there is no fault")
    parser.add_argument("--changed", action="store_true", help="leave defaults out")
    parser.set_defaults(run=check)


def check(args: argparse.Namespace) -> int:
    """`sbc check FILE`."""
    from sbc.service.config import ConfigError, effective, load

    try:
        config = load(args.file)
    except ConfigError as error:
        print(error, file=sys.stderr)
        count = len(error.faults)
        print(f"{count} {'fault' if count == 1 else 'faults'}", file=sys.stderr)
        return FAULTY
    for warning in config.warnings:
        print(f"{warning} (warning)", file=sys.stderr)
    if not args.quiet:
        settings = [each for each in effective(config) if not args.changed or each.origin != "default"]
        print("\n".join(setting_lines(settings)))
    return OK


def setting_lines(settings: Sequence[Setting]) -> list[str]:
    """The effective configuration as a table: key = value, and its origin as a comment."""
    left = [f"{setting.key} = {toml_text(setting.value)}" for setting in settings]
    width = min(60, max(map(len, left), default=0))
    return [f"{text:<{width}}  # {setting.origin}" for text, setting in zip(left, settings, strict=True)]


def toml_text(value: Any) -> str:
    """A value as TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}" if value == int(value) and abs(value) < 1e6 else repr(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, dict):
        inner = ", ".join(f"{toml_text(key)} = {toml_text(each)}" for key, each in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml_text, value)) + "]"
    import json

    return json.dumps("" if value is None else value, ensure_ascii=False)


if __name__ == "__main__":
    sys.exit(main())
