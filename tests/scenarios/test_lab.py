"""The laboratory itself: calls work in it without an SBC, and the search for leaks finds what such a call tells."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.capture import Capture
from tests.support.lab import PRIVATE, PUBLIC, Lab
from tests.support.leaks import Token, address_tokens, find_leaks, foreign_addresses, tokens_of
from tests.support.scenario import refused
from tests.support.sipp import Sipp

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_peers("sipp", "nft")]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(routed=True) as lab:
        yield lab


PAIRS = [
    ("caller", "callee", {"talk": 100}, {"delay": 50}),
    ("caller_hears_bye", "callee_hangs_up", {}, {}),
    ("caller_refused", "callee_refuses", refused(486), {"status": "486 Busy Here"}),
    ("caller_cancels", "callee_is_cancelled", {}, {}),
    ("caller_early_media", "callee_early_media", {}, {}),
    ("caller_holds", "callee_is_held", {}, {}),
    ("caller_is_held", "callee_holds", {}, {}),
]


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
@pytest.mark.parametrize(("caller", "callee", "call", "answer"), PAIRS, ids=[pair[0] for pair in PAIRS])
def test_the_scenarios_fit_each_other(
    lab: Lab, caller: str, callee: str, call: dict[str, object], answer: dict[str, object], tcp: bool
) -> None:
    uri = f"sip:1001@{PRIVATE.host}:5060"
    callee_side = Sipp(lab.private, callee, PRIVATE.host, 5060, tcp=tcp, replace=answer)
    caller_side = Sipp(
        lab.public, caller, PUBLIC.host, 5060, target=f"{PRIVATE.host}:5060", tcp=tcp, dialled=uri, replace=call
    )
    caller_side.wait()
    callee_side.wait()


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
def test_the_search_finds_everything_that_a_call_without_an_sbc_tells(lab: Lab, tcp: bool) -> None:
    public, private = Capture(lab.public), Capture(lab.private)
    uri = f"sip:1001@{PRIVATE.host}:5060"
    callee = Sipp(lab.private, "callee", PRIVATE.host, 5060, tcp=tcp, replace={"delay": 50})
    caller = Sipp(
        lab.public, "caller", PUBLIC.host, 5060, target=f"{PRIVATE.host}:5060", tcp=tcp,
        dialled=uri, replace={"talk": 50},
    )  # fmt: skip
    caller.wait()
    callee.wait()

    frames = public.take()
    tokens = tokens_of(private.take(), PUBLIC.names())
    kinds = {leak.token.kind for leak in find_leaks(frames, tokens)}
    public.close()
    private.close()
    assert kinds == {"host", "name", "SDP", "tag"}  # Call-ID and branch are the public side's own here
    assert PRIVATE.host in foreign_addresses(frames, [PRIVATE.network])


@pytest.mark.parametrize(
    ("text", "found"), [(b"o=- 880623148 1", False), (b"o=- 806231 1", True), (b"o=- 880623148 806231", True)]
)
def test_a_number_is_found_as_a_number_and_not_inside_a_longer_one(lab: Lab, text: bytes, found: bool) -> None:
    public = Capture(lab.public)
    with lab.private.udp((PRIVATE.host, 7000)) as sender, lab.public.udp((PUBLIC.host, 7000)) as receiver:
        receiver.settimeout(2)
        sender.sendto(text, (PUBLIC.host, 7000))
        receiver.recv(4000)
    leaks = find_leaks(public.take(), [Token("SDP", b"806231")])
    public.close()
    assert bool(leaks) is found


@pytest.mark.parametrize("form", ["text", "binary"])
def test_the_search_finds_an_address_in_a_fragmented_datagram(lab: Lab, form: str) -> None:
    public = Capture(lab.public)
    secret = PRIVATE.absent.encode() if form == "text" else bytes(map(int, PRIVATE.absent.split(".")))
    sender = lab.private.udp((PRIVATE.host, 7000))
    receiver = lab.public.udp((PUBLIC.host, 7000))
    receiver.settimeout(2)
    split = 1480 - 8 - 2  # the token stands across the edge of the first fragment
    sender.sendto(b"x" * split + secret + b"x" * 1000, (PUBLIC.host, 7000))
    receiver.recv(4000)
    sender.close()
    receiver.close()
    leaks = find_leaks(public.take(), address_tokens([PRIVATE.absent]))
    public.close()
    assert len(leaks) == 1
