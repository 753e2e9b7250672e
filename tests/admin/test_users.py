from __future__ import annotations

import argparse
import io
import json
from pathlib import Path

import pytest

from sbc.admin import add_user_command
from sbc.sip import ha1
from sbc.store import UserStore


@pytest.fixture
def users(tmp_path: Path) -> UserStore:
    store = UserStore(tmp_path / "users.sqlite")
    store.create(("example.com",))
    return store


def run(users: UserStore, *arguments: str) -> int:
    parser = argparse.ArgumentParser()
    parser.set_defaults(state_directory=Path("state"), open_users=lambda directory: users)
    add_user_command(parser.add_subparsers())
    args = parser.parse_args(["user", *arguments])
    return int(args.run(args))


def secret_of(users: UserStore) -> str:
    return users.read()["alice@example.com"].secrets["SHA-256"]


def test_a_password_is_made_up_and_shown_once(users: UserStore, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(users, "add", "alice") == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "user      alice@example.com"
    password = out[1].split()[1]
    assert len(password) == 20
    assert secret_of(users) == ha1("SHA-256", "alice", "example.com", password)
    assert run(users, "passwd", "alice") == 0
    assert password not in capsys.readouterr().out


def test_a_password_can_be_given_and_is_not_repeated(
    users: UserStore, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(users, "add", "alice", "--password", "given", "--display-name", "Alice") == 0
    assert secret_of(users) == ha1("SHA-256", "alice", "example.com", "given")
    monkeypatch.setattr("sys.stdin", io.StringIO("from a pipe\n"))
    assert run(users, "passwd", "alice", "--ask") == 0
    assert secret_of(users) == ha1("SHA-256", "alice", "example.com", "from a pipe")
    out = capsys.readouterr().out
    assert "given" not in out
    assert "pipe" not in out


def test_users_are_listed_and_removed(users: UserStore, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(users, "list") == 0
    assert "no users yet" in capsys.readouterr().out
    users.add("alice", "x", "Alice")
    run(users, "list")
    assert capsys.readouterr().out.split() == ["alice@example.com", "Alice"]
    run(users, "list", "--json")
    assert json.loads(capsys.readouterr().out) == {"user": "alice@example.com", "display_name": "Alice"}
    assert run(users, "remove", "alice") == 0
    assert users.read() == {}


def test_what_goes_wrong_is_said_and_fails(users: UserStore, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(users, "remove", "alice") == 1
    assert capsys.readouterr().err == "sbc: alice@example.com is no user\n"
    assert run(users, "add", "alice", "--password", "") == 1
    assert "empty password" in capsys.readouterr().err
    assert run(UserStore(Path("/nowhere/users.sqlite")), "list") == 1
    assert "no users at" in capsys.readouterr().err
