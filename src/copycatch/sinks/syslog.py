"""Syslog (RFC 5424) over TCP and TLS (RFC 5425), with octet counting as framing (RFC 6587)."""

import contextlib
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Literal

from pydantic import Field

from copycatch.errors import RecoverableError, TransportError
from copycatch.records.wire import Severity
from copycatch.safe_text import printable
from copycatch.sinks.secondary import SinkMessage, SinkSettings
from copycatch.units import format_rfc3339

FACILITY = 13  # log audit
# Syslog counts downwards: 2 critical, 3 error, 4 warning, 5 notice.
_LEVELS: dict[Severity | None, int] = {"critical": 2, "high": 3, "medium": 4, "low": 5, None: 5}
_PARAM_CHARS_MAX = 2048
_NAME_CHARS_MAX = 48  # of APP-NAME; HOSTNAME may have more and needs no more


class SyslogSettings(SinkSettings):
    """RFC 5424 over TCP, or TLS where `tls` is given."""

    type: Literal["syslog"]
    host: str = Field(min_length=1)
    port: int = Field(default=6514, ge=1, le=65535)
    hostname: str = Field(default_factory=socket.gethostname, description="What to call this machine.")


class SyslogSink:
    """Sends each message as one syslog line over one kept connection."""

    def __init__(self, settings: SyslogSettings, _now_ms: Callable[[], int]) -> None:
        self.name = settings.name
        self.kinds = settings.kinds
        self.alert_format = settings.alert_format
        self._address = (settings.host, settings.port)
        self._context = settings.tls_context()
        self._hostname = settings.hostname
        self._timeout_s = settings.timeout
        self._connection: socket.socket | None = None

    def send(self, messages: Sequence[SinkMessage]) -> None:
        frames = b"".join(frame(syslog_line(each, self._hostname)) for each in messages)
        try:
            self._ready().sendall(frames)
        except ssl.SSLCertVerificationError as error:
            self.close()
            why = error.verify_message
            message = f"syslog {self.name}: the certificate of {self._address[0]} is not trusted: {why}"
            raise TransportError(message) from error
        except OSError as error:
            # Half of it may have arrived; receivers see it again under the same uid.
            self.close()
            message = f"syslog {self.name} at {self._address[0]}:{self._address[1]}: {error}"
            raise RecoverableError(message) from error

    def _ready(self) -> socket.socket:
        if self._connection is not None:
            if self._has_ended(self._connection):
                self.close()
            else:
                self._connection.settimeout(self._timeout_s)
        if self._connection is None:
            plain = socket.create_connection(self._address, self._timeout_s)
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            self._connection = plain
            if self._context is not None:
                self._connection = self._context.wrap_socket(plain, server_hostname=self._address[0])
        return self._connection

    @staticmethod
    def _has_ended(connection: socket.socket) -> bool:
        """Whether the receiver has closed its side: a write would still succeed, and be lost."""
        connection.setblocking(False)
        try:
            return connection.recv(1) == b""  # receivers say nothing in this protocol
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        except OSError:
            return True

    def close(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.close()
            self._connection = None


def syslog_line(sent: SinkMessage, hostname: str) -> bytes:
    """A message in the syntax of RFC 5424; the CloudEvent id goes along as structured data.

    Examples
    --------
    >>> from copycatch.ports import Message
    >>> syslog_line(SinkMessage("alert", Message(b"u1", b"{}", 1767571200250, []), "high"), "box")
    b'<107>1 2026-01-05T00:00:00.250Z box copycatch - alert [copycatch@0 key="u1"] {}'
    """
    message = sent.message
    priority = 8 * FACILITY + _LEVELS[sent.severity]
    when = format_rfc3339(message.timestamp_ms)
    # 0 is reserved among enterprise numbers: nobody else's data carry it.
    data = f'[copycatch@0 key="{escape_param(message.key.decode("utf-8", "replace"))}"]'
    name = plain_name(hostname)
    head = f"<{priority}>1 {when} {name} copycatch - {sent.kind} {data} "
    # No byte-order mark: it is allowed before UTF-8, and many receivers choke on it.
    return head.encode() + (message.value or b"").replace(b"\n", b" ")


def frame(line: bytes) -> bytes:
    """The line behind its length, so that no content can end it early.

    Examples
    --------
    >>> frame(b"<1>1 x")
    b'6 <1>1 x'
    """
    return str(len(line)).encode() + b" " + line


def escape_param(text: str) -> str:
    r"""A value of structured data.

    Examples
    --------
    >>> escape_param('a"b]c\\d')
    'a\\"b\\]c\\\\d'
    """
    return printable(text, _PARAM_CHARS_MAX).replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")


def plain_name(text: str) -> str:
    """Printable ASCII without spaces, as header fields must be."""
    kept = "".join(char for char in text if "!" <= char <= "~")
    return kept[:_NAME_CHARS_MAX] or "-"
