"""From a configuration to the objects of the rooms. No logic: each value goes where it belongs, and that is all."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any, NamedTuple

from sbc.b2bua import Access, B2bua, Hooks, Settings
from sbc.dataplane import PortRange, UserspacePlane
from sbc.media import Media, MediaSettings
from sbc.policy import AdmissionSettings, RouteRule, build_chain
from sbc.service import paths
from sbc.service.config import Config
from sbc.service.values import port_range
from sbc.sip import Address, Limits, SipStack, Timers, Tokens
from sbc.store import CallStore, RegistrationStore, StoreError, StoreSettings, SubscriptionStore
from sbc.transport import Resolver, Transports, TransportSettings


class Parts(NamedTuple):
    """What the driver brings together."""

    config: Config
    stack: SipStack
    session: B2bua
    media: Media
    transports: Transports
    resolver: Resolver
    plane: UserspacePlane
    store: CallStore
    registrations: RegistrationStore | None
    """None where nobody registers."""
    subscriptions: SubscriptionStore


def build(config: Config, reactor: Any) -> Parts:
    """All parts, nothing started and no socket open yet. Raises StoreError if the record of calls cannot be opened."""
    tokens = Tokens(os.urandom)
    media = Media(media_settings(config), tokens)
    zones = config.network.zones
    registrations, subscriptions = registration_store(config), subscription_store(config)
    settings = replace(session_settings(config, registrations), key=subscriptions.key)
    return Parts(
        config,
        sip_stack(config, tokens),
        B2bua(config.network, settings, hooks(config), media, tokens),
        media,
        Transports(reactor, zones.values(), limits(config), transport_settings(config)),
        Resolver(reactor),
        UserspacePlane(reactor, PortRange(*port_range(config.document.media.ports))),
        call_store(config),
        registrations,
        subscriptions,
    )


def limits(config: Config) -> Limits:
    sip = config.document.sip
    return Limits(
        max_message=sip.max_message,
        max_header_line=sip.max_header_line,
        max_headers=sip.max_headers,
        max_uri=sip.max_uri,
    )


def timers(config: Config) -> Timers:
    sip = config.document.sip
    return Timers(t1=sip.t1, t2=sip.t2, t4=sip.t4)


def sip_stack(config: Config, tokens: Tokens) -> SipStack:
    sip = config.document.sip
    return SipStack(timers(config), limits(config), tokens, sent_by(config), sip.max_transactions, sip.path_safe_size)


def sent_by(config: Config) -> dict[tuple[str, str, Address], str]:
    """What our Via says, by zone, transport and local address of the socket (RFC 3261 section 18.1.1)."""
    return {
        (zone.name, listener.transport, listener.local): _host_port(listener.advertised)
        for zone in config.network.zones.values()
        for listener in zone.listeners
    }


def _host_port(address: Address) -> str:
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"{host}:{address.port}"


def session_settings(config: Config, registrations: RegistrationStore | None = None) -> Settings:
    calls = config.document.calls
    return Settings(
        user_agent=config.document.sip.user_agent,
        no_answer=calls.no_answer,
        target_timeout=calls.target_timeout,
        longest_call=calls.longest,
        session_expires=calls.session_expires,
        min_session_expires=calls.min_session_expires,
        failover_statuses=frozenset(calls.failover_statuses),
        max_passages=config.document.sip.max_requests,
        max_subscriptions=config.document.sip.max_subscriptions,
        timers=timers(config),
        access=access(config, registrations),
    )


def access(config: Config, registrations: RegistrationStore | None) -> Access | None:
    """With the secret of the site, which lies with its registrations."""
    if config.access is None or registrations is None:
        return config.access
    return replace(config.access, key=registrations.key)


def hooks(config: Config) -> Hooks:
    calls = config.document.calls
    return build_chain(config.network, routes(config), AdmissionSettings(calls.max_calls, emergency=calls.emergency))


def routes(config: Config) -> tuple[RouteRule, ...]:
    return tuple(
        RouteRule(
            name=f"route at {config.findings.place(('routes', index))}",
            from_=route.from_ or "",
            numbers=route.number,
            domains=route.domain,
            to=route.to,
            ring=route.ring or 0.0,
            reject=route.reject or 0,
            zone=config.route_zones.get(index, ""),
            emergency=route.emergency,
        )
        for index, route in enumerate(config.document.routes)
    )


def media_settings(config: Config) -> MediaSettings:
    media = config.document.media
    return MediaSettings(drain=media.drain, silence=media.silence, hosts=media_hosts(config))


def media_hosts(config: Config) -> tuple[str, ...]:
    """Addresses of ours that media ports are bound on."""
    addresses = [media for zone in config.network.zones.values() for media in (zone.media_v4, zone.media_v6)]
    return tuple(dict.fromkeys(media.bind for media in addresses if media is not None))


def transport_settings(config: Config) -> TransportSettings:
    sip, tcp = config.document.sip, config.document.sip.tcp
    return TransportSettings(
        udp_receive_buffer=sip.udp_receive_buffer,
        max_connections=tcp.max_connections,
        max_connections_per_source=tcp.max_connections_per_source,
        idle_timeout=tcp.idle_timeout,
        message_timeout=tcp.message_timeout,
        connect_timeout=tcp.connect_timeout,
        output_limit=tcp.output_limit,
    )


def store_settings(config: Config) -> StoreSettings:
    records = config.document.records
    return StoreSettings(messages=records.messages, keep=records.keep, max_size=records.max_size, spool=records.spool)


def registration_store(config: Config) -> RegistrationStore | None:
    """Opens what is registered, where anybody registers. Raises StoreError."""
    return RegistrationStore(config.state_directory / paths.REGISTRATIONS) if config.access is not None else None


def subscription_store(config: Config) -> SubscriptionStore:
    """Opens what is subscribed to. Raises StoreError."""
    return SubscriptionStore(config.state_directory / paths.SUBSCRIPTIONS)


def call_store(config: Config) -> CallStore:
    """Opens the record of calls. Raises StoreError."""
    folder = config.database.parent
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{folder}: {error.strerror}; see service.state_directory") from error
    return CallStore(config.database, store_settings(config))
