"""`twistd -n sbc --config FILE`: the service, from its command line to its end."""

from __future__ import annotations

import gc
import resource
import signal
import socket
import sys
from contextlib import suppress
from typing import Any, ClassVar, NoReturn

from twisted.application.service import IServiceCollection, Service
from twisted.internet.defer import Deferred, DeferredList, TimeoutError, maybeDeferred
from twisted.internet.threads import deferToThreadPool
from twisted.logger import ILogObserver, Logger
from twisted.python.components import Componentized
from twisted.python.failure import Failure
from twisted.python.usage import Options as UsageOptions

from sbc.service.accounts import Accounts
from sbc.service.config import ECHO, Config, ConfigError, default_config, load
from sbc.service.driver import Driver
from sbc.service.log import complain, log_observer
from sbc.service.wiring import Parts, build
from sbc.store import StoreError
from sbc.transport import ListenError

log = Logger()

PORTS_PATIENCE = 10.0
"""Seconds that we wait for the first media ports before we serve without."""
EMBEDDED_USERS = ("alice", "bob")
LAST_WORDS = 2.0
"""Seconds that the last BYEs get to be answered, be it after the grace time or after a second signal."""


class Options(UsageOptions):
    """What may stand behind `twistd sbc`."""

    synopsis = "[--config FILE]"
    longdesc = "A session border controller. Without --config: two zones and an answering peer on loopback, to try it."
    optParameters: ClassVar[list[list[Any]]] = [
        ["config", "c", None, "Configuration file (TOML); `sbc check FILE` tells what is wrong with it."]
    ]


def makeService(options: Any) -> BorderService:
    """The service that twistd runs. A faulty configuration is told on standard error, and ends the process with 1."""
    from twisted.internet import reactor

    try:
        config = load(options["config"]) if options["config"] else embedded_config()
        parts = build(config, reactor)
    except ConfigError as error:
        give_up(map(str, error.faults))
    except StoreError as error:
        give_up([str(error)])
    complain([f"{warning} (warning)" for warning in config.warnings])
    return BorderService(reactor, parts)


def give_up(lines: Any) -> NoReturn:
    complain(list(lines))
    raise SystemExit(1)


def embedded_config() -> Config:
    """The embedded default, on the first of 5060, 5070 ... that is free on all of its addresses."""
    for port in range(5060, 6060, 10):
        config = default_config(port)
        if all(is_free(f"127.0.0.{host}", port) for host in (1, 2, 3)):
            return config
    return default_config()


def is_free(host: str, port: int) -> bool:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            if kind is socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                return False
    return True


class BorderService(Service):
    """Starts and stops the parts in their order; SIGTERM and SIGINT drain, a second one ends at once."""

    name = "sbc"

    def __init__(self, reactor: Any, parts: Parts) -> None:
        self._reactor = reactor
        self._parts = parts
        config = parts.config
        self._settings = config.document.service
        self.driver = Driver(
            parts.stack,
            parts.session,
            parts.transports,
            parts.plane,
            parts.resolver,
            parts.store,
            config.network.zones,
            reactor,
            detailed=self._settings.log_level == "debug",
            bindings=parts.registrations,
            subscriptions=parts.subscriptions,
        )
        access = config.access
        self._accounts: Accounts | None = None
        if access is not None and not access.registrar:
            self._accounts = Accounts(reactor, config.state_directory, access.domains, self.driver.users_changed)
        self._passwords: dict[str, str] = {}
        self._answering: Any = None
        self._draining = False
        self._last_words = LAST_WORDS

    def setServiceParent(self, parent: Any) -> None:
        """Twisted asks the application for its log observer before it starts any service."""
        if isinstance(parent, Componentized):
            observer = log_observer(self._settings.log, self._settings.log_level, sys.stdout)
            parent.setComponent(ILogObserver, observer)
        super().setServiceParent(IServiceCollection(parent, parent))  # type: ignore[no-untyped-call]

    # -- start --------------------------------------------------------------------------------------------------------

    def privilegedStartService(self) -> None:
        """Take the ports: the one thing that may need a privilege, and that may fail for the operator to mend."""
        try:
            self._parts.transports.bind()
        except ListenError as error:
            give_up(error.faults)
        allow_many_files()

    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call]
        self._reactor.callWhenRunning(self._take_signals)
        self._start_answering()
        self._start_accounts()
        self._parts.plane.start().addErrback(self._plane_failed)
        self.driver.start().addTimeout(PORTS_PATIENCE, self._reactor).addErrback(self._no_ports).addCallback(
            self._serve
        )

    def _serve(self, _: object) -> None:
        if not self.running:
            return
        try:
            self._parts.transports.listen(self.driver.receive, self.driver.failed, self.driver.stream_ended)
        except ListenError as error:
            log.critical("{faults}", faults="; ".join(error.faults))
            self._reactor.stop()
            return
        for zone in self._parts.config.network.zones.values():
            for listener in zone.listeners:
                host, port = listener.local
                where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
                log.info("zone {zone}: {transport} {where}", zone=zone.name, transport=listener.transport, where=where)
        calm_garbage_collection()
        log.info("ready")
        if self._passwords:
            self._show_accounts()

    def _no_ports(self, failure: Failure) -> None:
        failure.trap(TimeoutError)
        log.error("no media ports after {seconds:g} s: calls with media are refused", seconds=PORTS_PATIENCE)

    def _plane_failed(self, failure: Failure) -> None:
        log.error("the media plane did not start: {reason}", reason=failure.getErrorMessage())

    def _start_answering(self) -> None:
        """The embedded default brings somebody who answers."""
        if self._parts.config.embedded:
            from sbc.admin import AnsweringPeer

            config = self._parts.config
            peer = config.network.peers[ECHO]
            self._answering = AnsweringPeer(self._reactor, peer.host, peer.port or 5060, config.state_directory)
            maybeDeferred(self._answering.start).addErrback(
                lambda failure: log.error("nobody answers: {reason}", reason=failure.getErrorMessage())
            )

    def _start_accounts(self) -> None:
        """The embedded default makes two, with other passwords each time: they are known only to who sees it start."""
        if self._accounts is None:
            return
        try:
            if self._parts.config.embedded:
                from sbc.admin import made_up_password

                self._passwords = self._accounts.new_passwords(EMBEDDED_USERS, made_up_password)
            self._accounts.start()
        except StoreError as error:
            log.critical("{error}", error=str(error))
            self._reactor.callWhenRunning(self._reactor.stop)

    def _show_accounts(self) -> None:
        """On the terminal: a password stands in no log, which is what twistd makes of `sys.stdout`."""
        terminal = sys.__stdout__
        if terminal is None:
            return
        host, port = self._parts.config.network.zones["public"].listeners[0].advertised
        lines = ["", "Two accounts for softphones, with other passwords at each start:"]
        lines += [f"  user {aor.partition('@')[0]:<8} password {word}" for aor, word in self._passwords.items()]
        lines.append(f"Both at the domain (or registrar) {host}:{port}, over UDP or TCP.")
        terminal.write("\n".join([*lines, "", ""]))
        terminal.flush()

    # -- end ----------------------------------------------------------------------------------------------------------

    def _take_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._reactor.callFromThread(self.leave))

    def leave(self) -> None:
        """First time: take no new calls, give those in progress their time, then end. Second time: end."""
        if self._draining:
            with suppress(Exception):  # it has stopped already
                self._reactor.stop()
            return
        self._draining = True
        grace = self._settings.drain_grace
        log.info("draining: no new calls; those in progress end after {grace:g} s", grace=grace)
        log.info("in use: {tables}", tables=", ".join(f"{name} {size}" for name, size in self.table_sizes().items()))
        drained = self.driver.drain(grace).addTimeout(grace + LAST_WORDS, self._reactor)
        drained.addBoth(self._drained)

    def table_sizes(self) -> dict[str, int]:
        """How much every table of the process holds. All are 0 once nothing goes on, the last timers have fired (32 s
        with the RFC's timers) and idle TCP connections are closed."""
        parts = self._parts
        return {
            **parts.session.table_sizes(),
            "client transactions": parts.stack.client_count,
            "server transactions": parts.stack.server_count,
            "connections": parts.transports.connections.count,
        }

    def _drained(self, _: object) -> None:
        self._last_words = 0.0
        if self.running:
            self._reactor.stop()

    def stopService(self) -> Deferred[None]:
        """Hang up what is left, say the last words, close everything."""
        super().stopService()  # type: ignore[no-untyped-call]
        return self.driver.hang_up().addTimeout(self._last_words, self._reactor).addBoth(self._close)

    def _close(self, _: object) -> Deferred[None]:
        self.driver.stop()
        parts = self._parts
        closing = [parts.transports.close(), parts.plane.stop()]
        ends = [parts.store.close, parts.subscriptions.close]
        if parts.registrations is not None:
            ends.append(parts.registrations.close)
        closing += [deferToThreadPool(self._reactor, self._reactor.getThreadPool(), end) for end in ends]
        if self._accounts is not None:
            self._accounts.stop()
        if self._answering is not None:
            closing.append(self._answering.stop())
        return DeferredList(closing, consumeErrors=True).addCallback(self._closed)

    def _closed(self, results: list[tuple[bool, Any]]) -> None:
        for success, result in results:
            if not success:
                log.failure("closing", failure=result)
        if self.driver.bugs:
            log.error("{bugs} bugs met while running, see above", bugs=self.driver.bugs)


def calm_garbage_collection() -> None:
    """Look for cycles seldom: calls and transactions make none and are freed as they end, but tens of thousands of them
    live for half a minute, and the collector would walk over them again and again. What there is now stays."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def allow_many_files() -> None:
    """Each stream takes a file descriptor: raise the soft limit to the hard one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
