"""RTP formats of one stream: what they are called, which of them may pass, and by which payload number a side knows
them.

A format is known by its encoding name, clock rate and channels (RFC 3551, RFC 8866 section 6.6); its payload number is
a side's own affair, and must not change its meaning while a session lasts (RFC 3264 section 8.3.2).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import translate
from functools import lru_cache
from typing import NamedTuple

from sbc.media.facts import MediaProfile
from sbc.media.reading import MEMORABLE, STATIC_CODECS, read_section
from sbc.sdp import split_lines

EVENT = "telephone-event"

_AUXILIARY = frozenset({EVENT, "tone", "cn", "red", "rtx", "ulpfec", "parityfec", "flexfec", "flexfec-03"})
"""What carries no media without another format beside it."""
_MEDIA_TYPES = frozenset({"audio", "video", "text", "application", "image"})
_NUMBERED = frozenset({"rtpmap", "fmtp", "rtcp-fb", "imageattr", "framesize"})
"""Attributes that begin with a payload number (or *)."""
_APT = re.compile(r"(?<![\w-])apt=(\d+)")
_REDUNDANT = re.compile(r"\d+(?:/\d+)+")

Changes = tuple[tuple[str, str], ...]
"""Payload numbers that change: (as it is, as it becomes)."""


class Format(NamedTuple):
    number: str
    """RTP payload type, as written."""
    name: str
    """"pcmu/8000", "opus/48000/2", in lower case; "" where nothing names it."""
    parameters: str
    """Value of its a=fmtp."""
    rate: int
    """Clock rate in Hz; 8000 where nothing says it."""

    @property
    def encoding(self) -> str:
        return self.name.partition("/")[0]

    def matters(self, ends_events: bool) -> bool:
        """Whether something is lost when the other side does not know it."""
        return self.encoding not in _AUXILIARY or (self.encoding == EVENT and not ends_events)


Formats = tuple[Format, ...]


def made_format(number: str, encoding: str, parameters: str = "") -> Format:
    """`encoding` as in a=rtpmap."""
    parts = encoding.lower().split("/")
    rate = parts[1] if len(parts) > 1 else ""
    if len(parts) == 3 and parts[2] == "1":
        del parts[2]
    known = rate.isascii() and rate.isdigit() and 0 < len(rate) < 8 and int(rate) > 0
    return Format(number, "/".join(parts), parameters, int(rate) if known else 8000)


def read_formats(format_list: str, body: str) -> Formats:
    """The formats of an m-line, in its order, with what the lines after it say of them."""
    short = len(body) < MEMORABLE and len(format_list) < MEMORABLE
    return _read_formats(format_list, body) if short else _read_formats.__wrapped__(format_list, body)


@lru_cache(maxsize=1024)
def _read_formats(format_list: str, body: str) -> Formats:
    encodings = read_section(body).encodings
    parameters: dict[str, str] = {}
    for line in split_lines(body):
        if line.startswith("a=fmtp:"):
            number, _, value = line[7:].partition(" ")
            parameters.setdefault(number, value.strip())
    return tuple(
        made_format(number, encodings.get(number) or STATIC_CODECS.get(number, ""), parameters.get(number, ""))
        for number in dict.fromkeys(format_list.split())
    )


# -- which may pass ----------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1024)
def permitted(media: str, formats: Formats, one: MediaProfile, other: MediaProfile) -> Formats:
    """Those that both sides' profiles let pass, without those that mean nothing alone any more; empty if no media is
    left."""
    kept = [f for f in formats if passes(one, media, f.name) and passes(other, media, f.name)]
    while True:  # what refers to a format that is gone goes with it (RFC 4588 section 8.6, RFC 2198 section 5)
        numbers = {f.number for f in kept}
        alone = [f for f in kept if _refers_to(f) <= numbers]
        if len(alone) == len(kept):
            break
        kept = alone
    had_media = any(f.encoding not in _AUXILIARY for f in formats)
    if had_media and all(f.encoding in _AUXILIARY for f in kept):
        return ()
    return tuple(kept)


@lru_cache(maxsize=1024)
def speakable(media: str, formats: Formats, passing: Formats, own: MediaProfile) -> Formats:
    """Of `formats` that a side said those that are `passing`, and telephone-events that its own profile lets pass: we
    may take them ourselves where the other side must not have them."""
    return tuple(f for f in formats if f in passing or (f.encoding == EVENT and passes(own, media, f.name)))


def passes(profile: MediaProfile, media: str, name: str) -> bool:
    """Whether a side of this profile may speak the format `name`."""
    if profile.allow and not any(matches(pattern, media, name) for pattern in profile.allow):
        return False
    return not any(matches(pattern, media, name) for pattern in profile.deny)


def _refers_to(format_: Format) -> set[str]:
    numbers = set(_APT.findall(format_.parameters))
    if format_.encoding == "red" and _REDUNDANT.fullmatch(format_.parameters):
        numbers.update(format_.parameters.split("/"))
    return numbers


@lru_cache(maxsize=4096)
def matches(pattern: str, media: str, name: str) -> bool:
    """Whether `name` of media type `media` is what `pattern` of a profile means."""
    kind, slash, rest = pattern.lower().partition("/")
    if slash and kind in _MEDIA_TYPES:
        return kind == media and matches(rest, media, name)
    expression = re.compile(translate(pattern.lower()))
    parts = name.split("/")
    return any(expression.match("/".join(parts[:count])) for count in range(1, len(parts) + 1))


@lru_cache(maxsize=1024)
def ordered(media: str, formats: Formats, order: tuple[str, ...]) -> Formats:
    """Those that `order` names first, in its order."""

    def rank(format_: Format) -> int:
        return next((i for i, pattern in enumerate(order) if matches(pattern, media, format_.name)), len(order))

    return tuple(sorted(formats, key=rank))


def events(formats: Formats) -> tuple[tuple[int, int], ...]:
    """(payload number, clock rate) of each telephone-event."""
    return tuple((int(f.number), f.rate) for f in formats if f.encoding == EVENT and _is_number(f.number))


def has_events(formats: Formats) -> bool:
    return any(f.name.startswith(EVENT) for f in formats)


def without_events(formats: Formats) -> Formats:
    return tuple(f for f in formats if f.encoding != EVENT)


def media_rate(formats: Formats) -> int:
    """Clock rate in Hz of the first format that carries media."""
    return next((f.rate for f in formats if f.encoding not in _AUXILIARY), 8000)


def have_common(one: Formats, other: Formats) -> bool:
    """Whether some media can pass between sides that speak these."""
    names = {f.name for f in one if f.encoding not in _AUXILIARY}
    return any(f.name in names for f in other)


# -- payload numbers ---------------------------------------------------------------------------------------------------


def counterpart(format_: Format, formats: Iterable[Format], used: Iterable[str] = ()) -> Format | None:
    """The same format among `formats`: of several with its name the one with its parameters, else with its number."""
    same = [f for f in formats if f.name == format_.name and f.number not in used]
    if not format_.name:
        same = [f for f in same if f.number == format_.number]
    if not same:
        return None
    for better in (
        [f for f in same if f.parameters == format_.parameters],
        [f for f in same if f.number == format_.number],
    ):
        if better:
            return better[0]
    return same[0]


def numbers_for_offer(formats: Formats, told: Formats, said: Formats) -> Changes:
    """How `formats` must be numbered in an offer to a side that was told `told` and said `said` before."""
    return () if formats == told else _numbers_for_offer(formats, told, said)


@lru_cache(maxsize=512)
def _numbers_for_offer(formats: Formats, told: Formats, said: Formats) -> Changes:
    meaning = {f.number: f.name for known in (said, told) for f in known}
    known = told + tuple(f for f in said if f.number not in {g.number for g in told})
    chosen = {f.number: f.number for f in formats if meaning.get(f.number) == f.name}
    for f in formats:
        if f.number not in chosen:
            same = counterpart(f, known, chosen.values())
            if same is not None:
                chosen[f.number] = same.number
    return _completed(formats, chosen, set(meaning))


def numbers_for_answer(formats: Formats, told: Formats, said: Formats) -> Changes:
    """How an answer's `formats` must be numbered for the offerer, who said `said`, when the answerer was told `told`.
    RFC 3264 section 6.1: the offer's numbers."""
    return () if formats == told == said else _numbers_for_answer(formats, told, said)


@lru_cache(maxsize=512)
def _numbers_for_answer(formats: Formats, told: Formats, said: Formats) -> Changes:
    chosen: dict[str, str] = {}
    asked = {f.number: f for f in told}
    for exact in (True, False):
        for f in formats:
            if f.number in chosen:
                continue
            as_told = asked.get(f.number)
            if exact and (as_told is None or as_told.name != f.name):
                continue
            same = counterpart(as_told if exact and as_told is not None else f, said, chosen.values())
            if same is not None:
                chosen[f.number] = same.number
    return _completed(formats, chosen, {f.number for f in said})


def _completed(formats: Formats, chosen: dict[str, str], taken: set[str]) -> Changes:
    """Numbers for the rest: their own where it means nothing else yet, else free ones."""
    taken = taken | set(chosen.values())
    for f in formats:
        if f.number not in chosen:
            number = f.number if f.number not in taken else free_number(taken | {g.number for g in formats})
            taken.add(number)
            chosen[f.number] = number
    return tuple((old, new) for old, new in chosen.items() if old != new)


def free_number(taken: Iterable[str], preferred: str = "96") -> str:
    """A dynamic payload number that is not in `taken` (RFC 3551 section 6); `preferred` if there is none."""
    numbers = (preferred, *map(str, range(96, 128)), *map(str, range(35, 64)))
    return next((number for number in numbers if number not in taken), preferred)


def renumbered(formats: Formats, changes: Changes) -> Formats:
    new = dict(changes)
    return tuple(f._replace(number=new.get(f.number, f.number)) for f in formats)


@lru_cache(maxsize=512)
def payload_map(told: Formats, said: Formats, onward: Formats) -> tuple[tuple[int, int], ...]:
    """What becomes of the payload numbers of packets from a side that was told `told` and said `said`, on their way to
    one that said `onward`.

    A side must send by the numbers that it was told (RFC 3264 section 5.1); some send by those that they said. A format
    that the other side does not know keeps its number, unless that means something else there.
    """
    changes: dict[str, str] = {}
    meaning = {f.number: f.name for f in onward}
    seen = set()
    for f in (*told, *said):
        if f.number in seen:
            continue
        seen.add(f.number)
        same = counterpart(f, onward)
        if same is not None:
            changes[f.number] = same.number
        elif f.number in meaning:
            changes[f.number] = free_number(set(meaning) | set(changes.values()))
    return tuple((int(a), int(b)) for a, b in changes.items() if a != b and _is_number(a) and _is_number(b))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 4 and int(text) < 128


# -- the text of a section ---------------------------------------------------------------------------------------------


@lru_cache(maxsize=512)
def recast(body: str, said: Formats, told: Formats, changes: Changes, direction: str) -> tuple[str, str]:
    """(format list, lines after the m-line) for formats that became others.

    `said` are those of `body`; `told` those that are to stand there, renumbered by `changes` already, some of them
    perhaps not in `body`. `direction`: what a=sendrecv and its like say; "" leaves it.
    """
    new = dict(changes)
    staying = {f.number for f in told}
    names = {f.number: f.encoding for f in said}
    lines = []
    described = set()
    for line in split_lines(body):
        name, _, value = line[2:].partition(":")
        if direction and line[2:] in ("sendrecv", "sendonly", "recvonly", "inactive"):
            continue
        if line[0] == "a" and name in _NUMBERED:
            number, space, rest = value.partition(" ")
            if number != "*":
                if number not in names or new.get(number, number) not in staying:
                    continue
                rest = _redirected(rest, names[number], new) if name == "fmtp" else rest
                described.add((name, new.get(number, number)))
                line = f"a={name}:{new.get(number, number)}{space}{rest}"
        lines.append(line)
    for f in told:
        if ("rtpmap", f.number) not in described and f.name and STATIC_CODECS.get(f.number, "").lower() != f.name:
            lines.append(f"a=rtpmap:{f.number} {f.name}")
            if f.parameters and ("fmtp", f.number) not in described:
                lines.append(f"a=fmtp:{f.number} {f.parameters}")
    if direction:
        lines.append(f"a={direction}")
    return " ".join(f.number for f in told), "\r\n".join(lines)


def _redirected(parameters: str, encoding: str, new: dict[str, str]) -> str:
    """Parameters that refer to other formats, by their new numbers."""
    if not new:
        return parameters
    if encoding == "red" and _REDUNDANT.fullmatch(parameters):
        return "/".join(new.get(number, number) for number in parameters.split("/"))
    return _APT.sub(lambda match: f"apt={new.get(match[1], match[1])}", parameters)


# -- formats of our own ------------------------------------------------------------------------------------------------

_WELL_KNOWN = {
    name.lower().partition("/")[0]: (number, name)
    for number, name in (*STATIC_CODECS.items(), ("101", f"{EVENT}/8000"), ("111", "opus/48000/2"))
    if name not in ("DVI4/16000", "DVI4/11025", "DVI4/22050", "L16/44100/2")
} | {"amr-wb": ("", "AMR-WB/16000"), "l16": ("11", "L16/44100")}
_PARAMETERS = {EVENT: "0-15", "g729": "annexb=no"}


def named_formats(names: Iterable[str]) -> Formats:
    """Formats by their names, with payload numbers: static ones as RFC 3551 has them, others from 96."""
    made: list[Format] = []
    for text in names:
        encoding = text.lower().partition("/")[0]
        number, name = _WELL_KNOWN.get(encoding, ("", f"{encoding}/8000"))
        if "/" in text and text.lower().removesuffix("/1") != name.lower():
            number, name = "", text
        if made_format("", name).name in {f.name for f in made}:
            continue
        taken = {f.number for f in made} | {"101", "111"}
        if not number or number in {f.number for f in made}:
            number = free_number(taken)
        made.append(made_format(number, name, _PARAMETERS.get(encoding, "")))
    return tuple(made)
