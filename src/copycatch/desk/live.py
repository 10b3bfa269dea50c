"""The desk of a running service: the report's pages over HTTP, on a port of its own, for who has the token.

The page itself holds nothing and is given to anybody; what it shows it asks for with the token in a header,
so that no address, log or history holds it. Only reading is offered. The loop of the service only hands over
outcomes; what a page costs falls to threads beside it, once every few seconds however many ask.
"""

import gzip
import hmac
import sys
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

import msgspec
import structlog

from copycatch import __version__
from copycatch.adapters.desk_client import LEFT_OUT_HEADER
from copycatch.desk.board import Board
from copycatch.desk.page import render_page
from copycatch.desk.pictures import Pictures, Show
from copycatch.desk.reading import ALERTS_PATH
from copycatch.errors import ConfigError
from copycatch.ports import Clock
from copycatch.records.columns import Outcomes
from copycatch.records.policy import Policy
from copycatch.records.wire import ENCODER
from copycatch.units import format_rfc3339

log = structlog.get_logger(__name__)

DATA_PATH = "/desk.json"
EVERY_S = 5.0  # data are made anew at most so often
ALERTS_KEPT = 2_000
POINTS_KEPT = 60
CONNECTIONS_MAX = 16
REQUEST_TIMEOUT_S = 5.0
LOOPBACK = ("127.0.0.1", "::1", "localhost")
HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class LiveDesk:
    """Serves from `start` to `close`; a context manager.

    Parameters
    ----------
    bind, port
        Where it listens; 0 takes a free port.
    token : bytes
        Who does not show it gets the empty page only.
    policy : callable
        Gives the policy in force.
    status : callable
        Gives what the service says of itself, as `/status` does.
    show : callable, optional
        Gives what its state holds of some accounts; called by `take` alone.

    Raises
    ------
    ConfigError
        If it cannot listen there, or the plotting library is missing.
    """

    def __init__(
        self,
        bind: str,
        port: int,
        token: bytes,
        clock: Clock,
        policy: Callable[[], Policy],
        status: Callable[[], Mapping[str, Any]],
        show: Show | None = None,
    ) -> None:
        self._pictures = None if show is None else Pictures(show)
        self._token, self._clock, self._policy, self._status = token, clock, policy, status
        self._since_ms = clock.now_ms()
        self._board = Board(policy(), ALERTS_KEPT, POINTS_KEPT)
        self._lock = threading.Lock()  # of the board: held for as long as a copy takes
        self._making = threading.Lock()
        self._made_s, self._made = float("-inf"), b""
        self._page = gzip.compress(render_page(None).encode(), 6)
        try:
            self._server = _Server((bind, port), _handler(self))
        except OSError as error:
            msg = f"desk: cannot listen on {bind}:{port}: {error.strerror}; choose another desk.port"
            raise ConfigError(msg) from error
        self._thread = threading.Thread(target=self._server.serve_forever, name="desk", daemon=True)
        if bind not in LOOPBACK:
            log.warning("the desk is open to other machines, without TLS of its own", bind=bind)

    @property
    def port(self) -> int:
        """The one that is bound, also where the settings say 0."""
        return int(self._server.server_address[1])

    @property
    def connections(self) -> int:
        """How many are open."""
        return self._server.n_open

    def __enter__(self) -> "LiveDesk":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)

    def take(self, outcomes: Outcomes) -> None:
        """Add what one delivered unit brought; called from the loop."""
        with self._lock:
            self._board.take(outcomes)
            if self._pictures is not None:
                self._pictures.take(outcomes.alerts)

    def is_token(self, given: str) -> bool:
        """Whether an Authorization header carries the token; takes as long, however near it comes."""
        shown = given.removeprefix("Bearer ").strip().encode("utf-8", "surrogateescape")
        return hmac.compare_digest(shown, self._token) and given.startswith("Bearer ")

    @property
    def page(self) -> bytes:
        """The empty page, gzip."""
        return self._page

    def data(self) -> bytes:
        """What the page shows, as JSON; at most `EVERY_S` old, made by one thread at a time."""
        with self._making:
            if self._clock.monotonic_s() - self._made_s >= EVERY_S:
                self._made = self._make()
                self._made_s = self._clock.monotonic_s()
            return self._made

    def announced(self) -> tuple[bytes, int]:
        """Alerts and recommendations that are held, JSON lines as gzip; and how many older alerts are not."""
        with self._making:
            with self._lock:
                alerts, rows, n_left_out = self._board.announced()
            lines = b"".join(ENCODER.encode(each) + b"\n" for each in (*alerts, *rows))
            return gzip.compress(lines, 1), n_left_out

    def _make(self) -> bytes:
        status = dict(self._status())
        with self._lock:
            board = self._board.snapshot(self._policy())
            drawn = {} if self._pictures is None else self._pictures.drawn()
        cases = board.cases()
        data = board.overview(cases)
        totals = status.get("totals") or {}
        data["about"] |= {
            "is_live": True,
            "made": format_rfc3339(self._clock.now_ms())[:19] + "Z",
            "since": format_rfc3339(self._since_ms)[:16] + "Z",
            "version": __version__,
            "unjudged": status.get("unjudged", []),
            "records": sum(totals.get(each, 0) for each in ("accepted", "duplicates", "late", "rejected")),
            "status": status,
        }
        data["cases"] = [board.case(each, {}) | drawn.get(each.key, {}) for each in cases]
        return msgspec.json.encode(data)


class _Server(ThreadingHTTPServer):
    """A thread a connection, and a bound on both."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self.n_open = 0
        self._counting = threading.Lock()
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._counting:
            is_free = self.n_open < CONNECTIONS_MAX
            self.n_open += is_free
        if is_free:
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._counting:
                self.n_open -= 1

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Mostly a reader that has gone; told by its kind, without the request, which may hold the token."""
        kind = sys.exc_info()[0]
        log.debug("a request to the desk failed", kind="" if kind is None else kind.__name__)


def _handler(desk: LiveDesk) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = REQUEST_TIMEOUT_S
        server_version = "copycatch"
        sys_version = ""

        def do_GET(self) -> None:
            if self.path == "/":
                self._send(200, "text/html; charset=utf-8", desk.page, {"Content-Encoding": "gzip"})
            elif self.path not in (DATA_PATH, ALERTS_PATH):
                self._send(404, "text/plain", f"/ is the page, {DATA_PATH} its data\n".encode())
            elif not desk.is_token(self.headers.get("Authorization", "")):
                self._send(
                    401, "text/plain", b"the token is missing or wrong\n", {"WWW-Authenticate": "Bearer"}
                )
            elif self.path == ALERTS_PATH:
                lines, n_left_out = desk.announced()
                more = {"Content-Encoding": "gzip", LEFT_OUT_HEADER: str(n_left_out)}
                self._send(200, "application/x-ndjson", lines, more)
            else:
                self._send(200, "application/json", desk.data())

        def _send(
            self, status: int, content_type: str, body: bytes, more: Mapping[str, str] | None = None
        ) -> None:
            self.send_response(status)
            lengths = {"Content-Type": content_type, "Content-Length": str(len(body))}
            for name, value in (lengths | HEADERS | dict(more or {})).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            """Requests are not logged: a prober would fill the log."""

    return Handler
