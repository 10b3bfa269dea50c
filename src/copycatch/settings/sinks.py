"""Sinks besides the main one: their part of the service settings, and the branches made of it."""

import socket
import ssl
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    SecretStr,
    Tag,
    model_validator,
)

from copycatch.alert_formats.catalog import ALERT_FORMATS
from copycatch.errors import unknown_remedy
from copycatch.records.policy_values import refuse

Kind = Literal["alert", "recommendation", "dead_letter"]


def _known_format(name: str) -> str:
    if name not in ALERT_FORMATS:
        refuse(f"unknown alert format {name!r}", unknown_remedy(name, ALERT_FORMATS))
    return name


AlertFormatName = Annotated[str, AfterValidator(_known_format)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Tls(_Strict):
    """How to check the other side, and who we are to it."""

    ca_file: Path | None = None  # the system's authorities by default
    certificate_file: Path | None = None
    key_file: Path | None = None

    def context(self) -> ssl.SSLContext:
        """The library's form of it.

        Raises
        ------
        OSError
            If a file cannot be read or holds no certificate.
        """
        context = ssl.create_default_context(cafile=None if self.ca_file is None else str(self.ca_file))
        if self.certificate_file is not None:
            context.load_cert_chain(self.certificate_file, self.key_file)
        return context


class _Sink(_Strict):
    name: str = Field(min_length=1, max_length=64, pattern=r"^[a-zA-Z0-9_.-]+$")
    kinds: frozenset[Kind] = frozenset({"alert"})
    format: AlertFormatName = "native"  # of alerts
    timeout: float = Field(default=10.0, gt=0, le=120)


class Syslog(_Sink):
    """RFC 5424 over TCP, or TLS where `tls` is given."""

    type: Literal["syslog"]
    host: str = Field(min_length=1)
    port: int = Field(default=6514, ge=1, le=65535)
    tls: Tls | None = None
    hostname: str = Field(default_factory=socket.gethostname)


class Webhook(_Sink):
    """POST of batches; secrets come from files or the environment."""

    type: Literal["webhook"]
    url: str = Field(pattern=r"^https?://[^/]+")
    shape: Literal["json_array", "ndjson", "splunk_hec", "each"] = "json_array"
    headers: dict[str, str] = {}
    authorization: SecretStr | None = None  # the whole header, as "Splunk 0123..."
    authorization_file: Path | None = None
    signing_key: SecretStr | None = None
    signing_key_file: Path | None = None
    tls: Tls | None = None

    @model_validator(mode="after")
    def _is_safe(self) -> "Webhook":
        named = {name.lower() for name in self.headers}
        if "authorization" in named:
            msg = "headers: put Authorization into authorization_file, not into the settings"
            raise ValueError(msg)
        return self


def _type_of(given: Any) -> Any:
    return given.get("type") if isinstance(given, dict) else getattr(given, "type", None)


Sink = Annotated[
    Annotated[Syslog, Tag("syslog")] | Annotated[Webhook, Tag("webhook")], Discriminator(_type_of)
]
Sinks = list[Sink]


def unique_names(sinks: list[Any]) -> list[Any]:
    """The sinks, if each has a name of its own.

    Raises
    ------
    ValueError
        If two share one.
    """
    names = [sink.name for sink in sinks]
    if len(set(names)) != len(names):
        msg = "two sinks have the same name"
        raise ValueError(msg)
    return sinks
