"""`SipStack`: the transaction layer of RFC 3261 section 17 with what it needs of section 18. Messages in, effects
out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2s
from math import inf

from sbc.sip.deadlines import Deadlines
from sbc.sip.derived import cancel_request, checked_values
from sbc.sip.dialog import check_dialog
from sbc.sip.errors import LocalProtocolError, RemoteProtocolError
from sbc.sip.glance import Glance, glance
from sbc.sip.header_values import Via, parse_name_address, parse_via
from sbc.sip.machines import advance, start
from sbc.sip.matching import SentBy, fallback_address, is_rfc2543, is_unicast, note_source, response_hop, server_key
from sbc.sip.message import Request, Response, make_response
from sbc.sip.parser import Limits, parse
from sbc.sip.tokens import Tokens
from sbc.sip.transaction import Input, Machine, State, Timers, Transaction
from sbc.sip.wire import (
    AckReceived,
    Address,
    CancelReceived,
    Deliver,
    Effect,
    Hop,
    Packet,
    Refused,
    RequestReceived,
    TransactionFailed,
    TransactionId,
    Transmit,
)

_tuple = tuple.__new__
"""`_tuple(Transmit, (...))` is `Transmit(...)` in half the time."""
_RETRY_AFTER = ("Retry-After", "10")
_KEEP_ALIVE = b"\r\n\0 "
_STUN_COOKIE = b"\x21\x12\xa4\x42"
_BARE = frozenset(("BYE", "CANCEL"))
"""Nothing of these is looked at but what names their dialog."""
_RECEIVED = (Input.PROVISIONAL, Input.PROVISIONAL, Input.SUCCESS, *[Input.FAILURE] * 4, *[Input.FAILURE] * 3)
"""By the first digit of the status."""

# Members of enumerations, which take longer to look up in their classes than most of what is done with them here.
_REQUEST, _ACK = Input.REQUEST, Input.ACK
_SEND_PROVISIONAL, _SEND_SUCCESS, _SEND_FAILURE = Input.SEND_PROVISIONAL, Input.SEND_SUCCESS, Input.SEND_FAILURE
_RESEND, _END = Input.RESEND, Input.END
_CALLING, _TRYING, _PROCEEDING, _TERMINATED = State.CALLING, State.TRYING, State.PROCEEDING, State.TERMINATED
_INVITE_CLIENT, _CLIENT = Machine.INVITE_CLIENT, Machine.CLIENT
_INVITE_SERVER, _SERVER = Machine.INVITE_SERVER, Machine.SERVER


class SipStack:
    """All transactions of one process.

    Give it each packet, each wish of the transaction user and each expired deadline, one by one; carry out the effects
    before the next. It raises only LocalProtocolError, for what the transaction user asks and RFC 3261 forbids.

    `sent_by` says what to write into Via ("host:port", as seen from outside) for each socket (zone, transport, local
    address). `max_transactions` bounds the requests that others can make us remember: what opens something new is
    answered 503 beyond it, requests inside dialogs (so that calls can end) a quarter later. Every request has to be
    answered by the transaction user in the end: until it is, its transaction stays.
    """

    def __init__(
        self,
        timers: Timers,
        limits: Limits,
        tokens: Tokens,
        sent_by: Mapping[tuple[str, str, Address], str],
        max_transactions: int,
        path_safe_size: int = 1300,
    ) -> None:
        self._timers = timers
        self._limits = limits
        self._tokens = tokens
        self._sent_by = {socket: SentBy.of(socket[1], written) for socket, written in sent_by.items()}
        self._max_transactions = max_transactions
        self._max_with_dialogs = max_transactions + max_transactions // 4
        self._path_safe_size = path_safe_size
        self._clients: dict[TransactionId, Transaction] = {}
        self._servers: dict[TransactionId, Transaction] = {}
        self._unanswered: dict[str, TransactionId] = {}
        """Requests outside dialogs that have no final failure yet, by `merge_key`."""
        self._deadlines = Deadlines()
        self._secret = tokens.tag().encode()

    @property
    def client_count(self) -> int:
        """Client transactions that exist."""
        return len(self._clients)

    @property
    def server_count(self) -> int:
        """Server transactions that exist."""
        return len(self._servers)

    # -- from the network ---------------------------------------------------------------------------------------------

    def receive(self, packet: Packet, now: float) -> list[Effect]:
        """One whole message (or whatever else came)."""
        data = packet.data
        if not data or data[0] < 0x21:
            if len(data) <= 16 and not data.strip(_KEEP_ALIVE):
                return []
            if data[0] < 4 and data[4:8] == _STUN_COOKIE:
                return [Refused(packet, "STUN at a SIP port")]
        message: Request | Response | None = None
        try:
            message = parse(data, self._limits)
            if isinstance(message, Response):
                return self._receive_response(message, packet, now)
            return self._receive_request(message, packet, now)
        except RemoteProtocolError as error:
            if error.request is None and isinstance(message, Request):
                error.request = message
            return self._refuse(packet, error)

    def glance(self, packet: Packet) -> Glance | None:
        """What can be told of a datagram without reading it: of a REGISTER that would be given to the transaction user
        as something new, and that can be answered without anything being remembered of it (8.2.7). None: it has to be
        received."""
        seen = glance(packet, self._limits)
        if seen is None or seen.transaction in self._servers or seen.merge_key in self._unanswered:
            return None
        load = len(self._clients) + len(self._servers)
        return seen if load < self._max_transactions and is_unicast(seen.response_hop.remote) else None

    def _receive_response(self, response: Response, packet: Packet, now: float) -> list[Effect]:
        via = response.via
        branch = via.params.get("branch") or ""
        method = response.cseq.method
        # 17.1.3: the branch of the top Via, and the method of CSeq, "since a CANCEL request constitutes a different
        # transaction, yet shares the same value of the branch parameter"
        transaction = self._clients.get(f"{branch} CANCEL" if method == "CANCEL" else branch)
        if transaction is None or transaction.method != method:
            return [Refused(packet, "response that matches no transaction")]
        hop = transaction.hop
        ours = self._sent_by[hop[:3]]
        # 18.1.2: "If the value of the sent-by parameter in that Via ... does not correspond to a value that the client
        # transport is configured to insert into requests, the response MUST be silently discarded."
        if via.host != ours.host or via.port != ours.port or hop.zone != packet.hop.zone:
            return [Refused(packet, "response that is not for us")]
        _ = response.to  # whoever it is delivered to relies on it
        effects = self._step(transaction, _RECEIVED[response.status // 100], (response, packet), now)
        if transaction.cancel is not None and transaction.state is _PROCEEDING and transaction.ends_at == inf:
            effects += self._send_cancel(transaction, now)
        return effects

    def _receive_request(self, request: Request, packet: Packet, now: float) -> list[Effect]:
        via = request.via
        method = request.method
        zone = packet.hop.zone
        if method == "ACK":
            return self._receive_ack(request, via, packet, now)
        to_tag = request.to.tag or ""
        key = server_key(request, via, zone, method, to_tag)
        transaction = self._servers.get(key)
        if transaction is not None:
            return self._step(transaction, _REQUEST, packet, now)
        if method in _BARE:
            _ = (request.from_, request.call_id)
        else:
            request.check()  # the transaction user relies on it
            if method == "INVITE":
                check_dialog(request)
        note_source(request, via, packet.hop.remote)
        if method == "CANCEL":
            target = self._servers.get(server_key(request, via, zone, "INVITE", to_tag))
            return self._receive_cancel(request, via, key, target, packet, now)
        load = len(self._clients) + len(self._servers)
        if load >= self._max_transactions and (not to_tag or load >= self._max_with_dialogs):
            return self._answer(request, response_hop(packet.hop, via), 503, headers=(_RETRY_AFTER,))
        merge_key = ""
        if not to_tag:
            # 8.2.2.2: "the From tag, Call-ID, and CSeq exactly match those associated with an ongoing transaction, but
            # the request does not match that transaction". Each URI is a UAS of its own here: a proxy that forks to two
            # phones of ours sends two requests that differ in nothing else.
            merge_key = f"{request.from_.tag} {request.call_id} {request.cseq.number} {method} {request.uri}"
            if merge_key in self._unanswered or self._looping(request):
                return self._answer(request, response_hop(packet.hop, via), 482)
        if self._open_server(request, via, key, packet.hop, merge_key) is None:
            return [Refused(packet, "source that cannot be answered")]
        return [_tuple(Deliver, (_tuple(RequestReceived, (request, key, packet)),))]

    def _receive_ack(self, request: Request, via: Via, packet: Packet, now: float) -> list[Effect]:
        to_tag = request.to.tag or ""
        transaction = self._servers.get(server_key(request, via, packet.hop.zone, "INVITE", to_tag))
        if is_rfc2543(via):
            # 17.2.3: the To tag of the ACK is that of the response; the INVITE had the same one, or none.
            if transaction is None:
                transaction = self._servers.get(server_key(request, via, packet.hop.zone, "INVITE", ""))
            if transaction is not None and transaction.message and _local_tag(transaction) != to_tag:
                transaction = None
        if transaction is None:
            _ = (request.from_, request.call_id)  # whoever it is delivered to relies on them
            return [_tuple(Deliver, (_tuple(AckReceived, (request, packet)),))]
        return self._step(transaction, _ACK, (request, packet), now)

    def _receive_cancel(
        self, request: Request, via: Via, key: str, target: Transaction | None, packet: Packet, now: float
    ) -> list[Effect]:
        """9.2. There is at most one transaction of CANCEL for each of INVITE, so this is bounded without a limit."""
        if target is None:
            return self._answer(request, response_hop(packet.hop, via), 481)
        transaction = self._open_server(request, via, key, packet.hop, "")
        if transaction is None:
            return [Refused(packet, "source that cannot be answered")]
        # "the To tag of the response to the CANCEL and the To tag in the response to the original request SHOULD be the
        # same": as far as we still know it
        tag = _local_tag(target) or self._stateless_tag(request)
        transaction.label = target.label
        effects = self._step(transaction, _SEND_SUCCESS, make_response(request, 200, None, tag).to_bytes(), now)
        # "If the original request ... has already ... sent a final response ... no effect on the processing"
        if target.state is _PROCEEDING:
            effects.append(Deliver(CancelReceived(request, target.id, packet, target.label)))
        return effects

    def _open_server(self, request: Request, via: Via, key: str, hop: Hop, merge_key: str) -> Transaction | None:
        target = response_hop(hop, via)
        if not is_unicast(target.remote):
            return None
        invite = request.method == "INVITE"
        transaction = Transaction(
            key,
            _INVITE_SERVER if invite else _SERVER,
            _PROCEEDING if invite else _TRYING,
            request.method,
            target,
        )
        transaction.merge_key = merge_key
        if target.transport != "UDP":
            transaction.fallback = fallback_address(hop, via)
        self._servers[key] = transaction
        if merge_key:
            self._unanswered[merge_key] = key
        return transaction

    # -- answers without state ----------------------------------------------------------------------------------------

    def _refuse(self, packet: Packet, error: RemoteProtocolError) -> list[Effect]:
        effects: list[Effect] = [Refused(packet, str(error))]
        request = error.request
        if request is None or request.method == "ACK":
            return effects
        hop = packet.hop
        try:
            via = request.via
            note_source(request, via, hop.remote)
            hop = response_hop(hop, via)
        except RemoteProtocolError:
            pass  # what its Via does not tell, the packet does: it is answered to where it came from
        # 21.4.1: "The Reason-Phrase SHOULD identify the syntax problem in more detail"
        reason = error.reason if error.status_hint == 400 else None
        return effects + self._answer(request, hop, error.status_hint, reason)

    def _answer(
        self,
        request: Request,
        hop: Hop,
        status: int,
        reason: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
    ) -> list[Effect]:
        """A final response that nothing is remembered of (8.2.7)."""
        if not is_unicast(hop.remote):
            return []
        response = make_response(request, status, reason, self._stateless_tag(request), headers)
        return [Transmit(response.to_bytes(), hop, None, "")]

    def _stateless_tag(self, request: Request) -> str:
        """8.2.7: a stateless UAS "MUST generate [To tags] in a stateless manner, [so] that they are the same for the
        same request": a keyed digest of what is the same in its repetitions."""
        text = f"{request.headers.get('Call-ID')} {request.headers.get('From')} {request.headers.get('CSeq')}"
        return blake2s(text.encode(), digest_size=12, key=self._secret[:32]).hexdigest()

    # -- from the transaction user ------------------------------------------------------------------------------------

    def send_request(
        self,
        request: Request,
        hop: Hop,
        now: float,
        *,
        branch: str | None = None,
        label: str = "",
        alternative: Hop | None = None,
    ) -> tuple[TransactionId, list[Effect]]:
        """Send a request in a client transaction of its own; not for ACK and CANCEL.

        Our Via goes on top of it; `request` itself stays as it is. `alternative`, a stream hop to the same element, is
        taken instead of `hop` when the request is longer than the path's safe size; if it cannot be reached, the
        request goes over `hop` after all (18.1.1). The transaction's id is `branch`, or a new one. Towards an address
        that cannot be sent to, the answer is `TransactionFailed`.
        """
        branch = branch or self._tokens.branch()
        method = request.method
        wanted = hop
        data, hop = self._with_via(request, hop, branch, alternative)
        if not is_unicast(hop.remote):
            return branch, [Deliver(TransactionFailed(branch, label))]
        if method == "INVITE":
            transaction = Transaction(branch, _INVITE_CLIENT, _CALLING, method, hop, label, data)
        else:
            transaction = Transaction(branch, _CLIENT, _TRYING, method, hop, label, data)
        if hop is not wanted:
            transaction.otherwise = self._with_via(request, wanted, branch, None)
        return branch, [self._start_client(transaction, now)]

    def send_ack(
        self, request: Request, hop: Hop, now: float, *, label: str = "", alternative: Hop | None = None
    ) -> list[Effect]:
        """Send the ACK for a 2xx: with a branch of its own and no transaction (13.2.2.4). Once for each 2xx
        received."""
        data, hop = self._with_via(request, hop, self._tokens.branch(), alternative)
        return [_tuple(Transmit, (data, hop, None, label))] if is_unicast(hop.remote) else []

    def cancel(self, transaction: TransactionId, now: float, reasons: Iterable[str] = ()) -> list[Effect]:
        """Take back the INVITE of a client transaction (9.1): a CANCEL goes out now, or as soon as a provisional
        response has come; never if a final response has. `reasons` are values of its Reason headers (RFC 3326).

        The INVITE's own final response, 487 as a rule, or `TransactionTimedOut` 64*T1 after the CANCEL, still comes.
        Raises LocalProtocolError for a reason with CR, LF or NUL in it.
        """
        invite = self._clients.get(transaction)
        if invite is None or invite.machine is not _INVITE_CLIENT or invite.cancel is not None:
            return []
        reasons = checked_values(reasons)
        if invite.state is _CALLING:
            invite.cancel = reasons
        elif invite.state is _PROCEEDING:
            invite.cancel = reasons
            return self._send_cancel(invite, now)
        return []

    def _send_cancel(self, invite: Transaction, now: float) -> list[Effect]:
        data = cancel_request(invite.message, invite.cancel or ())
        invite.ends_at = now + self._timers.long
        self._deadlines.arm(invite)
        transaction = Transaction(f"{invite.id} CANCEL", _CLIENT, _TRYING, "CANCEL", invite.hop, invite.label, data)
        return [self._start_client(transaction, now)]

    def respond(
        self, transaction: TransactionId, response: Response, now: float, *, label: str | None = None
    ) -> list[Effect]:
        """Answer a request. `label`, if given, is the transaction's name from now on.

        Nothing is sent in a transaction that is unknown or over, for a second final response (but a 2xx to an INVITE is
        sent each time, as 13.3.1.4 needs it), and, by RFC 4320 section 4, for a 408 or a provisional response other
        than 100 to a request other than INVITE.
        """
        server = self._servers.get(transaction)
        if server is None:
            return []
        if label is not None:
            server.label = label
        status = response.status
        if status < 200:
            if status != 100 and server.machine is _SERVER:
                return []
            return self._step(server, _SEND_PROVISIONAL, response.to_bytes(), now)
        if status < 300:
            if server.machine is _SERVER:
                self._forget_merge_key(server)
            return self._step(server, _SEND_SUCCESS, response.to_bytes(), now)
        self._forget_merge_key(server)
        if status == 408 and server.machine is _SERVER:
            return self._step(server, Input.GIVE_UP, None, now)
        return self._step(server, _SEND_FAILURE, response.to_bytes(), now)

    def abandon(self, transaction: TransactionId) -> None:
        """Forget a request that is not to be answered, or not but for this once; what comes of it again is new."""
        server = self._servers.get(transaction)
        if server is not None:
            self._end(server)

    def _looping(self, request: Request) -> bool:
        """Whether `request` is one that we sent ourselves and that has come back as it was: one of its Vias is that of
        a client transaction which is still waiting, and the Request-URI is the same (16.3 item 4: a loop, not a
        spiral).

        Raises RemoteProtocolError if a Via is malformed.
        """
        if request.headers.has_one("via"):
            return False
        for value in request.headers.values("Via")[1:]:
            ours = self._clients.get(parse_via(value).branch or "")
            if ours is not None and ours.message.startswith(f"{request.method} {request.uri} SIP/2.0\r\n".encode()):
                return True
        return False

    # -- from the transport -------------------------------------------------------------------------------------------

    def transport_failed(self, transaction: TransactionId, now: float) -> list[Effect]:
        """A `Transmit` that named this transaction could not be carried out (17.1.4, 17.2.4)."""
        failed = self._clients.get(transaction) or self._servers.get(transaction)
        if failed is not None and failed.otherwise is not None and failed.cancel is None:
            if failed.state is _CALLING or failed.state is _TRYING:
                failed.message, failed.hop = failed.otherwise
                failed.otherwise = None
                return [self._start_client(failed, now)]
        return [] if failed is None else self._step(failed, Input.TRANSPORT_ERROR, None, now)

    # -- time ---------------------------------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """When `handle_timeout` has something to do; None if never."""
        return self._deadlines.earliest()

    def handle_timeout(self, now: float) -> list[Effect]:
        """Do what is due at `now`."""
        effects: list[Effect] = []
        while (transaction := self._deadlines.pop(now)) is not None:
            given = _END if transaction.ends_at <= now else _RESEND
            effects += self._step(transaction, given, None, now)
        return effects

    # -- inside -------------------------------------------------------------------------------------------------------

    def _with_via(self, request: Request, hop: Hop, branch: str, alternative: Hop | None) -> tuple[bytes, Hop]:
        """The request as bytes with our Via on top, and the hop that it suits."""
        ours = self._sent_by.get(hop[:3])
        if ours is None:
            raise LocalProtocolError(f"no socket of ours: {hop.transport} {hop.local} in zone {hop.zone}")
        data = request.to_bytes(f"{ours.head}{branch}{ours.tail}")
        if alternative is not None and hop.transport == "UDP" and len(data) > self._path_safe_size:
            return self._with_via(request, alternative, branch, None)
        return data, hop

    def _start_client(self, transaction: Transaction, now: float) -> Transmit:
        self._clients[transaction.id] = transaction
        transmit = start(transaction, self._timers, now)
        self._deadlines.arm(transaction)
        return transmit

    def _step(self, transaction: Transaction, given: Input, subject: object, now: float) -> list[Effect]:
        effects = advance(transaction, given, subject, self._timers, now)
        if transaction.state is _TERMINATED:
            self._end(transaction)
        elif transaction.ends_at < transaction.armed or transaction.resend_at < transaction.armed:
            self._deadlines.arm(transaction)
        return effects

    def _end(self, transaction: Transaction) -> None:
        self._deadlines.disarm(transaction)
        if transaction.machine is _INVITE_CLIENT or transaction.machine is _CLIENT:
            self._clients.pop(transaction.id, None)
        else:
            self._servers.pop(transaction.id, None)
            self._forget_merge_key(transaction)

    def _forget_merge_key(self, transaction: Transaction) -> None:
        if transaction.merge_key:
            self._unanswered.pop(transaction.merge_key, None)
            transaction.merge_key = ""


def _local_tag(transaction: Transaction) -> str:
    """The To tag of the last response of a server transaction, read from its bytes; "" if it had none or is gone."""
    for line in transaction.message.partition(b"\r\n\r\n")[0].split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() in (b"to", b"t"):
            return parse_name_address(value.strip().decode()).tag or ""
    return ""
