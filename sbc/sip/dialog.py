"""Dialogs (RFC 3261 section 12): what two user agents remember of each other."""

from __future__ import annotations

from dataclasses import dataclass

from sbc.sip.errors import RemoteProtocolError
from sbc.sip.header_values import NameAddress, parse_name_address
from sbc.sip.message import Headers, Request, Response
from sbc.sip.uri import Uri, parse_uri


@dataclass(slots=True)
class Dialog:
    """One dialog, seen from our side of it: plain data."""

    call_id: str
    local_tag: str
    remote_tag: str
    """"" where the peer gave none (RFC 2543; 12.1.1, 12.1.2)."""
    local: str
    """Our name-addr with display name, without tag: the From of our requests."""
    remote: str
    """The peer's name-addr with display name, without tag."""
    remote_target: str
    """URI text: the Request-URI of our requests."""
    route_set: tuple[str, ...]
    """Values of Route, in the order of use."""
    local_cseq: int = 0
    """Number of the last request that we sent; 0: none yet."""
    remote_cseq: int | None = None
    """Number of the last request that we received; None: none yet."""
    confirmed: bool = False
    """A 2xx was sent or received; else the dialog is early."""

    @classmethod
    def as_uas(cls, request: Request, local_tag: str) -> Dialog:
        """The dialog that our response to `request` with this To tag makes (12.1.1), early until `confirmed` is set.

        Without a Contact the remote target is the URI of From. Raises RemoteProtocolError if From, To, Contact,
        Record-Route, Call-ID or CSeq is malformed; an INVITE that `SipStack` delivers has been looked at for that.
        """
        remote = request.from_
        return cls(
            call_id=request.call_id,
            local_tag=local_tag,
            remote_tag=remote.tag or "",
            local=_without_parameters(request.to),
            remote=_without_parameters(remote),
            remote_target=_target(request) or _as_request_uri(remote.uri_text),
            route_set=_record_route(request),
            remote_cseq=request.cseq.number,
        )

    @classmethod
    def as_uac(cls, request: Request, response: Response) -> Dialog:
        """The dialog that `response` to our `request` makes (12.1.2), confirmed if it is a 2xx.

        Without a Contact that can be read the remote target is the Request-URI, and a Record-Route that cannot be read
        is none: a 2xx has to be acknowledged in any case. Raises RemoteProtocolError if the response's To is malformed.
        """
        local = request.from_
        remote = response.to
        try:
            target, routes = _target(response), _record_route(response)
        except RemoteProtocolError:
            target, routes = None, ()
        return cls(
            call_id=request.call_id,
            local_tag=local.tag or "",
            remote_tag=remote.tag or "",
            local=_without_parameters(local),
            remote=_without_parameters(remote),
            remote_target=target or request.uri,
            route_set=routes[::-1],
            local_cseq=request.cseq.number,
            confirmed=200 <= response.status < 300,
        )

    def request(self, method: str, contact: str | None, *, cseq: int | None = None) -> Request:
        """A request inside the dialog (12.2.1.1), without Via. `contact` is the value of Contact, if it gets one.

        It takes the next CSeq number, unless `cseq` is given (an ACK has its INVITE's number). A first route that is a
        strict router (no `lr`) goes into the Request-URI, and the remote target to the end of the route.
        """
        if cseq is None:
            cseq = self.local_cseq = self.local_cseq + 1
        uri = self.remote_target
        routes = self.route_set
        if routes and not _is_loose(routes[0]):
            routes = (*routes[1:], f"<{uri}>")
            uri = _as_request_uri(parse_name_address(self.route_set[0]).uri_text)
        # all but `contact` was cut out of messages that have been read, or made here
        lines = [
            "Max-Forwards: 70",
            f"From: {self.local};tag={self.local_tag}" if self.local_tag else f"From: {self.local}",
            f"To: {self.remote};tag={self.remote_tag}" if self.remote_tag else f"To: {self.remote}",
            f"Call-ID: {self.call_id}",
            f"CSeq: {cseq} {method}",
        ]
        headers = Headers.of_lines(_KEYS.copy(), lines, {})
        if contact is not None:
            headers.add("Contact", contact)
        for route in routes:
            headers.add("Route", route)
        return Request(method, uri, headers)

    def accept(self, request: Request) -> bool:
        """Whether a request comes in order, in which case its CSeq number is remembered; one that does not is to be
        answered 500 (12.2.2).

        An equal number is in order: that is the same request sent again in a new transaction (RFC 3263 section 4.3).
        ACK and CANCEL, which repeat an INVITE's number, always are and change nothing.
        """
        if request.method in ("ACK", "CANCEL"):
            return True
        number = request.cseq.number
        if self.remote_cseq is not None and number < self.remote_cseq:
            return False
        self.remote_cseq = number
        return True

    def refresh_target(self, message: Request | Response) -> None:
        """Take over the Contact of a target refresh request or its 2xx, e.g. of a re-INVITE (12.2.1.2, 12.2.2). Without
        one that can be read the remote target stays."""
        try:
            target = _target(message)
        except RemoteProtocolError:
            return
        if target is not None:
            self.remote_target = target

    @property
    def next_hop(self) -> str:
        """Text of the URI of the element that requests go to first (12.2.1.1, 8.1.2)."""
        return parse_name_address(self.route_set[0]).uri_text if self.route_set else self.remote_target


_KEYS = ["max-forwards", "from", "to", "call-id", "cseq"]
"""The lines that every request inside a dialog has."""


def check_dialog(request: Request) -> None:
    """Raises RemoteProtocolError if `Dialog.as_uas` would."""
    _ = (request.call_id, request.to, request.cseq, _record_route(request))
    if _target(request) is None:
        _as_request_uri(request.from_.uri_text)


def _without_parameters(address: NameAddress) -> str:
    return f"{address.display_name} <{address.uri_text}>" if address.display_name else f"<{address.uri_text}>"


def _target(message: Request | Response) -> str | None:
    contact = message.contact
    if contact is None or contact.uri_text == "*":
        return None
    return _as_request_uri(contact.uri_text)


def _record_route(message: Request | Response) -> tuple[str, ...]:
    if "record-route" not in message.headers:
        return ()
    values = tuple(message.headers.values("record-route"))
    for value in values:
        _ = parse_name_address(value).uri
    return values


def _as_request_uri(text: str) -> str:
    """A URI less what may not stand in a Request-URI: headers and the parameter `method` (19.1.1, table 1).

    Raises RemoteProtocolError if it is malformed.
    """
    uri = parse_uri(text)
    if not uri.headers and "method" not in uri.params:
        return text
    return str(_bare(uri))


def _bare(uri: Uri) -> Uri:
    return uri.replace(headers="", params={name: value for name, value in uri.params.items() if name != "method"})


def _is_loose(route: str) -> bool:
    return "lr" in parse_name_address(route).uri.params
