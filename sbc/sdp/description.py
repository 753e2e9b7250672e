"""Session descriptions (RFC 8866): bytes in, lines and m-lines out, and the same bytes back.

Nothing is interpreted that nobody asks for: reading cuts the text into lines and checks their form; what a line says
is found on demand. Lossless: `parse_sdp(data).to_bytes() == data` for everything that is accepted, also for lines of
unknown types and attributes, for their order, and for bytes that are not UTF-8.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_WHOLE = {
    "\r\n": re.compile(r"v=0(?:\r\n[a-z]=[^\r\n\0]*+)*+(?:\r\n)*+"),
    "\n": re.compile(r"v=0(?:\n[a-z]=[^\r\n\0]*+)*+\n*+"),
}
"""A whole description by line end. RFC 8866 section 5: CRLF, but a bare LF should be accepted too; never mixed."""


class SdpError(ValueError):
    """The text is no session description. `line` counts from 1 (0: the whole); `reason` says what is wrong with it."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"SDP line {line}: {reason}" if line else f"SDP: {reason}")
        self.line = line
        self.reason = reason


@dataclass(frozen=True, slots=True)
class SdpLimits:
    """What a peer may send at most."""

    max_size: int = 32768
    """Bytes."""
    max_lines: int = 1000
    max_media: int = 16
    """m-lines; each one that is anchored takes two pairs of ports."""


@dataclass(slots=True)
class MediaDescription:
    """One m-line and the lines that belong to it (RFC 8866 section 5.14)."""

    line: str
    """The m-line as written, with its "m="."""
    media: str
    """"audio", "video", "text", "image", "application", "message" or unknown."""
    port: int
    """0: the stream is refused or disabled (RFC 3264 sections 5.1, 6)."""
    port_count: int
    protocol: str
    """As written, such as "RTP/AVP" or "udptl"."""
    format_list: str = ""
    """As written; "" if there is none."""
    body: str = ""
    """The text after the m-line up to the next one, without its last line end."""

    @property
    def lines(self) -> list[str]:
        """The lines of `body`, in order, each with its type and "="."""
        return split_lines(self.body)

    @property
    def formats(self) -> list[str]:
        """The format list: RTP payload types, or what the protocol means by it."""
        text = self.format_list
        return text.split(" ") if text and text[-1] != " " else text.split()

    def attributes(self) -> Iterator[tuple[str, str]]:
        """Each attribute in order as (name, value); value "" for a flag."""
        return _attributes(self.lines)

    def attribute(self, name: str) -> str | None:
        """The first attribute's value of that name, "" for a flag, None if there is none."""
        return next((value for key, value in _attributes(self.lines) if key == name), None)


@dataclass(slots=True)
class SessionDescription:
    """A session-level part and m-lines."""

    head: str
    """The session-level lines in order, "v=0" first, each with its type and "=", without the last line end."""
    origin: str
    """Value of o=, which is another one in each description."""
    session: str
    """The lines of `head` but v= and o=; most descriptions of a peer say the same there."""
    media: list[MediaDescription]
    line_end: str = "\r\n"
    tail: str = "\r\n"
    """What follows the last line; line ends only."""

    @property
    def lines(self) -> list[str]:
        """The lines of `head`."""
        return self.head.split(self.line_end)

    def to_bytes(self) -> bytes:
        """The description as it is sent."""
        lines = [self.head]
        for media in self.media:
            lines.append(media.line)
            if media.body:
                lines.append(media.body)
        return (self.line_end.join(lines) + self.tail).encode("utf-8", "surrogateescape")

    def attributes(self) -> Iterator[tuple[str, str]]:
        """Each session-level attribute in order as (name, value); value "" for a flag."""
        return _attributes(self.lines)


def parse_sdp(data: bytes, limits: SdpLimits = SdpLimits()) -> SessionDescription:
    """Read a session description.

    Accepted beyond the grammar, because peers send it and nothing hangs on it: bare LF as line end, missing s= or t=,
    lines in another order, empty lines at the very end, unknown line types. Raises `SdpError`.
    """
    if len(data) > limits.max_size:
        raise SdpError(0, f"longer than {limits.max_size} bytes")
    if data.count(b"\n") > limits.max_lines:
        raise SdpError(limits.max_lines + 1, "too many lines")
    text = data.decode("utf-8", "surrogateescape")
    end = "\r\n" if "\r" in text else "\n"
    if _WHOLE[end].fullmatch(text) is None:
        raise _fault(text, end)
    body = text.rstrip("\r\n")
    head, *sections = body.split(end + "m=")
    if len(sections) > limits.max_media:
        raise SdpError(_line_of(head, sections, limits.max_media, end), "too many m-lines")
    if head.count(end + "o=") != 1:
        raise SdpError(1, "not exactly one o= line in the session part")
    before, _, after = head.partition(end + "o=")
    origin, _, session = after.partition(end)
    if before != "v=0":
        session = before.removeprefix("v=0" + end) + (end + session if session else "")
    media: list[MediaDescription] = []
    for section in sections:
        line, _, rest = section.partition(end)
        fault = _add_media(media, line, rest)
        if fault:
            raise SdpError(_line_of(head, sections, len(media), end), fault)
    return SessionDescription(head, origin, session, media, end, text[len(body) :])


def _add_media(media: list[MediaDescription], line: str, rest: str) -> str:
    """Append what m-line `line` (without "m=") says; gives what is wrong with it, or ""."""
    parts = line.split(" ", 3)
    if len(parts) == 3:
        parts.append("")
    if len(parts) < 4 or not (parts[0] and parts[2]):
        return "m= needs a media type, a port, a protocol and formats"
    kind, port_text, protocol, formats = parts
    count = 1
    if "/" in port_text:
        port_text, _, count_text = port_text.partition("/")
        if not (count_text.isascii() and count_text.isdigit()) or not 0 < int(count_text[:6]) < 65536:
            return "the number of ports is not a number from 1 to 65535"
        count = int(count_text[:6])
    if not (port_text.isascii() and port_text.isdigit()) or len(port_text) > 5 or int(port_text) > 65535:
        return "the port is not a number from 0 to 65535"
    port = int(port_text)
    if port and not formats.strip():
        return "m= names no format"
    media.append(MediaDescription("m=" + line, kind, port, count, protocol, formats, rest))
    return ""


def split_lines(text: str) -> list[str]:
    """The lines of a part of a description."""
    if not text:
        return []
    return text.split("\r\n") if "\r" in text else text.split("\n")


def _attributes(lines: list[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        if line.startswith("a="):
            name, _, value = line[2:].partition(":")
            yield name, value


def _line_of(head: str, sections: list[str], index: int, end: str) -> int:
    """Number of the line that opens section `index`."""
    return len(head.split(end)) + sum(len(section.split(end)) for section in sections[:index]) + 1


def _fault(text: str, end: str) -> SdpError:
    """What `_WHOLE` stumbled over."""
    lines = text.rstrip("\r\n").split(end)
    if lines[0] != "v=0":
        return SdpError(1, "the first line is not v=0")
    for number, line in enumerate(lines, 1):
        if "\0" in line or "\r" in line or "\n" in line:
            return SdpError(number, "NUL, or a CR or LF that ends no line")
        if line[1:2] != "=" or not "a" <= line[0] <= "z":
            return SdpError(number, "not of the form <type>=<value>" if line else "empty line")
    return SdpError(len(lines), "mixed line ends")
