"""The accounts in force follow the file."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from sbc.b2bua import Users, UsersChanged
from sbc.service.accounts import Accounts
from sbc.store import USERS, StoreError, UserStore
from tests.support.sockets import runs, until


class AccountsTests(TestCase):
    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.directory = Path(folder.name)
        self.told: list[Users] = []
        self.accounts = Accounts(reactor, self.directory, ("example.com",), lambda event: self.heard(event))
        self.store = UserStore(self.directory / USERS)

    def heard(self, event: UsersChanged) -> None:
        self.told.append(event.users)

    @runs
    async def test_changes_are_told_and_nothing_else(self) -> None:
        self.addCleanup(self.accounts.stop)
        self.accounts.start()
        assert self.told == [{}]
        self.store.add("alice", "secret")
        await until(lambda: len(self.told) > 1)
        assert self.told[-1] == self.store.read()
        self.store.remove("alice")
        await until(lambda: not self.told[-1])
        assert len(self.told) == 3

    @runs
    async def test_a_file_that_cannot_be_read_changes_nothing(self) -> None:
        self.addCleanup(self.accounts.stop)
        self.store.create(("example.com",))
        self.store.add("alice", "secret")
        self.accounts.start()
        path = self.directory / USERS
        kept = path.read_bytes()
        path.write_bytes(b"garbage" * 100)
        with pytest.raises(StoreError):
            self.store.read()
        path.write_bytes(kept)
        self.store.add("bob", "secret")
        await until(lambda: len(self.told[-1]) == 2)

    def test_new_passwords_replace_old_ones(self) -> None:
        words = iter(("one", "two", "three", "four"))
        first = self.accounts.new_passwords(("alice", "bob"), lambda: next(words))
        before = self.store.read()
        second = self.accounts.new_passwords(("alice", "bob"), lambda: next(words))
        assert first == {"alice@example.com": "one", "bob@example.com": "two"}
        assert second == {"alice@example.com": "three", "bob@example.com": "four"}
        assert before["alice@example.com"].secrets != self.store.read()["alice@example.com"].secrets
