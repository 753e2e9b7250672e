"""Who may open something new, and how much at once (RFC 5853 section 3.3, RFC 3261 section 21.5.4)."""

from __future__ import annotations

from dataclasses import dataclass

from sbc.b2bua import PASS, AdmitVerdict, CallView, Pass, Reject
from sbc.policy.emergency import emergency_calls


@dataclass(frozen=True, slots=True)
class AdmissionSettings:
    max_calls: int = 10000
    """Calls at the same time, over all zones."""
    retry_after: int = 10
    """Seconds that a caller who is turned away for lack of room is asked to wait."""
    emergency: tuple[str, ...] = ()
    """Patterns of the numbers of emergency services: calls of peers to them are not limited. Those of strangers have
    room of their own, a tenth of `max_calls` beyond it: anybody on the Internet can dial such a number."""


class Admission:
    """Turns away whoever is no peer in a zone that serves only peers, and, but for emergency calls, new calls while
    there is no room for them."""

    def __init__(self, settings: AdmissionSettings) -> None:
        self._settings = settings
        self._retry_after = (("Retry-After", str(settings.retry_after)),)
        self._is_emergency = emergency_calls(settings.emergency)
        self._most_of_strangers = settings.max_calls + max(10, settings.max_calls // 10)

    def admit(self, call: CallView) -> AdmitVerdict:
        if call.peer is None and not call.zone.open:
            return Reject("admission", 403, f"{call.hop.remote.host} is no peer of zone {call.zone.name}")
        # RFC 3261 11.2: OPTIONS is answered as an INVITE would be, so that others learn when to go elsewhere
        if call.request.method not in ("INVITE", "OPTIONS"):
            return PASS
        if call.request.method == "INVITE" and self._is_emergency(call.request):
            if call.peer is not None or call.calls < self._most_of_strangers:
                return _EMERGENCY
            return Reject("admission", 503, f"{call.calls} calls already", headers=self._retry_after)
        if call.draining:
            return Reject("admission", 503, "the service is ending", headers=self._retry_after)
        if call.calls >= self._settings.max_calls:
            return Reject("admission", 503, f"{call.calls} calls already", headers=self._retry_after)
        return PASS


_EMERGENCY = Pass(emergency=True)
