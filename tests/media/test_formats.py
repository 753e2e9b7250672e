from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.media import MediaProfile
from sbc.media.formats import (
    counterpart,
    events,
    have_common,
    made_format,
    matches,
    media_rate,
    named_formats,
    numbers_for_answer,
    numbers_for_offer,
    ordered,
    payload_map,
    permitted,
    read_formats,
    recast,
    renumbered,
)

ANY = MediaProfile()


def read(format_list: str, *maps: str):
    return read_formats(format_list, "\r\n".join(f"a={line}" for line in maps))


def numbers(formats) -> str:
    return " ".join(f.number for f in formats)


PHONE = read("8 0 101", "rtpmap:101 telephone-event/8000", "fmtp:101 0-15")


def test_static_payload_types_need_no_rtpmap_and_channels_of_one_are_no_difference():
    formats = read("0 9 18 34 96 97 96", "rtpmap:96 OPUS/48000/2", "rtpmap:97 L16/8000/1", "fmtp:18 annexb=no")
    assert [f.name for f in formats] == [
        "pcmu/8000", "g722/8000", "g729/8000", "h263/90000", "opus/48000/2", "l16/8000",
    ]  # fmt: skip
    assert [f.rate for f in formats] == [8000, 8000, 8000, 90000, 48000, 8000]
    assert formats[2].parameters == "annexb=no"


def test_a_number_that_nothing_names_has_no_name():
    assert read("96 t38") == (made_format("96", ""), made_format("t38", ""))


@pytest.mark.parametrize(
    ("pattern", "media", "name", "does"),
    [
        ("PCMU", "audio", "pcmu/8000", True),
        ("pcmu/8000", "audio", "pcmu/8000", True),
        ("PCMU/16000", "audio", "pcmu/8000", False),
        ("opus/48000", "audio", "opus/48000/2", True),
        ("opus/48000/2", "audio", "opus/48000/2", True),
        ("G72*", "audio", "g729/8000", True),
        ("G72?", "audio", "g726-32/8000", False),
        ("*", "audio", "", True),
        ("video/*", "video", "h264/90000", True),
        ("video/*", "audio", "pcmu/8000", False),
        ("video/H264", "video", "h264/90000", True),
        ("audio/H264", "video", "h264/90000", False),
        ("PCM", "audio", "pcmu/8000", False),
    ],
)
def test_what_a_pattern_means(pattern, media, name, does):
    assert matches(pattern, media, name) is does


def test_both_sides_profiles_must_let_a_format_pass():
    formats = read("0 8 18 9")
    assert numbers(permitted("audio", formats, MediaProfile(deny=("G729",)), ANY)) == "0 8 9"
    assert numbers(permitted("audio", formats, ANY, MediaProfile(deny=("G7*",)))) == "0 8"
    assert numbers(permitted("audio", formats, MediaProfile(allow=("PCM*",)), MediaProfile(deny=("PCMU",)))) == "8"
    assert permitted("audio", formats, MediaProfile(allow=("PCMU",)), MediaProfile(allow=("PCMA",))) == ()


def test_an_allow_list_means_all_media_unless_it_says_otherwise():
    video = read("96", "rtpmap:96 H264/90000")
    assert permitted("video", video, MediaProfile(allow=("PCMU",)), ANY) == ()
    assert permitted("video", video, MediaProfile(allow=("PCMU", "video/*")), ANY) == video


def test_events_and_comfort_noise_alone_are_no_media():
    formats = read("18 13 101", "rtpmap:101 telephone-event/8000")
    assert permitted("audio", formats, MediaProfile(deny=("G729",)), ANY) == ()
    only_events = read("101", "rtpmap:101 telephone-event/8000")
    assert permitted("audio", only_events, MediaProfile(deny=("G729",)), ANY) == only_events


def test_what_refers_to_a_format_goes_with_it():
    formats = read(
        "96 97 98 99 100",
        "rtpmap:96 H264/90000",
        "rtpmap:97 rtx/90000",
        "fmtp:97 apt=96;rtx-time=3000",
        "rtpmap:98 VP8/90000",
        "rtpmap:99 rtx/90000",
        "fmtp:99 apt=98",
        "rtpmap:100 red/90000",
        "fmtp:100 98/96",
    )
    assert numbers(permitted("video", formats, MediaProfile(deny=("H264",)), ANY)) == "98 99"


def test_the_order_of_a_profile_comes_first_and_the_rest_follows_as_it_was():
    assert numbers(ordered("audio", read("18 0 9 8"), ("PCMA", "PCM*"))) == "8 0 18 9"


def test_events_and_the_clock_of_the_media():
    formats = read("101 96 110", "rtpmap:96 opus/48000/2", "rtpmap:101 telephone-event/8000",
                   "rtpmap:110 telephone-event/48000")  # fmt: skip
    assert events(formats) == ((101, 8000), (110, 48000))
    assert media_rate(formats) == 48000
    assert media_rate(()) == 8000


def test_something_in_common_is_media():
    te = "rtpmap:101 telephone-event/8000"
    assert not have_common(read("0 101", te), read("8 101", te))
    assert have_common(read("0 8"), read("18 8"))


def test_of_several_formats_of_one_name_the_counterpart_has_the_same_parameters_or_number():
    maps = ("rtpmap:96 H264/90000", "rtpmap:97 H264/90000", "fmtp:96 packetization-mode=0",
            "fmtp:97 packetization-mode=1")  # fmt: skip
    one = read("96 97", *maps)
    other = read("97 96", "rtpmap:96 H264/90000", "rtpmap:97 H264/90000", "fmtp:97 packetization-mode=0",
                 "fmtp:96 packetization-mode=1")  # fmt: skip
    assert counterpart(one[0], other) == other[0]
    assert counterpart(one[1], other) == other[1]
    assert counterpart(one[1]._replace(parameters="profile-level-id=1"), other) == other[0], "the same number"
    assert counterpart(one[0], other, used=("97", "96")) is None
    assert counterpart(made_format("99", ""), read("98 99")) == made_format("99", "")


# -- numbers -----------------------------------------------------------------------------------------------------------


def test_a_first_offer_keeps_its_numbers_and_a_later_one_those_that_the_side_knows():
    again = read("0 96", "rtpmap:96 telephone-event/8000")
    assert numbers_for_offer(PHONE, (), ()) == ()
    assert numbers_for_offer(PHONE, PHONE, PHONE) == ()
    assert numbers_for_offer(again, PHONE, ()) == (("96", "101"),)
    assert numbers_for_offer(again, (), PHONE) == (("96", "101"),)


def test_a_number_does_not_change_its_meaning_within_a_session():
    changed = read("0 101", "rtpmap:101 opus/48000/2")
    ((old, new),) = numbers_for_offer(changed, PHONE, PHONE)
    assert old == "101"
    assert new not in {"0", "8", "101"}


def test_an_answer_has_the_numbers_of_the_offer():
    answer = read("0 97", "rtpmap:97 telephone-event/8000")
    assert numbers_for_answer(answer, PHONE, PHONE) == (("97", "101"),)
    told = renumbered(PHONE, (("101", "120"),))
    as_told = read("0 120", "rtpmap:120 telephone-event/8000")
    assert numbers_for_answer(as_told, told, PHONE) == (("120", "101"),)


def test_a_format_that_was_not_offered_gets_a_number_that_means_nothing_else():
    answer = read("0 101", "rtpmap:101 opus/48000/2")
    ((old, new),) = numbers_for_answer(answer, PHONE, PHONE)
    assert (old, new in {"0", "8", "101"}) == ("101", False)


def test_swapped_numbers_are_mapped_in_packets():
    mine = read("0 96 97", "rtpmap:96 telephone-event/8000", "rtpmap:97 iLBC/8000")
    theirs = read("0 97 96", "rtpmap:97 telephone-event/8000", "rtpmap:96 iLBC/8000")
    assert payload_map(mine, mine, theirs) == ((96, 97), (97, 96))
    assert payload_map(mine, mine, mine) == ()


def test_a_side_that_sends_by_its_own_numbers_is_understood_too():
    told = read("0 101", "rtpmap:101 telephone-event/8000")
    said = read("0 97", "rtpmap:97 telephone-event/8000")
    onward = read("0 96", "rtpmap:96 telephone-event/8000")
    assert payload_map(told, said, onward) == ((101, 96), (97, 96))


def test_a_format_that_the_other_side_does_not_know_is_not_taken_for_another():
    told = read("0 96", "rtpmap:96 opus/48000/2")
    onward = read("0 96", "rtpmap:96 telephone-event/8000")
    ((old, new),) = payload_map(told, told, onward)
    assert (old, new in (0, 96)) == (96, False)


NUMBERS = st.sampled_from(["0", "8", "18", "96", "97", "98", "101", "127"])
NAMES = st.sampled_from(["telephone-event/8000", "opus/48000/2", "iLBC/8000", "H264/90000", "rtx/90000", ""])


def _formats(names: dict[str, str]):
    return read(" ".join(names), *(f"rtpmap:{number} {name}" for number, name in names.items() if name))


FORMATS = st.dictionaries(NUMBERS, NAMES, max_size=5).map(_formats)


@given(FORMATS, FORMATS, FORMATS)
def test_numbers_stay_apart_and_keep_what_they_mean(formats, told, said):
    for changes, known in (
        (numbers_for_offer(formats, told, said), told),
        (numbers_for_answer(formats, told, said), said),
    ):
        after = renumbered(formats, changes)
        assert len({f.number for f in after}) == len(formats)
        meaning = {f.number: f.name for f in known}
        for f in after:
            assert meaning.get(f.number, f.name) == f.name


@given(FORMATS, FORMATS, FORMATS)
def test_a_map_leads_to_the_same_format(told, said, onward):
    names = {f.number: f.name for f in (*said, *told)}
    meaning = {int(f.number): f.name for f in onward}
    for old, new in payload_map(told, said, onward):
        assert old != new
        assert meaning.get(new, names[str(old)]) == names[str(old)]


# -- text --------------------------------------------------------------------------------------------------------------

BODY = "\r\n".join(
    [
        "c=IN IP4 192.0.2.1",
        "a=rtpmap:96 H264/90000",
        "a=fmtp:96 packetization-mode=1",
        "a=rtcp-fb:96 nack pli",
        "a=rtcp-fb:* ccm fir",
        "a=rtpmap:97 rtx/90000",
        "a=fmtp:97 apt=96",
        "a=imageattr:98 send *",
        "a=rtpmap:98 VP8/90000",
        "a=ptime:20",
        "a=sendonly",
    ]
)


def test_lines_of_formats_go_with_them_and_all_others_stay():
    said = read_formats("96 97 98", BODY)
    format_list, body = recast(BODY, said, said[2:], (), "")
    assert format_list == "98"
    assert body.split("\r\n") == [
        "c=IN IP4 192.0.2.1",
        "a=rtcp-fb:* ccm fir",
        "a=imageattr:98 send *",
        "a=rtpmap:98 VP8/90000",
        "a=ptime:20",
        "a=sendonly",
    ]


def test_new_numbers_stand_wherever_the_old_ones_stood():
    said = read_formats("96 97", BODY)
    changes = (("96", "97"), ("97", "99"))
    format_list, body = recast(BODY, said, renumbered(said, changes), changes, "inactive")
    assert format_list == "97 99"
    lines = body.split("\r\n")
    assert lines[1:7] == [
        "a=rtpmap:97 H264/90000",
        "a=fmtp:97 packetization-mode=1",
        "a=rtcp-fb:97 nack pli",
        "a=rtcp-fb:* ccm fir",
        "a=rtpmap:99 rtx/90000",
        "a=fmtp:99 apt=97",
    ]
    assert "a=sendonly" not in lines
    assert lines[-1] == "a=inactive"


def test_redundancy_refers_to_the_new_numbers():
    body = "a=rtpmap:98 t140/1000\r\na=rtpmap:100 red/1000\r\na=fmtp:100 98/98/98"
    said = read_formats("100 98", body)
    changes = (("98", "96"),)
    assert "a=fmtp:100 96/96/96" in recast(body, said, renumbered(said, changes), changes, "")[1].split("\r\n")


def test_a_format_without_rtpmap_gets_one_where_its_number_does_not_say_it():
    said = read("0")
    assert recast("", said, renumbered(said, (("0", "96"),)), (("0", "96"),), "") == ("96", "a=rtpmap:96 pcmu/8000")
    added = (*said, made_format("101", "telephone-event/8000", "0-15"))
    assert recast("", said, added, (), "") == ("0 101", "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15")


def test_formats_by_name_have_the_numbers_that_they_mostly_have():
    made = named_formats(["PCMU", "PCMA", "G729", "telephone-event", "opus", "iLBC", "AMR-WB", "speex/16000", "PCMU"])
    assert [(f.number, f.name) for f in made] == [
        ("0", "pcmu/8000"), ("8", "pcma/8000"), ("18", "g729/8000"), ("101", "telephone-event/8000"),
        ("111", "opus/48000/2"), ("96", "ilbc/8000"), ("97", "amr-wb/16000"), ("98", "speex/16000"),
    ]  # fmt: skip
