"""What of one leg's description goes to the other: its formats by the profiles of both, under the numbers that the
reader knows, and as many m-lines as the reader has."""

from __future__ import annotations

from collections.abc import Sequence

from sbc.media.facts import ANY_MEDIA, Dtmf
from sbc.media.formats import (
    EVENT,
    Changes,
    Formats,
    free_number,
    has_events,
    made_format,
    media_rate,
    numbers_for_answer,
    numbers_for_offer,
    ordered,
    passes,
    permitted,
    read_formats,
    recast,
    renumbered,
    speakable,
    without_events,
)
from sbc.media.reading import DIRECTIONS, StreamReading, read_section
from sbc.media.stream import Leg, Stream, StreamSide
from sbc.sdp import MediaDescription, SessionDescription, split_lines

Crossing = tuple[Formats, Formats]
"""Formats of a stream: as the writer said them, and as the reader is told them."""

_NONE: Crossing = ((), ())
_END = Dtmf.END


def adapt(
    description: SessionDescription,
    readings: list[StreamReading],
    writer: Leg,
    reader: Leg,
    side: str,
    streams: Sequence[Stream],
    answering: bool,
) -> list[Crossing]:
    """Change `description` of `writer` into what `reader` may be told, formats only; a stream of which none is left is
    marked in `readings` as one that cannot be relayed. Gives the formats of each stream.

    `side` is the writer's; `streams` are those that flow, in an answer those that the offer proposed.
    """
    one, other = writer.facts.profile, reader.facts.profile
    ruled = one is not ANY_MEDIA or other is not ANY_MEDIA
    crossing: list[Crossing] = []
    for index, media in enumerate(description.media):
        if readings[index].kind != "rtp":
            crossing.append(_NONE)
            continue
        said = told = written = read_formats(media.format_list, media.body)
        if ruled:
            said = permitted(media.media, written, one, other)
            if not said:
                readings[index] = readings[index]._replace(kind="", bare=True)
                crossing.append(_NONE)
                continue
            told = ordered(media.media, said, other.order) if other.order else said
            said = speakable(media.media, written, said, one)
        changes: Changes = ()
        mine = theirs = None
        if index < len(streams):
            stream = streams[index]
            mine, theirs = (stream.a, stream.b) if side == "a" else (stream.b, stream.a)
            if theirs is None:
                pass
            elif not answering:
                changes = numbers_for_offer(told, theirs.told, theirs.formats)
            elif mine is not None:
                changes = numbers_for_answer(told, mine.told, theirs.formats)
        if changes:
            told = renumbered(told, changes)
        if media.media == "audio":
            adds = reader.dtmf is _END or (writer.signals and not has_events(said))
            told = _events_answered(told, theirs, adds) if answering else _events_offered(told, theirs, reader, adds)
        if told is not written and told != written:
            media.format_list, media.body = recast(media.body, written, told, changes, "")
            told = read_formats(media.format_list, media.body)
        crossing.append((said, told))
    return crossing


def _events_offered(told: Formats, theirs: StreamSide | None, reader: Leg, adds: bool) -> Formats:
    """With `adds` the offer to a side whose telephone-events end here has them, whatever the other side offers."""
    if not adds or has_events(told) or not passes(reader.facts.profile, "audio", f"{EVENT}/{media_rate(told)}"):
        return told
    known = () if theirs is None else (*theirs.told, *theirs.formats)
    same = next((f for f in known if f.encoding == EVENT), None)
    if same is None:
        taken = {f.number for f in (*told, *known)}
        same = made_format(
            free_number(taken, "101" if "101" not in taken else "96"), f"{EVENT}/{media_rate(told)}", "0-15"
        )
    return (*told, same._replace(parameters=same.parameters or "0-15"))


def _events_answered(told: Formats, theirs: StreamSide | None, adds: bool) -> Formats:
    """An answer has telephone-events only if they were offered; with `adds`, for an offerer whose events end here, it
    has them then."""
    if theirs is None:
        return told
    if has_events(told):
        return told if has_events(theirs.formats) else without_events(told)
    offered = tuple(f for f in theirs.formats if f.encoding == EVENT) if adds else ()
    if not offered:
        return told
    rate = media_rate(told)
    return (*told, next((f for f in offered if f.rate == rate), offered[0]))


def pad(description: SessionDescription, readings: list[StreamReading], streams: Sequence[Stream], count: int) -> None:
    """Add disabled m-lines up to `count`, where the reader has more than the writer (RFC 3264 section 8: they cannot
    become fewer)."""
    while len(readings) < count:
        index = len(readings)
        kind = streams[index].media if index < len(streams) else "audio"
        protocol, format_ = ("udptl", "t38") if kind == "image" else ("RTP/AVP", "0")
        line = f"m={kind} 0 {protocol} {format_}"
        description.media.append(MediaDescription(line, kind, 0, 1, protocol, format_))
        readings.append(StreamReading("", True, None, None, False, "sendrecv", read_section("")))


def cut(description: SessionDescription, readings: list[StreamReading], count: int) -> None:
    """Take disabled m-lines from the end that the reader does not have, down to `count`."""
    while len(readings) > count and not readings[-1].kind:
        readings.pop()
        description.media.pop()


def direct(description: SessionDescription, readings: list[StreamReading], sides: Sequence[StreamSide | None]) -> None:
    """Make an answer of old into an offer: what its writer would do by itself, and nothing for streams that it does not
    have any more."""
    said_for_all = [line for line in split_lines(description.session) if line[2:] not in DIRECTIONS]
    description.session = "\r\n".join(said_for_all)
    for index, media in enumerate(description.media):
        side = sides[index] if index < len(sides) else None
        reading = readings[index]
        if side is None:
            readings[index] = reading._replace(kind="", bare=True)
            continue
        direction = side.willing or reading.direction
        formats = read_formats(media.format_list, media.body)
        _, media.body = recast(media.body, formats, formats, (), direction)
        readings[index] = reading._replace(direction=direction)
