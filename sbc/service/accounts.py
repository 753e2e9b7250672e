"""The accounts of the own registrar in the running service: read at the start, and again whenever the file changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure

from sbc.b2bua import Users, UsersChanged
from sbc.store import USERS, UserStore

log = Logger()
LOOK_EVERY = 0.5
"""Seconds between looks at the file: what was changed is in force after so long."""


class Accounts:
    """Tells `tell` of the users in `directory` when it starts, and of every change."""

    def __init__(self, reactor: Any, directory: Path, domains: tuple[str, ...], tell: Callable[[UsersChanged], None]):
        self._reactor = reactor
        self._store = UserStore(directory / USERS)
        self._domains = domains
        self._tell = tell
        self._mark = b""
        self._look = LoopingCall(self._see)
        self._look.clock = reactor

    def start(self) -> None:
        """Reads them at once, so that nobody is refused who has an account. Raises StoreError."""
        self._store.create(self._domains)
        self._mark = self._store.mark()
        self._tell(UsersChanged(self._store.read()))
        self._look.start(LOOK_EVERY, now=False).addErrback(lambda failure: log.failure("accounts", failure=failure))

    def stop(self) -> None:
        if self._look.running:
            self._look.stop()

    def new_passwords(self, names: tuple[str, ...], make: Callable[[], str]) -> dict[str, str]:
        """Have accounts of these names with passwords of `make`; address of record -> password. Raises StoreError."""
        self._store.create(self._domains)
        passwords = {}
        for name in names:
            passwords[f"{name}@{self._domains[0]}"] = password = make()
            self._store.put(name, password)
        return passwords

    def _see(self) -> Deferred[None] | None:
        mark = self._store.mark()
        if mark == self._mark:
            return None
        read = deferToThreadPool(self._reactor, self._reactor.getThreadPool(), self._store.read)
        return read.addCallbacks(self._changed, self._unreadable, (mark,))

    def _changed(self, users: Users, mark: bytes) -> None:
        self._mark = mark
        self._tell(UsersChanged(users))
        log.info("accounts changed: {count} now", count=len(users))

    def _unreadable(self, failure: Failure) -> None:
        log.error("accounts not read, as they were until now: {reason}", reason=failure.getErrorMessage())
