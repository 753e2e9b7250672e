"""What of a body crosses, by its type: one table for requests and responses, whichever way they go.

Bodies that name addresses by their nature (who is present, what calls there are, where somebody is registered) are
rewritten: in URIs the user stays and the host becomes ours, dialogs are named as our own ones on the other side
(`Border.dialog`), what names a host besides is left out. Out of a hidden zone that holds for every host, out of another
one for IP addresses and names that mean nothing elsewhere: phones name themselves by them.

XML is read by expat before anybody behind us reads it: without document types, so that no entity expands, and within
limits. It is written anew, without comments and processing instructions, unless nothing of it had to be changed.

RFC 3680 (reginfo), 3842 (message summary), 3858 (watcherinfo), 3863 and 4479 (pidf), 4235 (dialog-info), 4575
(conference-info), 4662 (rlmi), 6910 (call-completion), 3420 (sipfrag), 6035 (vq-rtcpxr).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

from sbc.b2bua.hosts import Border, display_name, masked_uri, masked_user, names_host
from sbc.sip import NameAddress, RemoteProtocolError, SipError, parse_name_address

_LARGEST = 64 * 1024
_DEEPEST = 32
_MOST_ELEMENTS = 4096
_MOST_ATTRIBUTES = 64


@lru_cache(4)
def crossed(kind: str, content: bytes, border: Border) -> bytes:
    """A body of type `kind` as the other side may see it. Raises RemoteProtocolError where it may not: 400 if it is
    malformed or could do harm to who reads it, 413 if it is too large, else 415.

    A request is looked at before it crosses: what it was then is not worked out again."""
    treatment = TREATMENTS.get(kind) or (_read if _is_xml(kind) else _looked_at)
    try:
        return treatment(content, border)
    except UnicodeError:
        raise RemoteProtocolError(400, "not UTF-8") from None


def is_read(kind: str) -> bool:
    """Whether bodies of that type are read, in any direction: they do not cross where they cannot be."""
    return kind in TREATMENTS or _is_xml(kind)


def _is_xml(kind: str) -> bool:
    return kind.endswith("+xml") or kind in ("application/xml", "text/xml")


def _named(where: str) -> RemoteProtocolError:
    return RemoteProtocolError(415, f"{where} names a host")


def _check(text: str, border: Border) -> None:
    """A last look at what is to cross."""
    for ours in (border.our_host, "" if border.hidden else border.there):
        text = text.replace(ours, " ") if ours else text
    if names_host(text, border):
        raise _named("it")


# -- values ------------------------------------------------------------------------------------------------------------

_is_uri = re.compile(r"(?:sips?|tel|pres|im|urn:service):[^\s<>\"]+", re.IGNORECASE).fullmatch
_is_address = re.compile(r"[^<>]*<(?:sips?|tel):[^<>]+>.*", re.IGNORECASE | re.DOTALL).fullmatch


def _value(text: str, border: Border) -> str:
    """A value: an address with our host, other text unless it names a host of the other side."""
    bare = text.strip()
    if _is_uri(bare):
        return _uri(bare, border)
    if _is_address(bare):
        try:
            address = parse_name_address(bare)
        except SipError:
            return ""
        uri, name = _uri(address.uri_text, border), display_name(address, border)
        if not border.hidden and uri == address.uri_text and not names_host(text, border):
            return text
        return f"{name} <{uri}>" if name and not names_host(name, border) else f"<{uri}>"
    return "" if names_host(text, border) else text


def _uri(text: str, border: Border) -> str:
    scheme, _, rest = text.partition(":")
    mailbox = scheme.lower() in ("pres", "im")  # RFC 3859, 3860: user@domain, as a mailbox
    try:
        address = NameAddress("", f"sip:{rest}" if mailbox else text)
        if not border.hidden:
            border = border._replace(our_host=_place(address.uri.host, border))
            if border.our_host == address.uri.host and not names_host(text, border):
                return text
        masked = masked_uri(address, border)
    except SipError:
        masked = f"sip:anonymous@{border.our_host}"
    if not mailbox:
        return masked
    user = masked_user(rest.rpartition("@")[0], border) or "anonymous"
    return f"{scheme}:{user}@{border.our_host}"


_means_something_elsewhere = re.compile(
    r"[\w-]+(?:\.[\w-]+)*\.(?!(?:local|localdomain|lan|home|internal|intranet|private|invalid|arpa)\.?$)[a-z][\w-]*\.?",
    re.IGNORECASE,
).fullmatch


def _place(host: str, border: Border) -> str:
    """What stands for `host` of a zone that is not hidden: a domain is the same everywhere; where we are meant, who the
    body goes to is meant there; an address or the name of a machine becomes us."""
    if not host or _means_something_elsewhere(host):
        return host
    if host in border.ours and border.there:
        return f"[{border.there}]" if ":" in border.there else border.there
    return border.our_host


def _opaque(text: str, border: Border) -> str:
    return border.dialog(text, "", "")[0] if border.dialog is not None else ""


# -- XML ---------------------------------------------------------------------------------------------------------------


_PRODUCT = frozenset({"user-agent", "user_agent", "useragent"})
_NAMED_BY_CALL = frozenset({"call-id", "callid", "from-tag", "to-tag", "local-tag", "remote-tag"})
"""Attributes, and elements of conference-info, that hold what names a dialog."""


_AS_ASCII = frozenset({"", "utf-8", "us-ascii", "iso-8859-1", "iso-8859-15", "windows-1252"})
"""Encodings by which nobody can take for markup what was not read as such here, nor the other way round."""


class _Reader:
    """Looks at a document while it is parsed, and raises where it is too much."""

    def __init__(self, border: Border) -> None:
        self._border = border
        self._open: list[str] = []
        self._elements = 0
        self.as_ascii = True
        """Its markup is the same to everybody who reads it."""

    def start(self, name: str, attributes: list[str]) -> None:
        self._elements += 1
        if len(self._open) >= _DEEPEST or self._elements > _MOST_ELEMENTS or len(attributes) > 2 * _MOST_ATTRIBUTES:
            raise RemoteProtocolError(413, "XML of too many elements, levels or attributes")
        self._open.append(_local(name))

    def end(self, name: str) -> None:
        self._open.pop()

    def declared(self, version: str, encoding: str | None, standalone: int) -> None:
        self.as_ascii = (encoding or "").lower() in _AS_ASCII

    def listen(self, parser: expat.XMLParserType) -> None:
        parser.StartElementHandler = self.start
        parser.EndElementHandler = self.end


class _Copy(_Reader):
    """Writes what it is told of a document, changed for the other side."""

    def __init__(self, border: Border) -> None:
        super().__init__(border)
        self._out = ['<?xml version="1.0" encoding="UTF-8"?>\n']
        self._text: list[str] = []
        self._named: set[str] = set()
        """How the other side itself names dialogs, where that holds addresses of its own."""
        self.changed = False
        """The document does not cross as it is."""

    def listen(self, parser: expat.XMLParserType) -> None:
        super().listen(parser)
        parser.CharacterDataHandler = self._text.append
        parser.CommentHandler = parser.ProcessingInstructionHandler = self._left_out

    def _left_out(self, *_: str) -> None:
        self.changed = True

    def start(self, name: str, attributes: list[str]) -> None:
        self._flush()
        super().start(name, attributes)
        pairs = dict(zip(attributes[::2], attributes[1::2], strict=True))
        changed = self._attributes(name, pairs)
        self.changed = self.changed or changed != list(pairs.items())
        written = "".join(f" {key}={quoteattr(value)}" for key, value in changed if value)
        self._out.append(f"<{name}{written}>")

    def _attributes(self, element: str, pairs: dict[str, str]) -> list[tuple[str, str]]:
        border = self._border
        names: dict[str, str] = {}
        if "call-id" in pairs:
            names = self._dialog(pairs)
        changed = []
        of_dialog = _local(element) == "dialog"
        for key, value in pairs.items():
            local = _local(key)
            if key in names:
                value = names[key]
                if names_host(value, border):
                    self._named.add(value)
            elif local in _NAMED_BY_CALL or (local == "id" and (of_dialog or names_host(value, border))):
                value = _opaque(value, border)
            elif local in _PRODUCT and border.hidden:
                continue
            else:
                is_namespace = key == "xmlns" or key.startswith("xmlns:")
                value = value if is_namespace else _value(value, border)
            changed.append((key, value))
        return changed

    def _dialog(self, pairs: dict[str, str]) -> dict[str, str]:
        """RFC 4235 section 4.1.1: the dialog in the terms of the side that is told of it."""
        keys = ("call-id", "local-tag", "remote-tag")
        if self._border.dialog is None:
            return dict.fromkeys(keys, "")
        return dict(zip(keys, self._border.dialog(*(pairs.get(key, "") for key in keys)), strict=True))

    def end(self, name: str) -> None:
        self._flush()
        super().end(name)
        self._out.append(f"</{name}>")

    def _flush(self) -> None:
        if not self._text:
            return
        text = "".join(self._text)
        self._text.clear()
        crossed = text if text.isspace() else self._told(self._open[-1], text)
        self.changed = self.changed or crossed != text
        self._out.append(escape(crossed))

    def _told(self, element: str, text: str) -> str:
        if element in _NAMED_BY_CALL:
            return _opaque(text.strip(), self._border)
        if element in _PRODUCT and self._border.hidden:
            return ""
        return _value(text, self._border)

    def written(self) -> str:
        """All of it, once more looked at, whatever has been done to it."""
        text = rest = "".join(self._out)
        for name in self._named:
            rest = rest.replace(name, " ")
        _check(rest, self._border)
        return text


def _local(name: str) -> str:
    return name.rpartition(":")[2].lower()


def _refuse(*_: object) -> None:
    raise RemoteProtocolError(400, "XML with a document type")


def _parse(content: bytes, reader: _Reader) -> None:
    if len(content) > _LARGEST:
        raise RemoteProtocolError(413, f"XML of {len(content)} bytes")
    parser = expat.ParserCreate("UTF-8")  # whatever the document says of itself: others are not read
    parser.ordered_attributes = True
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse  # no entities, no external subsets
    parser.EntityDeclHandler = _refuse
    parser.XmlDeclHandler = reader.declared
    reader.listen(parser)
    try:
        parser.Parse(content, True)
    except expat.ExpatError:
        raise RemoteProtocolError(400, "XML that cannot be read") from None


def _xml(content: bytes, border: Border) -> bytes:
    copy = _Copy(border)
    _parse(content, copy)
    written = copy.written()
    return written.encode() if border.hidden or copy.changed or not copy.as_ascii else content


def _read(content: bytes, border: Border) -> bytes:
    """XML of a type that nobody here knows: as it is, once it is sure that it does no harm to read it."""
    reader = _Reader(border)
    _parse(content, reader)
    if not reader.as_ascii:
        raise RemoteProtocolError(415, "XML in an encoding that is not read")
    return _looked_at(content, border)


# -- lines -------------------------------------------------------------------------------------------------------------


def _lines(content: bytes, border: Border) -> bytes:
    """Name and value on each line."""
    return _by_line(content, border, lambda name, value: _value(value, border))


def _voice_quality(content: bytes, border: Border) -> bytes:
    """RFC 6035 section 4.6: what names the call, and who measured where."""

    def changed(name: str, value: str) -> str:
        if name == "callid":
            return _opaque(value, border)
        if name == "dialogid":
            return _dialog_id(value, border)
        if border.hidden and name in ("x-useragent", "localmac", "localgroup"):
            return ""
        rest = _MEASURED_AT.sub("", value)
        if rest == value or names_host(rest, border):
            return _value(value, border)
        return _MEASURED_AT.sub(f"IP={border.our_host.strip('[]')}", value)

    return _by_line(content, border, changed)


_MEASURED_AT = re.compile(r"\bIP=[0-9A-Fa-f.:]+")
_DIALOG_ID = re.compile(r"([^;\s]+)((?:\s*;\s*(?:to|from)-tag\s*=\s*[^;\s]+){0,2})")


def _dialog_id(value: str, border: Border) -> str:
    match = _DIALOG_ID.fullmatch(value)
    if match is None or border.dialog is None:
        return ""
    tags = dict(re.findall(r"(to|from)-tag\s*=\s*([^;\s]+)", match[2]))
    call_id, to_tag, from_tag = border.dialog(match[1], tags.get("to", ""), tags.get("from", ""))
    return call_id + (f";to-tag={to_tag}" if to_tag else "") + (f";from-tag={from_tag}" if from_tag else "")


def _by_line(content: bytes, border: Border, changed: Callable[[str, str], str]) -> bytes:
    if len(content) > _LARGEST:
        raise RemoteProtocolError(413, f"{len(content)} bytes")
    kept = []
    for line in content.decode().splitlines():
        name, colon, value = line.partition(":")
        if not colon:
            kept.append(_value(line, border))
            continue
        told = changed(name.strip().lower(), value.strip())
        if (told or not value.strip()) and not names_host(name, border):
            kept.append(f"{name}: {told}")
    written = "".join(f"{line}\r\n" for line in kept)
    _check(written, border)
    return written.encode()


_status_line = re.compile(rb"\s*(SIP/2\.0 +[1-6]\d\d)(?= |\r|\n|$)").match


def _fragment(content: bytes, border: Border) -> bytes:
    """The status line of a response, without its words: the rest is header fields of the other side."""
    line = _status_line(content)
    if line is None:
        raise RemoteProtocolError(415, "a part of a message that is no response")
    return line[1] + b" \r\n"


# -- everything --------------------------------------------------------------------------------------------------------


def _looked_at(content: bytes, border: Border) -> bytes:
    """As it is; out of a hidden zone only what names no host."""
    # without NUL, text of two octets a character can be read, too
    if border.hidden and names_host(content.replace(bytes(1), b"").decode("latin-1"), border):
        raise _named("it")
    return content


def _denied(content: bytes, border: Border) -> bytes:
    """What may hold a session description, or lead to one, that we cannot rewrite."""
    raise RemoteProtocolError(415, "it may lead media past us")


TREATMENTS: dict[str, Callable[[bytes, Border], bytes]] = {
    "application/sdp": _denied,  # but for the one that describes the session
    "application/pkcs7-mime": _denied,
    "message/external-body": _denied,
    "message/sip": _denied,
    "multipart/encrypted": _denied,
    "multipart/signed": _denied,
    "application/dialog-info+xml": _xml,
    "application/pidf+xml": _xml,
    "application/pidf-diff+xml": _xml,
    "application/cpim-pidf+xml": _xml,
    "application/reginfo+xml": _xml,
    "application/conference-info+xml": _xml,
    "application/watcherinfo+xml": _xml,
    "application/rlmi+xml": _xml,
    "application/x-as-feature-event+xml": _xml,
    "application/simple-message-summary": _lines,
    "application/call-completion": _lines,
    "application/vq-rtcpxr": _voice_quality,
    "message/sipfrag": _fragment,
}
"""What is done to each type, in either direction. Other XML is read and crosses as it is (`_read`), other types do so
unread (`_looked_at`): out of a hidden zone only where they name no host."""
CLOSED = frozenset(kind for kind, treatment in TREATMENTS.items() if treatment is _denied)
