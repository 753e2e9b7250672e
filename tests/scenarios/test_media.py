"""RTP through the border both ways, and the figures that are kept of it."""

from __future__ import annotations

import time

import pytest

from tests.support.border import Border
from tests.support.lab import PUBLIC, wait_until
from tests.support.planes import rtp
from tests.support.scenario import INWARDS, OUTWARDS, Route, callee, caller
from tests.support.tap import Tap

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_peers("sipp", "nft")]

ROUTES = [INWARDS, OUTWARDS, Route("inwards-v6-to-v4", v6=True), Route("outwards-v4-to-v6", v6=True, outwards=True)]


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_what_the_caller_says_comes_back_from_an_echo(border: Border, route: Route) -> None:
    audio = border.lab.public.directory() / "audio.raw"
    audio.write_bytes(bytes(range(256)) * 400)
    echo = callee(border, route, "callee", {"delay": 50}, extra=("-rtp_echo",))
    speaker = caller(border, route, "caller_speaks", {"talk": 1000, "audio": audio})
    speaker.wait()
    echo.wait()

    (stream,) = border.record(speaker)["streams"]
    said, echoed = stream["a"]["packets"], stream["b"]["packets"]
    assert 40 <= said <= 55  # 50 a second
    assert said - 2 <= echoed <= said
    assert stream["a"]["lost"] == stream["b"]["lost"] == 0


def test_a_fax_is_refused_and_another_one_taken_with_audio_between_and_after(border: Border) -> None:
    """T.38 by re-INVITE (ITU-T T.38 annex D), of SIPp with SIPp. What comes back from the echo is counted between the
    messages."""
    lab = border.lab
    with Tap(lab.public) as tap, lab.public.udp((PUBLIC.host, 6200)) as phone:
        echo = callee(border, INWARDS, "callee_faxes", {"talk": 400}, extra=("-rtp_echo",))
        calling = caller(border, INWARDS, "caller_is_faxed", {"talk": 400, "port": 6200})
        wait_until(lambda: bool(answered(tap)), "the call is answered")
        sequence, to = 0, (PUBLIC.edge, int(answered(tap)[0].split(b"m=audio ")[1].split()[0]))
        while calling.runs():
            sequence += 1
            phone.sendto(rtp(sequence), to)
            time.sleep(0.02)
        calling.wait()
        echo.wait()
        heard, seen = [0], set()
        for datagram in tap.datagrams():
            if not datagram.by_host and datagram.target[1] == 6200:
                heard[-1] += 1
            elif datagram.data.startswith((b"ACK", b"INVITE")) and datagram.data not in seen:  # else it came again
                seen.add(datagram.data)
                heard.append(0)
    _, _, first, _, after_refusal, _, _, _, after_fax = heard
    assert min(first, after_refusal, after_fax) >= 5, heard
    assert border.record(calling)["status"] == 200


def answered(tap: Tap) -> list[bytes]:
    return tap.messages(lambda data: data.startswith(b"SIP/2.0 200") and b"m=audio" in data)
