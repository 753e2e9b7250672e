"""What the signalling process and the worker say to each other over the Unix stream socket: one JSON array a line.

To the worker, one command a line:
    ["b", host, count]                                              bind port pairs
    ["a", id, is_rtp, clock_rate, silence, A, B, latched_a, latched_b]   apply a flow
    ["a", id, is_rtp, clock_rate, silence, A, B, latched_a, latched_b, X, Y]   ... with treatments
    ["m", id, silence, M, M]                                        apply an MSRP session
    ["r", id, id, ...]                                              remove flows
    ["d", id, side, digit, duration]                                send a digit
where A and B are [[host, port], remote, remote_rtcp, mux, signalling, latching, generation, cname, moves], an address
being [host, port] or null, and X and Y say what is done to packets from a and from b: [map, heard, sent, report,
swallow], map and heard being lists of two numbers each, and sent one such pair or null. M is a side of an MSRP session:
[[host, port], remote, ours, theirs, connects], with our URI and its path as texts. From the worker, a list of events a
line, each of them:
    ["p", host, [port, ...]]    ["l", id, side, source]    ["m", id, side, source, count]    ["q", id]
    ["k", id, side, digit, milliseconds]
    ["s", id, FIGURES_A, FIGURES_B, is_final]              ["e", text]: a command that could not be carried out

The worker imports this module, so it must not load anything of the signalling's.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sbc.media import Flow, FlowSide

MAX_LINE = 1 << 20
"""Bytes of one line; more means that the other end has gone wrong."""

encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
decode = json.JSONDecoder().decode


def encode_bind(host: str, count: int) -> bytes:
    return encode(["b", host, count]).encode() + b"\n"


def encode_apply(flow: Flow) -> bytes:
    if flow.paths is not None:
        sides = zip((flow.a, flow.b), flow.paths, strict=True)
        words = [[side.local, side.remote, *path] for side, path in sides]
        return encode(["m", flow.id, flow.silence, *words]).encode() + b"\n"
    is_rtp = flow.kind == "rtp"
    a, b = _side(flow.a), _side(flow.b)
    command = ["a", flow.id, is_rtp, flow.clock_rate, flow.silence, a, b, flow.latched_a, flow.latched_b]
    if flow.treatments:
        command += (flow.map_a, *flow.events_a), (flow.map_b, *flow.events_b)
    return encode(command).encode() + b"\n"


def encode_remove(flow_ids: list[str]) -> bytes:
    return encode(["r", *flow_ids]).encode() + b"\n"


def encode_digit(flow_id: str, side: str, digit: str, duration: int) -> bytes:
    return encode(["d", flow_id, side, digit, duration]).encode() + b"\n"


def _side(side: FlowSide) -> tuple[Any, ...]:
    return (
        side.local,
        side.remote,
        side.remote_rtcp,
        side.rtcp_mux,
        side.signalling,
        side.latching.value,
        side.generation,
        side.cname,
        side.moves,
    )
