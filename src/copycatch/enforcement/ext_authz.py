"""Envoy's ext_authz over HTTP: 200 lets a request pass, with headers for the model server; else refused."""

import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
import structlog

from copycatch.adapters.clock import SystemClock
from copycatch.enforcement.identity import UnclearIdentityError
from copycatch.enforcement.requests import (
    DEFAULT_NAMES,
    Answer,
    HeaderNames,
    answer_of,
    refusal,
    subject_of,
    verdict_headers,
)
from copycatch.enforcement.table import DecisionTable

log = structlog.get_logger(__name__)

HEALTH_PATH = "/-/ready"  # below any prefix that Envoy sends, no gateway has such a route
IDLE_S = 60.0  # from one answer to the end of the next request's headers
BODY_BYTES_MAX = 1 << 16  # of a question; after a longer one the connection is closed
DRAIN_BYTES_MAX = 4 << 20
DRAIN_S = 1.0
CONNECTIONS_MAX = 256
FREE_WAIT_S = 1.0
_CLOCK = SystemClock()


class ExtAuthzServer:
    """Answers Envoy's questions in threads of its own, one a connection, `connections_max` at most.

    Parameters
    ----------
    bind, port
        Where to listen; port 0 takes a free one.
    is_ready : callable
        Whether the table has been read; until then the health path says 503.
    names : HeaderNames
    is_closed : bool
        Refuse what cannot be judged: everything until the table has been read (503), and requests that name
        no account (403). By default they pass: a gateway must not stop because its guard is starting.
    """

    def __init__(
        self,
        bind: str,
        port: int,
        table: DecisionTable,
        now_ms: Callable[[], int],
        is_ready: Callable[[], bool] = lambda: True,
        names: HeaderNames = DEFAULT_NAMES,
        is_closed: bool = False,
        connections_max: int = CONNECTIONS_MAX,
    ) -> None:
        server = self

        class Handler(_Handler):
            owner = server

        self.table = table
        self._now_ms = now_ms
        self._is_ready = is_ready
        self._names = names
        self._is_closed = is_closed
        self.connections = _Connections(connections_max)
        self._http = _Server((bind, port), Handler, self.connections)
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.1}, name="copycatch-ext-authz"
        )

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._http.server_address[1])

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def close(self) -> None:
        """End, and wait for it."""
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def answer(self, path: str, headers: list[tuple[bytes, bytes]]) -> Answer:
        """What to say to one question."""
        is_ready = self._is_ready()
        try:
            subject = subject_of(headers, self._names)
        except UnclearIdentityError as error:
            log.warning("a request was refused: it cannot be told whom it is from", reason=str(error))
            return answer_of(400, "the request names too many accounts")
        if path == HEALTH_PATH and not subject.account_id:
            counts = self.table.counts
            state = {
                "ready": is_ready,
                "entries": len(self.table),
                "refused": counts.refused,
                "unidentified": counts.unidentified,
            }
            return 200 if is_ready else 503, {"content-type": "application/json"}, msgspec.json.encode(state)
        if self._is_closed and not is_ready:
            return answer_of(503, "the recommendations have not been read yet")
        verdict = self.table.verdict(subject, self._now_ms())
        if self._is_closed and not subject.account_id:
            return answer_of(403, "the request names no account")
        return refusal(verdict) if verdict.is_refused else (200, verdict_headers(verdict), b"")


class _Connections:
    """Which connections are open, and since when each waits for a request."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._changed = threading.Condition()
        self._waiting_since_s: dict[socket.socket, float] = {}

    def __len__(self) -> int:
        return len(self._waiting_since_s)

    def open(self, connection: socket.socket) -> bool:
        """Take it, in the place of the one that has waited longest where there is none free."""
        with self._changed:
            if len(self._waiting_since_s) >= self._most:
                _end(min(self._waiting_since_s, key=self._waiting_since_s.__getitem__))
                if not self._changed.wait_for(lambda: len(self._waiting_since_s) < self._most, FREE_WAIT_S):
                    return False
            self._waiting_since_s[connection] = _CLOCK.monotonic_s()
            return True

    def answered(self, connection: socket.socket) -> None:
        with self._changed:
            self._waiting_since_s[connection] = _CLOCK.monotonic_s()

    def close(self, connection: socket.socket) -> None:
        with self._changed:
            self._waiting_since_s.pop(connection, None)
            self._changed.notify_all()

    def end_idle(self) -> None:
        """End those that send their request too slowly, or none."""
        before_s = _CLOCK.monotonic_s() - IDLE_S
        with self._changed:
            for connection, since_s in self._waiting_since_s.items():
                if since_s < before_s:
                    _end(connection)


def _end(connection: socket.socket) -> None:
    """Wake the connection's thread with the end of its input; the thread closes it."""
    try:
        connection.shutdown(socket.SHUT_RD)
    except OSError:
        return  # the other side was first


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], handler: Any, connections: _Connections) -> None:
        super().__init__(address, handler)
        self._connections = connections

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._connections.open(request):
            super().process_request(request, client_address)
        else:
            log.warning("a connection was refused: as many as may be are busy")
            self.shutdown_request(request)

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        self._connections.close(request)

    def service_actions(self) -> None:
        self._connections.end_idle()


class _Handler(BaseHTTPRequestHandler):
    owner: ExtAuthzServer
    protocol_version = "HTTP/1.1"
    timeout = IDLE_S

    def _answer(self) -> None:
        # The request's own body does not come along unless Envoy is told so; whatever does is not needed.
        is_whole = self._skip_body()
        if self.headers.defects:  # a line that is no header: the rest was not read as headers either
            self._send(answer_of(400, "the request's headers cannot be read"), is_whole=False)
            return
        # The library gives Latin-1 text of the bytes that came.
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in self.headers.items()]
        self._send(self.owner.answer(self.path, headers), is_whole)
        self.owner.connections.answered(self.connection)

    def _skip_body(self) -> bool:
        """Read past the body; False where its end was not reached: the connection must be closed then."""
        lengths = self.headers.get_all("content-length", [])
        if "transfer-encoding" in self.headers or len(lengths) > 1:
            return False
        length = lengths[0].strip() if lengths else "0"
        if not (length.isascii() and length.isdecimal()) or int(length[:16]) > BODY_BYTES_MAX:
            return False
        return len(self.rfile.read(int(length))) == int(length)

    def _send(self, answer: Answer, is_whole: bool) -> None:
        status, headers, body = answer
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        if not is_whole:
            self.send_header("connection", "close")  # ends it after this answer, too
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        if not is_whole:
            self._drain()

    def _drain(self) -> None:
        """Take some of what still comes, so that closing does not cut off the answer (RFC 9112, 9.6)."""
        self.wfile.flush()
        ends_s = _CLOCK.monotonic_s() + DRAIN_S
        try:
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(DRAIN_S)
            n_bytes = 0
            while n_bytes < DRAIN_BYTES_MAX and _CLOCK.monotonic_s() < ends_s:
                piece = self.connection.recv(1 << 16)
                n_bytes += len(piece)
                if not piece:
                    return
        except OSError:
            return  # it has gone already, or sends no more

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_OPTIONS = _answer  # noqa: N815 - the library's names

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's signature
        """Envoy logs each request already."""
