"""Octets to messages: one datagram, or what the framer cut out of a stream.

One pass over the head checks what holds for every message; a header is understood when somebody asks for it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sbc.sip.errors import LocalProtocolError, RemoteProtocolError
from sbc.sip.grammar import canonical_names, has_stray_control, is_token
from sbc.sip.header_values import CSeq, parse_cseq
from sbc.sip.message import Headers, Request, Response, written_name
from sbc.sip.uri import parse_uri


@dataclass(frozen=True, slots=True)
class Limits:
    """What is refused for its size alone, in octets where nothing else is said."""

    max_message: int = 65535
    max_header_line: int = 8192
    """Characters of one header field, folded lines together."""
    max_headers: int = 256
    """Header lines; each line of a folded field counts."""
    max_uri: int = 2048
    """Of a Request-URI."""


_CONTROLS = bytes([*range(0x09), *range(0x0A, 0x20), 0x7F])
"""All control characters but tab. In a sound head there are two for each line end, and no others."""
_HEAD_END = b"\r\n\r\n"
_PING = b"\r\n\r\n"
_stream_length = re.compile(rb"\r\n(?:content-length|l)[ \t]*:([^\r\n]*(?:\r\n[ \t]+[^\r\n]*)*)")
_fold = re.compile(r"\r\n[ \t]+")
_version = re.compile(r"SIP/([0-9]+\.[0-9]+)", re.IGNORECASE).fullmatch
_status_line = re.compile(r"SIP/2\.0 ([1-6][0-9]{2})(?: (.*))?", re.IGNORECASE | re.DOTALL).fullmatch

_METHODS = frozenset({"INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "REGISTER", "UPDATE", "INFO", "PRACK", "MESSAGE"})
"""Known to be tokens."""
_MANDATORY = frozenset({"via", "from", "to", "call-id", "cseq"})
"""8.1.1, less Max-Forwards, which RFC 2543 did not have."""

_SINGLE = frozenset({
    "from", "to", "call-id", "cseq", "max-forwards", "content-length", "content-type", "content-disposition", "expires",
    "min-expires", "subject", "priority", "mime-version", "reply-to", "refer-to", "referred-by", "replaces", "join",
    "target-dialog", "session-expires", "min-se", "event", "subscription-state", "rack", "rseq", "retry-after",
    "sip-etag", "sip-if-match",
})  # fmt: skip
"""Headers that may not be repeated (7.3.1, and the RFCs that define them). Those that only describe (Date, Server,
Organization ...) are let be: nothing hangs on them."""


def parse(data: bytes, limits: Limits) -> Request | Response:
    """Read one message. Octets beyond Content-Length are cut off (18.3); without Content-Length the body is all there
    is.

    Raises RemoteProtocolError for what is malformed or beyond `limits`, with the request to answer if there is one.
    Header values are not looked at, except Content-Length and CSeq: `Request.check` and the typed properties do that.
    """
    if data[:2] == b"\r\n":
        data = data.lstrip(b"\r\n")  # 7.5
    try:
        return _parse_response(data, limits) if data[:4].upper() == b"SIP/" else _parse_request(data, limits)
    except RemoteProtocolError as fault:
        fault.request = _salvaged(data, limits)
        raise


def _parse_request(data: bytes, limits: Limits) -> Request:
    lines, body_start = _split_head(data, limits)
    try:
        method, uri, version = lines.pop(0).split(" ")
    except ValueError:
        raise RemoteProtocolError(400, "malformed request line") from None
    if version != "SIP/2.0":
        _check_version(version)
    if method not in _METHODS and not is_token(method):
        raise RemoteProtocolError(400, "malformed method")
    headers, cseq = _read_headers(lines, body_start, limits)
    if cseq[1] != method:
        raise RemoteProtocolError(400, "method in CSeq is not that of the request line")
    if len(uri) > limits.max_uri:
        raise RemoteProtocolError(414, "Request-URI too long")
    if parse_uri(uri).headers:
        raise RemoteProtocolError(400, "headers in Request-URI")  # 19.1.1, table 1
    return Request(method, uri, headers, _body(data, body_start, headers, limits), data)


def _parse_response(data: bytes, limits: Limits) -> Response:
    lines, body_start = _split_head(data, limits)
    status_line = _status_line(lines.pop(0))
    if status_line is None:
        raise RemoteProtocolError(400, "malformed status line")
    headers, _ = _read_headers(lines, body_start, limits)
    return Response(int(status_line[1]), status_line[2] or "", headers, _body(data, body_start, headers, limits), data)


def _check_version(version: str) -> None:
    match = _version(version)
    if match is None:
        raise RemoteProtocolError(400, "malformed SIP version")
    if match[1] != "2.0":
        raise RemoteProtocolError(505, "SIP version not supported")


def _split_head(data: bytes, limits: Limits) -> tuple[list[str], int]:
    """The start line and the header lines, still folded, and where in `data` the body starts."""
    if len(data) > limits.max_message:
        raise RemoteProtocolError(513, "message too large")
    end = data.find(_HEAD_END)
    if end < 0:
        if data[-2:] != b"\r\n":
            raise _unended(data, limits)
        end = len(data) - 2  # nothing but the empty line is missing, as in RFC 5118 section 4.10: there is no body
    octets = data[:end]
    try:
        lines = octets.decode().split("\r\n")
    except UnicodeDecodeError:
        lines = [_decoded_line(line) for line in octets.split(b"\r\n")]
    if end - len(octets.translate(None, _CONTROLS)) != 2 * len(lines) - 2 and any(map(has_stray_control, lines)):
        raise RemoteProtocolError(400, "control character in the head")
    if len(lines) - 1 > limits.max_headers:
        raise RemoteProtocolError(400, "too many headers")
    return lines, min(end + 4, len(data))


def _unended(data: bytes, limits: Limits) -> RemoteProtocolError:
    """What is wrong with a message that has no empty line: a stream's framer hands on such when it lost its way."""
    for written in _stream_length.findall(data.lower()):
        try:
            length = _content_length(written.decode("latin-1").strip(" \t\r\n"), limits)
        except RemoteProtocolError as fault:
            return fault
        if len(data) + len(_HEAD_END) + length > limits.max_message:
            return RemoteProtocolError(413, "Content-Length beyond the limit")
    return RemoteProtocolError(400, "no empty line after the headers")


def _decoded_line(octets: bytes) -> str:
    """A line as text. One that is no UTF-8 is read as Latin-1, which old phones write in display names, and will be
    written as UTF-8. Wherever the grammar has nothing but ASCII, what comes of it is refused there."""
    try:
        return octets.decode()
    except UnicodeDecodeError:
        return octets.decode("latin-1")


def _read_headers(lines: list[str], size: int, limits: Limits) -> tuple[Headers, CSeq]:
    """The header fields in `lines`, which came in `size` octets, and their CSeq."""
    try:
        keys = [canonical_names[line.partition(":")[0] if ":" in line else ""] for line in lines]  # as in `_keys`
    except LocalProtocolError:  # a folded line has no name (7.3.1)
        lines = _fold.sub(" ", "\r\n".join(lines)).split("\r\n")
        try:
            keys = _keys(lines)
        except LocalProtocolError:
            raise RemoteProtocolError(400, "malformed header line") from None
    if size > limits.max_header_line and max(map(len, lines)) > limits.max_header_line:
        raise RemoteProtocolError(400, "header line too long")
    present = set(keys)
    if len(present) < len(keys):
        single = [key for key in keys if key in _SINGLE]
        if len(single) != len(set(single)):
            repeated = next(key for key in single if single.count(key) > 1)
            raise RemoteProtocolError(400, f"repeated {written_name(repeated)}")
    if not present >= _MANDATORY:
        missing = ", ".join(written_name(key) for key in sorted(_MANDATORY - present))
        raise RemoteProtocolError(400, f"missing {missing}")
    cseq = parse_cseq(lines[keys.index("cseq")].partition(":")[2].strip(" \t"))
    return Headers.of_lines(keys, lines, {"cseq": cseq}, present), cseq


def _keys(lines: list[str]) -> list[str]:
    """The canonical name of each line. Raises LocalProtocolError where there is none."""
    return [canonical_names[line.partition(":")[0] if ":" in line else ""] for line in lines]


def _body(data: bytes, start: int, headers: Headers, limits: Limits) -> bytes:
    written = headers.get("content-length")
    if written == "0":
        return b""
    if written is None:
        return data[start:]
    end = start + _content_length(written, limits)
    if end > len(data):
        raise RemoteProtocolError(400, "Content-Length larger than the body")
    return data[start:end]


def _content_length(written: str, limits: Limits) -> int:
    if not (written.isdigit() and written.isascii()):
        raise RemoteProtocolError(400, "malformed Content-Length")
    if len(written) > 9:
        written = written.lstrip("0")[:10] or "0"
    length = int(written)
    if length > limits.max_message:
        raise RemoteProtocolError(413, "Content-Length beyond the limit")
    return length


def _salvaged(data: bytes, limits: Limits) -> Request | None:
    """What can be read of a faulty request, enough to answer it: sound header lines only. None if it is none, or an
    ACK, or has no Via to answer to."""
    octets = data[: limits.max_message].partition(_HEAD_END)[0]
    lines = _fold.sub(" ", "\r\n".join(map(_decoded_line, octets.split(b"\r\n")))).split("\r\n")
    method, _, rest = lines[0].partition(" ")
    if method == "ACK" or not is_token(method) or " SIP/" not in rest.upper():
        return None
    sound: dict[int, str] = {}
    for index, line in enumerate(lines[1 : limits.max_headers + 1]):
        try:
            key = _keys([line])[0]
        except LocalProtocolError:
            continue
        if len(line) <= limits.max_header_line and not has_stray_control(line):
            sound[index + 1] = key
    if "via" not in sound.values():
        return None
    words = rest.split()
    uri = words[0] if len(words) == 2 else ""
    return Request(
        method, uri, Headers.of_lines(list(sound.values()), [lines[index] for index in sound], {}), b"", data
    )


class StreamFramer:
    """Cuts a stream into messages by Content-Length (18.3). One for each connection; it buffers one message at most,
    and looks at each octet once however small the pieces are."""

    __slots__ = ("_buffer", "_limits", "_needed", "_searched", "fault")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._buffer = bytearray()
        self._searched = 0
        """Octets of the buffer in which no head can end."""
        self._needed = 0
        """Octets of the message at the start of the buffer; 0 while its head is not complete."""
        self.fault: RemoteProtocolError | None = None
        """Why framing is lost; None while it is not."""

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that `data` completes. b"\\r\\n\\r\\n" among them is a keep-alive that wants b"\\r\\n" (RFC 5626
        section 4.4.1); one stands for all that came in a row.

        Raises RemoteProtocolError when it is not known any more where messages end: give what `salvage` returns to the
        stack, then close. Where whole messages came before that point they are returned; `fault` tells, and so does the
        next `feed`, be it of nothing.
        """
        messages: list[bytes] = []
        if self.fault is None:
            self._buffer += data
            try:
                while self._message_is_whole(messages):
                    messages.append(bytes(self._buffer[: self._needed]))
                    del self._buffer[: self._needed]
                    self._needed = self._searched = 0
            except RemoteProtocolError as fault:
                self.fault = fault
                del self._buffer[self._limits.max_message + 1 :]
        if self.fault is not None and not messages:
            raise self.fault
        return messages

    @property
    def begun(self) -> bool:
        """Part of a message is here, and the rest has to come."""
        return len(self._buffer) > 3  # up to three may be line ends between messages

    def salvage(self) -> bytes:
        """After a fault: what there is of the message where framing was lost. Its last line has no end, so that `parse`
        always refuses it, with the status that fits."""
        return bytes(self._buffer).partition(_HEAD_END)[0].rstrip(b"\r\n")

    def _message_is_whole(self, messages: list[bytes]) -> bool:
        if not self._needed:
            self._skip_line_ends(messages)
            self._needed = self._length_of_message()
        return 0 < self._needed <= len(self._buffer)

    def _skip_line_ends(self, messages: list[bytes]) -> None:
        """Keep-alives, and line ends before a start line (7.5)."""
        buffer = self._buffer
        if not buffer or buffer[0] != 0x0D:
            return
        count = len(buffer) - len(buffer.lstrip(b"\r\n"))
        if buffer.startswith(_PING) and messages[-1:] != [_PING]:
            messages.append(_PING)
        if count == len(buffer):
            count -= count % 4  # the rest may be the beginning of another keep-alive
        del buffer[:count]

    def _length_of_message(self) -> int:
        """Octets of the message at the start of the buffer; 0 while its head is not complete."""
        end = self._buffer.find(_HEAD_END, self._searched)
        if (end if end >= 0 else len(self._buffer)) + 4 > self._limits.max_message + 4 * (end < 0):
            raise RemoteProtocolError(513, "message too large")
        if end < 0:
            self._searched = max(0, len(self._buffer) - 3)
            return 0
        lengths = _stream_length.findall(self._buffer[:end].lower())
        if len(lengths) != 1:
            raise RemoteProtocolError(400, "repeated Content-Length" if lengths else "no Content-Length on a stream")
        length = _content_length(lengths[0].decode("latin-1").strip(" \t\r\n"), self._limits)
        if end + 4 + length > self._limits.max_message:
            raise RemoteProtocolError(413, "Content-Length beyond the limit")
        return end + 4 + length
