"""What every secondary sink is: its common settings, the messages it gets, and what it must do."""

import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NamedTuple, Protocol

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from copycatch.alert_formats.catalog import ALERT_FORMATS, AlertFormat
from copycatch.errors import ConfigError, TransportError, unknown_remedy
from copycatch.ports import Kind, Message
from copycatch.records.policy_values import refuse
from copycatch.records.wire import Severity


class SinkMessage(NamedTuple):
    """A message for a secondary sink; only alerts and recommendations have a severity."""

    kind: Kind
    message: Message
    severity: Severity | None


class MessagesRefusedError(TransportError):
    """Some messages are refused for good; all others were taken."""

    def __init__(self, reason: str, n_refused: int) -> None:
        super().__init__(reason)
        self.n_refused = n_refused


class SecondarySink(Protocol):
    """A destination that keeps no positions."""

    name: str
    kinds: frozenset[Kind]
    alert_format: AlertFormat

    def send(self, messages: Sequence[SinkMessage]) -> None:
        """Send all of them; may be repeated as a whole.

        Raises
        ------
        RecoverableError
            If trying again may help.
        MessagesRefusedError
            If it refuses some of them for good.
        TransportError
            If the destination refuses all for good.
        """
        ...

    def close(self) -> None: ...


def _known_format(name: str) -> str:
    if name not in ALERT_FORMATS:
        refuse(f"unknown alert format {name!r}", unknown_remedy(name, ALERT_FORMATS))
    return name


AlertFormatName = Annotated[str, AfterValidator(_known_format)]


class Tls(BaseModel):
    """How to check the other side, and who we are to it."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    ca_file: Path | None = Field(default=None, description="The system's authorities by default.")
    certificate_file: Path | None = None
    key_file: Path | None = None


class SinkSettings(BaseModel):
    """What the settings of every secondary sink have; `type` of each chooses the class."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: str = Field(min_length=1, max_length=64, pattern=r"^[a-zA-Z0-9_.-]+$")
    kinds: frozenset[Kind] = frozenset({"alert"})
    format: AlertFormatName = Field(default="native", description="Of alerts.")
    timeout: float = Field(default=10.0, gt=0, le=120, description="Seconds that an attempt may take.")
    tls: Tls | None = None

    @property
    def alert_format(self) -> AlertFormat:
        return ALERT_FORMATS[self.format]

    def tls_context(self) -> ssl.SSLContext | None:
        """The library's form of `tls`.

        Raises
        ------
        ConfigError
            If a file cannot be read or holds no certificate.
        """
        tls = self.tls
        if tls is None:
            return None
        try:
            context = ssl.create_default_context(cafile=None if tls.ca_file is None else str(tls.ca_file))
            if tls.certificate_file is not None:
                context.load_cert_chain(tls.certificate_file, tls.key_file)
        except OSError as error:
            message = f"sinks.{self.name}.tls: {error} (check ca_file, certificate_file and key_file)"
            raise ConfigError(message) from error
        return context
