"""Users of the SBC's own registrar, in SQLite: written by `sbc user`, read by the service whenever the file changed.

Of a password only its hashes with user and realm are kept (RFC 7616 section 5.13 says what those are worth: the file is
its owner's alone). Nothing here is called for a message: the session layer works on the snapshot that `read` gives.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from sbc.b2bua import Account, Users
from sbc.sip import ALGORITHMS, ha1
from sbc.store.schema import StoreError

_VERSION = 1
_COLUMNS = ", ".join(f'"{algorithm}"' for algorithm in ALGORITHMS)
_INSERT = f"INSERT INTO users (name, domain, display_name, {_COLUMNS}) VALUES (?, ?, ?{', ?' * len(ALGORITHMS)})"
_SCHEMA = f"""
CREATE TABLE users (name TEXT NOT NULL, domain TEXT NOT NULL, display_name TEXT NOT NULL,
    {", ".join(f'"{algorithm}" TEXT NOT NULL' for algorithm in ALGORITHMS)}, PRIMARY KEY (domain, name)) WITHOUT ROWID;
CREATE TABLE domains (place INTEGER PRIMARY KEY, domain TEXT NOT NULL);
PRAGMA user_version = {_VERSION};
"""
_CHANGE_COUNTER = slice(24, 28)
"""In the head of an SQLite file: counts the transactions that changed it."""


class UserError(LookupError):
    """The text says what is wrong with a user."""


class UserStore:
    """The file at `path`. Opened for each task and closed again, so that several processes can have it. All methods
    raise `StoreError` if it cannot be used."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def create(self, domains: Sequence[str]) -> None:
        """Make it if it is not there; `domains` are those that users may be of, the first one for names without."""
        with self._opened(create=True) as connection:
            held = tuple(domain for (domain,) in connection.execute("SELECT domain FROM domains ORDER BY place"))
            if held != tuple(domains):
                connection.execute("DELETE FROM domains")
                connection.executemany("INSERT INTO domains (domain) VALUES (?)", [(domain,) for domain in domains])

    def mark(self) -> bytes:
        """Something that is different after each change; costs little. b"" if there is no file."""
        try:
            with self._path.open("rb") as file:
                return os.fstat(file.fileno()).st_ino.to_bytes(8) + file.read(100)[_CHANGE_COUNTER]
        except OSError:
            return b""

    def read(self) -> Users:
        """All users by their address of record."""
        with self._opened() as connection:
            rows = connection.execute(f"SELECT name, domain, display_name, {_COLUMNS} FROM users ORDER BY domain, name")
            return {
                f"{name}@{domain}": Account(name, domain, dict(zip(ALGORITHMS, secrets, strict=True)), display_name)
                for name, domain, display_name, *secrets in rows
            }

    def add(self, user: str, password: str, display_name: str = "") -> str:
        """A new user; its address of record. Raises UserError if there is one of that name."""
        with self._opened() as connection:
            name, domain = _whole(connection, user)
            try:
                connection.execute(_INSERT, (name, domain, display_name, *_secrets(name, domain, password)))
            except sqlite3.IntegrityError:
                raise UserError(f"{name}@{domain} is a user already (new password: sbc user passwd)") from None
            return f"{name}@{domain}"

    def put(self, user: str, password: str) -> str:
        """A user with this password, whether there was one of that name or not; its address of record."""
        with self._opened() as connection:
            name, domain = _whole(connection, user)
            connection.execute("DELETE FROM users WHERE name = ? AND domain = ?", (name, domain))
            connection.execute(_INSERT, (name, domain, "", *_secrets(name, domain, password)))
            return f"{name}@{domain}"

    def set_password(self, user: str, password: str) -> str:
        """Raises UserError if there is no such user."""
        columns = ", ".join(f'"{algorithm}" = ?' for algorithm in ALGORITHMS)
        with self._opened() as connection:
            name, domain = _whole(connection, user)
            changed = connection.execute(
                f"UPDATE users SET {columns} WHERE name = ? AND domain = ?",
                (*_secrets(name, domain, password), name, domain),
            )
            return _one(changed, name, domain)

    def remove(self, user: str) -> str:
        """Raises UserError if there is no such user."""
        with self._opened() as connection:
            name, domain = _whole(connection, user)
            return _one(
                connection.execute("DELETE FROM users WHERE name = ? AND domain = ?", (name, domain)), name, domain
            )

    @contextmanager
    def _opened(self, create: bool = False) -> Iterator[sqlite3.Connection]:
        """A connection with a transaction, committed at the end."""
        try:
            if create:
                self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
                self._hand_over()
            elif not self._path.exists():
                raise StoreError(
                    f'no users at {self._path}: has the service run there, with [access] registrar = "local"?'
                )
            connection = sqlite3.connect(self._path, timeout=5.0, isolation_level=None)
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: {error}") from error
        except OSError as error:
            if isinstance(error, StoreError):
                raise
            raise StoreError(f"{self._path}: {error.strerror}") from error
        try:
            self._prepare(connection, create)
            connection.execute("BEGIN")
            yield connection
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: {error}") from error
        finally:
            connection.close()

    def _prepare(self, connection: sqlite3.Connection, create: bool) -> None:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0 and create:
            connection.executescript(f"BEGIN IMMEDIATE;{_SCHEMA}COMMIT;")
        elif version != _VERSION:
            raise StoreError(f"{self._path} has schema {version}, this sbc knows {_VERSION}")

    def _hand_over(self) -> None:
        """What root makes in the directory of another user is that user's."""
        if os.geteuid() == 0:
            owner = self._path.parent.stat()
            with suppress(OSError):
                os.chown(self._path, owner.st_uid, owner.st_gid)


def _whole(connection: sqlite3.Connection, user: str) -> tuple[str, str]:
    """Name and domain of a user as somebody wrote it: "name", or "name@domain"."""
    name, at, domain = user.rpartition("@")
    domains = [held for (held,) in connection.execute("SELECT domain FROM domains ORDER BY place")]
    if not at:
        name, domain = user, domains[0] if domains else ""
    domain = domain.lower()
    if domain not in domains:
        raise UserError(f"{domain} is not among the domains of this service ({', '.join(domains)})")
    if not name or len(name) > 128 or any(character < "!" or character in '"<>@:;\\\x7f' for character in name):
        raise UserError(f"{name!r} cannot be the name of a user")
    return name, domain


def _secrets(name: str, domain: str, password: str) -> list[str]:
    return [ha1(algorithm, name, domain, password) for algorithm in ALGORITHMS]


def _one(done: sqlite3.Cursor, name: str, domain: str) -> str:
    if done.rowcount != 1:
        raise UserError(f"{name}@{domain} is no user")
    return f"{name}@{domain}"
