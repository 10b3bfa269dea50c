"""Connection settings for the client library, and its errors as ours."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import kafka.errors as kafka_errors
from kafka.net.sasl.oauth import AbstractTokenProvider

from copycatch.adapters.kafka_names import check_security_files
from copycatch.errors import FencedError, RecoverableError, TransportError
from copycatch.secret_files import read_secret
from copycatch.settings.service import Kafka, Security

# What no repetition mends; an operator has to act.
FATAL = (
    kafka_errors.AuthorizationError,
    kafka_errors.SaslAuthenticationFailedError,
    kafka_errors.UnsupportedVersionError,
    kafka_errors.UnsupportedSaslMechanismError,
    kafka_errors.KafkaConfigurationError,
    kafka_errors.FencedInstanceIdError,
    kafka_errors.InvalidTopicError,
    kafka_errors.MessageSizeTooLargeError,
)
# Another worker owns our shards or our transactional id now, or the coordinator gave our unit up.
FENCED = (
    kafka_errors.ProducerFencedError,
    kafka_errors.InvalidProducerEpochError,
    kafka_errors.CommitFailedError,
    kafka_errors.IllegalGenerationError,
    kafka_errors.UnknownMemberIdError,
    kafka_errors.RebalanceInProgressError,
    kafka_errors.InvalidTxnStateError,
)
REMEDIES = {
    "AuthorizationError": "grant the principal read on the inputs, write on the outputs and use of the group",
    "FencedInstanceIdError": "another process runs with the same kafka.instance_id; give each its own",
}


class LastLoggedError(logging.Handler):
    """Remembers why a connection failed: the library logs the cause and raises a time-out without it."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        if "Bootstrap failed" not in record.msg:
            self.text = record.getMessage()[:500]


_LAST_LOGGED_ERROR = LastLoggedError()
logging.getLogger("kafka").addHandler(_LAST_LOGGED_ERROR)


class FileToken(AbstractTokenProvider):  # type: ignore[misc]
    """OAUTHBEARER token, read anew for each login because tokens expire."""

    def __init__(self, file: Path | None, fixed: str | None) -> None:
        super().__init__()
        self._file = file
        self._fixed = fixed

    def token(self) -> str:
        if self._file is not None:
            return self._file.read_text("ascii").strip()
        assert self._fixed is not None, "settings demand a token or a file"
        return self._fixed


def security_options(security: Security) -> dict[str, Any]:
    """The library's options for TLS and SASL.

    Raises
    ------
    ConfigError
        If a file that the settings name cannot be read.
    """
    options: dict[str, Any] = {"security_protocol": security.protocol}
    check_security_files(security)
    if security.protocol.endswith("SSL"):
        options |= {
            "ssl_check_hostname": security.check_hostname,
            "ssl_cafile": str(security.ca_file) if security.ca_file else None,
            "ssl_certfile": str(security.certificate_file) if security.certificate_file else None,
            "ssl_keyfile": str(security.key_file) if security.key_file else None,
            "ssl_password": security.key_password.get_secret_value() if security.key_password else None,
        }
    if security.mechanism == "OAUTHBEARER":
        fixed = security.token.get_secret_value() if security.token else None
        options["sasl_oauth_token_provider"] = FileToken(security.token_file, fixed)
    elif security.mechanism:
        password = read_secret(security.password, security.password_file, "kafka.security.password_file")
        options |= {
            "sasl_plain_username": security.username,
            "sasl_plain_password": (password or b"").decode("utf-8"),
        }
    if security.mechanism:
        options["sasl_mechanism"] = security.mechanism
    return options


# The library's own sensors cost a fifth of the poll; /metrics has ours.
NO_SENSORS = {"metrics_enabled": False}


def common_options(settings: Kafka) -> dict[str, Any]:
    """What consumer, producer and admin client share."""
    request_timeout_ms = round(settings.request_timeout * 1000)
    return {
        "bootstrap_servers": settings.bootstrap_servers,
        "client_id": f"copycatch-{settings.instance_id or settings.group_id}",
        "request_timeout_ms": request_timeout_ms,
        "connections_max_idle_ms": max(540_000, 2 * request_timeout_ms),
        "reconnect_backoff_max_ms": 5_000,
        "bootstrap_timeout_ms": request_timeout_ms,
        **security_options(settings.security),
    }


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raise the library's errors as ours: `doing` says what failed, as "polling"."""
    try:
        yield
    except FATAL as error:
        raise TransportError(_message(doing, error)) from error
    except FENCED as error:
        raise FencedError(_message(doing, error)) from error
    except (kafka_errors.KafkaError, OSError) as error:
        # The library wraps what it could not do because of an earlier failure.
        causes = [each for each in error.args if isinstance(each, kafka_errors.KafkaError)]
        for cause in causes:
            if isinstance(cause, FATAL):
                raise TransportError(_message(doing, cause)) from error
            if isinstance(cause, FENCED):
                raise FencedError(_message(doing, cause)) from error
        raise RecoverableError(_message(doing, error)) from error


def _message(doing: str, error: BaseException) -> str:
    kinds = [each.__name__ for each in type(error).__mro__]
    remedy = next((text for kind, text in REMEDIES.items() if kind in kinds), None)
    name, text = type(error).__name__, str(error)
    detail = text if text.lstrip("[0123456789] ").startswith(name) else f"{name}: {text}".removesuffix(": ")
    if remedy is None and "bootstrap" in text:
        remedy = (
            f"the last attempt said: {_LAST_LOGGED_ERROR.text or 'nothing'} (check addresses, protocol, and "
            "the certificate or the username and password: brokers just hang up on a wrong one)"
        )
    return f"Kafka, {doing}: {detail}" + (f"; {remedy}" if remedy else "")
