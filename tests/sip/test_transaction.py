from __future__ import annotations

from math import inf

from sbc.sip.transaction import Machine, State, Timers, Transaction
from tests.support.sip_stack import UDP


def test_timers_have_the_default_values_of_rfc_3261() -> None:
    timers = Timers()
    assert (timers.t1, timers.t2, timers.t4, timers.long) == (0.5, 4.0, 5.0, 32.0)


def test_the_long_timers_scale_with_t1() -> None:
    assert Timers(t1=0.01).long == 0.64


def test_a_new_transaction_has_no_clock_running() -> None:
    transaction = Transaction("id", Machine.SERVER, State.TRYING, "OPTIONS", UDP)
    assert (transaction.resend_at, transaction.ends_at, transaction.armed) == (inf, inf, inf)
