"""`sbc user`: the accounts of the SBC's own registrar. What is changed here is in force a second later; nothing has to
be restarted."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from typing import Any, Protocol

PASSWORD_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"
"""Those that nobody mistakes for another when typing on a phone: five bits each."""
PASSWORD_LENGTH = 20


class Accounts(Protocol):
    """What keeps users (`sbc.store.UserStore`). Raises OSError (cannot be used) or LookupError (the text says what is
    wrong with the user)."""

    def read(self) -> Mapping[str, Any]: ...

    def add(self, user: str, password: str, display_name: str = "") -> str: ...

    def set_password(self, user: str, password: str) -> str: ...

    def remove(self, user: str) -> str: ...


def add_user_command(subparsers: Any) -> tuple[argparse.ArgumentParser, ...]:
    """`sbc user` with its actions, which are returned for what they have in common with other commands."""
    parser = subparsers.add_parser(
        "user",
        help="look after the accounts of phones that register here",
        description='Accounts of phones, where this SBC is the registrar ([access] registrar = "local"). In force a '
        "second later, without a restart.",
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    add = actions.add_parser("add", help="a new account; its password is made up and printed once")
    add.add_argument("name", metavar="NAME[@DOMAIN]")
    add.add_argument("--display-name", default="", metavar="TEXT", help="how the user is called")
    _add_password(add)
    add.set_defaults(run=_changing(_add))
    change = actions.add_parser("passwd", help="another password")
    change.add_argument("name", metavar="NAME[@DOMAIN]")
    _add_password(change)
    change.set_defaults(run=_changing(_passwd))
    remove = actions.add_parser("remove", help="no account any more; registrations end when they are due")
    remove.add_argument("name", metavar="NAME[@DOMAIN]")
    remove.set_defaults(run=_changing(_remove))
    show = actions.add_parser("list", help="all accounts")
    show.add_argument("--json", action="store_true", help="one JSON object a line")
    show.set_defaults(run=_changing(_list))
    return add, change, remove, show


def _add_password(parser: argparse.ArgumentParser) -> None:
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--ask", action="store_true", help="ask for the password (or read it from standard input)")
    how.add_argument("--password", help="this one; other users of the machine may see it in the list of processes")


def made_up_password() -> str:
    import secrets  # it takes as long to import as all of `sbc` to start

    return "".join(secrets.choice(PASSWORD_LETTERS) for _ in range(PASSWORD_LENGTH))


def _changing(act: Callable[[argparse.Namespace, Accounts], None]) -> Callable[[argparse.Namespace], int]:
    def run(args: argparse.Namespace) -> int:
        try:
            act(args, args.open_users(args.state_directory))
        except (OSError, LookupError) as error:
            print(f"sbc: {error.args[0] if error.args else error}", file=sys.stderr)
            return 1
        return 0

    return run


def _password(args: argparse.Namespace) -> tuple[str, bool]:
    """The password, and whether it is made up. Raises LookupError for an empty one."""
    if args.ask:
        import getpass

        given = getpass.getpass() if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")
    elif args.password is None:
        return made_up_password(), True
    else:
        given = args.password
    if not given:
        raise LookupError("an empty password is none")
    return given, False


def _add(args: argparse.Namespace, accounts: Accounts) -> None:
    password, made_up = _password(args)
    print(f"user      {accounts.add(args.name, password, args.display_name)}")
    _show(password, made_up)


def _passwd(args: argparse.Namespace, accounts: Accounts) -> None:
    password, made_up = _password(args)
    print(f"user      {accounts.set_password(args.name, password)}")
    _show(password, made_up)


def _show(password: str, made_up: bool) -> None:
    if made_up:
        print(f"password  {password}   (shown this once: only its hashes are kept)")


def _remove(args: argparse.Namespace, accounts: Accounts) -> None:
    print(f"removed   {accounts.remove(args.name)}")


def _list(args: argparse.Namespace, accounts: Accounts) -> None:
    users = accounts.read()
    for aor, account in users.items():
        if args.json:
            print(json.dumps({"user": aor, "display_name": account.display_name}, ensure_ascii=False))
        else:
            print(f"{aor:<40} {account.display_name}".rstrip())
    if not users and not args.json:
        print("no users yet: sbc user add NAME")
