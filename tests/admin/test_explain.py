from __future__ import annotations

from typing import Any

from sbc.admin.explain import explanation, message_lines

CALLER, PBX = "192.0.2.7:5060", "10.0.0.5:5060"


def message(order: int, sent: bool, zone: str, first: str, cseq: str = "1 INVITE", **changes: Any) -> dict[str, Any]:
    call_id = {"public": "a-call", "private": "b-call"}[zone]
    body = "v=0\r\nm=audio 4000 RTP/AVP 0\r\n" if first in ("INVITE sip:bob@sbc SIP/2.0", "SIP/2.0 200 OK") else ""
    return {
        "at": 100.0 + order / 10,
        "order": order,
        "sent": sent,
        "zone": zone,
        "transport": "UDP",
        "local": "192.0.2.1:5060",
        "remote": CALLER if zone == "public" else PBX,
        "text": f"{first}\r\ni: {call_id}\r\nCSeq: {cseq}\r\n\r\n{body}",
    } | changes


def decision(order: int, verdict: str, reason: str, **changes: Any) -> dict[str, Any]:
    facts = {"at": 100.0 + order / 10, "order": order, "hook": "route", "policy": "routing"}
    return facts | {"verdict": verdict, "reason": reason} | changes


def leg(zone: str, **changes: Any) -> dict[str, Any]:
    return {
        "zone": zone,
        "peer": "pbx" if zone == "private" else "",
        "remote": (CALLER if zone == "public" else PBX) + "/UDP",
        "call_id": "a-call" if zone == "public" else "b-call",
        "from_uri": "sip:alice@example.com",
        "to_uri": "sip:bob@sbc",
        "request_uri": "sip:bob@sbc",
        "user_agent": "",
        "status": 200,
    } | changes


def call(**changes: Any) -> dict[str, Any]:
    return {
        "id": "c0ffee",
        "started": 100.0,
        "ringing": None,
        "answered": 100.4,
        "ended": 103.4,
        "status": 200,
        "ended_by": "caller",
        "cause": "BYE",
        "attempts": 1,
        "streams": [{"kind": "audio", "codec": "PCMU", "a": {"packets": 150, "lost": 0}, "b": {}}],
        "a": leg("public"),
        "b": leg("private"),
        "messages": [
            message(0, False, "public", "INVITE sip:bob@sbc SIP/2.0"),
            message(2, True, "private", "INVITE sip:bob@10.0.0.5 SIP/2.0"),
            message(3, False, "private", "SIP/2.0 200 OK"),
            message(4, True, "public", "SIP/2.0 200 OK"),
            message(30, False, "public", "BYE sip:sbc SIP/2.0", "2 BYE"),
            message(31, True, "public", "SIP/2.0 200 Fine", "2 BYE"),
        ],
        "decisions": [decision(1, "pbx", "the only peer")],
    } | changes


def lines(facts: dict[str, Any], width: int = 100) -> list[str]:
    return explanation(facts, now=200.0, width=width)


EXPECTED = """
     192.0.2.7:5060                    SBC                  pbx 10.0.0.5:5060
            │                           │                           │
  +0.000    │── INVITE (SDP) sip:bob… ─>│                           │
  +0.100    │                           │ * route/routing: pbx: the only peer
  +0.200    │                           │── INVITE sip:bob@10.0.… ─>│
  +0.300    │                           │<────────── 200 OK (SDP) ──│
  +0.400    │<────────── 200 OK (SDP) ──│                           │
  +3.000    │── BYE ───────────────────>│                           │
  +3.100    │<──────── 200 Fine (BYE) ──│                           │
            │                           │                           │
"""


def test_a_call_is_told_on_one_screen() -> None:
    told = lines(call(), 80)
    assert told[0].startswith("Call c0ffee   alice -> bob   ")
    assert told[1] == "200, ended by caller: BYE   answered for 3.0 s"
    assert told[2] == "from public (192.0.2.7:5060/UDP)   to private (pbx, 10.0.0.5:5060/UDP)"
    assert "\n".join(told[4:14]) == EXPECTED.strip("\n")
    assert told[15:] == [
        "media 0: audio PCMU   from caller: 150 packets, lost 0 (0.0%)",
        "                      from callee: nothing came",
    ]
    assert len(told) <= 24


def test_what_happens_in_one_moment_stays_in_order() -> None:
    facts = call(
        messages=[message(0, False, "public", "INVITE sip:bob@sbc SIP/2.0", at=100.0),
                  message(2, True, "private", "INVITE sip:x SIP/2.0", at=100.0)],
        decisions=[decision(1, "pbx", "why", at=100.0)],
    )  # fmt: skip
    text = "\n".join(lines(facts))
    assert text.index("sip:bob@sbc") < text.index("why") < text.index("sip:x")


def test_a_refused_call_without_a_second_leg() -> None:
    facts = call(
        b=None, answered=None, status=404, cause="no route", ended_by="sbc", streams=[], attempts=0,
        decisions=[decision(1, "reject 404", "nothing routes this call")],
        messages=[
            message(0, False, "public", "INVITE sip:x SIP/2.0"),
            message(2, True, "public", "SIP/2.0 404 Not Found"),
        ],
    )  # fmt: skip
    text = "\n".join(lines(facts))
    assert "404, ended by sbc: no route" in text
    assert "to nobody: no target was tried" in text
    assert "404 Not Found" in text
    assert "callee" in text


def test_the_leg_of_a_message_is_told_by_its_call_id_even_within_one_zone() -> None:
    facts = call(
        a=leg("private", call_id="a-call"),
        messages=[message(0, True, "private", "INVITE sip:bob@10.0.0.5 SIP/2.0")],
        decisions=[],
    )
    (arrow,) = (line for line in lines(facts) if "INVITE" in line)
    assert arrow.index("INVITE") > len(arrow) / 2


def test_a_message_to_another_target_says_which() -> None:
    facts = call(messages=[message(0, True, "private", "INVITE sip:b SIP/2.0", remote="10.0.0.6:5060")], attempts=2)
    text = "\n".join(lines(facts, 140))
    assert "INVITE sip:b [10.0.0.6:5060]" in text
    assert "(2 targets tried)" in text


def test_messages_in_full_have_direction_and_time() -> None:
    told = message_lines(call())
    assert told[0] == "---- +0.000  public  192.0.2.1:5060 <- 192.0.2.7:5060  UDP"
    assert told[1:4] == ["INVITE sip:bob@sbc SIP/2.0", "i: a-call", "CSeq: 1 INVITE"]
    assert "---- +0.200  private  192.0.2.1:5060 -> 10.0.0.5:5060  UDP" in told


def test_strangers_cannot_drive_the_terminal() -> None:
    evil = "\x1b[2J\x9b\x07"
    facts = call(
        messages=[message(0, False, "public", f"INVITE sip:{evil} SIP/2.0")],
        decisions=[decision(1, evil, evil)],
        cause=evil,
        a=leg("public", from_uri=f"sip:{evil}@x", user_agent=evil),
    )
    told = "\n".join([*lines(facts), *message_lines(facts)])
    assert not {"\x1b", "\x9b", "\x07"} & set(told)


def test_a_message_that_is_garbage_is_still_shown() -> None:
    facts = call(messages=[message(0, False, "public", "", text="\x00garbage")])
    assert any("garbage" in line for line in lines(facts))
