from __future__ import annotations

import pytest

from sbc.admin.phone_sdp import PeerAudio, description, peer_audio
from sbc.sdp import SdpError, parse_sdp
from sbc.sip import Address


def sdp(*media: str, session: str = "c=IN IP4 192.0.2.1\r\n") -> bytes:
    return ("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\n" + session + "t=0 0\r\n" + "".join(media)).encode()


AUDIO = "m=audio 4000 RTP/AVP 8 0\r\n"


def audio(data: bytes) -> PeerAudio | None:
    return peer_audio(data)[1]


def test_the_address_of_the_first_audio_stream_is_found() -> None:
    assert audio(sdp(AUDIO)) == PeerAudio(0, Address("192.0.2.1", 4000), Address("192.0.2.1", 4001), "sendrecv")
    assert audio(
        sdp("m=video 5000 RTP/AVP 96\r\n", AUDIO, "c=IN IP4 192.0.2.9\r\na=rtcp:5001 IN IP4 192.0.2.9\r\n")
    ) == (PeerAudio(1, Address("192.0.2.9", 4000), Address("192.0.2.9", 5001), "sendrecv"))


@pytest.mark.parametrize(
    ("data", "ours"),
    [
        (sdp(AUDIO, "a=sendonly\r\n"), "recvonly"),
        (sdp(AUDIO, "a=inactive\r\n"), "inactive"),
        (sdp(AUDIO, session="c=IN IP4 0.0.0.0\r\n"), "sendrecv"),
        (sdp(AUDIO, session="c=IN IP4 192.0.2.1\r\na=sendonly\r\n"), "recvonly"),
    ],
)
def test_on_hold_nothing_is_sent(data: bytes, ours: str) -> None:
    assert audio(data) == PeerAudio(0, None, None, ours)


def test_a_direction_of_recvonly_is_still_talked_to() -> None:
    found = audio(sdp(AUDIO, "a=recvonly\r\n"))
    assert found is not None
    assert (found.direction, found.rtp) == ("sendonly", Address("192.0.2.1", 4000))


@pytest.mark.parametrize(
    "media",
    [
        "m=audio 0 RTP/AVP 0\r\n",
        "m=audio 4000 RTP/SAVP 0\r\n",
        "m=audio 4000 RTP/AVP 8\r\n",
        "m=image 4000 udptl t38\r\n",
    ],
)
def test_what_is_no_pcmu_cannot_be_served(media: str) -> None:
    assert audio(sdp(media)) is None


def test_a_host_name_in_the_connection_is_refused() -> None:
    with pytest.raises(SdpError):
        audio(sdp(AUDIO, session="c=IN IP4 media.example.com\r\n"))


def test_an_answer_has_every_stream_of_the_offer_in_its_place() -> None:
    offer, found = peer_audio(sdp("m=video 5000 RTP/AVP 96\r\n", AUDIO, "a=sendonly\r\n"))
    answer = parse_sdp(description("2001:db8::1", 7000, 3, 99, "me", offer, found))
    assert [(media.media, media.port) for media in answer.media] == [("video", 0), ("audio", 7000)]
    assert answer.media[1].attribute("recvonly") == ""
    assert "o=me 99 3 IN IP6 2001:db8::1" in answer.lines
    assert "c=IN IP6 2001:db8::1" in answer.lines


def test_an_offer_is_one_two_way_stream() -> None:
    (media,) = parse_sdp(description("192.0.2.5", 7000, 1, 99, "me", None, None)).media
    assert (media.formats, media.attribute("sendrecv")) == (["0"], "")
