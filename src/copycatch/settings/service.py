"""What operators set: one YAML file, overridden by the environment (`COPYCATCH_KAFKA__GROUP_ID=...`).

Strict: an unknown key, a wrong type or a missing secret is refused with file, line, key and remedy. Secrets
come from the environment or from files only, and are `SecretStr`: they print as stars.
"""

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from copycatch.errors import ConfigError

ENV_PREFIX = "COPYCATCH_"
# Set by the tests and the tooling around the service, not settings of it.
ENV_OTHERS = (
    "COPYCATCH_TEST_",
    "COPYCATCH_REQUIRE_",
    "COPYCATCH_CACHE",
    "COPYCATCH_SETTINGS",
    "COPYCATCH_FAIL",
)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_S_BY_UNIT = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def _duration_s(value: object) -> object:
    if isinstance(value, str):
        match = _DURATION.fullmatch(value.strip())
        if match is None:
            msg = f"{value!r} is no length of time; write 500ms, 90s, 10m, 6h or 7d"
            raise ValueError(msg)
        return float(match[1]) * _S_BY_UNIT[match[2]]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        msg = f"{value} has no unit; write {value}s"
        raise ValueError(msg)  # noqa: TRY004 (pydantic turns ValueError only into a fault)
    return value


Duration = Annotated[float, BeforeValidator(_duration_s), Field(ge=0)]
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
    alert_format: str = "native"
    recommendations: Topic = "copycatch.recommendations"
    dead_letters: Topic = "copycatch.dead-letters"
    create_missing: bool = False
    partitions: int = Field(default=1, ge=1)
    replication: int = Field(default=-1, ge=-1)


class Snapshots(_Strict):
    """Where state is kept. `directory` may be an fsspec URL with the extra copycatch[remote]."""

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
    delivery: Literal["exactly_once", "at_least_once"] = "exactly_once"
    poll_records_max: int = Field(default=5000, ge=1, le=100_000)
    poll_timeout: Duration = 0.25
    commit_interval: Duration = 0.2
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


SECRET_KEYS = frozenset({"password", "token", "key", "key_password", "hmac_key"})


def read_secret(given: SecretStr | None, file: Path | None, key: str) -> bytes | None:
    """The secret from the environment or from its file, without the trailing newline."""
    if given is not None:
        return given.get_secret_value().encode()
    if file is None:
        return None
    try:
        return file.read_bytes().rstrip(b"\r\n")
    except OSError as error:
        msg = f"{key}: cannot read {file}: {error.strerror}"
        raise ConfigError(msg) from error


def load_service(path: Path | None, environment: Mapping[str, str] | None = None) -> Service:
    """Settings from `path` (defaults when None), overridden by the environment.

    Raises
    ------
    ConfigError
        With every fault found, one a line: file, line, key, what is wrong, what would be right.
    """
    environment = os.environ if environment is None else environment
    tree, line_by_key = _read_yaml(path) if path else ({}, {})
    name = str(path) if path else "defaults"
    leaked = sorted(key for key in line_by_key if key[-1] in SECRET_KEYS)
    if leaked:
        faults = "\n".join(
            f"{name}:{line_by_key[key]}: {_dotted(key)}: a secret must not stand in the file; "
            f"use {key[-1]}_file or {_variable(key)}"
            for key in leaked
        )
        raise ConfigError(faults)
    _overlay(tree, environment)
    try:
        return Service.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(
            "\n".join(
                _fault(name, line_by_key, each["loc"], each["msg"], each["type"]) for each in error.errors()
            )
        ) from None


def _read_yaml(path: Path) -> tuple[dict[str, Any], dict[tuple[str, ...], int]]:
    try:
        node = yaml.compose(path.read_text("utf-8"), Loader=yaml.SafeLoader)
        tree = yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        msg = f"{path}: cannot be read: {error.strerror}"
        raise ConfigError(msg) from error
    except UnicodeDecodeError as error:
        msg = f"{path}: is not UTF-8 text"
        raise ConfigError(msg) from error
    except yaml.YAMLError as error:
        msg = f"{path}: is not YAML: {' '.join(str(error).split())}"
        raise ConfigError(msg) from error
    if tree is None:
        return {}, {}
    if not isinstance(tree, dict):
        msg = f"{path}: holds a {type(tree).__name__}; a mapping of settings is needed"
        raise ConfigError(msg)
    line_by_key: dict[tuple[str, ...], int] = {}
    _mark(node, (), line_by_key, path)
    return tree, line_by_key


def _mark(
    node: yaml.Node | None, at: tuple[str, ...], line_by_key: dict[tuple[str, ...], int], path: Path
) -> None:
    if isinstance(node, yaml.MappingNode):
        for key_node, value_node in node.value:
            key = (*at, str(key_node.value))
            line = key_node.start_mark.line + 1
            if key in line_by_key:
                msg = f"{path}:{line}: {_dotted(key)}: stands twice; keep one"
                raise ConfigError(msg)
            line_by_key[key] = line
            _mark(value_node, key, line_by_key, path)
    elif isinstance(node, yaml.SequenceNode):
        for index, each in enumerate(node.value):
            line_by_key[*at, str(index)] = each.start_mark.line + 1
            _mark(each, (*at, str(index)), line_by_key, path)


def _overlay(tree: dict[str, Any], environment: Mapping[str, str]) -> None:
    """COPYCATCH_KAFKA__SECURITY__PASSWORD -> kafka.security.password; lists and maps as YAML."""
    for variable, text in sorted(environment.items()):
        if not variable.startswith(ENV_PREFIX) or variable.startswith(ENV_OTHERS):
            continue
        parts = variable.removeprefix(ENV_PREFIX).lower().split("__")
        place: Any = tree
        for part in parts[:-1]:
            place = place.setdefault(part, {}) if isinstance(place, dict) else None
            if not isinstance(place, dict):
                msg = f"{variable}: {part} is no group of settings"
                raise ConfigError(msg)
        is_plain = parts[-1] in SECRET_KEYS or not text.startswith(("[", "{"))
        place[parts[-1]] = text if is_plain else yaml.safe_load(text)


def _dotted(key: tuple[str, ...]) -> str:
    return ".".join(key)


def _variable(key: tuple[str, ...]) -> str:
    return ENV_PREFIX + "__".join(key).upper()


def _fault(
    name: str, line_by_key: Mapping[tuple[str, ...], int], loc: tuple[str | int, ...], message: str, kind: str
) -> str:
    key = tuple(str(part) for part in loc)
    known = next((key[:n] for n in range(len(key), 0, -1) if key[:n] in line_by_key), None)
    place = f"{name}:{line_by_key[known]}" if known else f"{name} (or {_variable(key)})"
    message = message.removeprefix("Value error, ")
    if kind == "extra_forbidden":
        names = _names_at(key[:-1])
        nearest = difflib.get_close_matches(key[-1], names, n=1)
        message = (
            f"is unknown; did you mean {nearest[0]}?" if nearest else f"is unknown; known: {', '.join(names)}"
        )
    return f"{place}: {_dotted(key)}: {message}"


def _names_at(key: tuple[str, ...]) -> list[str]:
    model: type[BaseModel] = Service
    for part in key:
        if part.isdigit():
            continue
        annotation = model.model_fields[part].annotation
        inner = next((each for each in get_args(annotation) if isinstance(each, type)), annotation)
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        model = inner
    return list(model.model_fields)
