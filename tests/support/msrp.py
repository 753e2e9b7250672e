"""Ends of MSRP connections: plain sockets, and a reader of messages that shares nothing with the project's."""

from __future__ import annotations

import re
import socket
import time
from typing import NamedTuple

PATIENCE = 15.0
"""Seconds in which what is expected must come."""
_START = re.compile(rb"MSRP (\S+) ([^\r\n]+)\r\n")


class Message(NamedTuple):
    tid: str
    what: str
    """Method, or status and comment."""
    headers: dict[str, str]
    body: bytes | None
    flag: str

    @property
    def to_path(self) -> str:
        return self.headers["To-Path"]

    @property
    def from_path(self) -> str:
        return self.headers["From-Path"]


class Speaker:
    """One end of a connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.sock.settimeout(PATIENCE)
        self._rest = b""

    def say(self, data: bytes) -> None:
        self.sock.sendall(data)

    def hear(self) -> Message:
        """The next message. Raises AssertionError if the connection ends instead, TimeoutError if nothing comes."""
        while True:
            match = _START.match(self._rest)
            if match is not None:
                end = re.search(rb"\r\n-------%b([$+#])\r\n" % re.escape(match[1]), self._rest)
                if end is not None:
                    text, self._rest = self._rest[match.end() : end.start()], self._rest[end.end() :]
                    head, separator, body = text.partition(b"\r\n\r\n")
                    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
                    return Message(
                        match[1].decode(), match[2].decode(), headers, body if separator else None, end[1].decode()
                    )
            data = self.sock.recv(1 << 20)
            assert data, f"the connection ended after {self._rest!r}"
            self._rest += data

    def hears_the_end(self) -> bool:
        """Whether the other end closes, within the time that it has for it."""
        try:
            while self.sock.recv(1 << 16):
                pass
        except ConnectionError:
            return True
        except TimeoutError:
            return False
        return True

    def hears_nothing(self, seconds: float) -> bool:
        self.sock.settimeout(seconds)
        try:
            return not self._rest and self.sock.recv(1, socket.MSG_PEEK) is None
        except TimeoutError:
            return True
        finally:
            self.sock.settimeout(PATIENCE)

    def close(self) -> None:
        self.sock.close()


def send(tid: str, to_path: str, from_path: str, body: bytes | None = b"hello", *more: str, flag: str = "$") -> bytes:
    """A SEND request; `more` are header lines."""
    lines = [f"MSRP {tid} SEND", f"To-Path: {to_path}", f"From-Path: {from_path}", f"Message-ID: m.{tid}", *more]
    if body is None:
        return "\r\n".join([*lines, f"-------{tid}{flag}", ""]).encode()
    head = "\r\n".join([*lines, "Content-Type: application/octet-stream", "", ""]).encode()
    return head + body + f"\r\n-------{tid}{flag}\r\n".encode()


def ok(tid: str, to_path: str, from_path: str) -> bytes:
    return f"MSRP {tid} 200 OK\r\nTo-Path: {to_path}\r\nFrom-Path: {from_path}\r\n-------{tid}$\r\n".encode()


def accepted(listener: socket.socket) -> Speaker:
    listener.settimeout(PATIENCE)
    sock, _ = listener.accept()
    return Speaker(sock)


def connected(target: tuple[str, int], seconds: float = PATIENCE) -> Speaker:
    """A connection to who may not listen yet."""
    until = time.monotonic() + seconds
    while True:
        try:
            return Speaker(socket.create_connection(target, timeout=PATIENCE))
        except ConnectionRefusedError:
            if time.monotonic() > until:
                raise
            time.sleep(0.01)
