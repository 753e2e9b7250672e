from __future__ import annotations

import pytest

from sbc.sdp import SdpError, SdpLimits, parse_sdp

HEAD = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"


def test_an_audio_description_is_read():
    description = parse_sdp(HEAD + b"m=audio 6000/2 RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\na=sendrecv\r\n")
    (audio,) = description.media
    assert (audio.media, audio.port, audio.port_count, audio.protocol) == ("audio", 6000, 2, "RTP/AVP")
    assert audio.formats == ["0", "101"]
    assert audio.lines == ["a=rtpmap:0 PCMU/8000", "a=sendrecv"]
    assert list(audio.attributes()) == [("rtpmap", "0 PCMU/8000"), ("sendrecv", "")]
    assert audio.attribute("sendrecv") == ""
    assert audio.attribute("ptime") is None


@pytest.mark.parametrize(
    "data",
    [
        HEAD,
        HEAD[:-2],
        HEAD.replace(b"\r\n", b"\n") + b"m=audio 1 RTP/AVP 0\na=x\n",
        HEAD + b"\r\n\r\n",
        HEAD + b"m=audio 6000 RTP/AVP 0 8 \r\na=  spaced : oddly \r\n",
        HEAD + b"m=audio 0 RTP/AVP\r\nm=x 9 y z\r\nb=AS:0\r\n",
        HEAD + b"a=caf\xe9:\xff\xfe not UTF-8\r\n",
        HEAD + "i=Überführung\u2028 \x0b\r\n".encode(),
        b"v=0\r\na=before\r\no=- 1 1 IN IP4 h\r\nq=unknown type\r\n",
    ],
)
def test_what_is_accepted_is_written_back_as_it_was(data):
    assert parse_sdp(data).to_bytes() == data


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"", 1),
        (b"hello", 1),
        (b"v=1\r\no=- 1 1 IN IP4 h\r\n", 1),
        (b"v=0\r\n", 1),
        (HEAD + b"o=- 1 1 IN IP4 h\r\n", 1),
        (HEAD + b"\r\na=x\r\n", 6),
        (HEAD + b"a =x\r\n", 6),
        (HEAD + b"A=x\r\n", 6),
        (HEAD + b"a=x\0y\r\n", 6),
        (HEAD + b"a=x\ny=z\r\n", 6),
        (HEAD + b"a=x\ry=z\r\n", 6),
        (HEAD + b"m=audio 6000\r\n", 6),
        (HEAD + b"m=audio 6000 RTP/AVP\r\n", 6),
        (HEAD + b"m=audio 65536 RTP/AVP 0\r\n", 6),
        (HEAD + b"m=audio -1 RTP/AVP 0\r\n", 6),
        (HEAD + b"m=audio x RTP/AVP 0\r\n", 6),
        (HEAD + "m=audio ٣ RTP/AVP 0\r\n".encode(), 6),
        (HEAD + b"m=audio 1/0 RTP/AVP 0\r\n", 6),
        (HEAD + b"m=audio 1 RTP/AVP 0\r\na=x\r\nm= 1 RTP/AVP 0\r\n", 8),
    ],
)
def test_what_is_malformed_is_refused_with_its_line(data, line):
    with pytest.raises(SdpError) as caught:
        parse_sdp(data)
    assert caught.value.line == line
    assert caught.value.reason


def test_size_lines_and_streams_are_limited():
    data = HEAD + b"m=audio 1 RTP/AVP 0\r\n" * 3
    parse_sdp(data, SdpLimits(max_size=len(data), max_lines=8, max_media=3))
    with pytest.raises(SdpError, match="longer than"):
        parse_sdp(data, SdpLimits(max_size=len(data) - 1))
    with pytest.raises(SdpError, match="line 8: too many lines"):
        parse_sdp(data, SdpLimits(max_lines=7))
    with pytest.raises(SdpError, match="line 8: too many m-lines"):
        parse_sdp(data, SdpLimits(max_media=2))
