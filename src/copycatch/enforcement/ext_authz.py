"""Envoy's ext_authz over HTTP: 200 lets a request pass, with headers for the model server; else refused."""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec

from copycatch.enforcement.requests import DEFAULT_NAMES, HeaderNames, refusal, subject_of, verdict_headers
from copycatch.enforcement.table import DecisionTable

HEALTH_PATH = "/-/ready"  # below any prefix that Envoy sends, no gateway has such a route
IDLE_S = 60.0


class ExtAuthzServer:
    """Answers Envoy's questions in threads of its own.

    Parameters
    ----------
    bind, port
        Where to listen; port 0 takes a free one.
    is_ready : callable
        Whether the table has been read; until then requests pass (a gateway must not stop because its
        guard is starting), and the health path says 503.
    """

    def __init__(
        self,
        bind: str,
        port: int,
        table: DecisionTable,
        now_ms: Callable[[], int],
        is_ready: Callable[[], bool] = lambda: True,
        names: HeaderNames = DEFAULT_NAMES,
    ) -> None:
        server = self

        class Handler(_Handler):
            owner = server

        self.table = table
        self.now_ms = now_ms
        self.is_ready = is_ready
        self.names = names
        self._http = ThreadingHTTPServer((bind, port), Handler)
        self._http.daemon_threads = True
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


class _Handler(BaseHTTPRequestHandler):
    owner: ExtAuthzServer
    protocol_version = "HTTP/1.1"
    timeout = IDLE_S

    def _answer(self) -> None:
        # The request's own body does not come along unless Envoy is told so; whatever does is not needed.
        length = self.headers.get("content-length", "0")
        self.rfile.read(min(int(length), 1 << 20) if length.isdecimal() else 0)
        if self.path == HEALTH_PATH:
            is_ready = self.owner.is_ready()
            body = msgspec.json.encode({"ready": is_ready, "entries": len(self.owner.table)})
            self._send(200 if is_ready else 503, {"content-type": "application/json"}, body)
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        verdict = self.owner.table.verdict(subject_of(headers, self.owner.names), self.owner.now_ms())
        if verdict.is_refused:
            self._send(*refusal(verdict))
        else:
            self._send(200, verdict_headers(verdict), b"")

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_OPTIONS = _answer  # noqa: N815 - the library's names

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's signature
        """Envoy logs each request already."""
