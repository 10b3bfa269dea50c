"""Connection settings by librdkafka's names, and its errors as ours."""

import base64
import binascii
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from copycatch.adapters.clock import SystemClock
from copycatch.adapters.kafka_names import check_security_files
from copycatch.errors import FencedError, RecoverableError, TransportError
from copycatch.secret_files import read_secret
from copycatch.settings.service import Kafka, Security
from copycatch.units import MS_PER_S

logger = logging.getLogger("copycatch.librdkafka")

# What no repetition mends; an operator has to act.
FATAL = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError._AUTHENTICATION,  # noqa: SLF001 (librdkafka's own codes begin with an underscore)
        KafkaError.UNSUPPORTED_SASL_MECHANISM,
        KafkaError.UNSUPPORTED_VERSION,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError.TOPIC_EXCEPTION,
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError._INVALID_ARG,  # noqa: SLF001
    }
)
# Another worker owns our shards or our transactional id now, or the coordinator gave our unit up.
FENCED = frozenset(
    {
        KafkaError._FENCED,  # noqa: SLF001
        KafkaError.PRODUCER_FENCED,
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.INVALID_TXN_STATE,
        KafkaError._STATE,  # noqa: SLF001 (a transaction that is not there any more)
        KafkaError._ASSIGNMENT_LOST,  # noqa: SLF001
    }
)
REMEDIES = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "grant the principal read on the inputs and write on the outputs",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "grant the principal use of the group",
    KafkaError.FENCED_INSTANCE_ID: (
        "another process runs with the same kafka.instance_id; give each its own"
    ),
    KafkaError._AUTHENTICATION: "check the mechanism, the username and the password",  # noqa: SLF001
}
OPAQUE_TOKEN_S = 300.0  # a token that does not say when it ends is asked for again after so long


class LostConnections(logging.Filter):
    """Counts connections that were lost, as the library logs it; most are closed by brokers, and no news."""

    def __init__(self) -> None:
        super().__init__()
        self.n = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Drop what `log.connection.close: false` would."""
        is_lost = isinstance(record.args, tuple) and record.args[:1] == ("FAIL",)
        self.n += is_lost
        is_news = not is_lost or record.levelno > logging.INFO
        return is_news and logger.isEnabledFor(record.levelno)

    def options(self) -> dict[str, Any]:
        """For a client that is to be watched."""
        own = logging.Logger(logger.name, logging.INFO)  # noqa: LOG001 (one a client, gone with it)
        own.parent = logger
        own.addFilter(self)
        return {"log.connection.close": True, "logger": own}


def security_options(security: Security) -> dict[str, Any]:
    """The library's options for TLS and SASL.

    Raises
    ------
    ConfigError
        If a file that the settings name cannot be read.
    """
    options: dict[str, Any] = {"security.protocol": security.protocol}
    check_security_files(security)
    if security.protocol.endswith("SSL"):
        options["ssl.endpoint.identification.algorithm"] = "https" if security.check_hostname else "none"
        for name, file in (
            ("ssl.ca.location", security.ca_file),
            ("ssl.certificate.location", security.certificate_file),
            ("ssl.key.location", security.key_file),
        ):
            if file is not None:
                options[name] = str(file)
        if security.key_password is not None:
            options["ssl.key.password"] = security.key_password.get_secret_value()
    if security.mechanism is not None:
        options["sasl.mechanism"] = security.mechanism
    if security.mechanism == "OAUTHBEARER":
        options["oauth_cb"] = lambda _config: _token_of(security)
    elif security.mechanism is not None:
        password = read_secret(security.password, security.password_file, "kafka.security.password_file")
        options |= {"sasl.username": security.username, "sasl.password": (password or b"").decode("utf-8")}
    return options


def _token_of(security: Security) -> tuple[str, float]:
    """The token, read anew, and when (epoch seconds) to ask for it again."""
    if security.token_file is not None:
        token = security.token_file.read_text("ascii").strip()
    else:
        assert security.token is not None, "settings demand a token or a file"
        token = security.token.get_secret_value()
    expires_s = expiry_of(token)
    now_s = SystemClock().now_ms() / MS_PER_S
    return token, expires_s if expires_s is not None else now_s + OPAQUE_TOKEN_S


def expiry_of(token: str) -> float | None:
    """When a token that is a JWT ends, in epoch seconds; None where it does not say.

    Examples
    --------
    >>> expiry_of("e30.eyJleHAiOiAxNzY3NTcxMjAwfQ.sig")
    1767571200.0
    >>> expiry_of("opaque") is None
    True
    """
    parts = token.split(".")
    if len(parts) != 3:  # header, claims, signature
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return float(claims["exp"])
    except (binascii.Error, ValueError, KeyError, TypeError):
        return None


def common_options(settings: Kafka) -> dict[str, Any]:
    """What consumer, producer and admin client share."""
    return {
        "bootstrap.servers": ",".join(settings.bootstrap_servers),
        "client.id": f"copycatch-{settings.instance_id or settings.group_id}",
        "socket.timeout.ms": max(1_000, round(settings.request_timeout * 1000)),
        "reconnect.backoff.max.ms": 5_000,
        "log.connection.close": False,  # brokers close idle connections; that is no news
        "logger": logger,
        **security_options(settings.security),
    }


def raise_as_ours(doing: str, error: KafkaError) -> None:
    """Raise librdkafka's error as ours: `doing` says what failed, as "polling"."""
    message = message_of(doing, error)
    if error.code() in FENCED:
        raise FencedError(message)
    if error.code() in FATAL or error.fatal():
        raise TransportError(message)
    raise RecoverableError(message)


def message_of(doing: str, error: KafkaError) -> str:
    """The error in a sentence, with a remedy where there is one."""
    remedy = REMEDIES.get(error.code())
    return f"Kafka, {doing}: {error.name()}: {error.str()}" + (f"; {remedy}" if remedy else "")


def cause_of(exception: KafkaException) -> KafkaError:
    """What an exception of the library carries."""
    found = exception.args[0]
    assert isinstance(found, KafkaError)
    return found


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raise the library's exceptions as ours."""
    try:
        yield
    except KafkaException as exception:
        try:
            raise_as_ours(doing, cause_of(exception))
        except TransportError as ours:
            raise ours from exception
