"""Whether the SBC keeps the rules of offer and answer (RFC 3264) and of reliable provisional responses (RFC 3262) on
each of its dialogs: judged by what it was told and what it said, in the order in which that happened to it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from sbc.b2bua import Abandon, B2bua, Command, Respond, SendAck, SendRequest
from sbc.b2bua.bodies import session_description
from sbc.sip import (
    AckReceived,
    Request,
    RequestReceived,
    Response,
    ResponseReceived,
    SipError,
    TransactionFailed,
    TransactionTimedOut,
)

Key = tuple[str, str, str]
"""Call-ID, the SBC's tag, the other one's."""
SBC, PEER = "SBC", "peer"


@dataclass
class Talk:
    """One dialog."""

    open: tuple[str, str] | None = None
    """Whose offer is open, and in which transaction it was made."""
    rack: str = ""
    """Where a reliable response made the peer's offer: RAck of the PRACK that brings the answer."""
    settled: bool = False
    """The first offer is answered."""
    refused: set[str] = field(default_factory=set)
    """Transactions with offers that came while another one was open."""
    rseq: int | None = None
    """The last one that came in order."""
    owed: str = ""
    """A 2xx with an offer was acknowledged without an answer: nothing but a BYE makes that good."""
    over: bool = False


@dataclass
class Served:
    """A request that the SBC got."""

    request: Request
    key: Key
    final: bool = False
    given_up: bool = False
    pending: int | None = None
    """RSeq of the reliable response that is not acknowledged."""
    pending_sdp: bool = False
    rseq: int | None = None
    seen: set[int] = field(default_factory=set)


class Conduct:
    """Listens to one session layer; `faults` says what it did wrong."""

    def __init__(self, b2bua: B2bua) -> None:
        self.faults: list[str] = []
        self._talks: dict[Key, Talk] = {}
        self._clients: dict[str, Request] = {}
        self._served: dict[str, Served] = {}
        self._pracks: Counter[tuple[Key, str]] = Counter()
        self._responses: list[Response] = []  # keeps their ids from being used again
        for name in ("handle", "handle_timeout", "drain", "hang_up_all"):
            self._listen(b2bua, name)

    def _listen(self, b2bua: B2bua, name: str) -> None:
        method = getattr(b2bua, name)

        def heard(*args: object) -> list[Command]:
            if name == "handle":
                self._event(args[0])
            commands: list[Command] = method(*args)
            for command in commands:
                self._command(command)
            return commands

        setattr(b2bua, name, heard)

    def _fault(self, text: str, message: Request | Response) -> None:
        self.faults.append(f"{text}: {message.call_id} {message.cseq}")

    def end(self) -> list[str]:
        """All faults, those included that only the end shows."""
        for served in self._served.values():
            if not served.final and not served.given_up:
                self._fault("never answered", served.request)
        for key, talk in self._talks.items():
            if talk.owed and not talk.over:
                self.faults.append(f"an offer in a 2xx was not answered: {key[0]} {talk.owed}")
        return self.faults

    def _talk(self, key: Key) -> Talk:
        return self._talks.setdefault(key, Talk())

    # -- what it is told -----------------------------------------------------------------------------------------------

    def _event(self, event: object) -> None:
        try:
            if isinstance(event, RequestReceived):
                self._request_came(event.transaction, event.request)
            elif isinstance(event, ResponseReceived):
                self._response_came(event.transaction, event.response)
            elif isinstance(event, AckReceived):
                self._ack_came(event.request)
            elif isinstance(event, TransactionTimedOut | TransactionFailed):
                self._close(event.transaction)
                if event.transaction in self._served:
                    self._served[event.transaction].given_up = True
        except SipError:  # what cannot be read is the parser's matter
            pass

    def _request_came(self, transaction: str, request: Request) -> None:
        key = request.call_id, request.to.tag or "", request.from_.tag or ""
        self._served[transaction] = Served(request, key)
        talk = self._talks.get(key)
        if talk is None:
            return
        if request.method == "PRACK":
            self._prack_came(talk, key, request)
        if request.method in ("INVITE", "UPDATE", "PRACK") and _offers(request):
            if talk.open is not None and talk.open[0] == SBC and request.method == "PRACK":
                talk.open = None  # the answer to what a reliable response offered
            elif talk.open is None:
                talk.open = PEER, transaction
            else:
                talk.refused.add(transaction)

    def _prack_came(self, talk: Talk, key: Key, request: Request) -> None:
        for served in self._served.values():
            same = served.request.method == "INVITE" and served.key[0] == key[0] and served.key[2] == key[2]
            rack = f"{served.pending} {served.request.cseq}"
            if same and request.headers.get("RAck") == rack:
                served.pending, served.pending_sdp = None, False

    def _response_came(self, transaction: str, response: Response) -> None:
        request = self._clients.get(transaction)
        if request is None or response.cseq != request.cseq:
            return
        if response.status >= 300:
            self._close(transaction)
            return
        if request.method not in ("INVITE", "UPDATE", "PRACK") or response.status == 100 or response.to.tag is None:
            return
        key = request.call_id, request.from_.tag or "", response.to.tag
        new = key not in self._talks
        talk = self._talk(key)
        first = request.method == "INVITE" and request.to.tag is None
        if new and first and _offers(request):
            talk.open = SBC, transaction
        reliable = response.status < 200 and _is_reliable(response)
        if reliable and not self._in_order(talk, response):
            return
        firm = response.status >= 200 or reliable
        if talk.open == (SBC, transaction):
            if firm and (_offers(response) or response.status >= 200):
                talk.open, talk.settled = None, True
        elif request.method == "INVITE" and not _offers(request) and _offers(response) and firm:
            if talk.open is None and not (first and talk.settled):
                talk.open, talk.settled = (PEER, transaction), True
                talk.rack = f"{talk.rseq} {response.cseq}" if reliable else ""

    def _in_order(self, talk: Talk, response: Response) -> bool:
        number = int(response.headers.get("RSeq") or "")
        if talk.rseq is not None and number != talk.rseq + 1:
            return False
        talk.rseq = number
        return True

    def _ack_came(self, request: Request) -> None:
        talk = self._talks.get((request.call_id, request.to.tag or "", request.from_.tag or ""))
        if talk is not None and talk.open is not None and talk.open[0] == SBC:
            served = self._served.get(talk.open[1])
            if served is not None and served.request.cseq.number == request.cseq.number:
                talk.open = None

    def _close(self, transaction: str) -> None:
        for talk in self._talks.values():
            if talk.open is not None and talk.open[1] == transaction:
                talk.open = None

    # -- what it says --------------------------------------------------------------------------------------------------

    def _command(self, command: Command) -> None:
        if isinstance(command, SendRequest):
            self._requested(command.branch, command.request)
        elif isinstance(command, SendAck):
            self._acknowledged(command.request)
        elif isinstance(command, Respond):
            self._responded(command.transaction, command.response)
        elif isinstance(command, Abandon):
            self._served[command.transaction].given_up = True

    def _requested(self, branch: str, request: Request) -> None:
        self._clients[branch] = request
        if request.to.tag is None:
            return
        key = request.call_id, request.from_.tag or "", request.to.tag
        talk = self._talk(key)
        if request.method == "BYE":
            talk.over = True
        if request.method == "PRACK":
            rack = request.headers.get("RAck") or ""
            self._pracks[(key, rack)] += 1
            if self._pracks[(key, rack)] > 1:
                self._fault("one response acknowledged twice", request)
            if talk.open is not None and talk.open[0] == PEER and talk.rack == rack:  # this is the answer
                talk.open = None
                return
        if request.method in ("INVITE", "UPDATE", "PRACK") and _offers(request):
            if talk.open is not None:
                self._fault(f"{request.method} offers while an offer of the {talk.open[0]} is open", request)
            if talk.over:
                self._fault(f"{request.method} offers after the BYE", request)
            talk.open = SBC, branch

    def _acknowledged(self, request: Request) -> None:
        talk = self._talk((request.call_id, request.from_.tag or "", request.to.tag or ""))
        if talk.open is not None and talk.open[0] == PEER:
            invite = self._clients.get(talk.open[1])
            if invite is not None and invite.cseq.number == request.cseq.number:
                talk.open = None
                talk.owed = "" if _offers(request) else str(request.cseq)
                return
        if _offers(request) and talk.owed:
            self._fault("an answer after an ACK without one", request)

    def _responded(self, transaction: str, response: Response) -> None:
        served = self._served.get(transaction)
        if served is None or id(response) in served.seen:
            return
        served.seen.add(id(response))
        self._responses.append(response)
        status, request = response.status, served.request
        if served.final:
            self._fault(f"{status} after a final response", response)
        served.final = served.final or status >= 200
        if request.method == "INVITE" and request.to.tag is None:
            served.key = request.call_id, response.to.tag or "", request.from_.tag or ""
            if status > 100 and response.to.tag:
                self._answered_first(transaction, served, response)
        elif request.method == "BYE" and status < 300 and served.key in self._talks:
            self._talks[served.key].over = True
        elif request.method in ("INVITE", "UPDATE", "PRACK"):
            self._answered_later(transaction, served, response)

    def _answered_first(self, transaction: str, served: Served, response: Response) -> None:
        request, status = served.request, response.status
        new = served.key not in self._talks
        talk = self._talk(served.key)
        if new and _offers(request):
            talk.open = PEER, transaction
        if status >= 300:
            talk.open, talk.over = None, True
            return
        reliable = self._is_reliable(served, response) if status < 200 else False
        if status >= 200 and served.pending_sdp:
            self._fault("2xx before the PRACK", response)
        if _offers(request):
            if _offers(response) and talk.settled:
                self._fault("a second answer", response)
            if status >= 200 and not _offers(response) and not talk.settled:
                self._fault("2xx without an answer", response)
            if (_offers(response) and reliable) or status >= 200:
                talk.settled = True
                if talk.open == (PEER, transaction):
                    talk.open = None
        elif _offers(response):
            if talk.settled or not (reliable or status >= 200):
                self._fault("an offer where none may be", response)
            talk.open, talk.settled = (SBC, transaction), True

    def _is_reliable(self, served: Served, response: Response) -> bool:
        tags = {tag.lower() for name in ("Supported", "Require") for tag in served.request.headers.values(name)}
        required = {tag.lower() for tag in served.request.headers.values("Require")}
        text = response.headers.get("RSeq")
        if text is None:
            if "100rel" in required:
                self._fault("an unreliable response to who requires reliable ones", response)
            return False
        number = int(text)
        if "100rel" not in tags:
            self._fault("a reliable response to who does not support it", response)
        if served.pending is not None:
            self._fault("a reliable response before the PRACK of the last one", response)
        if served.rseq is not None and number != served.rseq + 1:
            self._fault("RSeq out of order", response)
        served.rseq = served.pending = number
        served.pending_sdp = _offers(response)
        return True

    def _answered_later(self, transaction: str, served: Served, response: Response) -> None:
        talk = self._talks.get(served.key)
        if talk is None or response.status < 200:
            return
        if response.status < 300 and _offers(response) and transaction in talk.refused:
            self._fault("an answer to an offer that came while another one was open", response)
        if talk.open == (PEER, transaction):
            talk.open = None
        elif response.status < 300 and _offers(response) and not _offers(served.request):
            if talk.open is not None:
                self._fault(f"2xx offers while an offer of the {talk.open[0]} is open", response)
            talk.open = SBC, transaction


def _is_reliable(response: Response) -> bool:
    return "RSeq" in response.headers and "100rel" in [tag.lower() for tag in response.headers.values("Require")]


def _offers(message: Request | Response) -> bool:
    """It has a session description."""
    return bool(session_description(message))
