"""RTP through the border both ways, and the figures that are kept of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.border import Border
from tests.support.scenario import INWARDS, OUTWARDS, Route, callee, caller

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_peers("sipp", "nft")]

ROUTES = [INWARDS, OUTWARDS, Route("inwards-v6-to-v4", v6=True), Route("outwards-v4-to-v6", v6=True, outwards=True)]


@pytest.fixture(scope="module")
def border() -> Iterator[Border]:
    with Border() as border:
        yield border


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
