"""Message bodies: the session description in them, which is rewritten, and the rest, which crosses or does not.

RFC 3261 sections 7.4 and 20.11 to 20.15, RFC 2046 section 5.1 (multipart), RFC 5621 (bodies in SIP). What we do not
understand crosses as it is; the element behind us knows what it may ignore. It does not cross where a host of a hidden
zone may stand in it, or a session that would lead media past us. What may not cross and must be understood refuses the
request (415); what need not be is left out.
"""

from __future__ import annotations

import binascii
import hashlib
import re
from collections.abc import Iterator
from typing import NamedTuple

from sbc.b2bua import documents
from sbc.b2bua.hooks import Reject
from sbc.b2bua.hosts import Border, names_host
from sbc.sip import RemoteProtocolError, Request, Response, SipError, parse_media_type, unquote

SDP = "application/sdp"
ACCEPT = "application/sdp, multipart/mixed, multipart/alternative, multipart/related"
"""What a body may be for us to find the session description in it."""
_MOST_PARTS = 32
_DEEPEST = 3
"""Limits of one message, containers in containers included."""


class Body(NamedTuple):
    """A body, or a part of one."""

    kind: str
    """type/subtype in lower case."""
    fields: tuple[tuple[str, str], ...]
    """Its Content-* header fields as received, but for Content-Length."""
    content: bytes
    """Empty for a container."""
    parts: tuple[Body, ...] = ()

    def field(self, name: str) -> str:
        """The value of one of its header fields, "" where there is none."""
        return next((value for key, value in self.fields if key.lower() == name), "")


# -- what is in a message ----------------------------------------------------------------------------------------------


def session_description(message: Request | Response) -> bytes:
    """The SDP in a message, alone or as a part; empty where there is none that we can read."""
    if not message.body:
        return b""
    try:
        kind = message.content_type
        if kind == SDP and "Content-Encoding" not in message.headers and "Content-Disposition" not in message.headers:
            return message.body
        body = read(message)
    except SipError:  # what cannot be read
        return b""
    session = None if body is None else _session(body)
    return b"" if session is None else _decoded(session) or b""


def read(message: Request | Response) -> Body | None:
    """The body of a message with its parts; None without one. Raises RemoteProtocolError(400)."""
    if not message.body:
        return None
    written = ((_COMPACT.get(name.lower(), name), value) for name, value in message.headers)
    fields = tuple((name, value) for name, value in written if _is_about_bodies(name))
    return _body(fields, message.body, [_MOST_PARTS], _DEEPEST)


_REPEATED = frozenset({"content-language"})
_COMPACT = {"c": "Content-Type", "e": "Content-Encoding"}


def _is_about_bodies(name: str) -> bool:
    lowered = name.lower()
    return lowered.startswith("content-") and lowered != "content-length"


def _body(fields: tuple[tuple[str, str], ...], content: bytes, room: list[int], depth: int) -> Body:
    """`room` holds how many more parts there may be."""
    room[0] -= 1
    if room[0] < 0 or depth < 0:
        raise RemoteProtocolError(400, "too many body parts")
    names = [name.lower() for name, _ in fields if name.lower() not in _REPEATED]
    if len(set(names)) < len(names):  # which of them counts others may see otherwise
        raise RemoteProtocolError(400, "repeated header of a body")
    text = next((value for name, value in fields if name.lower() == "content-type"), "")
    kind, params = parse_media_type(text) if text else ("text/plain", {})  # RFC 2046 5.1
    if not kind.startswith("multipart/") or kind in documents.CLOSED:
        return Body(kind, fields, content)
    boundary = unquote(params.get("boundary") or "")
    if not _is_boundary(boundary):
        raise RemoteProtocolError(400, "multipart body without a boundary")
    parts = tuple(_body(*_split(raw), room, depth - 1) for raw in _between(content, boundary))
    if not parts:
        raise RemoteProtocolError(400, "multipart body without a part")
    return Body(kind, fields, b"", parts)


_is_boundary = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]").fullmatch
"""RFC 2046 section 5.1.1."""


def _between(content: bytes, boundary: str) -> Iterator[bytes]:
    """What stands between the delimiter lines: whole lines, so that a boundary that begins like another one is not
    taken for it."""
    delimiter = re.compile(rb"(?:\A|\r\n)--" + re.escape(boundary.encode()) + rb"(--)?[ \t]*(?=\r\n|\Z)")
    start = None
    for match in delimiter.finditer(content):
        if start is not None and match.start() >= start:
            yield content[start : match.start()]
        if match[1]:
            return
        start = match.end() + 2
    raise RemoteProtocolError(400, "multipart body without its closing delimiter")


_FOLDED = re.compile(r"\r\n[ \t]+")
_FIELD = re.compile(r"([A-Za-z0-9.!%*_+`'~-]+)[ \t]*:[ \t]*(.*)")


def _split(raw: bytes) -> tuple[tuple[tuple[str, str], ...], bytes]:
    """Header fields and content of a part; fields that are none of Content-* mean nothing there (RFC 2046 5.1)."""
    if raw.startswith(b"\r\n"):
        return (), raw[2:]
    head, _, content = raw.partition(b"\r\n\r\n")
    try:
        lines = _FOLDED.sub(" ", head.decode()).split("\r\n")
    except UnicodeDecodeError:
        raise RemoteProtocolError(400, "malformed header of a body part") from None
    fields = []
    for line in lines:
        match = _FIELD.fullmatch(line.replace("\t", " "))
        if match is None or not line.replace("\t", " ").isprintable():
            raise RemoteProtocolError(400, "malformed header of a body part")
        if _is_about_bodies(match[1]):
            fields.append((match[1], match[2].rstrip(" ")))
    return tuple(fields), content


def _session(body: Body) -> Body | None:
    """The part that describes the session. Of alternatives the last one that is understood is meant (RFC 2046
    5.1.4)."""
    if not body.parts:
        return body if body.kind == SDP and _disposition(body) == "session" and _decoded(body) is not None else None
    order = reversed(body.parts) if body.kind == "multipart/alternative" else body.parts
    return next(filter(None, map(_session, order)), None)


def _disposition(body: Body) -> str:
    """RFC 3261 section 20.11: a session description without Content-Disposition is for the session."""
    value = body.field("content-disposition").partition(";")[0].strip().lower()
    return value or ("session" if body.kind == SDP else "render")


_OPTIONAL = re.compile(r";\s*handling\s*=\s*\"?optional\b", re.IGNORECASE)


def _is_required(body: Body) -> bool:
    """Section 20.11: without the parameter `handling` it is."""
    return _OPTIONAL.search(body.field("content-disposition")) is None


def _decoded(body: Body) -> bytes | None:
    """The content without its transfer encoding (RFC 2045 section 6); None where we cannot read it."""
    if body.field("content-encoding").strip().lower() not in ("", "identity"):
        return None
    encoding = body.field("content-transfer-encoding").strip().lower()
    try:
        if encoding == "base64":
            return binascii.a2b_base64(body.content)
        if encoding == "quoted-printable":
            return binascii.a2b_qp(body.content)
    except binascii.Error:
        return None
    return body.content if encoding in ("", "7bit", "8bit", "binary") else None


# -- what may cross ----------------------------------------------------------------------------------------------------


def refusal(request: Request, border: Border, *, offers: bool = True) -> Reject | None:
    """Why a request cannot cross with its body, or None. `offers`: its session description is one that we rewrite."""
    if not request.body:
        return None
    headers = request.headers
    plain = "Content-Encoding" not in headers and "Content-Disposition" not in headers
    if offers and plain and request.content_type == SDP:
        return None
    if offers and "Content-Type" not in headers:
        return Reject("bodies", 415, "body of no type", headers=(("Accept", ACCEPT),))
    try:
        body = read(request)
    except RemoteProtocolError as fault:
        return Reject("bodies", fault.status_hint, fault.reason)
    assert body is not None
    denied = _denied(body, _session(body) if offers else None, border)
    if denied is None:
        return None
    part, why = denied
    reason = f"body of type {part.kind}: {why.reason}"
    if why.status_hint != 415:
        return Reject("bodies", why.status_hint, reason, why.reason)
    if part.field("content-encoding"):
        return Reject("bodies", 415, f"encoded {reason}", headers=(("Accept-Encoding", "identity"),))
    return Reject("bodies", 415, reason, headers=(("Accept", ACCEPT),))


def _denied(body: Body, session: Body | None, border: Border) -> tuple[Body, RemoteProtocolError] | None:
    """The first part that has to be understood and may not cross, and why."""
    if body is session or not _is_required(body):
        return None
    if not body.parts:
        try:
            _passed(body, border)
        except RemoteProtocolError as fault:
            return body, fault
        return None
    denied = [_denied(part, session, border) for part in body.parts]
    if body.kind == "multipart/alternative" and not all(denied):
        return None  # another alternative says the same
    return next(filter(None, denied), None)


def _passed(body: Body, border: Border) -> Body:
    """A part that is not the session as it may be seen on the other side. Raises RemoteProtocolError where it may
    not."""
    if not border.hidden and not documents.is_read(body.kind):
        return body
    content = _decoded(body)
    if content is None:
        raise RemoteProtocolError(415, "nobody knows what it says")
    if border.hidden:
        told = " ".join(value for name, value in body.fields if name.lower() not in _MASKED)
        if names_host(told, border):
            raise RemoteProtocolError(415, "its header names a host")
    written = documents.crossed(body.kind, content, border)
    if written is content or written == content:
        return body
    plain = tuple(each for each in body.fields if each[0].lower() != "content-transfer-encoding")
    return body._replace(fields=plain, content=written)


_MASKED = frozenset({"content-id", "content-location"})
"""Fields that name hosts by their nature: see `_shown`."""


def _crossed(body: Body, session: Body | None, sdp: bytes, border: Border, left_out: list[str]) -> Body | None:
    """`body` for the other side, `sdp` in place of its session description; None where nothing of it is left. What does
    not cross is told to `left_out`."""
    if body is session:
        return _described(body, sdp, border) if sdp else None
    if not body.parts:
        try:
            passed = _passed(body, border)
        except RemoteProtocolError as fault:
            left_out.append(f"body of type {body.kind}: {fault.reason}")
            return None
        return passed._replace(fields=_shown(passed, border))
    kept = tuple(filter(None, (_crossed(part, session, sdp, border, left_out) for part in body.parts)))
    if len(kept) < 2:
        return kept[0] if kept else None
    return body._replace(fields=_shown(body, border), parts=kept)


def _described(body: Body, sdp: bytes, border: Border) -> Body:
    kept = tuple(
        (name, value)
        for name, value in _shown(body, border)
        if name.lower() in ("content-disposition", "content-id") and not (border.hidden and names_host(value, border))
    )
    return Body(SDP, (("Content-Type", SDP), *kept), sdp)


def _shown(body: Body, border: Border) -> tuple[tuple[str, str], ...]:
    """The header fields of a part that crosses, without what names hosts."""
    if not border.hidden and not any(
        name.lower() in _MASKED and names_host(value, border) for name, value in body.fields
    ):
        return body.fields
    shown = []
    for name, value in body.fields:
        key = name.lower()
        if key == "content-id":
            value = masked_reference(value, border)
        elif key == "content-location":
            continue
        elif border.hidden and body.parts and names_host(_BOUNDARY.sub("", value), border):
            value = body.kind if key == "content-type" else ""
        if value:
            shown.append((name, value))
    return tuple(shown)


def masked_reference(text: str, border: Border) -> str:
    """A Content-ID, or what refers to it by cid: (RFC 2392), with our host; "" where that does not help."""
    masked = _REFERENCE.sub(lambda match: _masked(match[0], border), text)
    return "" if names_host(masked.replace(border.our_host, ""), border) else masked


def _masked(reference: str, border: Border) -> str:
    name, at, _ = reference.replace("%40", "@").partition("@")
    return f"{name}@{border.our_host}>" if at else reference


_REFERENCE = re.compile(r"<[^<>\s]*>")


# -- what is sent ------------------------------------------------------------------------------------------------------


def put(
    built: Request | Response, sdp: bytes, received: Request | Response | None = None, border: Border | None = None
) -> str:
    """Give `built`, whose headers have crossed, its body: `sdp`, and what else of the body of `received` crosses. In
    words what of that had to be left out, and why; "" where nothing had."""
    if received is None or border is None or not received.body:
        _put_sdp(built, sdp)
        return ""
    headers = received.headers
    left_out: list[str] = []
    try:
        if received.content_type == SDP and "Content-Disposition" not in headers:
            _put_sdp(built, sdp)
            return ""
        body = read(received)
    except SipError as fault:
        body = None
        left_out.append(f"body: {fault}")
    for name in ("Content-Disposition", "Content-Language", "MIME-Version"):
        built.headers.remove(name)
    crossed = None
    if body is not None:
        session = _session(body)
        crossed = _crossed(body, session, sdp, border, left_out)
        if sdp and session is None:
            crossed = _with_session(crossed, sdp)
    if crossed is None:
        _put_sdp(built, sdp)
        return "; ".join(left_out)
    fields, built.body = _written(crossed)
    for name, value in fields:
        built.headers.set(name, value)
    if crossed.parts:
        built.headers.set("MIME-Version", "1.0")
    return "; ".join(left_out)


def _with_session(crossed: Body | None, sdp: bytes) -> Body:
    described = Body(SDP, (("Content-Type", SDP),), sdp)
    if crossed is None:
        return described
    if crossed.kind == _MIXED:
        return crossed._replace(parts=(described, *crossed.parts))
    return Body(_MIXED, (("Content-Type", _MIXED),), b"", (described, crossed))


_MIXED = "multipart/mixed"


def _put_sdp(built: Request | Response, sdp: bytes) -> None:
    if sdp:
        built.body = sdp
        built.headers.add("Content-Type", SDP)


def _written(body: Body) -> tuple[tuple[tuple[str, str], ...], bytes]:
    """Header fields and octets of a body. The boundary of a container is made from what stands between: that cannot
    hold it (RFC 2046 section 5.1.1)."""
    if not body.parts:
        return body.fields, body.content
    parts = []
    for part in body.parts:
        fields, content = _written(part)
        parts.append("".join(f"{name}: {value}\r\n" for name, value in fields).encode() + b"\r\n" + content)
    boundary = hashlib.blake2b(b"".join(parts), digest_size=15).hexdigest()
    line = b"--" + boundary.encode()
    octets = b"".join(line + b"\r\n" + part + b"\r\n" for part in parts) + line + b"--\r\n"
    return tuple(_with_boundary(name, value, boundary) for name, value in body.fields), octets


def _with_boundary(name: str, value: str, boundary: str) -> tuple[str, str]:
    if name.lower() != "content-type":
        return name, value
    return name, f'{_BOUNDARY.sub("", value)};boundary="{boundary}"'


_BOUNDARY = re.compile(r";\s*boundary\s*=\s*(?:\"(?:[^\"\\]|\\.)*\"|[^\s;\"]*)", re.IGNORECASE)
