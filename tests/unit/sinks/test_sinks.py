"""Further sinks against real local servers: syslog over TCP and TLS, webhooks; several at once; when down."""

import hashlib
import hmac
import http.server
import json
import re
import socket
import socketserver
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from copycatch.adapters.fan_out import FanOutSink
from copycatch.adapters.memory import MemoryLog, MemorySink
from copycatch.adapters.prometheus import PrometheusMetrics
from copycatch.contracts.examples import EXAMPLES
from copycatch.errors import ConfigError, RecoverableError, TransportError
from copycatch.ports import Delivery, Message, Shard
from copycatch.records.columns import Outcomes
from copycatch.records.wire import Alert, Recommendation, Rejected
from copycatch.settings.service import Service, load_service
from copycatch.sinks.catalog import make_sinks
from copycatch.sinks.secondary import SecondarySink, SinkMessage
from copycatch.units import UnixMs

ALERT = msgspec.convert(EXAMPLES["Alert"][0], Alert)
RECOMMENDATION = msgspec.convert(EXAMPLES["Recommendation"][0], Recommendation)
MESSAGE = SinkMessage("alert", Message(b"k", b"{}", 0, []), "low")
REJECT = msgspec.convert(EXAMPLES["Rejected"][0], Rejected)
NOW_MS = UnixMs(1772359200000)
HEADER = re.compile(rb"<(\d+)>1 (\S+) (\S+) copycatch - (\w+) (\[.*?[^\\]\]) (.*)", re.DOTALL)


class ManualClock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.passed_s = 0.0

    def now_ms(self) -> UnixMs:
        return UnixMs(NOW_MS + round(1000 * self.passed_s))

    def monotonic_s(self) -> float:
        return self.passed_s

    def sleep(self, duration_s: float) -> None:
        self.passed_s += duration_s


class SyslogServer(socketserver.ThreadingTCPServer):
    """Takes octet-counted frames and keeps the lines."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, context: ssl.SSLContext | None = None, port: int = 0) -> None:
        self.lines: list[bytes] = []
        self.connections: list[socket.socket] = []
        self.came = threading.Condition()
        self._context = context
        super().__init__(("127.0.0.1", port), Frames)

    def get_request(self) -> Any:
        connection, address = super().get_request()
        if self._context is not None:
            connection = self._context.wrap_socket(connection, server_side=True)
        self.connections.append(connection)
        return connection, address

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def wait_for(self, n: int) -> list[bytes]:
        with self.came:
            assert self.came.wait_for(lambda: len(self.lines) >= n, timeout=120), self.lines
            return list(self.lines)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Handshakes that the client breaks off are part of the tests."""


class Frames(socketserver.StreamRequestHandler):
    server: SyslogServer

    def handle(self) -> None:
        while True:
            length = b""
            while (char := self.rfile.read(1)) not in (b" ", b""):
                length += char
            if not length:
                return
            line = self.rfile.read(int(length))
            with self.server.came:
                self.server.lines.append(line)
                self.server.came.notify_all()


class WebServer(http.server.ThreadingHTTPServer):
    """Keeps requests; answers with the codes that it was told, then 200."""

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[int] = []
        self.targets: list[str] = []
        self.clients: set[tuple[str, int]] = set()
        self.answer = b'{"text":"Success","code":0}'
        self.idle_s: float | None = None
        super().__init__(("127.0.0.1", port), Posts)

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class Posts(http.server.BaseHTTPRequestHandler):
    server: WebServer
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.server.targets.append(self.path)
        self.server.clients.add(self.client_address)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        code = self.server.answers.pop(0) if self.server.answers else 200
        if code == 200:
            self.server.requests.append(({name.lower(): text for name, text in self.headers.items()}, body))
        answer = self.server.answer
        self.connection.settimeout(self.server.idle_s)
        self.send_response(code)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@contextmanager
def serving(server: Any) -> Iterator[Any]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        for connection in getattr(server, "connections", []):
            connection.close()
        server.server_close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]
    names = ["-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*command, *names, "-keyout", key, "-out", cert], check=True, capture_output=True)
    return cert, key


def sinks_of(*sinks: dict[str, Any]) -> list[SecondarySink]:
    settings = Service.model_validate({"sinks": list(sinks)})
    return make_sinks(settings.sinks, lambda: NOW_MS)


def delivery(n_alerts: int = 1) -> Delivery:
    outcomes = Outcomes(alerts=[ALERT] * n_alerts, recommendations=[RECOMMENDATION], rejects=[REJECT])
    return Delivery(outcomes, {Shard("logs", 0): 7}, 1, "run")


class Setup:
    """A fan-out over a memory log."""

    def __init__(self, *sinks: dict[str, Any], retry_for_s: float = 30.0) -> None:
        self.log = MemoryLog()
        self.clock = ManualClock()
        self.metrics = PrometheusMetrics()
        self.sink = FanOutSink(
            MemorySink(self.log), sinks_of(*sinks), self.clock, self.metrics, retry_for_s=retry_for_s
        )

    def counted(self, sink: str, outcome: str) -> float:
        pattern = rf'copycatch_sink_messages_total\{{outcome="{outcome}",sink="{sink}"\}} (\S+)'
        text = self.metrics.text()
        found = re.search(pattern, text if isinstance(text, str) else text.decode())
        return float(found[1]) if found else 0.0


KINDS = ["alert", "recommendation", "dead_letter"]


def test_syslog_lines_follow_the_standard() -> None:
    with serving(SyslogServer()) as server:
        sink = {"type": "syslog", "name": "siem", "host": "127.0.0.1", "port": server.port, "kinds": KINDS,
                "hostname": "box 1"}  # fmt: skip
        setup = Setup(sink)
        setup.sink.deliver(delivery())
        lines = server.wait_for(3)
        setup.sink.close()
    parsed = [HEADER.fullmatch(line) for line in lines]
    assert all(parsed)
    heads = [(int(each[1]), each[3], each[4]) for each in parsed if each]
    assert heads == [
        (107, b"box1", b"alert"),
        (107, b"box1", b"recommendation"),
        (109, b"box1", b"dead_letter"),
    ]
    assert parsed[0] is not None
    assert parsed[0][2] == b"2026-11-22T00:43:44.000Z"
    assert json.loads(parsed[0][6])["uid"] == ALERT.uid
    assert setup.counted("siem", "sent") == 3
    assert len(setup.log.written) == 3


def test_syslog_over_tls_and_an_untrusted_certificate(certificate: tuple[Path, Path]) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    with serving(SyslogServer(context)) as server:
        base = {"type": "syslog", "host": "localhost", "port": server.port, "format": "cef"}
        trusting = {**base, "name": "good", "tls": {"ca_file": str(certificate[0])}}
        setup = Setup(trusting, {**base, "name": "wary", "tls": {}})
        setup.sink.deliver(delivery())
        [line] = server.wait_for(1)
        setup.sink.close()
    assert b"CEF:0|copycatch|" in line
    assert setup.counted("good", "sent") == 1
    assert setup.counted("wary", "left_out") == 1
    assert setup.clock.passed_s == 0.0  # a wrong certificate is not tried again and again


def test_syslog_notices_that_the_receiver_has_restarted() -> None:
    server = SyslogServer()
    sink = {"type": "syslog", "name": "siem", "host": "127.0.0.1", "port": server.port}
    setup = Setup(sink)
    with serving(server):
        setup.sink.deliver(delivery())
        server.wait_for(1)
        for connection in server.connections:
            connection.shutdown(socket.SHUT_RDWR)
    with serving(SyslogServer(port=server.port)) as fresh:
        setup.sink.deliver(delivery(2))
        assert len(fresh.wait_for(2)) == 2
        setup.sink.close()
    assert setup.counted("siem", "sent") == 3


@pytest.mark.parametrize(
    ("shape", "format_name", "n_requests"),
    [("json_array", "native", 1), ("ndjson", "ecs", 1), ("each", "ocsf", 2), ("splunk_hec", "cef", 1)],
)
def test_webhook_shapes(shape: str, format_name: str, n_requests: int) -> None:
    with serving(WebServer()) as server:
        url = f"http://127.0.0.1:{server.port}/services/collector/event?x=1"
        sink = {"type": "webhook", "name": "hook", "url": url, "shape": shape, "format": format_name}
        setup = Setup(sink)
        setup.sink.deliver(delivery(2))
        setup.sink.close()
    assert len(server.requests) == n_requests
    headers, body = server.requests[0]
    lines = [body] if shape == "json_array" else body.split(b"\n")
    found = [json.loads(line) for line in lines]
    events = found[0] if shape == "json_array" else found
    assert len(events) == 2 // n_requests
    if shape == "splunk_hec":
        assert events[0]["sourcetype"] == "copycatch:alert"
        assert events[0]["event"].startswith("CEF:0|")
        assert events[0]["time"] == 1795308224.0
    assert headers["content-type"] == ("application/x-ndjson" if shape == "ndjson" else "application/json")


def test_webhook_signs_and_authorises_from_files(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("Splunk 0123\n")
    (tmp_path / "key").write_bytes(b"secret\n")
    with serving(WebServer()) as server:
        sink = {
            "type": "webhook",
            "name": "hook",
            "url": f"http://127.0.0.1:{server.port}",
            "authorization_file": str(tmp_path / "token"),
            "signing_key_file": str(tmp_path / "key"),
        }
        setup = Setup(sink)
        setup.sink.deliver(delivery())
        setup.sink.close()
    [(headers, body)] = server.requests
    assert headers["authorization"] == "Splunk 0123"
    signed = headers["x-copycatch-timestamp"].encode() + b"." + body
    expected = "v1=" + hmac.new(b"secret", signed, hashlib.sha256).hexdigest()
    assert headers["x-copycatch-signature"] == expected
    assert headers["x-copycatch-timestamp"] == str(NOW_MS // 1000)


def test_webhook_is_tried_again_with_growing_pauses() -> None:
    with serving(WebServer()) as server:
        server.answers = [503, 429, 500]
        setup = Setup({"type": "webhook", "name": "hook", "url": f"http://127.0.0.1:{server.port}"})
        setup.sink.deliver(delivery())
        setup.sink.close()
    assert len(server.requests) == 1
    assert setup.clock.passed_s == pytest.approx(0.2 + 0.4 + 0.8)
    assert setup.counted("hook", "sent") == 1


@pytest.mark.parametrize(("code", "outcome"), [(400, "refused"), (302, "left_out"), (404, "left_out")])
def test_a_refusal_is_not_tried_again_and_is_counted(code: int, outcome: str) -> None:
    with serving(WebServer()) as server:
        server.answers = [code]
        setup = Setup({"type": "webhook", "name": "hook", "url": f"http://127.0.0.1:{server.port}"})
        setup.sink.deliver(delivery())
        setup.sink.deliver(delivery())
        setup.sink.close()
    assert len(server.requests) == 1  # a redirect is not followed, with credentials or without
    assert (setup.counted("hook", outcome), setup.counted("hook", "sent")) == (1, 1)


def test_an_expired_token_loses_nothing_once_it_is_renewed(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("Bearer old\n")
    with serving(WebServer()) as server:
        server.answers = [401, 403]
        setup = Setup({
            "type": "webhook", "name": "hook", "url": f"http://127.0.0.1:{server.port}",
            "authorization_file": str(token),
        })  # fmt: skip
        sleep = setup.clock.sleep

        def renewed_meanwhile(duration_s: float) -> None:
            sleep(duration_s)
            token.write_text("Bearer new\n")

        setup.clock.sleep = renewed_meanwhile  # type: ignore[method-assign]
        setup.sink.deliver(delivery(3))
        setup.sink.close()
    [(headers, body)] = server.requests
    assert headers["authorization"] == "Bearer new"
    assert len(json.loads(body)) == 3
    assert (setup.counted("hook", "sent"), setup.counted("hook", "refused")) == (3, 0)


def test_a_webhook_keeps_its_connection_and_opens_another_when_the_server_closed_it() -> None:
    with serving(WebServer()) as server:
        [sink] = sinks_of({"type": "webhook", "name": "hook", "url": f"http://127.0.0.1:{server.port}"})
        for _ in range(3):
            sink.send([MESSAGE])
        assert len(server.clients) == 1
        server.idle_s = 0.01  # the server hangs up after this answer
        sink.send([MESSAGE])
        time.sleep(0.1)
        sink.send([MESSAGE])
        sink.close()
        assert len(server.requests) == 5
        assert len(server.clients) == 2


def test_a_long_answer_is_not_read_to_its_end() -> None:
    with serving(WebServer()) as server:
        server.answer = b"x" * 10_000_000
        [sink] = sinks_of({"type": "webhook", "name": "hook", "url": f"http://127.0.0.1:{server.port}"})
        for _ in range(2):
            sink.send([MESSAGE])
        sink.close()
        assert len(server.clients) == 2, "a connection with bytes left in it was used again"


def test_a_webhook_goes_through_a_proxy() -> None:
    with serving(WebServer()) as proxy:
        settings = {"type": "webhook", "name": "hook", "url": "http://siem.invalid/in?x=1"}
        [sink] = sinks_of({**settings, "proxy": f"http://127.0.0.1:{proxy.port}"})
        sink.send([MESSAGE])
        sink.close()
        assert proxy.targets == ["http://siem.invalid/in?x=1"]


def test_a_webhook_with_an_untrusted_certificate_says_so(certificate: tuple[Path, Path]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with serving(WebServer()) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        settings = {"type": "webhook", "name": "hook", "url": f"https://localhost:{server.port}"}
        [sink] = sinks_of(settings)
        with pytest.raises(TransportError, match="certificate is not trusted"):
            sink.send([MESSAGE])
        [trusting] = sinks_of({**settings, "tls": {"ca_file": str(certificate[0])}})
        trusting.send([MESSAGE])
        trusting.close()
        assert len(server.requests) == 1


def test_one_message_that_is_refused_costs_no_other() -> None:
    with serving(WebServer()) as server:
        # Of 5: all, the first two, (the last three,) its second half, the last.
        server.answers = [400, 200, 413, 200, 422, 200, 400]
        setup = Setup({"type": "webhook", "name": "hook", "url": f"http://127.0.0.1:{server.port}"})
        setup.sink.deliver(delivery(5))
        setup.sink.close()
    assert sum(len(json.loads(body)) for _, body in server.requests) == 4
    assert (setup.counted("hook", "sent"), setup.counted("hook", "refused")) == (4, 1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_sink_that_is_down_stops_neither_the_main_sink_nor_the_others() -> None:
    port = free_port()
    with serving(WebServer()) as server:
        down = {"type": "webhook", "name": "down", "url": f"http://127.0.0.1:{port}"}
        good = {"type": "webhook", "name": "good", "url": f"http://127.0.0.1:{server.port}"}
        setup = Setup(down, good, retry_for_s=5.0)
        setup.sink.deliver(delivery())
        waited_s = setup.clock.passed_s
        assert 0 < waited_s <= 5.0
        setup.sink.deliver(delivery())
        assert setup.clock.passed_s == waited_s  # left out at once the second time
        assert len(server.requests) == 2
        assert len(setup.log.written) == 6
        assert setup.counted("down", "left_out") == 2
        setup.clock.sleep(60.0)
        with serving(WebServer(port)) as back:
            setup.sink.deliver(delivery())
            assert len(back.requests) == 1
        setup.sink.close()
    assert setup.counted("down", "sent") == 1
    assert setup.sink.committed([Shard("logs", 0)])[Shard("logs", 0)].position == 7


def test_errors_name_the_sink() -> None:
    [sink] = sinks_of({"type": "syslog", "name": "siem", "host": "127.0.0.1", "port": free_port()})
    with pytest.raises(RecoverableError, match=r"syslog siem at 127\.0\.0\.1"):
        sink.send([MESSAGE])
    with serving(WebServer()) as server:
        server.answers = [400]
        [sink] = sinks_of({"type": "webhook", "name": "hook", "url": f"http://127.0.0.1:{server.port}"})
        with pytest.raises(TransportError, match="webhook hook: HTTP 400"):
            sink.send([MESSAGE])
        sink.close()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sinks: [{type: syslg, name: a, host: h}]", "syslog"),
        ("sinks: [{type: webhook, name: a, url: ftp://x}]", "url"),
        (
            "sinks: [{type: webhook, name: a, url: http://x, headers: {Authorization: x}}]",
            "authorization_file",
        ),
        ("sinks: [{type: webhook, name: a, url: http://x, authorization_file: /x}]", "https"),
        (
            'sinks: [{type: webhook, name: a, url: "http://[::1]", proxy: http://p, authorization_file: /x}]',
            "https",
        ),
        ("sinks: [{type: webhook, name: a, url: http://x, proxy: http://user:pass@p}]", "proxy"),
        ("sinks: [{type: syslog, name: a, host: h}, {type: syslog, name: a, host: i}]", "same name"),
        ("sinks: [{type: syslog, name: a, host: h, fromat: cef}]", "did you mean format?"),
        ("sinks: [{type: webhook, name: a, url: http://x, signing_key: s3cret}]", "signing_key"),
    ],
)
def test_faults_of_settings(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(f"version: 1\n{text}\n")
    with pytest.raises(ConfigError) as caught:
        load_service(path, {})
    assert words in str(caught.value)
    assert "settings.yaml" in str(caught.value)


def test_a_missing_file_of_tls_is_named(tmp_path: Path) -> None:
    sink = {"type": "syslog", "name": "siem", "host": "h", "tls": {"ca_file": str(tmp_path / "absent.pem")}}
    with pytest.raises(ConfigError, match=r"sinks\.siem\.tls"):
        sinks_of(sink)
