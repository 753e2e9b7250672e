"""Requests and responses: ordered headers as they were received or made, and their values as they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Generic, TypeVar

from sbc.sip.errors import LocalProtocolError, RemoteProtocolError
from sbc.sip.grammar import canonical_names, has_stray_control, split_list
from sbc.sip.header_values import (
    NameAddress,
    Via,
    parse_call_id,
    parse_cseq,
    parse_max_forwards,
    parse_media_type,
    parse_name_address,
    parse_via,
)
from sbc.sip.uri import Uri, parse_uri

T = TypeVar("T")

_LISTS = frozenset({"via", "contact", "route", "record-route"})
"""Of the headers that are read here, those that hold lists: their first element is what is read."""


class Headers:
    """The header fields of one message, in order. Names in any case and in compact form mean the same.

    A field is kept as one line as it will be written, unfolded, its name as received; a value is cut out, and
    understood, when it is asked for. What is added is checked: no value can end its line (LocalProtocolError).
    """

    __slots__ = ("_keys", "_lines", "_names", "_typed")

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        self._keys: list[str] = []
        self._names: set[str] | list[str] = self._keys
        """What is in `_keys`: a set where somebody made one, because most questions are about what is not there."""
        self._lines: list[str] = []
        self._typed: dict[str, Any] = {}
        for name, value in fields:
            self.add(name, value)

    @classmethod
    def of_lines(
        cls, keys: list[str], lines: list[str], typed: dict[str, Any], names: set[str] | None = None
    ) -> Headers:
        """For this room, where messages are read and made of parts that have been checked: whole lines, the canonical
        name of each, what the attributes of `Message` say where that is known already, and perhaps the set of `keys`.
        All four are taken over."""
        headers = cls.__new__(cls)
        headers._keys = keys
        headers._names = keys if names is None else names
        headers._lines = lines
        headers._typed = typed
        return headers

    # -- reading ------------------------------------------------------------------------------------------------------

    def get(self, name: str) -> str | None:
        """The value of the first line of this name; None if there is none."""
        key = canonical_names[name]
        if key not in self._names:
            return None
        return self._lines[self._keys.index(key)].partition(":")[2].strip(" \t")

    def get_all(self, name: str) -> list[str]:
        """The value of each line of this name."""
        key = canonical_names[name]
        if key not in self._names:
            return []
        return [_value(line) for line_key, line in zip(self._keys, self._lines, strict=True) if line_key == key]

    def values(self, name: str) -> list[str]:
        """The elements of a comma-separated header over all its lines (7.3.1)."""
        return [element for value in self.get_all(name) for element in split_list(value)]

    def has_one(self, key: str) -> bool:
        """Whether the header `key` (canonical) is there on one line, with no comma in it: a single value for sure."""
        return self._keys.count(key) == 1 and "," not in self._lines[self._keys.index(key)]

    def __contains__(self, name: str) -> bool:
        return canonical_names[name] in self._names

    def __iter__(self) -> Iterator[tuple[str, str]]:
        for line in self._lines:
            yield line[: line.index(":")].rstrip(" \t"), _value(line)

    def __len__(self) -> int:
        return len(self._lines)

    def select(self, wanted: Mapping[str, T]) -> list[tuple[T, str]]:
        """For each line whose canonical name (long form, lower case) is in `wanted`: what that holds, and the value."""
        if self._names is not self._keys and wanted.keys().isdisjoint(self._names):
            return []
        found = [index for index, key in enumerate(self._keys) if key in wanted]
        return [(wanted[self._keys[index]], _value(self._lines[index])) for index in found]

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, Headers) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Headers({list(self)!r})"

    # -- changing -----------------------------------------------------------------------------------------------------

    def add(self, name: str, value: str) -> None:
        """Append a line."""
        if not value.isprintable():
            _check_value(name, value)
        key = canonical_names[name]
        self._keys.append(key)
        self._lines.append(f"{name}: {value}")
        if self._typed:
            self._forget(key)
        if self._names is not self._keys:
            self._names = self._keys

    def set(self, name: str, value: str) -> None:
        """Replace all lines of this name by one, in the place of the first; append it if there is none."""
        key, line = _made(name, value)
        if key not in self._keys:
            self._keys.append(key)
            self._lines.append(line)
        else:
            first = self._keys.index(key)
            if self._keys.count(key) > 1:
                self.remove(name)
                self._keys.insert(first, key)
                self._lines.insert(first, line)
            else:
                self._lines[first] = line
        self._names = self._keys
        self._forget(key)

    def prepend(self, name: str, value: str) -> None:
        """Add a line before the first of this name; before all lines if there is none."""
        key, line = _made(name, value)
        first = self._keys.index(key) if key in self._keys else 0
        self._keys.insert(first, key)
        self._lines.insert(first, line)
        self._names = self._keys
        self._forget(key)

    def replace_first(self, name: str, value: str) -> None:
        """Replace the first element of a comma-separated header, others in its line kept (a Via gets its
        `received`)."""
        key, line = _made(name, value)
        if key not in self._keys:
            raise LocalProtocolError(f"no {name} to replace")
        first = self._keys.index(key)
        others = split_list(_value(self._lines[first]))[1:] if "," in self._lines[first] else []
        self._lines[first] = ", ".join((line, *others))
        self._forget(key)

    def remove(self, name: str) -> None:
        """Take out all lines of this name."""
        key = canonical_names[name]
        if key in self._keys:
            kept = [index for index, line_key in enumerate(self._keys) if line_key != key]
            self._lines = [self._lines[index] for index in kept]
            self._names = self._keys = [self._keys[index] for index in kept]
            self._forget(key)

    def _forget(self, key: str) -> None:
        """The header `key` (canonical) is not what it was."""
        self._typed.pop(_ATTRIBUTES.get(key, key), None)

    def copy(self) -> Headers:
        return Headers.of_lines(self._keys.copy(), self._lines.copy(), self._typed.copy())


def _value(line: str) -> str:
    return line.partition(":")[2].strip(" \t")


def _made(name: str, value: str) -> tuple[str, str]:
    """The canonical name and the line of a header made here. Raises LocalProtocolError."""
    _check_value(name, value)
    return canonical_names[name], f"{name}: {value}"


def _check_value(name: str, value: str) -> None:
    """Raises LocalProtocolError for what cannot stand in one line."""
    if not value.isprintable() and has_stray_control(value):
        raise LocalProtocolError(f"control character in {name}")
    if not value.isascii():
        check_encodable(value)


def check_encodable(text: str) -> None:
    """Raises LocalProtocolError for text that UTF-8 cannot carry (lone surrogates)."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise LocalProtocolError("text cannot be encoded in UTF-8") from None


def _check_start_line(text: str) -> None:
    """Raises LocalProtocolError for what would end the line, or cannot be encoded."""
    if text.isprintable():
        return
    check_encodable(text)
    if "\r" in text or "\n" in text or "\0" in text:
        raise LocalProtocolError("control character in the start line")


CRLF = "\r\n"


class _Required(Generic[T]):
    """An attribute of messages: the first value of one header, understood when it is first asked for.

    It is kept in the message's `__dict__`, which is the `_typed` of its headers: until the header changes it is from
    then on an attribute like any other, and costs no call. (A message's values are looked at dozens of times.)
    """

    __slots__ = ("_key", "_name", "_parse")

    def __init__(self, key: str, parse: Callable[[str], T]) -> None:
        self._key = key
        self._parse = parse
        self._name = key

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = _ATTRIBUTES[self._key] = name

    def __get__(self, message: Message, owner: type) -> T:
        headers = message.headers
        key = self._key
        if key not in headers._names:
            raise message._attributed(RemoteProtocolError(400, "missing"), key)
        value = headers._lines[headers._keys.index(key)].partition(":")[2].strip(" \t")
        if "," in value and key in _LISTS:
            value = (split_list(value) or [""])[0]
        try:
            read = headers._typed[self._name] = self._parse(value)
        except RemoteProtocolError as fault:
            raise message._attributed(fault, key) from None
        return read


class _Optional(_Required[T | None]):
    """None where there is no such header."""

    __slots__ = ()

    def __get__(self, message: Message, owner: type) -> T | None:
        headers = message.headers
        if self._key not in headers._names:
            headers._typed[self._name] = None
            return None
        return super().__get__(message, owner)


_ATTRIBUTES: dict[str, str] = {}
"""Names of the attributes by those of the headers (canonical)."""


class Message:
    """What requests and responses have in common. Made from headers and body; `raw` is the message as received, or
    b""."""

    __slots__ = ("__dict__", "body", "headers", "raw")

    def __init__(self, headers: Headers, body: bytes, raw: bytes) -> None:
        self.headers = headers
        self.body = body
        self.raw = raw
        self.__dict__ = headers._typed  # where `_Required` and `_Optional` keep what they have read

    # Each raises RemoteProtocolError(400) for a header that is malformed, or missing where None is not an answer.

    via = _Required("via", parse_via)
    """The topmost."""
    from_ = _Required("from", parse_name_address)
    to = _Required("to", parse_name_address)
    call_id = _Required("call-id", parse_call_id)
    cseq = _Required("cseq", parse_cseq)
    contact = _Optional("contact", parse_name_address)
    """The first; `display_name` "" and `uri_text` "*" for the Contact of 10.2.2."""
    max_forwards = _Optional("max-forwards", parse_max_forwards)
    content_type = _Optional("content-type", lambda value: parse_media_type(value)[0])
    """type/subtype in lower case, without parameters."""

    def _attributed(self, fault: RemoteProtocolError, key: str) -> RemoteProtocolError:
        """`fault`, told with the header's name, and with the request that it can be answered to."""
        name = written_name(key)
        reason = fault.reason if name in fault.reason else f"{name}: {fault.reason}"
        return RemoteProtocolError(fault.status_hint, reason, self._answerable())

    def _answerable(self) -> Request | None:
        return None

    def _written(self, start: str) -> bytes:
        """The whole message behind `start`, its start line and perhaps a line more. Content-Length says what the body
        is, whatever stood there."""
        headers, body = self.headers, self.body
        lines = headers._lines
        if "content-length" in headers._keys:
            at = headers._keys.index("content-length")
            name = lines[at].partition(":")[0]
            lines = [*lines[:at], f"{name}: {len(body)}", *lines[at + 1 :], "\r\n"]
        else:
            lines = [*lines, f"Content-Length: {len(body)}\r\n\r\n"]
        head = f"{start}\r\n{CRLF.join(lines)}".encode()
        return head + body if body else head


class Request(Message):
    """One request. `uri` is the Request-URI as it stands in the request line."""

    __slots__ = ("method", "uri")

    def __init__(self, method: str, uri: str, headers: Headers, body: bytes = b"", raw: bytes = b"") -> None:
        self.method = method
        self.uri = uri
        self.headers = headers
        self.body = body
        self.raw = raw
        self.__dict__ = headers._typed

    @property
    def request_uri(self) -> Uri:
        """Raises RemoteProtocolError(400) if it is malformed."""
        try:
            return parse_uri(self.uri)
        except RemoteProtocolError as fault:
            raise RemoteProtocolError(400, f"Request-URI: {fault.reason}", self._answerable()) from None

    def check(self) -> None:
        """Read all that whoever acts on a new request relies on: every Via, Route, Record-Route and Contact, From, To,
        Call-ID, Max-Forwards, Content-Type. Raises RemoteProtocolError for the first that is malformed.

        The parser leaves these to whoever asks, since most messages repeat what has been seen before.
        """
        _ = (self.via, self.from_, self.to, self.call_id, self.cseq)
        _ = (self.contact, self.max_forwards, self.content_type)
        headers = self.headers
        for key, parse in _CHECKED_LISTS:
            if key not in headers._names or (key in _ATTRIBUTES and headers.has_one(key)):
                continue
            try:
                for value in headers.values(key) or ("",):
                    parse(value)
            except RemoteProtocolError as fault:
                raise self._attributed(fault, key) from None

    def to_bytes(self, via: str = "") -> bytes:
        """The request as it goes on the wire; `via`, if given, is the value of our Via, which goes on top of all.

        Raises LocalProtocolError if the request line cannot be written.
        """
        start_line = f"{self.method} {self.uri} SIP/2.0"
        if start_line.count(" ") != 2:
            raise LocalProtocolError("space in method or Request-URI")
        _check_start_line(start_line)
        return self._written(f"{start_line}\r\nVia: {via}" if via else start_line)

    def _answerable(self) -> Request | None:
        return None if self.method == "ACK" else self

    def __repr__(self) -> str:
        return f"Request({self.method!r}, {self.uri!r}, {self.headers!r}, {self.body!r})"


_CHECKED_LISTS: tuple[tuple[str, Callable[[str], Via | NameAddress]], ...] = (
    ("via", parse_via),
    ("contact", parse_name_address),
    ("route", parse_name_address),
    ("record-route", parse_name_address),
)


class Response(Message):
    """One response. `reason` is the reason phrase, which may be empty."""

    __slots__ = ("reason", "status")

    def __init__(self, status: int, reason: str, headers: Headers, body: bytes = b"", raw: bytes = b"") -> None:
        self.status = status
        self.reason = reason
        self.headers = headers
        self.body = body
        self.raw = raw
        self.__dict__ = headers._typed

    def to_bytes(self) -> bytes:
        """The response as it goes on the wire. Raises LocalProtocolError if the status line cannot be written."""
        reason = self.reason
        if reason != REASONS.get(self.status):
            _check_start_line(reason)
        return self._written(f"SIP/2.0 {self.status:03d} {reason}")

    def __repr__(self) -> str:
        return f"Response({self.status!r}, {self.reason!r}, {self.headers!r}, {self.body!r})"


def make_response(
    request: Request,
    status: int,
    reason: str | None = None,
    to_tag: str | None = None,
    headers: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
) -> Response:
    """The response to `request` that 8.2.6 describes: its Via, From, To, Call-ID and CSeq, and for 100 its Timestamp.

    `to_tag` is added to a To that has no tag. Serves faulty requests too: what they lack, the response lacks, and of
    what they repeat it has the first.
    """
    keys, lines = _copied(request.headers, "timestamp" if status == 100 else "")
    if to_tag is not None and "to" in keys and not _has_tag(request):
        at = keys.index("to")
        lines[at] = f"{lines[at]};tag={to_tag}"
    built = Headers.of_lines(keys, lines, {})
    for name, value in headers:
        built.add(name, value)
    return Response(status, REASONS.get(status, "Unknown") if reason is None else reason, built, body)


_COPIED = ("via", "from", "to", "call-id", "cseq")


def _copied(received: Headers, besides: str) -> tuple[list[str], list[str]]:
    """The names and the lines of a request that its response repeats; `besides` is one more, or ""."""
    keys, lines = received._keys, received._lines
    if keys.count("via") == 1 and besides not in keys:
        at = keys.index
        try:
            first = [lines[at("via")], lines[at("from")], lines[at("to")], lines[at("call-id")], lines[at("cseq")]]
        except ValueError:  # a faulty request
            pass
        else:
            return [*_COPIED], first
    copied = [index for index, key in enumerate(keys) if key == "via"]
    copied += [keys.index(key) for key in (*_COPIED[1:], besides) if key in keys]
    return [keys[index] for index in copied], [lines[index] for index in copied]


def _has_tag(request: Request) -> bool:
    try:
        return "tag" in request.to.params
    except RemoteProtocolError:
        return False


def written_name(key: str) -> str:
    """A canonical header name as RFC 3261 writes it."""
    return {"call-id": "Call-ID", "cseq": "CSeq"}.get(key) or key.title()


REASONS = {
    100: "Trying",
    180: "Ringing",
    181: "Call Is Being Forwarded",
    182: "Queued",
    183: "Session Progress",
    199: "Early Dialog Terminated",
    200: "OK",
    202: "Accepted",
    204: "No Notification",
    300: "Multiple Choices",
    301: "Moved Permanently",
    302: "Moved Temporarily",
    305: "Use Proxy",
    380: "Alternative Service",
    400: "Bad Request",
    401: "Unauthorized",
    402: "Payment Required",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    407: "Proxy Authentication Required",
    408: "Request Timeout",
    410: "Gone",
    412: "Conditional Request Failed",
    413: "Request Entity Too Large",
    414: "Request-URI Too Long",
    415: "Unsupported Media Type",
    416: "Unsupported URI Scheme",
    417: "Unknown Resource-Priority",
    420: "Bad Extension",
    421: "Extension Required",
    422: "Session Interval Too Small",
    423: "Interval Too Brief",
    424: "Bad Location Information",
    425: "Bad Alert Message",
    428: "Use Identity Header",
    429: "Provide Referrer Identity",
    430: "Flow Failed",
    433: "Anonymity Disallowed",
    436: "Bad Identity Info",
    437: "Unsupported Credential",
    438: "Invalid Identity Header",
    439: "First Hop Lacks Outbound Support",
    440: "Max-Breadth Exceeded",
    469: "Bad Info Package",
    470: "Consent Needed",
    480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist",
    482: "Loop Detected",
    483: "Too Many Hops",
    484: "Address Incomplete",
    485: "Ambiguous",
    486: "Busy Here",
    487: "Request Terminated",
    488: "Not Acceptable Here",
    489: "Bad Event",
    491: "Request Pending",
    493: "Undecipherable",
    494: "Security Agreement Required",
    500: "Server Internal Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Server Time-out",
    505: "Version Not Supported",
    513: "Message Too Large",
    555: "Push Notification Service Not Supported",
    580: "Precondition Failure",
    600: "Busy Everywhere",
    603: "Decline",
    604: "Does Not Exist Anywhere",
    606: "Not Acceptable",
    607: "Unwanted",
    608: "Rejected",
}
"""IANA's registry of response codes, with the phrases of their RFCs."""
