"""ASGI middleware: refuses, throttles, and reduces JSON requests and answers on their way through."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec

from copycatch.enforcement.reduce import reduce_answer, reduce_request
from copycatch.enforcement.requests import DEFAULT_NAMES, refusal, subject_of
from copycatch.enforcement.table import DecisionTable, Subject
from copycatch.records.wire import ActionParams

BODY_BYTES_MAX = 4 << 20  # longer bodies pass as they are; a stream of tokens carries no probabilities

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class EnforcementMiddleware:
    """Wraps any ASGI application (FastAPI, Starlette, vLLM's server, LiteLLM's proxy).

    Parameters
    ----------
    app : ASGI application
    table : DecisionTable
        Kept up to date by a `Feed`.
    now_ms : callable
    identify : callable, optional
        Subject of a request's scope; by default from headers, which the gateway in front must set.

    Notes
    -----
    The verdict is left at `scope["copycatch"]` for applications that want to act on it themselves.
    """

    def __init__(
        self,
        app: App,
        table: DecisionTable,
        now_ms: Callable[[], int],
        identify: Callable[[Scope], Subject] | None = None,
    ) -> None:
        self._app = app
        self._table = table
        self._now_ms = now_ms
        self._identify = identify or identify_by_headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        verdict = self._table.verdict(self._identify(scope), self._now_ms())
        scope["copycatch"] = verdict
        if verdict.is_refused:
            status, headers, body = refusal(verdict)
            await send({"type": "http.response.start", "status": status, "headers": _encoded(headers, body)})
            await send({"type": "http.response.body", "body": body})
        elif verdict.action == "reduce_output":
            reduced = _Reduction(verdict.params, send)
            await self._app(*await reduced.request(scope, receive), reduced.send)
        else:
            await self._app(scope, receive, send)


def identify_by_headers(scope: Scope) -> Subject:
    """The subject by the default headers; the peer's address where no proxy names one."""
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    subject = subject_of(headers, DEFAULT_NAMES)
    if subject.client_ip is None and scope.get("client"):
        subject = subject._replace(client_ip=scope["client"][0])
    return subject


class _Reduction:
    """One request and its answer on their way through."""

    def __init__(self, params: ActionParams, send: Send) -> None:
        self._params = params
        self._send = send
        self._start: Message | None = None
        self._body = b""
        self._is_passing = False

    async def request(self, scope: Scope, receive: Receive) -> tuple[Scope, Receive]:
        """Scope and receive with the reduced request."""
        body = b""
        has_more = True
        while has_more and len(body) <= BODY_BYTES_MAX:
            message = await receive()
            if message["type"] != "http.request":
                return scope, _giving([message], receive)
            body += message.get("body", b"")
            has_more = message.get("more_body", False)
        if not has_more and _is_json(scope["headers"]):
            changed = _through_json(body, lambda document: reduce_request(document, self._params))
            if changed is not None:
                body = changed
                kept = [
                    (name, value) for name, value in scope["headers"] if name.lower() != b"content-length"
                ]
                scope = {**scope, "headers": [*kept, (b"content-length", str(len(body)).encode())]}
        return scope, _giving([{"type": "http.request", "body": body, "more_body": has_more}], receive)

    async def send(self, message: Message) -> None:
        """Holds a JSON answer until it is whole; all else passes."""
        if message["type"] == "http.response.start":
            self._is_passing = not _is_json(message.get("headers", []))
            if not self._is_passing:
                self._start = message
                return
        elif not self._is_passing and self._start is not None:
            self._body += message.get("body", b"")
            has_more = message.get("more_body", False)
            if has_more and len(self._body) <= BODY_BYTES_MAX:
                return
            await self._finish(has_more)
            return
        await self._send(message)

    async def _finish(self, has_more: bool) -> None:
        assert self._start is not None
        body = self._body
        start = self._start
        if not has_more:
            changed = _through_json(body, lambda document: reduce_answer(document, self._params))
            body = body if changed is None else changed
            kept = [(name, value) for name, value in start["headers"] if name.lower() != b"content-length"]
            start = {**start, "headers": [*kept, (b"content-length", str(len(body)).encode())]}
        self._is_passing = True
        await self._send(start)
        await self._send({"type": "http.response.body", "body": body, "more_body": has_more})


def _is_json(headers: Any) -> bool:
    return any(name.lower() == b"content-type" and b"json" in value.lower() for name, value in headers)


def _through_json(body: bytes, change: Callable[[Any], Any]) -> bytes | None:
    try:
        return msgspec.json.encode(change(msgspec.json.decode(body)))
    except (ValueError, RecursionError, OverflowError):
        return None  # not ours to judge: the application answers to what it cannot read


def _giving(messages: list[Message], receive: Receive) -> Receive:
    async def give() -> Message:
        return messages.pop(0) if messages else await receive()

    return give


def _encoded(headers: dict[str, str], body: bytes) -> list[tuple[bytes, bytes]]:
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    return [*pairs, (b"content-length", str(len(body)).encode())]
