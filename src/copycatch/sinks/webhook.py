"""HTTP webhooks: batched, signed, with the shapes that Splunk HEC and others take."""

import hashlib
import hmac
import ipaddress
import ssl
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

import msgspec
import urllib3
from pydantic import Field, SecretStr, model_validator

from copycatch.errors import ConfigError, RecoverableError, TransportError
from copycatch.safe_text import printable
from copycatch.secret_files import read_secret
from copycatch.sinks.secondary import MessagesRefusedError, SinkMessage, SinkSettings

Shape = Literal["json_array", "ndjson", "splunk_hec", "each"]
BATCH_MESSAGES_MAX = 500
BATCH_BYTES_MAX = 900_000  # Splunk's collector takes 1 MB by default
ANSWER_BYTES_MAX = 4096
SIGNATURE_HEADER = "X-Copycatch-Signature"
TIMESTAMP_HEADER = "X-Copycatch-Timestamp"
# Refusals that pass: too many requests, time-outs, and the server's own troubles.
# 401 and 403, too: a token that has expired is renewed in its file.
_PASSING = frozenset({401, 403, 408, 425, 429})
_CONTENT = frozenset({400, 413, 422})  # it is something in the body: the rest of the batch may be good


class WebhookSettings(SinkSettings):
    """POST of batches; secrets come from files or the environment."""

    type: Literal["webhook"]
    url: str = Field(pattern=r"^https?://[^/]+")
    shape: Shape = Field(default="json_array", description="How messages of a batch become a body.")
    headers: dict[str, str] = Field(default={}, description="Sent along.")
    proxy: str | None = Field(
        default=None,
        pattern=r"^https?://[^/@]+/?$",
        description="An HTTP proxy between us and the receiver; none is taken from the environment.",
    )
    authorization: SecretStr | None = Field(default=None, description='The whole header: "Splunk 0123..."')
    authorization_file: Path | None = None
    signing_key: SecretStr | None = Field(
        default=None,
        description="Signs time and body, so that the receiver can tell us from others and new from old.",
    )
    signing_key_file: Path | None = None

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        if "authorization" in {name.lower() for name in self.headers}:
            msg = "headers: put Authorization into authorization_file, not into the settings"
            raise ValueError(msg)
        is_secret = self.authorization is not None or self.authorization_file is not None
        stays_here = _is_loopback(self.url) and self.proxy is None
        if is_secret and not self.url.startswith("https://") and not stays_here:
            msg = "url: the authorization would travel in clear text over http; use https"
            raise ValueError(msg)
        return self


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class WebhookSink:
    """Posts batches of messages over a kept connection; `now_ms` is for the signature's time."""

    def __init__(self, settings: WebhookSettings, now_ms: Callable[[], int]) -> None:
        self.name = settings.name
        self.kinds = settings.kinds
        self.alert_format = settings.alert_format
        self._url = settings.url
        self._now_ms = now_ms
        self._shape: Shape = settings.shape
        self._headers = dict(settings.headers)
        self._settings = settings
        self._authorization()  # a file that cannot be read is said at the start
        key = f"sinks.{settings.name}.signing_key_file"
        self._signing_key = read_secret(settings.signing_key, settings.signing_key_file, key)
        self._connections = _connections(settings)

    def _authorization(self) -> dict[str, str]:
        """The header, its file read anew: tokens expire."""
        key = f"sinks.{self.name}.authorization_file"
        secret = read_secret(self._settings.authorization, self._settings.authorization_file, key)
        return {} if secret is None else {"Authorization": secret.decode("latin-1")}

    def send(self, messages: Sequence[SinkMessage]) -> None:
        """Send all; of a batch whose content is refused, all but those messages that are at fault."""
        reasons = [
            reason for batch in batches_of(messages, self._shape) for reason in self._refused_of(batch)
        ]
        if reasons:
            raise MessagesRefusedError(reasons[0], len(reasons))

    def _refused_of(self, items: list[bytes]) -> list[str]:
        """Post them; why each that is refused for good was refused."""
        try:
            self._post(_body_of(items, self._shape))
        except MessagesRefusedError as error:
            if len(items) == 1:
                return [str(error)]
            half = len(items) // 2
            return self._refused_of(items[:half]) + self._refused_of(items[half:])
        return []

    def _post(self, body: bytes) -> None:
        headers = {"Content-Type": _CONTENT_TYPES[self._shape], "User-Agent": "copycatch", **self._headers}
        try:
            headers |= self._authorization()
        except ConfigError as error:  # it may be about to be renewed
            raise RecoverableError(str(error)) from error
        if self._signing_key is not None:
            timestamp = str(self._now_ms() // 1000)
            headers[TIMESTAMP_HEADER] = timestamp
            headers[SIGNATURE_HEADER] = signature_of(self._signing_key, timestamp, body)
        try:
            status, answer = self._exchange(body, headers)
        except urllib3.exceptions.HTTPError as error:
            self.close()
            cause = error.args[0] if error.args else None
            if isinstance(cause, ssl.SSLCertVerificationError):
                message = (
                    f"webhook {self.name}: the server's certificate is not trusted: {cause.verify_message}"
                )
                raise TransportError(message) from error
            message = f"webhook {self.name}: {type(error).__name__}: {error}"
            raise RecoverableError(message) from error
        if 200 <= status < 300:
            return
        text = printable(answer.decode("utf-8", "replace"), 200)
        message = f"webhook {self.name}: HTTP {status}: {text}"
        if status in _PASSING or status >= 500:
            raise RecoverableError(message)
        if status in _CONTENT:
            raise MessagesRefusedError(message, 1)
        raise TransportError(message)

    def _exchange(self, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        response = self._connections.request(
            "POST",
            self._url,
            body=body,
            headers=headers,
            redirect=False,
            retries=False,
            preload_content=False,
        )
        try:
            answer = response.read(ANSWER_BYTES_MAX)
            if response.read(1):  # the rest of a long answer is not waited for
                response.close()
        finally:
            response.release_conn()
        return response.status, answer

    def close(self) -> None:
        self._connections.clear()


def _connections(settings: WebhookSettings) -> urllib3.PoolManager:
    """One kept connection, straight or through the proxy; one that the server has closed is opened anew."""
    context = settings.tls_context() or ssl.create_default_context()
    timeout = urllib3.Timeout(connect=settings.timeout, read=settings.timeout)
    if settings.proxy is None:
        return urllib3.PoolManager(1, maxsize=1, timeout=timeout, ssl_context=context)
    return urllib3.ProxyManager(
        settings.proxy, 1, maxsize=1, timeout=timeout, ssl_context=context, proxy_ssl_context=context
    )


def signature_of(key: bytes, timestamp: str, body: bytes) -> str:
    """What the receiver computes to compare: HMAC-SHA256 over `timestamp.body`.

    Examples
    --------
    >>> signature_of(b"key", "1767571200", b"{}")[:19]
    'v1=33e5d1584da9c1aa'
    """
    return "v1=" + hmac.new(key, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def batches_of(messages: Sequence[SinkMessage], shape: Shape) -> Iterator[list[bytes]]:
    """Messages as they stand in a body, each list within the bounds of a batch.

    Examples
    --------
    >>> from copycatch.ports import Message
    >>> messages = [SinkMessage("alert", Message(b"u", b'{"a":1}', 1500, []), "high")] * 2
    >>> list(batches_of(messages, "json_array")), list(batches_of(messages, "each"))
    ([[b'{"a":1}', b'{"a":1}']], [[b'{"a":1}'], [b'{"a":1}']])
    >>> next(batches_of(messages[:1], "splunk_hec"))
    [b'{"time":1.5,"source":"copycatch","sourcetype":"copycatch:alert","event":{"a":1}}']
    """
    batch: list[bytes] = []
    n_bytes = 0
    for message in messages:
        item = _item_of(message, shape)
        is_full = len(batch) >= BATCH_MESSAGES_MAX or n_bytes + len(item) > BATCH_BYTES_MAX or shape == "each"
        if batch and is_full:
            yield batch
            batch, n_bytes = [], 0
        batch.append(item)
        n_bytes += len(item) + 1
    if batch:
        yield batch


def _item_of(sent: SinkMessage, shape: Shape) -> bytes:
    value = sent.message.value or b"null"
    is_json = value[:1] in (b"{", b"[")
    event: Any = msgspec.Raw(value) if is_json else value.decode("utf-8", "replace")
    if shape != "splunk_hec":
        return value if is_json else msgspec.json.encode(event)
    envelope = {
        "time": sent.message.timestamp_ms / 1000,
        "source": "copycatch",
        "sourcetype": f"copycatch:{sent.kind}",
        "event": event,
    }
    return msgspec.json.encode(envelope)


def _body_of(items: list[bytes], shape: Shape) -> bytes:
    if shape == "json_array":
        return b"[" + b",".join(items) + b"]"
    return b"\n".join(items)


_CONTENT_TYPES: dict[Shape, str] = {
    "json_array": "application/json",
    "ndjson": "application/x-ndjson",
    "splunk_hec": "application/json",
    "each": "application/json",
}
