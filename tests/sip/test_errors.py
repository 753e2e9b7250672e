from __future__ import annotations

from sbc.sip import Headers, LocalProtocolError, RemoteProtocolError, Request, SipError


def test_both_sides_are_sip_errors() -> None:
    assert issubclass(LocalProtocolError, SipError)
    assert issubclass(RemoteProtocolError, SipError)


def test_what_a_remote_error_tells() -> None:
    request = Request("BYE", "sip:a@b", Headers())
    error = RemoteProtocolError(400, "missing To", request)
    assert (error.status_hint, error.reason, error.request) == (400, "missing To", request)
    assert str(error) == "400 missing To"
    assert RemoteProtocolError(400, "x").request is None
