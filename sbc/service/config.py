"""The configuration: read, checked as a whole, completed with what can be found out."""

from __future__ import annotations

import copy
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from sbc.b2bua import Access, Network
from sbc.service import paths
from sbc.service.crosschecks import check
from sbc.service.faults import ConfigError, Fault, key_text, left_out, validation_faults
from sbc.service.findings import Findings
from sbc.service.inference import access, completed_network, route_zones
from sbc.service.machine import Machine
from sbc.service.models import Document, Table
from sbc.service.positions import KeyPath, positions

__all__ = ["Config", "ConfigError", "Fault", "Setting", "default_config", "effective", "load", "parse"]

MAX_SIZE = 1 << 20
"""Bytes of a configuration file."""
MAX_PASSES = 5
"""How often what is faulty is left out before the rest is given up."""

EMBEDDED = "embedded default"
_DEFAULT = """\
[zones.public]
address = "127.0.0.1"
port = {port}
[zones.private]
address = "127.0.0.2"
port = {port}
open = true
[access]
domain = "127.0.0.1"
registrar = "local"
zone = "public"
algorithms = ["MD5"]
[peers.{echo}]
zone = "private"
address = "127.0.0.3:{port}"
transports = ["udp", "tcp"]
"""
ECHO = "echo"
"""Name of the built-in answering peer of the embedded default."""


@dataclass(frozen=True, slots=True)
class Config:
    """A configuration without faults."""

    file: str
    document: Document
    """As it was written, defaults filled in; None where something is inferred: see `network` and the paths here."""
    network: Network
    route_zones: dict[int, str]
    """Index of a route -> the zone of the URIs in its `to`."""
    access: Access | None
    """How phones register, but for the secret."""
    state_directory: Path
    database: Path
    """The record of calls."""
    findings: Findings

    @property
    def warnings(self) -> list[Fault]:
        return self.findings.warnings

    @property
    def embedded(self) -> bool:
        """Nobody configured anything: the answering peer is wanted as well."""
        return self.file == EMBEDDED


class Setting(NamedTuple):
    """One key of the effective configuration."""

    key: str
    value: Any
    origin: str
    """"sbc.toml:12", "default", or "inferred: " and from what."""


def load(path: str | Path, machine: Machine | None = None) -> Config:
    """The configuration in the file `path`. Raises ConfigError with all of its faults."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_SIZE + 1)
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError([Fault(str(path), line, "", "not UTF-8")]) from None
    except OSError as error:
        raise ConfigError([Fault(str(path), 0, "", f"cannot be read: {error.strerror}")]) from error
    if len(data) > MAX_SIZE:
        raise ConfigError([Fault(str(path), 0, "", f"longer than {MAX_SIZE} bytes; is this a configuration?")])
    return parse(text, str(path), machine)


def default_config(port: int = 5060, machine: Machine | None = None) -> Config:
    """What runs where nobody configured anything: two zones and an answering peer on loopback, all on `port`."""
    return parse(_DEFAULT.format(port=port, echo=ECHO), EMBEDDED, machine)


def parse(text: str, file: str, machine: Machine | None = None) -> Config:
    """The configuration `text`, which stands in `file`. Raises ConfigError with all of its faults."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([_syntax_fault(file, text, str(error))]) from None
    findings = Findings(file, positions(text), _names(raw))
    document = _document(raw, findings)
    machine = machine or Machine()
    network = completed_network(document, findings, machine)
    zones_of_routes = route_zones(document, network, findings, machine)
    registering = access(document, network, findings)
    check(document, network, zones_of_routes, findings)
    if findings.faults:
        raise ConfigError(findings.faults)
    state_directory = _state_directory(document, file, findings)
    database = state_directory / (document.records.path or paths.DATABASE)
    if document.records.path is None:
        findings.infer(("records", "path"), str(database), "in service.state_directory")
    return Config(file, document, network, zones_of_routes, registering, state_directory, database, findings)


def _names(raw: dict[str, Any]) -> frozenset[str]:
    tables = (raw.get("zones"), raw.get("peers"))
    return frozenset(name for table in tables if isinstance(table, dict) for name in table)


def _document(raw: dict[str, Any], findings: Findings) -> Document:
    """The document as models. What is faulty in itself is told to `findings` and left out, so that the rest can be
    checked as well. Raises ConfigError if nothing useful is left."""
    error: ValidationError | None = None
    rest = copy.deepcopy(raw)
    for _ in range(MAX_PASSES):
        try:
            return Document.model_validate(rest)
        except ValidationError as found:
            if error is None:
                error = found
                findings.faults += validation_faults(findings.file, error, findings.positions, raw)
            done = [left_out(rest, detail) for detail in found.errors(include_url=False)]
            if not all(done):
                break
    raise ConfigError(findings.faults)


def _syntax_fault(file: str, text: str, message: str) -> Fault:
    match = re.search(r" \(at line (\d+), column (\d+)\)$", message)
    if match:
        return Fault(file, int(match[1]), "", f"not TOML: {message[: match.start()]} (column {match[2]})")
    return Fault(file, text.count("\n") + 1, "", f"not TOML: {message.removesuffix(' (at end of document)')}")


def _state_directory(document: Document, file: str, findings: Findings) -> Path:
    written = document.service.state_directory
    if written is not None:
        return Path(file).parent.absolute() / written
    found, why = paths.state_directory()
    findings.infer(("service", "state_directory"), str(found), why)
    return found


def effective(config: Config) -> list[Setting]:
    """Every key with the value that is in force, and where that came from."""
    return list(_settings(config, config.document, ()))


def _settings(config: Config, value: Any, path: KeyPath) -> Iterator[Setting]:
    inferred = config.findings.inferred.get(path)
    if inferred is not None:
        yield Setting(key_text(path), inferred.value, inferred.origin)
    elif isinstance(value, Table):
        for name, field in type(value).model_fields.items():
            yield from _settings(config, getattr(value, name), (*path, field.alias or name))
    elif isinstance(value, dict) and value and isinstance(next(iter(value.values())), Table):
        for name, table in value.items():
            yield from _settings(config, table, (*path, name))
    elif isinstance(value, tuple) and value and isinstance(value[0], Table):
        for index, table in enumerate(value):
            yield from _settings(config, table, (*path, index))
    elif path in config.findings.positions:
        name = config.file if config.embedded else Path(config.file).name
        yield Setting(key_text(path), value, f"{name}:{config.findings.positions[path]}")
    elif value is not None:  # None: a condition that is not made
        yield Setting(key_text(path), value, "default")
