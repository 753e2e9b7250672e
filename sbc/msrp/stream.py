"""The messages of one MSRP connection on their way through us (RFC 4975): octets in, octets out, no I/O.

What is between start line and body is read and written anew: To-Path and From-Path by what signalling agreed on, and of
the other header fields those that are meant for the other end. Bodies pass as they come, and are never held: of them at
most a line's beginning that may be their end waits for its rest.
"""

from __future__ import annotations

import re

from sbc.msrp.uri import LONGEST_PATH, parse_uri

LONGEST_HEAD = 8192
"""Octets from the start line to the body; more are no message."""

_START = re.compile(
    rb"MSRP ([A-Za-z0-9.\-+%=]{1,64}) (?:([A-Z]{1,32})|([0-9]{3})(?: [^\x00-\x08\x0a-\x1f\x7f]*)?)", re.DOTALL
)
_FLAGS = b"$+#"
_MARK = b"\r\n-------"
_CROSS = frozenset({b"message-id", b"success-report", b"failure-report", b"byte-range", b"status", b"use-nickname"})
"""Header fields that go on, with those of the body ("Content-..."). Others are said to the neighbour, as those that a
relay authenticates with (RFC 4976 section 9), or unknown: they may name hosts."""


class MessageStream:
    """From one side to the other.

    `fault` says why the connection must be closed, "" while it need not; then `answer` is what is to be sent back
    before, and what `feed` gave was the last.
    """

    __slots__ = (
        "_boundary",
        "_first_hop",
        "_from_path",
        "_head",
        "_held",
        "_is_muted",
        "_scanned",
        "_session",
        "_to_path",
        "answer",
        "answered",
        "fault",
        "messages",
    )

    def __init__(self, session: str, answered: bytes = b"") -> None:
        """`session` is ours that the other end of this connection must name in To-Path. `answered`: transaction id of a
        request of our own, whose response goes no further."""
        self._session = session
        self._to_path = self._first_hop = self._from_path = b""
        self._held = b""
        self._scanned = 0
        self._boundary = b""
        self._is_muted = False
        self._head: tuple[bytes, list[bytes]] = (b"", [])
        self.answered = answered
        self.messages = 0
        """Requests and responses of which the head came and was right."""
        self.fault = ""
        self.answer = b""

    def aim(self, to_path: str, from_path: str) -> None:
        """Where messages go from now on: `to_path` is what the other side said of itself, `from_path` what we told it.
        A message that is on its way to somebody else goes no further."""
        to, source = to_path.encode(), from_path.encode()
        if (to, source) == (self._to_path, self._from_path):
            return
        self._is_muted = bool(self._boundary and self._to_path)
        self._to_path, self._from_path = to, source
        self._first_hop = to.partition(b" ")[0]

    def cut(self) -> bytes:
        """The end of a message that was begun and whose rest will not come (section 7.1: the sender aborts it)."""
        end = b"" if self._is_muted or not self._boundary else self._boundary + b"#\r\n"
        self._is_muted = bool(self._boundary)
        return end

    def feed(self, data: bytes) -> bytes:
        """What goes to the other side for the next octets of this one."""
        out: list[bytes] = []
        if self._held:
            data = self._held + data
            self._held = b""
        while data and not self.fault:
            data = self._take_body(data, out) if self._boundary else self._take_head(data, out)
        return b"".join(out)

    def refuse(self, status: int, reason: str) -> bytes:
        """The response to the request that came last, b"" where none may be sent (section 7.2)."""
        start, lines = self._head
        match = _START.fullmatch(start)
        if match is None or match[2] in (None, b"REPORT"):
            return b""
        if any(line.lower().replace(b" ", b"") == b"failure-report:no" for line in lines[2:]):
            return b""
        to, source = (line.partition(b":")[2].strip() for line in lines[:2])
        return b"MSRP %b %d %b\r\nTo-Path: %b\r\nFrom-Path: %b\r\n-------%b$\r\n" % (
            match[1], status, reason.encode(), source.partition(b" ")[0], to, match[1],
        )  # fmt: skip

    # -- the head ------------------------------------------------------------------------------------------------------

    def _take_head(self, data: bytes, out: list[bytes]) -> bytes:
        """Take what is before the body, once all of it is there; gives what follows."""
        blank = data.find(b"\r\n\r\n", self._scanned, LONGEST_HEAD)
        mark = data.find(_MARK, self._scanned, blank if blank >= 0 else LONGEST_HEAD)
        has_body = mark < 0 <= blank
        end = blank if has_body else mark
        if (end < 0 and len(data) >= LONGEST_HEAD) or not data.startswith(b"MSRP "[: len(data)]):
            self.fault = "no message"
            return b""
        if end < 0:
            self._scanned = max(0, len(data) - len(_MARK) + 1)
            self._held = data
            return b""
        start, *lines = data[:end].split(b"\r\n")
        match = _START.fullmatch(start)
        if match is None:
            self.fault = "no start line"
            return b""
        boundary = _MARK + match[1]
        rest = data[end:] if not has_body else data[end + 2 :]  # an empty body may go without its own CRLF
        if not has_body:
            closing = len(boundary) + 3
            if not rest.startswith(boundary[: len(rest)]) or (len(rest) > len(boundary) and not _ends(rest, boundary)):
                self.fault = "no end-line"
                return b""
            if len(rest) < closing:
                self._scanned = end
                self._held = data
                return b""
        self._scanned = 0
        self._head = start, lines
        rewritten = self._rewrite(match, start, lines, has_body)
        if self.fault:
            return b""
        self.messages += 1
        if match[1] == self.answered and match[2] is None:
            rewritten = b""
        self._boundary = boundary
        self._is_muted = not rewritten
        if rewritten:
            out.append(rewritten)
        return rest

    def _rewrite(self, match: re.Match[bytes], start: bytes, lines: list[bytes], has_body: bool) -> bytes:
        """The head as the other side gets it, its last line without CRLF where the end-line follows."""
        if len(lines) < 2 or any(b"\r" in line or b"\n" in line or b"\0" in line for line in lines):
            self.fault = "no header fields"
            return b""
        (to_name, _, to), (from_name, _, source) = lines[0].partition(b":"), lines[1].partition(b":")
        is_request = match[2] is not None
        if to_name.lower() != b"to-path" or from_name.lower() != b"from-path" or (has_body and not is_request):
            self.fault = "no paths" if is_request or not has_body else "a response with a body"
            return b""
        if not self._is_for_us(to.strip()) or not _is_path(source.strip()):
            self.fault = "a session that is none"
            self.answer = self.refuse(481, "Session Does Not Exist")
            return b""
        to_path = self._to_path if is_request else self._first_hop
        kept = [start, b"To-Path: " + to_path, b"From-Path: " + self._from_path]
        for line in lines[2:]:
            name, colon, _ = line.partition(b":")
            name = name.lower()
            if not colon or not name:
                self.fault = "no header field"
                return b""
            if name in _CROSS or name.startswith(b"content-"):
                kept.append(line)
        return b"\r\n".join(kept) + (b"\r\n" if has_body else b"")

    def _is_for_us(self, path: bytes) -> bool:
        """Whether To-Path is one URI with our session in it (section 7.3)."""
        if len(path) > LONGEST_PATH or not path.isascii():
            return False
        uri = parse_uri(path.decode())
        return uri is not None and uri.session == self._session

    # -- the body ------------------------------------------------------------------------------------------------------

    def _take_body(self, data: bytes, out: list[bytes]) -> bytes:
        """Take the body as far as it is there, and the end-line; gives what follows that."""
        boundary = self._boundary
        at = data.find(boundary)
        while at >= 0:
            flag = at + len(boundary)
            if flag >= len(data) or data[flag] in _FLAGS:
                break
            at = data.find(boundary, at + 1)  # the transaction id of another message begins with ours
        else:
            self._pass(data, _unfinished(data, boundary), out)
            return b""
        if len(data) < flag + 3 and data[flag + 1 :] in (b"", b"\r"):
            self._pass(data, at, out)
            return b""
        if data[flag + 1 : flag + 3] != b"\r\n":
            self.fault = "no end-line"  # one that others may take for one
            return b""
        if not self._is_muted:
            out.append(data[: flag + 3])
        self._boundary = b""
        self._is_muted = False
        return data[flag + 3 :]

    def _pass(self, data: bytes, upto: int, out: list[bytes]) -> None:
        if not self._is_muted:
            out.append(data[:upto])
        self._held = data[upto:]


def _unfinished(data: bytes, boundary: bytes) -> int:
    """Where at the end of `data` a boundary begins; its length if nowhere."""
    at = data.find(b"\r", max(0, len(data) - len(boundary) + 1))
    while at >= 0:
        if boundary.startswith(data[at:]):
            return at
        at = data.find(b"\r", at + 1)
    return len(data)


def _ends(rest: bytes, boundary: bytes) -> bool:
    """Whether `rest`, that begins with `boundary`, goes on as an end-line does, as far as it goes."""
    return rest[len(boundary)] in _FLAGS and b"\r\n".startswith(rest[len(boundary) + 1 : len(boundary) + 3])


def _is_path(path: bytes) -> bool:
    """Whether From-Path can be written into To-Path of a response."""
    return 0 < len(path) <= LONGEST_PATH and path.isascii() and path.decode().isprintable()
