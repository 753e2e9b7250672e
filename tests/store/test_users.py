from __future__ import annotations

import sqlite3
import stat
from pathlib import Path

import pytest

from sbc.sip import ALGORITHMS, ha1
from sbc.store import StoreError, UserError, UserStore


@pytest.fixture
def users(tmp_path: Path) -> UserStore:
    store = UserStore(tmp_path / "state" / "users.sqlite")
    store.create(("example.com", "example.org"))
    return store


def test_users_are_kept_with_hashes_for_each_algorithm_and_no_password(users: UserStore, tmp_path: Path) -> None:
    assert users.add("alice", "s3cret-password", "Alice") == "alice@example.com"
    assert users.add("bob@Example.ORG", "another") == "bob@example.org"
    found = users.read()
    assert list(found) == ["alice@example.com", "bob@example.org"]
    alice = found["alice@example.com"]
    assert (alice.name, alice.domain, alice.display_name) == ("alice", "example.com", "Alice")
    assert alice.secrets == {each: ha1(each, "alice", "example.com", "s3cret-password") for each in ALGORITHMS}
    for file in (tmp_path / "state").iterdir():
        assert b"s3cret" not in file.read_bytes()


def test_the_file_is_its_owners_alone(users: UserStore, tmp_path: Path) -> None:
    assert stat.S_IMODE((tmp_path / "state" / "users.sqlite").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700


def test_a_password_is_changed_and_a_user_removed(users: UserStore) -> None:
    users.add("alice", "old")
    assert users.set_password("alice@example.com", "new") == "alice@example.com"
    assert users.read()["alice@example.com"].secrets["MD5"] == ha1("MD5", "alice", "example.com", "new")
    assert users.put("alice", "third") == "alice@example.com"
    assert users.read()["alice@example.com"].secrets["MD5"] == ha1("MD5", "alice", "example.com", "third")
    assert users.remove("alice") == "alice@example.com"
    assert users.read() == {}


def test_what_cannot_be_is_said(users: UserStore) -> None:
    users.add("alice", "x")
    with pytest.raises(UserError, match="is a user already"):
        users.add("alice@example.com", "y")
    for name in ("", "a b", "a:b", "<a>", "x" * 200, "a@b@example.com"):
        with pytest.raises(UserError, match=r"cannot be the name|is not among"):
            users.add(name, "x")
    with pytest.raises(UserError, match=r"not among the domains of this service \(example.com, example.org\)"):
        users.add("alice@elsewhere.net", "x")
    for act in (users.remove, lambda user: users.set_password(user, "x")):
        with pytest.raises(UserError, match=r"carol@example.com is no user"):
            act("carol")
    assert list(users.read()) == ["alice@example.com"]


def test_the_mark_changes_with_every_change_and_only_then(users: UserStore) -> None:
    seen = [users.mark()]
    for change in (
        lambda: users.add("alice", "x"),
        lambda: users.set_password("alice", "y"),
        lambda: users.remove("alice"),
    ):
        change()
        seen.append(users.mark())
        users.read()
        users.create(("example.com", "example.org"))
        assert users.mark() == seen[-1]
    assert len(set(seen)) == 4


def test_domains_follow_the_configuration(users: UserStore) -> None:
    users.create(("example.net",))
    assert users.add("alice", "x") == "alice@example.net"
    with pytest.raises(UserError):
        users.add("alice@example.com", "x")


def test_without_a_file_or_with_a_newer_one_it_says_so(tmp_path: Path) -> None:
    path = tmp_path / "users.sqlite"
    assert UserStore(path).mark() == b""
    with pytest.raises(StoreError, match=r'registrar = "local"'):
        UserStore(path).read()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 9")
    with pytest.raises(StoreError, match="schema 9"):
        UserStore(path).read()
    (tmp_path / "garbage").write_bytes(b"no database at all" * 100)
    with pytest.raises(StoreError):
        UserStore(tmp_path / "garbage").create(("a",))
