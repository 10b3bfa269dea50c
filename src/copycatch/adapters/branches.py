"""Branches made of the settings."""

import ssl
from collections.abc import Callable, Sequence

from copycatch.adapters.fan_out import Branch
from copycatch.adapters.syslog import SyslogBranch
from copycatch.adapters.webhook import WebhookBranch
from copycatch.alert_formats.catalog import ALERT_FORMATS
from copycatch.errors import ConfigError
from copycatch.settings.service import read_secret
from copycatch.settings.sinks import Syslog, Tls, Webhook


def make_branches(sinks: Sequence[Syslog | Webhook], now_ms: Callable[[], int]) -> list[Branch]:
    """A branch for each sink of the settings; none connects before its first message.

    Raises
    ------
    ConfigError
        If a file that the settings name cannot be read.
    """
    return [_syslog(sink) if isinstance(sink, Syslog) else _webhook(sink, now_ms) for sink in sinks]


def _syslog(sink: Syslog) -> Branch:
    return SyslogBranch(
        sink.name,
        sink.host,
        sink.port,
        frozenset(sink.kinds),
        ALERT_FORMATS[sink.format],
        context=_context(sink.name, sink.tls),
        hostname=sink.hostname,
        timeout_s=sink.timeout,
    )


def _webhook(sink: Webhook, now_ms: Callable[[], int]) -> Branch:
    headers = dict(sink.headers)
    authorization = read_secret(
        sink.authorization, sink.authorization_file, f"sinks.{sink.name}.authorization_file"
    )
    if authorization is not None:
        headers["Authorization"] = authorization.decode("latin-1")
    return WebhookBranch(
        sink.name,
        sink.url,
        frozenset(sink.kinds),
        ALERT_FORMATS[sink.format],
        now_ms,
        shape=sink.shape,
        headers=headers,
        signing_key=read_secret(
            sink.signing_key, sink.signing_key_file, f"sinks.{sink.name}.signing_key_file"
        ),
        context=_context(sink.name, sink.tls),
        timeout_s=sink.timeout,
    )


def _context(name: str, tls: Tls | None) -> ssl.SSLContext | None:
    if tls is None:
        return None
    try:
        return tls.context()
    except OSError as error:
        message = f"sinks.{name}.tls: {error} (check ca_file, certificate_file and key_file)"
        raise ConfigError(message) from error
