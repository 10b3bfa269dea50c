"""HTTP webhooks: batched, signed, with the shapes that Splunk HEC and others take."""

import hashlib
import hmac
import http.client
import ssl
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

import msgspec
from pydantic import Field, SecretStr, model_validator

from copycatch.errors import RecoverableError, TransportError
from copycatch.safe_text import printable
from copycatch.secret_files import read_secret
from copycatch.sinks.secondary import SinkMessage, SinkSettings

Shape = Literal["json_array", "ndjson", "splunk_hec", "each"]
BATCH_MESSAGES_MAX = 500
BATCH_BYTES_MAX = 900_000  # Splunk's collector takes 1 MB by default
ANSWER_BYTES_MAX = 4096
SIGNATURE_HEADER = "X-Copycatch-Signature"
TIMESTAMP_HEADER = "X-Copycatch-Timestamp"
# Refusals that pass: too many requests, time-outs, and the server's own troubles.
_PASSING = frozenset({408, 425, 429})


class WebhookSettings(SinkSettings):
    """POST of batches; secrets come from files or the environment."""

    type: Literal["webhook"]
    url: str = Field(pattern=r"^https?://[^/]+")
    shape: Shape = Field(default="json_array", description="How messages of a batch become a body.")
    headers: dict[str, str] = Field(default={}, description="Sent along.")
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
        return self


class WebhookSink:
    """Posts batches of messages over one kept connection; `now_ms` is for the signature's time."""

    def __init__(self, settings: WebhookSettings, now_ms: Callable[[], int]) -> None:
        self.name = settings.name
        self.kinds = settings.kinds
        self.alert_format = settings.alert_format
        self._parts = urlsplit(settings.url)
        self._now_ms = now_ms
        self._shape: Shape = settings.shape
        self._headers = dict(settings.headers)
        key = f"sinks.{settings.name}.authorization_file"
        authorization = read_secret(settings.authorization, settings.authorization_file, key)
        if authorization is not None:
            self._headers["Authorization"] = authorization.decode("latin-1")
        key = f"sinks.{settings.name}.signing_key_file"
        self._signing_key = read_secret(settings.signing_key, settings.signing_key_file, key)
        self._context = settings.tls_context()
        self._timeout_s = settings.timeout
        self._connection: http.client.HTTPConnection | None = None

    def send(self, messages: Sequence[SinkMessage]) -> None:
        for body in bodies_of(messages, self._shape):
            self._post(body)

    def _post(self, body: bytes) -> None:
        headers = {"Content-Type": _CONTENT_TYPES[self._shape], "User-Agent": "copycatch", **self._headers}
        if self._signing_key is not None:
            timestamp = str(self._now_ms() // 1000)
            headers[TIMESTAMP_HEADER] = timestamp
            headers[SIGNATURE_HEADER] = signature_of(self._signing_key, timestamp, body)
        target = (self._parts.path or "/") + (f"?{self._parts.query}" if self._parts.query else "")
        is_kept = self._connection is not None
        try:
            status, answer = self._exchange(target, body, headers)
        except (http.client.HTTPException, OSError) as error:
            self.close()
            if isinstance(error, ssl.SSLCertVerificationError):
                message = (
                    f"webhook {self.name}: the server's certificate is not trusted: {error.verify_message}"
                )
                raise TransportError(message) from error
            if is_kept:  # the server may close an idle connection at any time: once more on a new one
                self._post(body)
                return
            message = f"webhook {self.name}: {type(error).__name__}: {error}"
            raise RecoverableError(message) from error
        if 200 <= status < 300:
            return
        text = printable(answer.decode("utf-8", "replace"), 200)
        message = f"webhook {self.name}: HTTP {status}: {text}"
        if status in _PASSING or status >= 500:
            raise RecoverableError(message)
        raise TransportError(message)

    def _exchange(self, target: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        if self._connection is None:
            self._connection = self._connect()
        self._connection.request("POST", target, body, headers)
        response = self._connection.getresponse()
        answer = response.read(ANSWER_BYTES_MAX)
        if not response.isclosed() or response.will_close:
            self.close()
        return response.status, answer

    def _connect(self) -> http.client.HTTPConnection:
        host = self._parts.hostname or "localhost"
        if self._parts.scheme == "https":
            return http.client.HTTPSConnection(
                host, self._parts.port, timeout=self._timeout_s, context=self._context
            )
        return http.client.HTTPConnection(host, self._parts.port, timeout=self._timeout_s)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def signature_of(key: bytes, timestamp: str, body: bytes) -> str:
    """What the receiver computes to compare: HMAC-SHA256 over `timestamp.body`.

    Examples
    --------
    >>> signature_of(b"key", "1767571200", b"{}")[:19]
    'v1=33e5d1584da9c1aa'
    """
    return "v1=" + hmac.new(key, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def bodies_of(messages: Sequence[SinkMessage], shape: Shape) -> Iterator[bytes]:
    """Request bodies, each within the bounds of a batch.

    Examples
    --------
    >>> from copycatch.ports import Message
    >>> messages = [SinkMessage("alert", Message(b"u", b'{"a":1}', 1500, []), "high")] * 2
    >>> list(bodies_of(messages, "json_array")), list(bodies_of(messages, "each"))
    ([b'[{"a":1},{"a":1}]'], [b'{"a":1}', b'{"a":1}'])
    >>> next(bodies_of(messages[:1], "splunk_hec"))
    b'{"time":1.5,"source":"copycatch","sourcetype":"copycatch:alert","event":{"a":1}}'
    """
    batch: list[bytes] = []
    n_bytes = 0
    for message in messages:
        item = _item_of(message, shape)
        is_full = len(batch) >= BATCH_MESSAGES_MAX or n_bytes + len(item) > BATCH_BYTES_MAX or shape == "each"
        if batch and is_full:
            yield _body_of(batch, shape)
            batch, n_bytes = [], 0
        batch.append(item)
        n_bytes += len(item) + 1
    if batch:
        yield _body_of(batch, shape)


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
