"""Health and metrics over HTTP, on a thread of its own. Loopback by default: it asks nobody who they are.

`/live`: the loop turns. `/ready`: it has shards, all past their silent replay, and delivers. `/status`: what
somebody asks first who was paged. `/metrics`.
"""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec

from copycatch import __version__
from copycatch.errors import ConfigError
from copycatch.ports import Clock
from copycatch.service.health import Health

# A turn may last as long as a delivery that is tried again; only a loop that hangs is dead.
TURN_S_MAX = 120.0
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
REQUEST_TIMEOUT_S = 5.0


class HttpPort:
    """Serves until closed."""

    def __init__(
        self, bind: str, port: int, health: Health, clock: Clock, metrics_text: Callable[[], bytes]
    ) -> None:
        self._health = health
        self._clock = clock
        handler = _handler(self._answer, metrics_text)
        try:
            self._server = ThreadingHTTPServer((bind, port), handler)
        except OSError as error:
            msg = f"http: cannot listen on {bind}:{port}: {error.strerror}; choose another http.port"
            raise ConfigError(msg) from error
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="http", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The one that is bound, also where the settings say 0."""
        return int(self._server.server_address[1])

    def _answer(self, path: str) -> tuple[int, dict[str, object]]:
        age_s = self._clock.monotonic_s() - self._health.last_turn_s
        if path == "/live":
            is_well = age_s < TURN_S_MAX
            return (200 if is_well else 503), {"is_live": is_well, "last_turn_s_ago": round(age_s, 3)}
        if path == "/status":
            body: dict[str, object] = {"copycatch": __version__, "last_turn_s_ago": round(age_s, 3)}
            return 200, body | self._health.status()
        return (200 if self._health.is_ready else 503), self._health.ready()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)


def _handler(
    answer: Callable[[str], tuple[int, dict[str, object]]], metrics_text: Callable[[], bytes]
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = REQUEST_TIMEOUT_S
        server_version = "copycatch"
        sys_version = ""

        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._send(200, METRICS_TYPE, metrics_text())
            elif self.path in ("/live", "/ready", "/status"):
                status, body = answer(self.path)
                self._send(status, "application/json", msgspec.json.encode(body))
            else:
                self._send(404, "text/plain", b"/live /ready /status /metrics\n")

        def _send(self, status: int, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            """Requests are not logged: a prober would fill the log."""

    return Handler
