"""The configuration as it is written: one model for each table of etc/sbc.toml, which explains each key.

A field whose default is None is found out where it is left out (sbc/service/inference.py). Times are in seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from sbc.service.values import (
    ONE_OR_MORE,
    Bytes,
    CodecName,
    Count,
    EndpointText,
    ExactCodecName,
    Host,
    IpAddress,
    IpNetwork,
    Name,
    Pattern,
    Port,
    PortRange,
    RouteTargets,
    Seconds,
    SomeSeconds,
    WholeSeconds,
    WholeSecondsOrNone,
)

Transport = Literal["udp", "tcp"]
Spoken = Literal["never", "auto", "always"]
Latch = Literal["strict", "signalling", "any"]
CodecNames = Annotated[tuple[CodecName, ...], *ONE_OR_MORE]
ExactCodecNames = Annotated[tuple[ExactCodecName, ...], *ONE_OR_MORE, Field(min_length=1)]
Transports = Annotated[tuple[Transport, ...], *ONE_OR_MORE, Field(min_length=1)]
Advertised = Annotated[
    dict[str, IpAddress], BeforeValidator(lambda value: {"": value} if isinstance(value, str) else value)
]
"""Our address -> what messages say instead; "" stands for the only address."""


def _failures(statuses: tuple[int, ...]) -> tuple[int, ...]:
    for status in statuses:
        if not 300 <= status <= 699:
            raise ValueError(f"{status} is no status of a failed INVITE: 300 to 699")
    return statuses


class Table(BaseModel):
    """What all tables have in common: nothing is accepted and ignored, nothing is converted, nothing changes."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Service(Table):
    state_directory: Annotated[str, Field(min_length=1)] | None = None
    log: Literal["auto", "json", "text"] = "auto"
    log_level: Literal["debug", "info", "warn", "error", "critical"] = "info"
    drain_grace: Seconds = 30.0


class Tcp(Table):
    max_connections: Count = 2000
    max_connections_per_source: Count = 100
    idle_timeout: Annotated[SomeSeconds, Field(ge=32)] = 600.0
    message_timeout: SomeSeconds = 10.0
    connect_timeout: SomeSeconds = 4.0
    output_limit: Annotated[Bytes, Field(ge=65536)] = 512 * 1024


class Sip(Table):
    t1: SomeSeconds = 0.5
    t2: SomeSeconds = 4.0
    t4: SomeSeconds = 5.0
    max_message: Annotated[Bytes, Field(ge=1300, le=65535)] = 65535
    max_header_line: Annotated[Bytes, Field(ge=256)] = 8192
    max_headers: Annotated[Count, Field(ge=16)] = 256
    max_uri: Annotated[Bytes, Field(ge=64)] = 2048
    max_transactions: Count = 100_000
    max_requests: Count = 10_000
    max_subscriptions: Count = 50_000
    path_safe_size: Annotated[Bytes, Field(ge=500)] = 1300
    udp_receive_buffer: Annotated[Bytes, Field(ge=65536)] = 4 * 1024 * 1024
    user_agent: Annotated[str, Field(max_length=200, pattern=r"^[ -~]*$")] = ""
    tcp: Tcp = Tcp()

    @model_validator(mode="after")
    def _ordered(self) -> Sip:
        if self.t2 < self.t1:
            raise ValueError("t2, the longest interval between retransmissions, is shorter than t1, the first one")
        return self


class Calls(Table):
    max_calls: Count = 10_000
    no_answer: SomeSeconds = 180.0
    longest: Seconds = 43200.0
    target_timeout: SomeSeconds = 4.0
    emergency: Annotated[tuple[Pattern, ...], *ONE_OR_MORE] = ()
    session_expires: WholeSeconds = 1800
    min_session_expires: WholeSeconds = 90
    failover_statuses: Annotated[tuple[int, ...], *ONE_OR_MORE, AfterValidator(_failures)] = (408, 500, 502, 503, 504)


class Media(Table):
    ports: PortRange = "20000-29999"
    silence: Seconds = 60.0
    drain: Seconds = 5.0


class Records(Table):
    path: Annotated[str, Field(min_length=1)] | None = None
    keep: Seconds = 7 * 86400.0
    max_size: Bytes = 4 << 30
    messages: bool = True
    spool: Annotated[Bytes, Field(ge=1 << 20)] = 32 << 20


class Zone(Table):
    address: Annotated[tuple[EndpointText, ...], *ONE_OR_MORE, Field(min_length=1)]
    port: Port = 5060
    transports: Transports = ("udp", "tcp")
    advertise: Advertised = {}
    media_address: Annotated[tuple[IpAddress, ...], *ONE_OR_MORE, Field(min_length=1, max_length=2)] | None = None
    media_advertise: Advertised | None = None
    hidden: bool | None = None
    open: bool | None = None
    latching: Latch = "signalling"
    trusted: bool = False
    reliable: Spoken = "auto"
    session_timer: Spoken = "auto"
    redirect: Literal["follow", "pass"] = "follow"
    refer: Literal["auto", "pass", "end"] = "auto"
    dtmf: Literal["auto", "info", "rtp"] = "auto"
    codecs_allowed: CodecNames = ()
    codecs_denied: CodecNames = ()
    codecs_first: CodecNames = ()
    codecs_offered: ExactCodecNames = ("PCMU", "PCMA", "telephone-event")
    domains: Annotated[tuple[Host, ...], *ONE_OR_MORE] = ()


class Peer(Table):
    zone: Name | None = None
    address: EndpointText
    transports: Transports = ("udp",)
    latching: Latch = "signalling"
    trusted: bool = True
    reliable: Spoken = "auto"
    session_timer: Spoken = "auto"
    redirect: Literal["follow", "pass"] = "follow"
    refer: Literal["auto", "pass", "end"] = "auto"
    dtmf: Literal["auto", "info", "rtp"] = "auto"
    codecs_allowed: CodecNames = ()
    codecs_denied: CodecNames = ()
    codecs_first: CodecNames = ()
    codecs_offered: ExactCodecNames = ("PCMU", "PCMA", "telephone-event")
    sources: Annotated[tuple[IpNetwork, ...], *ONE_OR_MORE] = ()


class Access(Table):
    domain: Annotated[tuple[Host, ...], *ONE_OR_MORE, Field(min_length=1)]
    registrar: Name
    zone: Name | None = None
    expires_udp: Annotated[WholeSeconds, Field(ge=30)] = 90
    expires_stream: Annotated[WholeSeconds, Field(ge=30)] = 600
    expires_inside: Annotated[WholeSeconds, Field(ge=60)] = 3600
    recheck: WholeSecondsOrNone = 0
    keepalive: Literal["nat", "all", "off"] = "nat"
    keepalive_interval: Annotated[SomeSeconds, Field(ge=2, le=120)] = 25.0
    watch: WholeSecondsOrNone = 10
    survive: WholeSecondsOrNone = 86400
    rate: Count = 100
    max_contacts: Annotated[Count, Field(le=100)] = 10
    max_registrations: Count = 100_000
    algorithms: Annotated[tuple[Literal["SHA-512-256", "SHA-256", "MD5"], ...], *ONE_OR_MORE, Field(min_length=1)] = (
        "SHA-512-256",
        "SHA-256",
        "MD5",
    )
    without_qop: bool = False
    wrong_passwords: Annotated[int, Field(ge=0, le=1000)] = 5
    strangers: bool = False
    mode: Literal["call", "redirect"] = "call"


class Route(Table):
    from_: Annotated[Name | None, Field(alias="from")] = None
    number: Annotated[tuple[Pattern, ...], *ONE_OR_MORE] = ()
    domain: Annotated[tuple[Pattern, ...], *ONE_OR_MORE] = ()
    to: Annotated[tuple[RouteTargets, ...], *ONE_OR_MORE] = ()
    ring: SomeSeconds | None = None
    zone: Name | None = None
    reject: Annotated[int, Field(ge=400, le=699)] | None = None
    emergency: bool = False

    @model_validator(mode="after")
    def _one_outcome(self) -> Route:
        if bool(self.to) is (self.reject is not None):
            raise ValueError("needs either to (where calls go) or reject (the status they get)")
        if self.ring is not None and not self.to:
            raise ValueError("ring has no effect without to")
        return self

    def targets(self) -> Iterator[tuple[tuple[int, ...], str]]:
        """Each target with its place in `to`."""
        for place, group in enumerate(self.to):
            if isinstance(group, str):
                yield (place,), group
            else:
                for inner, target in enumerate(group):
                    yield (place, inner), target


class Document(Table):
    """A whole configuration file."""

    service: Service = Service()
    sip: Sip = Sip()
    calls: Calls = Calls()
    media: Media = Media()
    records: Records = Records()
    zones: Annotated[dict[Name, Zone], Field(min_length=1)]
    peers: dict[Name, Peer] = {}
    access: Access | None = None
    routes: Annotated[tuple[Route, ...], BeforeValidator(lambda v: tuple(v) if isinstance(v, list) else v)] = ()


def table_at(path: tuple[str | int, ...]) -> type[Table] | None:
    """The model of the table at `path` in a document, None if no table stands there."""
    found: type[Table] | None = Document
    tables: dict[str, type[Table]] = {"zones": Zone, "peers": Peer, "routes": Route}
    if path[:1] and path[0] in tables:
        return tables[str(path[0])] if len(path) == 2 else None
    for part in path:
        field = found.model_fields.get(str(part)) if found is not None else None
        annotation: Any = field.annotation if field is not None else None
        if get_origin(annotation) is UnionType:  # a table that may be left out
            annotation = next((each for each in get_args(annotation) if each is not NoneType), None)
        found = annotation if isinstance(annotation, type) and issubclass(annotation, Table) else None
    return found


def keys_of(table: type[Table]) -> list[str]:
    """The keys of a table as they are written."""
    return [field.alias or name for name, field in table.model_fields.items()]
