"""What operators set: one YAML file, overridden by the environment (`COPYCATCH_KAFKA__GROUP_ID=...`).

Strict: an unknown key, a wrong type or a missing secret is refused with file, line, key and remedy. Secrets
come from the environment or from files only, and are `SecretStr`: they print as stars.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

from copycatch.records.policy_values import parse_duration
from copycatch.settings.faults import Fault, FaultsError, PathParts
from copycatch.settings.load import check_text, read_file
from copycatch.settings.yaml_document import Document
from copycatch.sinks.catalog import AnySinkSettings, unique_names
from copycatch.sinks.secondary import AlertFormatName
from copycatch.units import MS_PER_S

ENV_PREFIX = "COPYCATCH_"
# Set by the tests and the tooling around the service, not settings of it.
ENV_OTHERS = (
    "COPYCATCH_TEST_",
    "COPYCATCH_REQUIRE_",
    "COPYCATCH_CACHE",
    "COPYCATCH_SETTINGS",
    "COPYCATCH_FAIL",
)


def _duration_s(given: Any) -> float:
    """As in the policy, and milliseconds too."""
    if isinstance(given, str) and given.endswith("ms") and given.removesuffix("ms").isdigit():
        return int(given.removesuffix("ms")) / MS_PER_S
    return parse_duration(given)


Duration = Annotated[float, BeforeValidator(_duration_s), Field(ge=0)]  # seconds; defaults are not parsed
Topic = Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{1,249}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Security(_Strict):
    """How to reach the brokers; `username`, `password` and `token` have `_file` twins."""

    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    ca_file: Path | None = None
    certificate_file: Path | None = None  # mTLS
    key_file: Path | None = None
    key_password: SecretStr | None = None
    check_hostname: bool = True
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] | None = None
    username: str | None = None
    password: SecretStr | None = None
    password_file: Path | None = None
    token: SecretStr | None = None
    token_file: Path | None = None  # read anew for each login: tokens expire

    @model_validator(mode="after")
    def _is_whole(self) -> "Security":
        is_sasl = self.protocol.startswith("SASL")
        if is_sasl and self.mechanism is None:
            msg = f"protocol {self.protocol} needs a mechanism"
            raise ValueError(msg)
        if self.mechanism and not is_sasl:
            msg = f"mechanism {self.mechanism} needs protocol SASL_SSL (or SASL_PLAINTEXT)"
            raise ValueError(msg)
        if self.mechanism == "OAUTHBEARER":
            if not (self.token or self.token_file):
                msg = "OAUTHBEARER needs token_file (or the token from the environment)"
                raise ValueError(msg)
        elif self.mechanism and not (self.username and (self.password or self.password_file)):
            msg = f"{self.mechanism} needs username and password_file (or the password from the environment)"
            raise ValueError(msg)
        if (self.certificate_file is None) != (self.key_file is None):
            msg = "mTLS needs both certificate_file and key_file"
            raise ValueError(msg)
        return self


class Kafka(_Strict):
    bootstrap_servers: list[str] = Field(default=["localhost:9092"], min_length=1)
    group_id: str = Field(default="copycatch", min_length=1, max_length=249)
    instance_id: str | None = Field(default=None, pattern=r"^[a-zA-Z0-9._-]{1,200}$")
    client: Literal["kafka-python", "confluent"] = "kafka-python"
    compression: Literal["none", "gzip", "lz4", "zstd"] = "lz4"
    session_timeout: Duration = 45.0
    request_timeout: Duration = 30.0
    transaction_timeout: Duration = 30.0
    security: Security = Security()

    @field_validator("bootstrap_servers", mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


class Input(_Strict):
    topic: Topic = "inference-logs"
    format: str = "native"
    options: dict[str, Any] = {}
    start_at: Literal["earliest", "latest"] = "earliest"


class Outputs(_Strict):
    alerts: Topic = "copycatch.alerts"
    alert_format: AlertFormatName = "native"
    recommendations: Topic = "copycatch.recommendations"
    dead_letters: Topic = "copycatch.dead-letters"
    create_missing: bool = False
    partitions: int = Field(default=1, ge=1)
    replication: int = Field(default=-1, ge=-1)


class Snapshots(_Strict):
    """Where state is kept. `directory` may be an fsspec URL (s3://...) with the extra copycatch[remote]."""

    directory: str = "copycatch-state"
    interval: Duration = 60.0
    keep: int = Field(default=3, ge=1)
    key: SecretStr | None = None
    key_file: Path | None = None


class Http(_Strict):
    """Health and metrics. Loopback unless told otherwise: it has no authentication."""

    is_on: bool = True
    bind: str = "127.0.0.1"
    port: int = Field(default=9464, ge=0, le=65535)


class Service(_Strict):
    """The whole file."""

    version: Literal[1] = 1
    kafka: Kafka = Kafka()
    inputs: list[Input] = Field(default=[Input()], min_length=1)
    outputs: Outputs = Outputs()
    sinks: Annotated[list[AnySinkSettings], AfterValidator(unique_names)] = []  # copies besides the outputs
    delivery: Literal["exactly_once", "at_least_once"] = "exactly_once"
    poll_records_max: int = Field(default=5000, ge=1, le=100_000)
    poll_timeout: Duration = 0.25
    idle_after: Duration = 900.0
    drain_timeout: Duration = 30.0
    accounts_max: int = Field(default=100_000, ge=1, le=10_000_000)
    snapshots: Snapshots = Snapshots()
    http: Http = Http()
    policy: Path | None = None
    policy_check_interval: Duration = 2.0
    hmac_key: SecretStr | None = None
    hmac_key_file: Path | None = None

    @field_validator("inputs")
    @classmethod
    def _are_distinct(cls, value: list[Input]) -> list[Input]:
        topics = [each.topic for each in value]
        if len(set(topics)) != len(topics):
            msg = "a topic may be named once"
            raise ValueError(msg)
        return value


SECRET_KEYS = frozenset(
    {"password", "token", "key", "key_password", "hmac_key", "authorization", "signing_key"}
)


def load_service(path: Path | None, environment: Mapping[str, str] | None = None) -> Service:
    """Settings from `path` (defaults when None), overridden by the environment.

    Raises
    ------
    ConfigError
        With every fault found, one a line: file, line, key, what is wrong, what would be right.
    """
    environment = os.environ if environment is None else environment
    text = read_file(path) if path else b"{}"

    def adjust(document: Document) -> None:
        if document.data is None:
            document.data = {}
        if isinstance(document.data, dict):
            _remove_secrets(document.data, (), document)
            _overlay(document, environment)

    settings, document = check_text(Service, text, str(path) if path else "environment", adjust=adjust)
    if settings is None:
        raise FaultsError(document.faults)
    return settings


def _remove_secrets(tree: Any, at: PathParts, document: Document) -> None:
    """A secret in the file is a fault, and its value goes no further, not even into a message."""
    if isinstance(tree, list):
        for index, each in enumerate(tree):
            _remove_secrets(each, (*at, index), document)
    elif isinstance(tree, dict):
        for key in list(tree):
            if key in SECRET_KEYS:
                remedy = f"use {key}_file or {_variable((*at, key))}"
                fault = document.fault((*at, key), "a secret must not stand in the file", remedy, is_key=True)
                document.faults.append(fault)
                del tree[key]
            else:
                _remove_secrets(tree[key], (*at, key), document)


def _overlay(document: Document, environment: Mapping[str, str]) -> None:
    """COPYCATCH_KAFKA__SECURITY__PASSWORD -> kafka.security.password; lists and maps as YAML."""
    for variable, text in sorted(environment.items()):
        if not variable.startswith(ENV_PREFIX) or variable.startswith(ENV_OTHERS):
            continue
        *groups, name = variable.removeprefix(ENV_PREFIX).lower().split("__")
        group_data: Any = document.data
        for group in groups:
            group_data = group_data.setdefault(group, {}) if isinstance(group_data, dict) else None
        if not isinstance(group_data, dict):
            document.faults.append(
                Fault(variable, 1, 1, "", f"{groups[-1]} is no group of settings", "see the manual")
            )
            continue
        if name in SECRET_KEYS or not text.startswith(("[", "{")):
            group_data[name] = text
            continue
        try:
            group_data[name] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            problem = " ".join(str(error).split())
            document.faults.append(
                Fault(variable, 1, 1, "", f"is not YAML: {problem}", "mend the quotes or brackets")
            )


def _variable(path: PathParts) -> str:
    return ENV_PREFIX + "__".join(str(part) for part in path).upper()
