"""Garbage where phones register, subscribe and write: requests outside calls with things wrong, to a running SBC."""

from __future__ import annotations

import os
import random
import socket
import time

import pytest

from tests.support.border import PLAIN, Border
from tests.support.edge import answers_options
from tests.support.garbage import mutated_of_phones
from tests.support.lab import PRIVATE, PUBLIC
from tests.support.raw import head, header_lines, response

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_peers("nft")]

DATAGRAMS = 6_000
BURST = 100
STRANGER = PUBLIC.others[1]
EDGE = (PUBLIC.edge, 5060)
T1 = 0.05
GRANTED = ("subscriptions", "subscriptions' dialogs", "passages", "flows kept alive", "deadlines")
CONFIG = f"""
[sip]
t1 = {T1}
t2 = 0.2
t4 = 0.25
[access]
domain = "example.com"
"""
ANSWERS = ("200 OK", "200 OK", "200 OK", "401 Unauthorized", "403 Forbidden", "423 Interval Too Brief", "503 Not Now")


@pytest.mark.slow
@pytest.mark.parametrize("registrar", ["pbx", "local"])
def test_garbage_of_phones_harms_nobody(registrar: str) -> None:
    seed = int(os.environ.get("SEED", "0")) or random.SystemRandom().getrandbits(32)
    print(f"SEED={seed}")
    draw = random.Random(seed)
    with Border(f'{CONFIG}registrar = "{registrar}"\n{PLAIN}') as border:
        with (
            border.lab.public.udp((STRANGER, 5060)) as sender,
            border.lab.private.udp((PRIVATE.host, 5060)) as pbx,
        ):
            sender.setblocking(False)
            pbx.setblocking(False)
            for sent in range(0, DATAGRAMS, BURST):
                for _ in range(BURST):
                    sender.sendto(mutated_of_phones(draw, PUBLIC.edge, STRANGER)[:65000], EDGE)
                _answer_all(draw, pbx, answers=True)
                _answer_all(draw, sender, answers=draw.random() < 0.5)
                assert answers_options(border.lab.public, EDGE, 5), f"no answer after {sent + BURST} datagrams"
        assert border.leaks() == []
        assert border.edge.trouble() == []
        time.sleep(64 * T1 + 1)
        border.edge.stop()
        # what the PBX has granted goes on; nothing else may
        left = {name: size for name, size in border.edge.table_sizes().items() if size and name not in GRANTED}
        assert left == {}


def _answer_all(draw: random.Random, receiver: socket.socket, *, answers: bool) -> None:
    """What came in is read, and requests are answered, in one way or the other."""
    while True:
        try:
            data, source = receiver.recvfrom(65535)
        except (BlockingIOError, ConnectionRefusedError):
            return
        if not answers or data.startswith(b"SIP/2.0") or not head(data)[0].endswith(b" SIP/2.0"):
            continue
        contacts = tuple(line.decode("latin-1") for line in header_lines(data, "contact", "m"))
        more = (*contacts, "Expires: 3600", "Min-Expires: 7200", "Service-Route: <sip:10.201.173.85;lr>")
        receiver.sendto(response(data, draw.choice(ANSWERS), f"t{draw.getrandbits(32):x}", more), source)
