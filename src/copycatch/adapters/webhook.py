"""HTTP webhooks: batched, signed, with the shapes that Splunk HEC and others take."""

import hashlib
import hmac
import http.client
import ssl
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from copycatch.adapters.fan_out import Parcel
from copycatch.adapters.messages import Kind
from copycatch.alert_formats.catalog import AlertFormat
from copycatch.errors import RecoverableError, TransportError

Shape = Literal["json_array", "ndjson", "splunk_hec", "each"]
BATCH_MESSAGES_MAX = 500
BATCH_BYTES_MAX = 900_000  # Splunk's collector takes 1 MB by default
ANSWER_BYTES_MAX = 4096
SIGNATURE_HEADER = "X-Copycatch-Signature"
TIMESTAMP_HEADER = "X-Copycatch-Timestamp"
# Refusals that pass: too many requests, time-outs, and the server's own troubles.
_PASSING = frozenset({408, 425, 429})


class WebhookBranch:
    """Posts batches of messages over one kept connection.

    Parameters
    ----------
    url : str
        http or https.
    shape : {"json_array", "ndjson", "splunk_hec", "each"}
        How messages of a batch become a body.
    headers : mapping of str to str
        Sent along, as Authorization.
    signing_key : bytes or None
        Signs time and body with HMAC-SHA256, so that the receiver can tell us from others and new from old.
    now_ms : callable
        For the signature's time.
    """

    def __init__(
        self,
        name: str,
        url: str,
        kinds: frozenset[Kind],
        alert_format: AlertFormat,
        now_ms: Callable[[], int],
        shape: Shape = "json_array",
        headers: dict[str, str] | None = None,
        signing_key: bytes | None = None,
        context: ssl.SSLContext | None = None,
        timeout_s: float = 10.0,
    ) -> None:
        self.name = name
        self.kinds = kinds
        self.alert_format = alert_format
        self._parts = urlsplit(url)
        self._now_ms = now_ms
        self._shape: Shape = shape
        self._headers = dict(headers or {})
        self._signing_key = signing_key
        self._context = context
        self._timeout_s = timeout_s
        self._connection: http.client.HTTPConnection | None = None

    def send(self, parcels: Sequence[Parcel]) -> None:
        for body in bodies_of(parcels, self._shape):
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
        said = answer.decode("utf-8", "replace")[:200]
        message = f"webhook {self.name}: HTTP {status}: {said}"
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


def bodies_of(parcels: Sequence[Parcel], shape: Shape) -> Iterator[bytes]:
    """Request bodies, each within the bounds of a batch.

    Examples
    --------
    >>> from copycatch.ports import Message
    >>> parcels = [Parcel("alert", Message(b"u", b'{"a":1}', 1500, []), "high")] * 2
    >>> list(bodies_of(parcels, "json_array")), list(bodies_of(parcels, "each"))
    ([b'[{"a":1},{"a":1}]'], [b'{"a":1}', b'{"a":1}'])
    >>> next(bodies_of(parcels[:1], "splunk_hec"))
    b'{"time":1.5,"source":"copycatch","sourcetype":"copycatch:alert","event":{"a":1}}'
    """
    batch: list[bytes] = []
    n_bytes = 0
    for parcel in parcels:
        item = _item_of(parcel, shape)
        is_full = len(batch) >= BATCH_MESSAGES_MAX or n_bytes + len(item) > BATCH_BYTES_MAX or shape == "each"
        if batch and is_full:
            yield _body_of(batch, shape)
            batch, n_bytes = [], 0
        batch.append(item)
        n_bytes += len(item) + 1
    if batch:
        yield _body_of(batch, shape)


def _item_of(parcel: Parcel, shape: Shape) -> bytes:
    value = parcel.message.value or b"null"
    is_json = value[:1] in (b"{", b"[")
    event: Any = msgspec.Raw(value) if is_json else value.decode("utf-8", "replace")
    if shape != "splunk_hec":
        return value if is_json else msgspec.json.encode(event)
    envelope = {
        "time": parcel.message.timestamp_ms / 1000,
        "source": "copycatch",
        "sourcetype": f"copycatch:{parcel.kind}",
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
