from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from sbc.admin import AnsweringPeer
from sbc.admin.answering import frequency_of
from sbc.admin.phone import Phone, PhoneSettings
from sbc.sip import Address
from tests.support.sockets import free_port, runs, until

HOST = "127.0.0.1"


def test_users_choose_what_they_hear() -> None:
    assert [frequency_of(user) for user in ("echo", "tone", "demo", "")] == [None, 880.0, 880.0, 880.0]


class AnsweringPeerTests(TestCase):
    @runs
    async def test_it_answers_and_tells_what_it_heard(self) -> None:
        directory = Path(self.mktemp())
        directory.mkdir()
        address = Address(HOST, free_port(HOST))
        peer = AnsweringPeer(reactor, *address, directory)
        await peer.start()
        said: list[bytes] = []
        phone = Phone(reactor, PhoneSettings(host=HOST), tap=said.append)
        phone.start()
        try:
            assert self.told(directory)["port"] == address.port
            call = phone.call("demo", address, 440.0)
            await phone.when(call, "answered")
            await until(lambda: call.line.heard().packets >= 30)
            phone.hang_up(call)
            await phone.when(call, "ended")
            await until(lambda: self.told(directory)["calls"])
        finally:
            await phone.stop()
            facts = self.told(directory)
            await peer.stop()
        (heard,) = facts["calls"]
        assert heard["call_id"] == call.call_id
        assert abs(heard["heard"]["frequency"] - 440) <= 2
        assert heard["heard"]["packets"] >= 25
        assert not (directory / "answering.json").exists()
        everything = b"".join(said)
        for name in facts["names"]:
            assert name.encode() in everything, "hiding must have something to hide"

    @staticmethod
    def told(directory: Path) -> Any:
        return json.loads((directory / "answering.json").read_text())
