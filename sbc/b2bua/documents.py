"""Bodies that name addresses by their nature: who is present, what calls there are, where somebody is registered.

Out of a hidden zone they cross rewritten by their type: in URIs the user stays and the host becomes ours, dialogs are
named as our own ones on the other side (`Border.dialog`), what names a host besides is left out. XML is read by expat
without document types, so that no entity expands, and within limits; it is written anew, without comments and
processing instructions.

RFC 3680 (reginfo), 3842 (message summary), 3858 (watcherinfo), 3863 and 4479 (pidf), 4235 (dialog-info), 4575
(conference-info), 4662 (rlmi), 6910 (call-completion), 3420 (sipfrag).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

from sbc.b2bua.hosts import Border, display_name, masked_uri, masked_user, names_host
from sbc.sip import NameAddress, SipError, parse_name_address

_LARGEST = 64 * 1024
_DEEPEST = 32
_MOST_ELEMENTS = 4096
_MOST_ATTRIBUTES = 64


def rewritten(kind: str, content: bytes, border: Border) -> bytes | None:
    """A body of one of `KINDS` for the other side of a hidden zone's border; None where it may not cross."""
    if len(content) > _LARGEST:
        return None
    try:
        return KINDS[kind](content, border).encode()
    except (_RefusedError, UnicodeError):
        return None


class _RefusedError(Exception):
    """This document does not cross."""


def _checked(text: str, border: Border) -> str:
    """`text`, once more looked at, whatever has been done to it."""
    if names_host(text.replace(border.our_host, " ") if border.our_host else text, border):
        raise _RefusedError
    return text


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
        name = display_name(address, border)
        return f"{name} <{masked_uri(address, border)}>" if name else f"<{masked_uri(address, border)}>"
    return "" if names_host(text, border) else text


def _uri(text: str, border: Border) -> str:
    scheme, _, rest = text.partition(":")
    if scheme.lower() in ("pres", "im"):  # RFC 3859, 3860: user@domain, as a mailbox
        user = masked_user(rest.rpartition("@")[0], border) or "anonymous"
        return f"{scheme}:{user}@{border.our_host}"
    try:
        return masked_uri(NameAddress("", text), border)
    except SipError:
        return f"sip:anonymous@{border.our_host}"


def _opaque(text: str, border: Border) -> str:
    return border.dialog(text, "", "")[0] if border.dialog is not None else ""


# -- XML ---------------------------------------------------------------------------------------------------------------


_PRODUCT = frozenset({"user-agent", "user_agent", "useragent"})
_NAMED_BY_CALL = frozenset({"call-id", "callid", "from-tag", "to-tag", "local-tag", "remote-tag"})
"""Attributes, and elements of conference-info, that hold what names a dialog."""


class _Copy:
    """Writes what it is told of a document, changed for the other side."""

    def __init__(self, border: Border) -> None:
        self._border = border
        self._out = ['<?xml version="1.0" encoding="UTF-8"?>\n']
        self._open: list[str] = []
        self._text: list[str] = []
        self._elements = 0

    def start(self, name: str, attributes: list[str]) -> None:
        self._flush()
        self._elements += 1
        if len(self._open) >= _DEEPEST or self._elements > _MOST_ELEMENTS or len(attributes) > 2 * _MOST_ATTRIBUTES:
            raise _RefusedError
        pairs = dict(zip(attributes[::2], attributes[1::2], strict=True))
        written = "".join(f" {key}={quoteattr(value)}" for key, value in self._attributes(name, pairs) if value)
        self._out.append(f"<{_checked(name, self._border)}{written}>")
        self._open.append(_local(name))

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
            elif local in _NAMED_BY_CALL or (local == "id" and (of_dialog or names_host(value, border))):
                value = _opaque(value, border)
            elif local in _PRODUCT:
                continue
            else:
                is_namespace = key == "xmlns" or key.startswith("xmlns:")
                value = _checked(value if is_namespace else _value(value, border), border)
            changed.append((_checked(key, border), value))
        return changed

    def _dialog(self, pairs: dict[str, str]) -> dict[str, str]:
        """RFC 4235 section 4.1.1: the dialog in the terms of the side that is told of it."""
        keys = ("call-id", "local-tag", "remote-tag")
        if self._border.dialog is None:
            return dict.fromkeys(keys, "")
        return dict(zip(keys, self._border.dialog(*(pairs.get(key, "") for key in keys)), strict=True))

    def end(self, name: str) -> None:
        self._flush()
        self._open.pop()
        self._out.append(f"</{name}>")

    def text(self, data: str) -> None:
        self._text.append(data)

    def _flush(self) -> None:
        if not self._text:
            return
        text = "".join(self._text)
        self._text.clear()
        if text.isspace():
            self._out.append(text)
        elif self._open and self._open[-1] in _NAMED_BY_CALL:
            self._out.append(_opaque(text.strip(), self._border))
        elif not (self._open and self._open[-1] in _PRODUCT):
            self._out.append(escape(_checked(_value(text, self._border), self._border)))

    def written(self) -> str:
        return "".join(self._out)


def _local(name: str) -> str:
    return name.rpartition(":")[2].lower()


def _refuse(*_: object) -> None:
    raise _RefusedError


def _xml(content: bytes, border: Border) -> str:
    parser = expat.ParserCreate("UTF-8")  # whatever the document says of itself: others are not read
    parser.ordered_attributes = True
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse  # no entities, no external subsets
    parser.EntityDeclHandler = _refuse
    copy = _Copy(border)
    parser.StartElementHandler = copy.start
    parser.EndElementHandler = copy.end
    parser.CharacterDataHandler = copy.text
    try:
        parser.Parse(content, True)
    except expat.ExpatError:
        raise _RefusedError from None
    return copy.written()


# -- lines -------------------------------------------------------------------------------------------------------------


def _lines(content: bytes, border: Border) -> str:
    """Name and value on each line."""
    kept = []
    for line in content.decode().splitlines():
        name, colon, value = line.partition(":")
        if not colon:
            kept.append(_value(line, border))
            continue
        changed = _value(value.strip(), border)
        if (changed or not value.strip()) and not names_host(name, border):
            kept.append(f"{name}: {changed}")
    return _checked("".join(f"{line}\r\n" for line in kept), border)


_status_line = re.compile(rb"\s*(SIP/2\.0 +[1-6]\d\d)(?= |\r|\n|$)").match


def _fragment(content: bytes, border: Border) -> str:
    """The status line of a response, without its words: the rest is header fields of the other side."""
    line = _status_line(content)
    if line is None:
        raise _RefusedError
    return f"{line[1].decode()} \r\n"


KINDS: dict[str, Callable[[bytes, Border], str]] = {
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
    "message/sipfrag": _fragment,
}
"""How each type is rewritten. Others cross only where they name no host."""
