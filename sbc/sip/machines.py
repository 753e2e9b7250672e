"""The four transaction machines of RFC 3261 section 17, as corrected by RFC 6026 and RFC 4320, as tables.

A machine is a table `(state, input) -> (next state, action)`. An action changes the transaction and returns effects; it
ends the transaction at once where the RFC sets a timer to zero (reliable transports). What a machine deliberately does
not react to stands in its set `ignored`. Every pair is in one of the two, never in both.

What the transaction user hears of a client transaction ends with one of: a final response, `TransactionTimedOut`,
`TransactionFailed`. Of a server transaction it hears `TransactionTimedOut` (timer H) or `TransactionFailed` at most
once.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any, NamedTuple

from sbc.sip.derived import non_2xx_ack
from sbc.sip.message import Request, Response
from sbc.sip.transaction import Input, State, Timers, Transaction
from sbc.sip.wire import (
    Absorbed,
    AckReceived,
    Deliver,
    Effect,
    Hop,
    Packet,
    ResponseReceived,
    TransactionFailed,
    TransactionTimedOut,
    Transmit,
)

Action = Callable[[Transaction, Any, Timers, float], list[Effect]]
"""(transaction, what `Input` names as the subject, timers, now) -> effects."""


_tuple = tuple.__new__
"""`_tuple(Transmit, (...))` is `Transmit(...)` in half the time."""


class Rules(NamedTuple):
    """One machine: what it does, and what it does not react to."""

    table: dict[tuple[State, Input], tuple[State, Action]]
    ignored: frozenset[tuple[State, Input]]


# -- actions ----------------------------------------------------------------------------------------------------------


def start(transaction: Transaction, timers: Timers, now: float) -> Transmit:
    """Send a client transaction's request for the first time: timers A and B, or E and F (17.1.1.2, 17.1.2.2)."""
    if transaction.hop.transport == "UDP":
        transaction.interval = timers.t1
        transaction.resend_at = now + timers.t1
    transaction.ends_at = now + timers.long
    return _tuple(Transmit, (transaction.message, transaction.hop, transaction.id, transaction.label))


def _linger(transaction: Transaction, seconds: float, now: float) -> None:
    """Stay for late messages; over a reliable transport there are none, and the transaction ends (D, I, J, K: zero)."""
    transaction.resend_at = inf
    if transaction.hop.transport == "UDP":
        transaction.ends_at = now + seconds
    else:
        transaction.state = State.TERMINATED
        transaction.message = b""


def _send_again(transaction: Transaction) -> Transmit:
    return _tuple(Transmit, (transaction.message, transaction.hop, transaction.id, transaction.label))


def _resend_doubling(transaction: Transaction, subject: None, timers: Timers, now: float) -> list[Effect]:
    transaction.interval *= 2
    transaction.resend_at = now + transaction.interval
    return [_send_again(transaction)]


def _resend_capped(transaction: Transaction, subject: None, timers: Timers, now: float) -> list[Effect]:
    transaction.interval = min(2 * transaction.interval, timers.t2)
    transaction.resend_at = now + transaction.interval
    return [_send_again(transaction)]


def _resend_slowly(transaction: Transaction, subject: None, timers: Timers, now: float) -> list[Effect]:
    transaction.interval = timers.t2
    transaction.resend_at = now + timers.t2
    return [_send_again(transaction)]


def _time_out(transaction: Transaction, subject: None, timers: Timers, now: float) -> list[Effect]:
    # Of a CANCEL the transaction user knows nothing: its INVITE has a clock of its own (9.1).
    if transaction.method == "CANCEL" or transaction.failure_told:
        return []
    return [Deliver(TransactionTimedOut(transaction.id, transaction.label))]


def _fail(transaction: Transaction, subject: None, timers: Timers, now: float) -> list[Effect]:
    if transaction.method == "CANCEL" or transaction.failure_told:
        return []
    transaction.failure_told = True
    return [Deliver(TransactionFailed(transaction.id, transaction.label))]


def _vanish(transaction: Transaction, subject: None, timers: Timers, now: float) -> list[Effect]:
    return []


def _deliver(transaction: Transaction, subject: tuple[Response, Packet], timers: Timers, now: float) -> list[Effect]:
    response, packet = subject
    event = _tuple(ResponseReceived, (response, transaction.id, packet, transaction.label))
    return [_tuple(Deliver, (event,))]


def _begin_proceeding(
    transaction: Transaction, subject: tuple[Response, Packet], timers: Timers, now: float
) -> list[Effect]:
    transaction.resend_at = transaction.ends_at = inf
    return _deliver(transaction, subject, timers, now)


def _begin_accepted(
    transaction: Transaction, subject: tuple[Response, Packet], timers: Timers, now: float
) -> list[Effect]:
    transaction.message = b""
    transaction.resend_at = inf
    transaction.ends_at = now + timers.long
    return _deliver(transaction, subject, timers, now)


def _acknowledge(
    transaction: Transaction, subject: tuple[Response, Packet], timers: Timers, now: float
) -> list[Effect]:
    transaction.message = non_2xx_ack(transaction.message, subject[0])
    effects: list[Effect] = [_send_again(transaction)]
    effects += _deliver(transaction, subject, timers, now)
    _linger(transaction, timers.long, now)
    return effects


def _acknowledge_again(
    transaction: Transaction, subject: tuple[Response, Packet], timers: Timers, now: float
) -> list[Effect]:
    return [Absorbed(subject[1], transaction.label), _send_again(transaction)]


def _finish_client(
    transaction: Transaction, subject: tuple[Response, Packet], timers: Timers, now: float
) -> list[Effect]:
    transaction.message = b""
    _linger(transaction, timers.t4, now)
    if transaction.method == "CANCEL":  # the answer to a CANCEL decides nothing (9.1)
        return [Absorbed(subject[1], transaction.label)]
    return _deliver(transaction, subject, timers, now)


def _absorb_message(
    transaction: Transaction, subject: tuple[Request | Response, Packet], timers: Timers, now: float
) -> list[Effect]:
    return [Absorbed(subject[1], transaction.label)]


def _absorb(transaction: Transaction, subject: Packet, timers: Timers, now: float) -> list[Effect]:
    return [Absorbed(subject, transaction.label)]


def _answer_again(transaction: Transaction, subject: Packet, timers: Timers, now: float) -> list[Effect]:
    if not transaction.message:
        return [Absorbed(subject, transaction.label)]
    return [Absorbed(subject, transaction.label), _send_again(transaction)]


def _send(transaction: Transaction, subject: bytes, timers: Timers, now: float) -> list[Effect]:
    transaction.message = subject
    return [_send_again(transaction)]


def _send_accepting(transaction: Transaction, subject: bytes, timers: Timers, now: float) -> list[Effect]:
    at = subject.find(b"\r\nTo:") + 2
    # Of the response only this stays, for a late CANCEL: its answer SHOULD have the same To tag (9.2)
    transaction.message = subject[at : subject.find(b"\r\n", at)] if at > 1 else b""
    transaction.ends_at = now + timers.long
    return _send_success(transaction, subject, timers, now)


def _send_success(transaction: Transaction, subject: bytes, timers: Timers, now: float) -> list[Effect]:
    return [_tuple(Transmit, (subject, transaction.hop, transaction.id, transaction.label))]


def _send_refusing(transaction: Transaction, subject: bytes, timers: Timers, now: float) -> list[Effect]:
    if transaction.hop.transport == "UDP" and not _challenges_at_once(transaction, subject):
        transaction.interval = timers.t1
        transaction.resend_at = now + timers.t1
    transaction.ends_at = now + timers.long
    return _send(transaction, subject, timers, now)


def _challenges_at_once(transaction: Transaction, response: bytes) -> bool:
    """RFC 3261 section 26.3.2.4: questionable requests are challenged "with only a single 401 (Unauthorized) or 407
    (Proxy Authentication Required), forgoing the normal response retransmission algorithm": a forged INVITE is not to
    bring a dozen of them upon somebody. Whoever has heard nothing yet repeats the INVITE anyway, and is answered."""
    return not transaction.message and response[8:11] in (b"401", b"407")


def _confirm(transaction: Transaction, subject: tuple[Request, Packet], timers: Timers, now: float) -> list[Effect]:
    transaction.message = b""
    _linger(transaction, timers.t4, now)
    return [Absorbed(subject[1], transaction.label)]


def _deliver_ack(transaction: Transaction, subject: tuple[Request, Packet], timers: Timers, now: float) -> list[Effect]:
    return [Deliver(AckReceived(*subject))]


def _finish_server(transaction: Transaction, subject: bytes, timers: Timers, now: float) -> list[Effect]:
    effects = _send(transaction, subject, timers, now)
    _linger(transaction, timers.long, now)
    return effects


def _finish_unanswered(transaction: Transaction, subject: None, timers: Timers, now: float) -> list[Effect]:
    _linger(transaction, timers.long, now)
    return []


def _fall_back(transaction: Transaction, subject: None, timers: Timers, now: float) -> list[Effect]:
    """18.2.2: if the connection is no longer open, open one to the source host and the port of sent-by."""
    if transaction.fallback is not None:
        hop = transaction.hop
        transaction.hop = Hop(hop.zone, hop.transport, hop.local, transaction.fallback)
        transaction.fallback = None
        return [_send_again(transaction)] if transaction.message else []
    return _fail(transaction, subject, timers, now)


# -- tables -----------------------------------------------------------------------------------------------------------

_TERMINATED = frozenset((State.TERMINATED, each) for each in Input)
"""17.1.1.2 and its like: "MUST be destroyed the instant it enters the Terminated state": there is nothing left to
react."""

_SERVER_INPUTS = (
    Input.REQUEST,
    Input.ACK,
    Input.SEND_PROVISIONAL,
    Input.SEND_SUCCESS,
    Input.SEND_FAILURE,
    Input.GIVE_UP,
)
_CLIENT_INPUTS = (Input.PROVISIONAL, Input.SUCCESS, Input.FAILURE)


def _never(states: tuple[State, ...], inputs: tuple[Input, ...]) -> frozenset[tuple[State, Input]]:
    return frozenset((state, each) for state in states for each in inputs)


INVITE_CLIENT = Rules(
    {
        # 17.1.1.2 "When timer A fires, the client transaction MUST retransmit the request ... and MUST reset the timer
        # with a value of 2*T1"
        (State.CALLING, Input.RESEND): (State.CALLING, _resend_doubling),
        # "If the client transaction is still in the Calling state when timer B fires, the client transaction SHOULD
        # inform the TU that a timeout has occurred."
        (State.CALLING, Input.END): (State.TERMINATED, _time_out),
        # 17.1.4 "The client transaction SHOULD inform the TU that a transport failure has occurred, and ... SHOULD
        # transition directly to the Terminated state."
        (State.CALLING, Input.TRANSPORT_ERROR): (State.TERMINATED, _fail),
        # "If the client transaction receives a provisional response while in the Calling state, it transitions to the
        # Proceeding state", where it "SHOULD NOT retransmit the request any longer"; it "MUST be passed to the TU".
        (State.CALLING, Input.PROVISIONAL): (State.PROCEEDING, _begin_proceeding),
        (State.PROCEEDING, Input.PROVISIONAL): (State.PROCEEDING, _deliver),
        # RFC 6026 7.2: a 2xx moves Calling and Proceeding to Accepted (RFC 3261: Terminated), starts timer M and is
        # passed to the TU
        (State.CALLING, Input.SUCCESS): (State.ACCEPTED, _begin_accepted),
        (State.PROCEEDING, Input.SUCCESS): (State.ACCEPTED, _begin_accepted),
        # "... reception of a response with status code from 300-699 MUST cause the client transaction to transition to
        # Completed. The client transaction MUST pass the received response up to the TU, and ... MUST generate an ACK"
        (State.CALLING, Input.FAILURE): (State.COMPLETED, _acknowledge),
        (State.PROCEEDING, Input.FAILURE): (State.COMPLETED, _acknowledge),
        # 9.1 "if there is no final response for the original request in 64*T1 seconds ... the client SHOULD then
        # consider the original transaction cancelled and SHOULD destroy the client transaction"
        (State.PROCEEDING, Input.END): (State.TERMINATED, _time_out),
        # RFC 6026 7.2: "A 2xx response received while in the Accepted state MUST be passed to the TU and the machine
        # remains in the Accepted state. The client transaction MUST NOT generate an ACK to any 2xx response on its
        # own."
        (State.ACCEPTED, Input.SUCCESS): (State.ACCEPTED, _deliver),
        # RFC 6026 7.2: "When Timer M fires and the state machine is in the Accepted state, the machine MUST transition
        # to the Terminated state."
        (State.ACCEPTED, Input.END): (State.TERMINATED, _vanish),
        # Late responses other than those: the TU has its final response; no rule passes these to it
        (State.ACCEPTED, Input.PROVISIONAL): (State.ACCEPTED, _absorb_message),
        (State.ACCEPTED, Input.FAILURE): (State.ACCEPTED, _absorb_message),
        (State.COMPLETED, Input.PROVISIONAL): (State.COMPLETED, _absorb_message),
        (State.COMPLETED, Input.SUCCESS): (State.COMPLETED, _absorb_message),
        # "Any retransmissions of the final response that are received while in the Completed state MUST cause the ACK
        # to be re-passed to the transport layer for retransmission, but the newly received response MUST NOT be passed
        # up"
        (State.COMPLETED, Input.FAILURE): (State.COMPLETED, _acknowledge_again),
        # "If timer D fires while the client transaction is in the Completed state, [it] MUST move to the Terminated
        # state."
        (State.COMPLETED, Input.END): (State.TERMINATED, _vanish),
        # 17.1.4 "Terminated"; it "SHOULD inform the TU", but the TU has its final response and can do nothing for the
        # ACK
        (State.COMPLETED, Input.TRANSPORT_ERROR): (State.TERMINATED, _vanish),
    },
    _TERMINATED
    | _never((State.TRYING, State.CONFIRMED), tuple(Input))  # not states of this machine
    | _never((State.CALLING, State.PROCEEDING, State.ACCEPTED, State.COMPLETED), _SERVER_INPUTS)
    # no timer sends again once anything was heard
    | _never((State.PROCEEDING, State.ACCEPTED, State.COMPLETED), (Input.RESEND,))
    # the request did arrive, so an error that is reported late tells nothing
    | _never((State.PROCEEDING, State.ACCEPTED), (Input.TRANSPORT_ERROR,)),
)

CLIENT = Rules(
    {
        # 17.1.2.2 "If timer E fires while still in [Trying], the timer is reset, but this time with a value of
        # MIN(2*T1, T2)" and "the request is passed to the transport layer for retransmission"
        (State.TRYING, Input.RESEND): (State.TRYING, _resend_capped),
        # "If Timer F fires while the client transaction is still in the Trying state, [it] SHOULD inform the TU about
        # the timeout, and then it SHOULD enter the Terminated state."
        (State.TRYING, Input.END): (State.TERMINATED, _time_out),
        # 17.1.4, as above
        (State.TRYING, Input.TRANSPORT_ERROR): (State.TERMINATED, _fail),
        # "If a provisional response is received while in the Trying state, the response MUST be passed to the TU, and
        # then the client transaction SHOULD move to the Proceeding state."
        (State.TRYING, Input.PROVISIONAL): (State.PROCEEDING, _deliver),
        (State.PROCEEDING, Input.PROVISIONAL): (State.PROCEEDING, _deliver),
        # "If a final response (status codes 200-699) is received while in the Trying state, the response MUST be passed
        # to the TU, and the client transaction MUST transition to the Completed state." (the same for Proceeding)
        (State.TRYING, Input.SUCCESS): (State.COMPLETED, _finish_client),
        (State.TRYING, Input.FAILURE): (State.COMPLETED, _finish_client),
        (State.PROCEEDING, Input.SUCCESS): (State.COMPLETED, _finish_client),
        (State.PROCEEDING, Input.FAILURE): (State.COMPLETED, _finish_client),
        # "If Timer E fires while in the Proceeding state, the request MUST be passed to the transport layer for
        # retransmission, and Timer E MUST be reset with a value of T2 seconds."
        (State.PROCEEDING, Input.RESEND): (State.PROCEEDING, _resend_slowly),
        # "If timer F fires while in the Proceeding state, the TU MUST be informed of a timeout, and [it] MUST
        # transition to the terminated state."
        (State.PROCEEDING, Input.END): (State.TERMINATED, _time_out),
        (State.PROCEEDING, Input.TRANSPORT_ERROR): (State.TERMINATED, _fail),
        # "The Completed state exists to buffer any additional response retransmissions that may be received"
        (State.COMPLETED, Input.PROVISIONAL): (State.COMPLETED, _absorb_message),
        (State.COMPLETED, Input.SUCCESS): (State.COMPLETED, _absorb_message),
        (State.COMPLETED, Input.FAILURE): (State.COMPLETED, _absorb_message),
        # "If Timer K fires while in this state, the client transaction MUST transition to the Terminated state."
        (State.COMPLETED, Input.END): (State.TERMINATED, _vanish),
    },
    _TERMINATED
    | _never((State.CALLING, State.ACCEPTED, State.CONFIRMED), tuple(Input))  # not states of this machine
    | _never((State.TRYING, State.PROCEEDING, State.COMPLETED), _SERVER_INPUTS)
    # nothing is sent in Completed
    | _never((State.COMPLETED,), (Input.RESEND, Input.TRANSPORT_ERROR)),
)

INVITE_SERVER = Rules(
    {
        # 17.2.1 "If a request retransmission is received while in the Proceeding state, the most recent provisional
        # response that was received from the TU MUST be passed to the transport layer for retransmission."
        (State.PROCEEDING, Input.REQUEST): (State.PROCEEDING, _answer_again),
        # "So long as the server transaction is in the Proceeding state, each of these [provisional responses] MUST be
        # passed to the transport layer for transmission."
        (State.PROCEEDING, Input.SEND_PROVISIONAL): (State.PROCEEDING, _send),
        # RFC 6026 7.1: a 2xx from the TU is sent and moves Proceeding to Accepted (RFC 3261: Terminated); it "is not
        # retransmitted by the server transaction" (17.2.1); timer L starts
        (State.PROCEEDING, Input.SEND_SUCCESS): (State.ACCEPTED, _send_accepting),
        # 17.2.1 "While in the Proceeding state, if the TU passes a response with status code from 300 to 699 to the
        # server transaction, the response MUST be passed to the transport layer for transmission, and the state machine
        # MUST enter the Completed state. For unreliable transports, timer G is set to fire in T1 seconds ... timer H
        # MUST be set to fire in 64*T1 seconds for all transports."
        (State.PROCEEDING, Input.SEND_FAILURE): (State.COMPLETED, _send_refusing),
        # RFC 6026 7.1: "A server transaction MUST NOT discard transaction state based only on encountering a
        # non-recoverable transport error when sending a response. Instead, the associated INVITE server transaction
        # state machine MUST remain in its current state."
        (State.PROCEEDING, Input.TRANSPORT_ERROR): (State.PROCEEDING, _fall_back),
        (State.ACCEPTED, Input.TRANSPORT_ERROR): (State.ACCEPTED, _fall_back),
        (State.COMPLETED, Input.TRANSPORT_ERROR): (State.COMPLETED, _fall_back),
        # RFC 6026 8.7: "The purpose of the Accepted state is to absorb retransmissions of an accepted INVITE request.
        # Any such retransmissions are absorbed entirely within the server transaction": the TU sends its 2xx again by
        # itself (13.3.1.4).
        (State.ACCEPTED, Input.REQUEST): (State.ACCEPTED, _absorb),
        # RFC 6026 8.7: an ACK received in Accepted is passed up to the TU (it comes here from peers that reuse the
        # branch)
        (State.ACCEPTED, Input.ACK): (State.ACCEPTED, _deliver_ack),
        # RFC 6026 8.7: "While in the Accepted state, if the TU passes a 2xx response, the server transaction MUST pass
        # the response to the transport layer for transmission."
        (State.ACCEPTED, Input.SEND_SUCCESS): (State.ACCEPTED, _send_success),
        # RFC 6026 8.7: "If Timer L fires while the INVITE server transaction is in the Accepted state, the transaction
        # MUST transition to the Terminated state."
        (State.ACCEPTED, Input.END): (State.TERMINATED, _vanish),
        # 17.2.1 "while in the Completed state, if a request retransmission is received, the server SHOULD pass the
        # response to the transport for retransmission."
        (State.COMPLETED, Input.REQUEST): (State.COMPLETED, _answer_again),
        # "If timer G fires, the response is passed to the transport layer once more for retransmission, and timer G is
        # set to fire in MIN(2*T1, T2) seconds."
        (State.COMPLETED, Input.RESEND): (State.COMPLETED, _resend_capped),
        # "If timer H fires while in the Completed state, it implies that the ACK was never received. In this case, the
        # server transaction MUST transition to the Terminated state, and MUST indicate to the TU" the failure
        (State.COMPLETED, Input.END): (State.TERMINATED, _time_out),
        # "If an ACK is received while the server transaction is in the Completed state, [it] MUST transition to the
        # Confirmed state. As Timer G is ignored in this state, any retransmissions of the response will cease."
        (State.COMPLETED, Input.ACK): (State.CONFIRMED, _confirm),
        # "The purpose of the Confirmed state is to absorb any additional ACK messages that arrive"
        (State.CONFIRMED, Input.ACK): (State.CONFIRMED, _absorb_message),
        (State.CONFIRMED, Input.REQUEST): (State.CONFIRMED, _absorb),
        # "Once timer I fires, the server MUST transition to the Terminated state."
        (State.CONFIRMED, Input.END): (State.TERMINATED, _vanish),
        # An ACK to nothing: 17.2.1 has no rule; nothing that the TU could use it for was sent
        (State.PROCEEDING, Input.ACK): (State.PROCEEDING, _absorb_message),
    },
    _TERMINATED
    | _never((State.CALLING, State.TRYING), tuple(Input))  # not states of this machine
    | _never((State.PROCEEDING, State.ACCEPTED, State.COMPLETED, State.CONFIRMED), (*_CLIENT_INPUTS, Input.GIVE_UP))
    # 17.2.1 "Any other final responses passed by the TU to the server transaction MUST be discarded", after the first
    | _never((State.ACCEPTED,), (Input.SEND_PROVISIONAL, Input.SEND_FAILURE))
    | _never((State.COMPLETED, State.CONFIRMED), (Input.SEND_PROVISIONAL, Input.SEND_SUCCESS, Input.SEND_FAILURE))
    # timer G runs in Completed only; in Proceeding it is the TU that must come to an end
    | _never((State.PROCEEDING, State.ACCEPTED, State.CONFIRMED), (Input.RESEND,))
    | _never((State.PROCEEDING,), (Input.END,))
    # the ACK has come, so the response did arrive
    | _never((State.CONFIRMED,), (Input.TRANSPORT_ERROR,)),
)

SERVER = Rules(
    {
        # 17.2.2 "Once in the Trying state, any further request retransmissions are discarded."
        (State.TRYING, Input.REQUEST): (State.TRYING, _absorb),
        # "While in the Trying state, if the TU passes a provisional response to the server transaction, [it] MUST enter
        # the Proceeding state. The response MUST be passed to the transport layer for transmission."
        (State.TRYING, Input.SEND_PROVISIONAL): (State.PROCEEDING, _send),
        (State.PROCEEDING, Input.SEND_PROVISIONAL): (State.PROCEEDING, _send),
        # "If a retransmission of the request is received while in the Proceeding state, the most recently sent
        # provisional response MUST be passed to the transport layer for retransmission."
        (State.PROCEEDING, Input.REQUEST): (State.PROCEEDING, _answer_again),
        # "If the TU passes a final response (status codes 200-699) to the server while in the Proceeding state, the
        # transaction MUST enter the Completed state, and the response MUST be passed to the transport layer"
        (State.TRYING, Input.SEND_SUCCESS): (State.COMPLETED, _finish_server),
        (State.TRYING, Input.SEND_FAILURE): (State.COMPLETED, _finish_server),
        (State.PROCEEDING, Input.SEND_SUCCESS): (State.COMPLETED, _finish_server),
        (State.PROCEEDING, Input.SEND_FAILURE): (State.COMPLETED, _finish_server),
        # RFC 4320 4.2: "A transaction-stateful SIP element MUST NOT send a response with Status-Code of 408 to a
        # non-INVITE request." It stays, silently, to absorb what is sent again.
        (State.TRYING, Input.GIVE_UP): (State.COMPLETED, _finish_unanswered),
        (State.PROCEEDING, Input.GIVE_UP): (State.COMPLETED, _finish_unanswered),
        # 17.2.2 "While in the Completed state, the server transaction MUST pass the final response to the transport
        # layer for retransmission whenever a retransmission of the request is received."
        (State.COMPLETED, Input.REQUEST): (State.COMPLETED, _answer_again),
        # "when timer J fires, at which point it MUST transition to the Terminated state"
        (State.COMPLETED, Input.END): (State.TERMINATED, _vanish),
        # 17.2.4 would end it; here the state stays, as in RFC 6026 7.1 for INVITE: what is sent again must not look new
        (State.PROCEEDING, Input.TRANSPORT_ERROR): (State.PROCEEDING, _fall_back),
        (State.COMPLETED, Input.TRANSPORT_ERROR): (State.COMPLETED, _fall_back),
    },
    _TERMINATED
    | _never((State.CALLING, State.ACCEPTED, State.CONFIRMED), tuple(Input))  # not states of this machine
    | _never((State.TRYING, State.PROCEEDING, State.COMPLETED), (*_CLIENT_INPUTS, Input.ACK))  # ACK is INVITE's
    # "Any other final responses passed by the TU to the server transaction MUST be discarded while in Completed"
    | _never((State.COMPLETED,), (Input.SEND_PROVISIONAL, Input.SEND_SUCCESS, Input.SEND_FAILURE, Input.GIVE_UP))
    # no timer sends again; before the final response it is the TU that must come to an end
    | _never((State.TRYING, State.PROCEEDING, State.COMPLETED), (Input.RESEND,))
    | _never((State.TRYING, State.PROCEEDING), (Input.END,))
    # nothing has been sent that could have failed
    | _never((State.TRYING,), (Input.TRANSPORT_ERROR,)),
)

MACHINES: tuple[Rules, ...] = (INVITE_CLIENT, CLIENT, INVITE_SERVER, SERVER)
"""In the order of `Machine`."""

_TABLES = tuple(rules.table for rules in MACHINES)


def advance(transaction: Transaction, given: Input, subject: Any, timers: Timers, now: float) -> list[Effect]:
    """Give one input to a transaction. Its state, clocks and message change as the table says; the effects are
    returned."""
    row = _TABLES[transaction.machine].get((transaction.state, given))
    if row is None:
        return []
    transaction.state, action = row
    return action(transaction, subject, timers, now)
