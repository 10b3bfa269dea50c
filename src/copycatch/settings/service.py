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
ENV_OTHERS = tuple(f"COPYCATCH_{each}" for each in ("TEST_", "REQUIRE_", "CACHE", "SETTINGS", "FAIL"))


def _duration_s(given: Any) -> float:
    """As in the policy, and milliseconds too."""
    if isinstance(given, str) and given.endswith("ms") and given.removesuffix("ms").isdigit():
        return int(given.removesuffix("ms")) / MS_PER_S
    return parse_duration(given)


Duration = Annotated[float, BeforeValidator(_duration_s), Field(ge=0)]  # seconds; defaults are not parsed
LogLevel = Literal["debug", "info", "warning", "error"]
Topic = Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{1,249}$")]


class _Strict(BaseModel):
    """The words under each field are those of the table of settings (`contracts.settings_table`)."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, use_attribute_docstrings=True
    )


class Security(_Strict):
    """How to reach the brokers; `username`, `password` and `token` have `_file` twins."""

    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """How to reach the brokers."""
    ca_file: Path | None = None
    """Authorities to trust; the system's by default."""
    certificate_file: Path | None = None
    """Client certificate for mTLS; needs `key_file`."""
    key_file: Path | None = None
    """Its private key."""
    key_password: SecretStr | None = None
    """Of the private key."""
    check_hostname: bool = True
    """False accepts a certificate of another name: for tests only."""
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] | None = None
    """SASL mechanism; needs a SASL protocol."""
    username: str | None = None
    """For PLAIN and SCRAM."""
    password: SecretStr | None = None
    """For PLAIN and SCRAM."""
    password_file: Path | None = None
    """A file with the password."""
    token: SecretStr | None = None
    """For OAUTHBEARER."""
    token_file: Path | None = None
    """A file with the token, read anew for each login, since tokens expire."""

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
    """Brokers to begin with, separated by commas in the environment."""
    group_id: str = Field(default="copycatch", min_length=1, max_length=249)
    """Consumer group; its members share the partitions."""
    instance_id: str | None = Field(default=None, pattern=r"^[a-zA-Z0-9._-]{1,200}$")
    """Stable and unique for each process: a restart then moves no partition."""
    client: Literal["kafka-python", "confluent"] = "kafka-python"
    """`confluent` is librdkafka and needs the extra of that name."""
    compression: Literal["none", "gzip", "lz4", "zstd"] = "lz4"
    """Of what is written."""
    session_timeout: Duration = 45.0
    """After so long without a sign of life another worker takes over."""
    request_timeout: Duration = 30.0
    """How long to wait for a broker's answer."""
    transaction_timeout: Duration = 30.0
    """Longer than the slowest delivery."""
    security: Security = Security()

    @field_validator("bootstrap_servers", mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


class Input(_Strict):
    topic: Topic = "inference-logs"
    """What is read."""
    format: str = "native"
    """As `copycatch inspect` names it."""
    options: dict[str, Any] = {}
    """Of the format, such as `account_headers`; `copycatch inspect` says which it needs."""
    start_at: Literal["earliest", "latest"] = "earliest"
    """Where to begin when the group has no offset."""


class Outputs(_Strict):
    alerts: Topic = "copycatch.alerts"
    """Topic of alerts."""
    alert_format: AlertFormatName = "native"
    """Of alerts: native, ocsf, ecs or cef."""
    recommendations: Topic = "copycatch.recommendations"
    """Topic of recommendations; compacted."""
    dead_letters: Topic = "copycatch.dead-letters"
    """Topic of what could not be taken, with the reason."""
    create_missing: bool = False
    """Make output topics that are missing."""
    partitions: int = Field(default=1, ge=1)
    """Of topics that are made."""
    replication: int = Field(default=-1, ge=-1)
    """Of topics that are made; -1 is the broker's default."""


class Learner(_Strict):
    """One learner for all workers, over two topics; without them each worker learns by itself.

    `inputs` has one partition; `versions` has one too, and is compacted. Every worker and learner has the
    same `key`, which signs what they tell each other.
    """

    inputs: Topic | None = None
    """Topic of what workers tell; one partition. A learner needs both topics."""
    versions: Topic | None = None
    """Topic of what is normal; one partition, compacted."""
    key: SecretStr | None = None
    """Signs what workers and learner tell each other. Made in the snapshots' folder where it is not given."""
    key_file: Path | None = None
    """A file with that key."""
    hold: Duration = 1.0
    """How long a tick waits for its version; without it the version before judges on."""
    warn_after: Duration = 3600.0
    """Event time that the newest version may be behind before the log says so."""

    @model_validator(mode="after")
    def _is_whole(self) -> "Learner":
        if (self.inputs is None) != (self.versions is None):
            msg = "needs both topics, inputs and versions, or none"
            raise ValueError(msg)
        return self


class Snapshots(_Strict):
    """Where state is kept. `directory` may be an fsspec URL (s3://...) with the extra copycatch[remote]."""

    directory: str = "copycatch-state"
    """Where state is kept: a folder, or a URL as s3://bucket/copycatch with the extra `remote`."""
    interval: Duration = 60.0
    """Time between snapshots: the most that a restart judges again in silence."""
    keep: int = Field(default=3, ge=1)
    """Snapshots kept of each partition."""
    key: SecretStr | None = None
    """Signs snapshots; 16 bytes or more. Made in the folder where it is not given."""
    key_file: Path | None = None
    """A file with that key."""


class KeptEvaluations(_Strict):
    """Evaluations for `copycatch backtest --evaluations`: features and scores by account, no inputs."""

    directory: Path | None = None
    """Where they are kept; without it they are not."""
    days: int = Field(default=14, ge=1, le=366)
    """How long."""
    bytes_max: int = Field(default=2**30, ge=2**20)
    """Of all files together; the oldest go first."""


class Http(_Strict):
    """Health and metrics. Loopback unless told otherwise: it has no authentication."""

    is_on: bool = True
    """Whether /live, /ready, /status and /metrics are served."""
    bind: str = "127.0.0.1"
    """Address; the port asks nobody who they are."""
    port: int = Field(default=9464, ge=0, le=65535)
    """0 takes a free one."""


class Desk(_Strict):
    """The pages of `copycatch report`, live; they show accounts and what was found of them."""

    is_on: bool = False
    """Whether the live pages are served; needs the extra `report`."""
    bind: str = "127.0.0.1"
    """Address. Others see the token on the way unless a proxy with TLS stands before it."""
    port: int = Field(default=9465, ge=0, le=65535)
    """0 takes a free one."""
    token: SecretStr | None = None
    """Who shows it may read the pages; 16 bytes or more. Made in the snapshots' folder where not given."""
    token_file: Path | None = None
    """A file with that token."""


class Otel(_Strict):
    """Traces of batches by OTLP over HTTP; needs the extra copycatch[otel]. Off without an endpoint."""

    endpoint: Annotated[str, Field(pattern=r"^https?://\S+$")] | None = None
    """Where spans go, as http://collector:4318/v1/traces; OTEL_EXPORTER_OTLP_HEADERS holds headers for it."""
    share: float = Field(default=1.0, ge=0, le=1)
    """Of the batches, how many are traced."""
    timeout: Duration = 5.0
    """How long one sending may take, repeats included; what is not sent then is dropped and counted."""


class Service(_Strict):
    """The whole file."""

    version: Literal[1] = 1
    """Of this file's format."""
    kafka: Kafka = Kafka()
    inputs: list[Input] = Field(default=[Input()], min_length=1)
    outputs: Outputs = Outputs()
    sinks: Annotated[list[AnySinkSettings], AfterValidator(unique_names)] = []
    delivery: Literal["exactly_once", "at_least_once"] = "exactly_once"
    """Outcomes and offsets in one transaction; or `at_least_once`, where repeats have the same keys."""
    poll_records_max: int = Field(default=5000, ge=1, le=100_000)
    """Records judged at a time."""
    poll_timeout: Duration = 0.25
    """How long to wait for records."""
    idle_after: Duration = 900.0
    """Without a record for so long, what is due is closed by the clock."""
    drain_timeout: Duration = 30.0
    """After SIGTERM, how long a delivery is tried again; 5 s later the process ends whatever it does."""
    accounts_max: int = Field(default=100_000, ge=1, le=10_000_000)
    """Bounds the memory: idle and unsuspicious accounts make room."""
    learner: Learner = Learner()
    snapshots: Snapshots = Snapshots()
    evaluations: KeptEvaluations = KeptEvaluations()
    http: Http = Http()
    desk: Desk = Desk()
    otel: Otel = Otel()
    policy: Path | None = None
    """What analysts set; read again when it changes."""
    verdicts: Path | None = None
    """Where `copycatch verdict` notes what analysts found (`--verdicts`); gives the metric of precision."""
    feedback: Topic | None = None
    """Topic of verdicts (`copycatch verdict --to`); they change the policy in force. Compacted."""
    policy_check_interval: Duration = 2.0
    """How often to look whether the policy has changed."""
    log_level: LogLevel = "info"
    """Of the log. SIGUSR1 switches a running service to debug, SIGUSR2 back."""
    hmac_key: SecretStr | None = None
    """Turns inputs and API keys into pseudonyms. Made in the snapshots' folder where it is not given."""
    hmac_key_file: Path | None = None
    """A file with that key."""

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
    settings, document = read_service(path, environment)
    if settings is None:
        raise FaultsError(document.faults)
    return settings


def read_service(
    path: Path | None, environment: Mapping[str, str] | None = None
) -> tuple[Service | None, Document]:
    """Settings, or None and every fault in `faults` of the document.

    Raises
    ------
    ConfigError
        If the file cannot be read.
    """
    environment = os.environ if environment is None else environment
    text = read_file(path) if path else b"{}"

    def adjust(document: Document) -> None:
        if document.data is None:
            document.data = {}
        if isinstance(document.data, dict):
            _remove_secrets(document.data, (), document)
            _overlay(document, environment)

    return check_text(Service, text, str(path) if path else "environment", adjust=adjust)


def _remove_secrets(tree: Any, at: PathParts, document: Document) -> None:
    """A secret in the file is a fault, and its value goes no further, not even into a message."""
    if isinstance(tree, list):
        for index, each in enumerate(tree):
            _remove_secrets(each, (*at, index), document)
    elif isinstance(tree, dict):
        for key in list(tree):
            if key in SECRET_KEYS:
                remedy = f"use {key}_file or {variable_of((*at, key))}"
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


def variable_of(path: PathParts) -> str:
    """The environment's name of a setting.

    Examples
    --------
    >>> variable_of(("kafka", "group_id"))
    'COPYCATCH_KAFKA__GROUP_ID'
    """
    return ENV_PREFIX + "__".join(str(part) for part in path).upper()
