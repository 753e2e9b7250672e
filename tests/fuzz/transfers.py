"""Transfers in random call histories: REFER, its NOTIFYs, Replaces, and the calls that they need besides."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from sbc.b2bua.bodies import session_description
from sbc.sip import Address, Dialog, RequestReceived, Response, ResponseReceived, SipError, parse_name_address
from tests.support.phone import Phone
from tests.support.world import CALLER, INSIDE, OUTSIDE, PBX

if TYPE_CHECKING:
    from tests.fuzz.two_legs import History

DAVE = Address("198.51.100.9", 5090)
THIRD = Address(PBX.host, 5062)
PLACES = (f"<sip:1002@{OUTSIDE.host}>", f"<sip:2002@{DAVE.host}:{DAVE.port}>", "<tel:+4930123>", "<sip:1@host.example>")
INNER_PLACES = (
    *PLACES,
    f"<sip:1002@{PBX.host}>",
    f"<sip:1002@{INSIDE.host}>",
    "<sip:1002@10.0.0.99;transport=tcp>",
    "<sip:1002@pbx.secret.example>",
)
STRANGE = (
    "<sip:@@@>",
    "<sips:1@192.0.2.1>",
    f"<sip:1@{OUTSIDE.host};method=BYE>",
    f"<sip:1@{OUTSIDE.host}?Replaces=x>",
    f"<sip:1@{OUTSIDE.host}?Replaces=x%4010.0.0.9%3Bto-tag%3D1%3Bfrom-tag%3D2&Replaces=y>",
    "",
)
FRAGMENTS = (
    b"SIP/2.0 100 Trying\r\n",
    b"SIP/2.0 200 OK\r\nServer: SecretPBX\r\n",
    b"SIP/2.0 486 10.0.0.9\r\n",
    b"x",
    b"",
)
STATES = ("active;expires=60", "terminated;reason=noresource", "pending;x=10.0.0.9", "terminated;reason=10.0.0.9", "")


class Transfers:
    """What the elements of `history` do beyond one call: `dave` is one more phone outside, `third` one more end of the
    PBX, which may call him."""

    def __init__(self, history: History) -> None:
        self.history = history
        rng, self._sent = history.rng, {}
        self.dave = history.callee(DAVE, OUTSIDE, 77)
        self.third = history.callee(THIRD, INSIDE, 78)
        self.third.on_response = self._third_response
        self.eager = rng.random() < 0.2
        """Everybody answers, and wants transfers."""
        if self.eager or rng.random() < 0.2:
            history.later(5, self._consult)
        if rng.random() < (0.4 if self.eager else 0.1):
            history.later(rng.choice((2, 20)), self._take_over)

    # -- what they send ------------------------------------------------------------------------------------------------

    def refer(self, phone: Phone) -> None:
        rng = self.history.rng
        places = INNER_PLACES if phone.address.host.startswith("10.") else PLACES
        value = rng.choice(STRANGE) if rng.random() < 0.1 else rng.choice(places)
        replaces = self._somebodys(phone)
        if replaces and rng.random() < 0.5 and value.startswith("<sip:") and "?" not in value:
            value = f"{value[:-1]}?Replaces={quote(replaces)}>"
        headers = [("Refer-To", value)] if value else []
        if rng.random() < 0.3 and phone.address.host.startswith("10."):
            headers.append(("Referred-By", '"Ann 10.0.0.9" <sip:ann@pbx.secret.example>;cid="1@10.0.0.9"'))
        if rng.random() < 0.1:
            headers.append(("Refer-Sub", "false"))
        if phone.dialog is not None:
            phone.in_dialog("REFER", headers=tuple(headers))

    def notify(self, phone: Phone, number: int) -> None:
        rng = self.history.rng
        event = rng.choice((f"refer;id={number}", "refer", "refer;id=999", "presence"))
        headers = (("Event", event), ("Subscription-State", rng.choice(STATES)))
        if phone.dialog is not None:
            phone.in_dialog("NOTIFY", rng.choice(FRAGMENTS), "message/sipfrag", headers)

    def _somebodys(self, phone: Phone) -> str:
        """A dialog as one of its two ends names it; or one that nobody knows."""
        rng = self.history.rng
        own = phone.address.host.startswith("10.")
        others = [each for each in self._phones() if each is not phone or rng.random() < 0.2]
        known = [each for each in others if each.address.host.startswith("10.") == own and each.dialog]
        if not known or rng.random() < 0.1:
            return "own@10.0.0.9;to-tag=1;from-tag=2" if own else "own@example.com;to-tag=1;from-tag=2"
        dialog = rng.choice(known).dialog
        assert dialog is not None
        tags = [dialog.remote_tag, dialog.local_tag]
        if rng.random() < 0.3:
            tags.reverse()
        return f"{dialog.call_id};to-tag={tags[0]};from-tag={tags[1]}{rng.choice(('', '', ';early-only'))}"

    def _phones(self) -> tuple[Phone, ...]:
        return (self.history.caller, *self.history.callees, self.dave, self.third)

    def _consult(self) -> None:
        self._call(self.third, f"sip:2002@{DAVE.host}:{DAVE.port}", ())

    def _take_over(self) -> None:
        """Somebody wants a call that is none of its own."""
        phone = self.history.rng.choice((self.dave, self.third))
        value = self._somebodys(phone)
        uri = f"sip:2002@{CALLER.host}:{CALLER.port}" if phone is self.third else f"sip:1001@{OUTSIDE.host}"
        self._call(phone, uri, (("Replaces", value),))

    def _call(self, phone: Phone, uri: str, headers: tuple[tuple[str, str], ...]) -> None:
        body = self.history.sessions.offer(phone.address, 7000) if self.history.rng.random() < 0.9 else b""
        transaction = phone.call(uri, body, (*headers, *self.history.extensions()))
        self._sent[transaction] = phone.sent[transaction]
        if self.history.rng.random() < 0.1:
            self.history.later(5, lambda: phone.cancel(transaction))

    # -- what they get -------------------------------------------------------------------------------------------------

    def referred(self, phone: Phone, event: RequestReceived) -> None:
        """A REFER has come: some do what it says."""
        rng, request = self.history.rng, event.request
        status = rng.choice((202, 202, 200, 603, 405))
        phone.answer(event, status)
        if status >= 300:
            return
        for _ in range(rng.randrange(3)):
            self.history.later(3, lambda: self.notify(phone, request.cseq.number))
        try:
            uri = parse_name_address(request.headers.get("Refer-To") or "").uri
        except SipError:
            return
        fields = dict(field.partition("=")[::2] for field in uri.headers.split("&") if field)
        replaces = fields.get("Replaces")
        headers = (("Replaces", unquote(replaces)),) if replaces else ()
        own = phone.address.host.startswith("10.") and uri.host.startswith("10.") and uri.host != INSIDE.host
        if uri.scheme == "sip" and not own and rng.random() < 0.8:  # its own users it would not call through the SBC
            self.history.later(1, lambda: self._call(phone, str(uri.replace(headers="")), headers))

    def response(self, phone: Phone, event: ResponseReceived) -> bool:
        """A response to one of the calls made here."""
        request = self._sent.get(event.transaction)
        if request is None:
            return False
        response = event.response
        if 200 <= response.status < 300 and response.cseq.method == "INVITE":
            self._answered(phone, event.transaction, response)
        return True

    def _answered(self, phone: Phone, transaction: str, response: Response) -> None:
        dialog = Dialog.as_uac(self._sent[transaction], response)
        ack = dialog.request("ACK", None, cseq=response.cseq.number)
        if not self._sent[transaction].body:
            ack.body = self.history.sessions.answer(session_description(response), phone.address, 7100, 2)
            ack.headers.add("Content-Type", "application/sdp")
        phone.run(phone.stack.send_ack(ack, phone.hop, self.history.events.now))
        if self.history.rng.random() < 0.3:
            self.history.later(20, lambda: phone.send(dialog.request("BYE", None)))

    def _third_response(self, phone: Phone, event: ResponseReceived) -> None:
        first = phone.dialog is None and event.transaction in self._sent
        if first and 200 <= event.response.status < 300:
            phone.dialog = Dialog.as_uac(self._sent[event.transaction], event.response)
            self.history.live(phone)
        if not self.response(phone, event):
            self.history.in_response(phone, event)
