"""The built-in answering peer of the embedded default: a phone on the private side that answers every call.

Users: `echo` gives back what it hears; `tone`, and anybody else, plays 880 Hz. What it heard in its last calls stands
in `answering.json` in the state directory, for `sbc demo` to tell.
"""

from __future__ import annotations

import json
import time
from collections import deque
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from sbc.admin.phone import Phone, PhoneCall
from sbc.admin.phone_account import PhoneSettings

log = Logger()
TONE = 880.0
FILE = "answering.json"
HOST_NAME = "answering.private.invalid"
"""A name that only the private side knows (RFC 6761): its RTCP and its headers carry it, so that hiding has something
to hide.
"""
_KEPT = 20


def frequency_of(user: str) -> float | None:
    """What the answering peer plays to who calls `user`; None: echo."""
    return None if user == "echo" else TONE


class AnsweringPeer:
    """Answers calls to `host`:`port`. Several calls at a time, a bounded number of them; calls without RTP are
    ended.
    """

    def __init__(self, reactor: Any, host: str, port: int, state_directory: str | Path) -> None:
        settings = PhoneSettings(
            host=host,
            port=port,
            user="answering",
            user_agent=f"sbc-answering-peer ({HOST_NAME})",
            cname=f"answering@{HOST_NAME}",
            tool=f"answering peer on {HOST_NAME}",
        )
        self._phone = Phone(reactor, settings, frequency_of=frequency_of, ended=self._ended)
        self._settings = settings
        self._file = Path(state_directory) / FILE
        self._calls: deque[dict[str, Any]] = deque(maxlen=_KEPT)

    def start(self) -> Deferred[None]:
        """Fails with CannotListenError if the address is taken."""
        self._phone.start()
        self._write()
        return succeed(None)

    def stop(self) -> Deferred[None]:
        self._file.unlink(missing_ok=True)
        return self._phone.stop()

    def _ended(self, call: PhoneCall) -> None:
        if call.status != 200:
            return
        heard = call.line.heard()._asdict()
        self._calls.append({"call_id": call.call_id, "ended": time.time(), "ended_by": call.ended_by, "heard": heard})
        self._write()

    def _write(self) -> None:
        settings = self._settings
        facts = {
            "host": settings.host,
            "port": settings.port,
            "names": [HOST_NAME, settings.user_agent, settings.cname, settings.tool],
            "calls": list(self._calls),
        }
        part = self._file.with_suffix(".part")
        try:
            part.write_text(json.dumps(facts))
            part.replace(self._file)
        except OSError as error:
            log.warn("answering peer: {error}", error=str(error))
