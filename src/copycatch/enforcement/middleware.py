"""ASGI middleware: refuses, throttles, and reduces JSON requests and answers on their way through."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Literal

import msgspec

from copycatch.enforcement.identity import UnclearIdentityError
from copycatch.enforcement.reduce import IrreducibleError, reduce_answer, reduce_request
from copycatch.enforcement.requests import DEFAULT_NAMES, Answer, HeaderNames, answer_of, refusal, subject_of
from copycatch.enforcement.table import DecisionTable, Subject
from copycatch.records.wire import ActionParams

BODY_BYTES_MAX = 4 << 20  # longer answers cannot be reduced; longer requests pass as they are
_BODILESS = frozenset({204, 205, 304})

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Irreducible = Literal["refuse", "pass"]


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
    irreducible : {"refuse", "pass"}
        What becomes of an answer that should be reduced and cannot be: a stream, compressed, no JSON, too
        long. With "pass" give the table `supported` without `reduce_output`, or its acknowledgements say
        more than is done.

    Notes
    -----
    The verdict is left at `scope["copycatch"]` for applications that want to act on it themselves.
    Web sockets of accounts that are refused or reduced are closed.
    """

    def __init__(
        self,
        app: App,
        table: DecisionTable,
        now_ms: Callable[[], int],
        identify: Callable[[Scope], Subject] | None = None,
        irreducible: Irreducible = "refuse",
    ) -> None:
        self._app = app
        self._table = table
        self._now_ms = now_ms
        self._identify = identify or identify_by_headers
        self._irreducible = irreducible

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        try:
            verdict = self._table.verdict(self._identify(scope), self._now_ms())
        except UnclearIdentityError:
            await _refuse(scope, receive, send, answer_of(400, "the request names too many accounts"))
            return
        scope["copycatch"] = verdict
        is_reduced = verdict.action == "reduce_output"
        if verdict.is_refused or (is_reduced and scope["type"] == "websocket"):
            await _refuse(scope, receive, send, refusal(verdict))
        elif is_reduced:
            reduced = _Reduction(verdict.params, send, self._withheld)
            await self._app(*await reduced.request(scope, receive), reduced.send)
        else:
            await self._app(scope, receive, send)

    def _withheld(self) -> bool:
        """Whether an answer that cannot be reduced is withheld; counted either way."""
        self._table.counts.unreduced += 1
        return self._irreducible == "refuse"


def identify_by_headers(scope: Scope, names: HeaderNames = DEFAULT_NAMES) -> Subject:
    """The subject by headers; the peer's address where no proxy names one."""
    subject = subject_of(scope["headers"], names)
    if subject.client_ip is None and scope.get("client"):
        subject = subject._replace(client_ip=scope["client"][0])
    return subject


async def _refuse(scope: Scope, receive: Receive, send: Send, answer: Answer) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008})
        return
    status, headers, body = answer
    await send({"type": "http.response.start", "status": status, "headers": _encoded(headers, body)})
    await send({"type": "http.response.body", "body": body})


class _Reduction:
    """One request and its answer on their way through."""

    def __init__(self, params: ActionParams, send: Send, is_withheld: Callable[[], bool]) -> None:
        self._params = params
        self._send = send
        self._is_withheld = is_withheld
        self._start: Message | None = None
        self._body = b""
        self._is_passing = False  # what follows is not held any more
        self._is_over = False  # the answer has been given in another's place

    async def request(self, scope: Scope, receive: Receive) -> tuple[Scope, Receive]:
        """Scope and receive with the reduced request, which asks for an answer that can be reduced."""
        kept = [pair for pair in scope["headers"] if pair[0].lower() not in (b"accept-encoding", b"te")]
        scope = {**scope, "headers": kept, "extensions": {}}  # by extensions files are sent unseen
        body = b""
        has_more = True
        while has_more and len(body) <= BODY_BYTES_MAX:
            message = await receive()
            if message["type"] != "http.request":
                return scope, _giving([message], receive)
            body += message.get("body", b"")
            has_more = message.get("more_body", False)
        changed = None if has_more else _reduced(body, self._params, reduce_request)
        if changed is not None:
            body = changed
            kept = [pair for pair in kept if pair[0].lower() != b"content-length"]
            scope["headers"] = [*kept, (b"content-length", str(len(body)).encode())]
        return scope, _giving([{"type": "http.request", "body": body, "more_body": has_more}], receive)

    async def send(self, message: Message) -> None:
        """Holds an answer until it is whole, and gives it reduced."""
        if self._is_over:
            return
        if self._is_passing:
            await self._send(message)
        elif message["type"] == "http.response.start":
            self._start = message
        elif message["type"] == "http.response.body":
            self._body += message.get("body", b"")
            has_more = message.get("more_body", False)
            is_held = _is_plain(self._start) and len(self._body) <= BODY_BYTES_MAX
            if not has_more or not is_held:
                await self._finish(has_more, is_held)

    async def _finish(self, has_more: bool, is_held: bool) -> None:
        assert self._start is not None
        start, body = self._start, self._body
        changed: bytes | None = body if start["status"] in _BODILESS or not body else None
        if changed is None and is_held and not has_more:
            changed = _reduced(body, self._params, reduce_answer)
        if changed is None and self._is_withheld():
            self._is_over = True
            status = start["status"] if start["status"] >= 400 else 403
            status, headers, body = answer_of(status, "this account may not have this answer at present")
            await self._send(
                {"type": "http.response.start", "status": status, "headers": _encoded(headers, body)}
            )
            await self._send({"type": "http.response.body", "body": body})
            return
        if changed is not None and changed != body:
            body = changed
            kept = [(name, value) for name, value in start["headers"] if name.lower() != b"content-length"]
            start = {**start, "headers": [*kept, (b"content-length", str(len(body)).encode())]}
        self._is_passing = True
        await self._send(start)
        await self._send({"type": "http.response.body", "body": body, "more_body": has_more})


def _is_plain(start: Message | None) -> bool:
    """Whether the answer is neither compressed nor a stream of events."""
    for name, value in [] if start is None else start.get("headers", []):
        if name.lower() == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            return False
        if name.lower() == b"content-type" and b"event-stream" in value.lower():
            return False
    return True


def _reduced(body: bytes, params: ActionParams, change: Callable[[Any, ActionParams], Any]) -> bytes | None:
    """The body reduced; None where it is not JSON (a number alone is some, words are not)."""
    try:
        return msgspec.json.encode(change(msgspec.json.decode(body), params))
    except (IrreducibleError, ValueError, RecursionError, OverflowError):
        return None


def _giving(messages: list[Message], receive: Receive) -> Receive:
    async def give() -> Message:
        return messages.pop(0) if messages else await receive()

    return give


def _encoded(headers: dict[str, str], body: bytes) -> list[tuple[bytes, bytes]]:
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    return [*pairs, (b"content-length", str(len(body)).encode())]
