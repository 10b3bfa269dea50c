"""What a blocked or limited account tries, each over a real socket: none of it opens a way around."""

import gzip
import json
import socket
import threading
import time
from typing import Any

import pytest

from copycatch.enforcement import ext_authz as ext_authz_module
from copycatch.enforcement.ext_authz import HEALTH_PATH
from copycatch.enforcement.requests import HeaderNames
from copycatch.enforcement.table import DecisionTable
from tests.unit.enforcement.front_ends import call, ext_authz, put, recommend, served


def exchange(port: int, *pieces: bytes, wait_s: float = 0.3) -> bytes:
    """All that comes back on one connection, the pieces sent one after another."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        for piece in pieces:
            try:
                connection.sendall(piece)
            except OSError:
                break  # closed already
            time.sleep(wait_s)
        connection.settimeout(2.0)
        try:
            while piece := connection.recv(1 << 16):
                answer += piece
        except (TimeoutError, ConnectionResetError):
            pass
    return answer


def question(headers: list[tuple[str, str]], encoding: str = "utf-8") -> bytes:
    lines = [f"{name}: {value}" for name, value in headers]
    return "\r\n".join(["GET /v1/x HTTP/1.1", "Host: a", *lines, "Connection: close", "", ""]).encode(
        encoding
    )


def status_of(port: int, headers: list[tuple[str, str]], encoding: str = "utf-8") -> int:
    return int(exchange(port, question(headers, encoding), wait_s=0).split(b" ", 2)[1])


THIEF = ("x-account-id", "thief")


@pytest.mark.parametrize(
    "headers",
    [
        [THIEF],
        [THIEF, ("x-tenant-id", "x")],
        [THIEF, ("x-tenant-id", "acme"), ("x-tenant-id", "x")],
        [THIEF, ("x-ai-eg-model", "x")],
        [THIEF, ("x-ai-eg-model", "FRAUD")],
        [THIEF, ("x-account-id", "innocent")],
        [("x-account-id", "innocent"), THIEF],
        [("x-account-id", "innocent, thief")],
        [("X-ACCOUNT-ID", "\tthief ")],
        [("x-account-id", "Thief")],
        [("x-account-id", "%74hief")],
        [("x-account-id", "\uff54hief")],
        [THIEF, ("x-forwarded-for", "203.0.113.9"), ("x-api-key-hash", "other")],
    ],
)
def test_a_blocked_account_stays_blocked_whatever_it_adds(headers: list[tuple[str, str]]) -> None:
    table = DecisionTable()
    put(table, recommend("block", "thief", tenant_id="acme", model_id="fraud"))
    with ext_authz(table) as server:
        assert status_of(server.port, headers) == 403
        assert status_of(server.port, [("x-account-id", "honest"), *headers[len(headers) :]]) == 200
    with served(table) as port:
        assert status_of(port, headers) == 403


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
@pytest.mark.parametrize("name", ["dièb", "die\u0300b", "di%C3%A8b"])
def test_names_beyond_ascii_are_matched(name: str, encoding: str) -> None:
    if encoding == "latin-1" and "\u0300" in name:
        pytest.skip("Latin-1 has no combining accents")
    table = DecisionTable()
    put(table, recommend("block", "dièb"))
    with ext_authz(table) as server:
        assert status_of(server.port, [("x-account-id", name)], encoding) == 403
        assert status_of(server.port, [("x-account-id", "dieb")]) == 200


def test_a_name_chosen_by_a_thief_blocks_nobody_else() -> None:
    table = DecisionTable()
    put(table, *(recommend("block", name) for name in ("vic%74im", "victim,x", "x,victim")))
    with ext_authz(table) as server:
        assert status_of(server.port, [("x-account-id", "victim")]) == 200


def test_authenticated_tenant_and_model_narrow_a_block() -> None:
    table = DecisionTable()
    put(table, recommend("block", "a1", tenant_id="acme", model_id="fraud"))
    names = HeaderNames(authenticated=frozenset({"tenant", "model"}))
    account = ("x-account-id", "a1")
    with ext_authz(table, names=names) as server:
        for more, expected in (
            ([("x-tenant-id", "acme"), ("x-ai-eg-model", "fraud")], 403),
            ([("x-tenant-id", "acme"), ("x-ai-eg-model", "FRAUD")], 403),
            ([("x-tenant-id", "other"), ("x-ai-eg-model", "fraud")], 200),
            ([("x-tenant-id", "acme"), ("x-ai-eg-model", "other")], 200),
            ([("x-tenant-id", "other"), ("x-tenant-id", "acme")], 403),
            ([], 403),
        ):
            assert status_of(server.port, [account, *more]) == expected, more


@pytest.mark.parametrize(
    "headers",
    [
        [("x-account-id", ",".join(f"a{index}" for index in range(100)) + ",thief")],
        [*(("x-account-id", f"a{index}") for index in range(70)), THIEF],
        [("x-account-id", "x" * 5000)],
    ],
)
def test_one_name_among_too_many_is_refused(headers: list[tuple[str, str]]) -> None:
    table = DecisionTable()
    with ext_authz(table) as server, served(table) as port:
        assert status_of(server.port, headers) == 400
        assert status_of(port, headers) == 400


def test_a_line_that_is_no_header_hides_no_account() -> None:
    table = DecisionTable()
    put(table, recommend("block", "thief"))
    with ext_authz(table) as server:
        answer = exchange(
            server.port, b"GET / HTTP/1.1\r\nHost: a\r\nno header\r\nx-account-id: thief\r\n\r\n"
        )
        assert answer.startswith(b"HTTP/1.1 400")
        assert answer.count(b"HTTP/1.1") == 1


SMUGGLED = b"GET / HTTP/1.1\r\nHost: a\r\nx-account-id: innocent\r\n\r\n"
LONG = b"A" * (1 << 20) + SMUGGLED


@pytest.mark.parametrize(
    ("framing", "body"),
    [
        (b"content-length: %d" % len(LONG), LONG),
        (b"content-length: 100000", b"A" * 100_000 + SMUGGLED),
        (b"transfer-encoding: chunked", b"%x\r\n%s\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED)),
        (b"transfer-encoding: chunked\r\ncontent-length: 3", SMUGGLED),
        (b"content-length: 0\r\ncontent-length: %d" % len(SMUGGLED), SMUGGLED),
        (b"content-length: +%d" % len(SMUGGLED), SMUGGLED),
        (b"content-length: " + b"9" * 5000, SMUGGLED),
        (b"content-length: \xb2", SMUGGLED),
    ],
)
def test_no_request_hides_in_a_body(framing: bytes, body: bytes) -> None:
    with ext_authz(DecisionTable()) as server:
        head = b"POST / HTTP/1.1\r\nHost: a\r\nx-account-id: someone\r\n" + framing + b"\r\n\r\n"
        answer = exchange(server.port, head + body, question([THIEF]))
        assert answer.startswith(b"HTTP/1.1 200")
        assert answer.count(b"HTTP/1.1") == 1
        assert b"connection: close" in answer.lower()


def test_half_open_connections_are_bounded_and_lock_nobody_out() -> None:
    table = DecisionTable()
    put(table, recommend("block", "thief"))
    before = threading.active_count()
    with ext_authz(table, connections_max=8) as server:
        held = []
        for _ in range(40):
            connection = socket.create_connection(("127.0.0.1", server.port), timeout=30)
            connection.sendall(b"GET / HT")
            held.append(connection)
        assert status_of(server.port, [THIEF]) == 403
        assert len(server.connections) <= 8
        assert threading.active_count() - before <= 12  # the accepting thread, and those just ending
        for connection in held:
            connection.close()


def test_a_request_that_drips_in_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ext_authz_module, "IDLE_S", 0.5)
    with ext_authz(DecisionTable()) as server:
        connection = socket.create_connection(("127.0.0.1", server.port), timeout=30)
        connection.sendall(b"GET / HTTP/1.1\r\nx-a: ")
        ended_s = time.monotonic() + 20
        is_taken = False
        while time.monotonic() < ended_s and (len(server.connections) or not is_taken):
            is_taken = is_taken or len(server.connections) == 1
            try:
                connection.sendall(b"a")
            except OSError:
                break
            time.sleep(0.05)
        assert is_taken
        assert time.monotonic() < ended_s
        connection.close()


def test_failing_closed_and_what_ready_says() -> None:
    ready = threading.Event()
    table = DecisionTable()
    put(table, recommend("block", "thief"))
    with ext_authz(table, is_ready=ready.is_set, is_closed=True) as server:
        assert status_of(server.port, [("x-account-id", "a")]) == 503
        ready.set()
        assert status_of(server.port, [("x-account-id", "a")]) == 200
        assert status_of(server.port, []) == 403
        status, _, body = call(server.port, "GET", HEALTH_PATH)
        assert (status, json.loads(body)["unidentified"], json.loads(body)["entries"]) == (200, 1, 1)
        # The health path is no way around for who names an account.
        assert call(server.port, "GET", HEALTH_PATH, x_account_id="thief")[0] == 403


# --- reduce_output ----------------------------------------------------------------------------------------

SHARP = {"probabilities": [0.0213, 0.9127, 0.066], "label": 1}
PLAIN = json.dumps(SHARP).encode()
GZIPPED = gzip.compress(PLAIN, mtime=0)  # without a time: it is part of a test's name


def reducing(answer: Any) -> tuple[int, bytes]:
    """What an account under `reduce_output` gets of that answer through the middleware."""
    headers, body = answer
    table = DecisionTable()
    [ack] = put(table, recommend("reduce_output", "odd"))
    assert ack.result == "applied"

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for piece in (body[:7], body[7:]):
            await send({"type": "http.response.body", "body": piece, "more_body": piece == body[:7]})

    with served(table, app) as port:
        status, _, body = call(port, body={"logprobs": True}, x_account_id="odd")
    return status, body


@pytest.mark.parametrize(
    "answer",
    [
        {"predictions": [[0.123456, 0.876544]]},
        {"score": 0.876544},
        {"score": "0.876544", "label": "cat"},
        {"logits": [1.2345, -2.3456]},
        {"cat": 0.876544, "dog": 0.123456},
        [{"label": "cat", "score": 0.876544}, {"label": "dog", "score": 0.123456}],
        [[{"label": "cat", "score": 0.876544}, {"label": "dog", "score": 0.123456}]],
        {"outputs": [{"name": "p", "datatype": "FP32", "shape": [2, 2], "data": [0.123456, 0.876544] * 2}]},
        {"outputs": [{"name": "p", "datatype": "FP32", "shape": [1, 2], "data": [[0.123456, 0.876544]]}]},
        {"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": {"i": {"v": [0.123456, 0.876544]}}}}}}}}}},
        {"value": 41.234567},
        0.876544,
    ],
)
def test_numbers_are_reduced_whatever_they_are_called(answer: Any) -> None:
    status, body = reducing(([(b"content-type", b"application/json")], json.dumps(answer).encode()))
    assert status == 200
    for digits in (b"6544", b"3456", b"345", b"4567"):
        assert digits not in body
    assert body.count(b"0.1") == 0  # the second label is gone


def test_the_label_stays_true() -> None:
    logits = {
        "outputs": [{"name": "x", "datatype": "FP32", "shape": [2, 3], "data": [-1.26, -9.0, -3, 2, 5.5, 1]}]
    }
    _, body = reducing(([(b"content-type", b"application/json")], json.dumps(logits).encode()))
    [first, second] = [json.loads(body)["outputs"][0]["data"][start : start + 3] for start in (0, 3)]
    assert (first.index(max(first)), second.index(max(second))) == (0, 1)
    tokens = {
        "choices": [{"text": "hi", "logprobs": {"top": [1.5]}}, {"text": "ho"}],
        "usage": {"tokens": 12},
    }
    _, body = reducing(([(b"content-type", b"application/json")], json.dumps(tokens).encode()))
    assert json.loads(body) == {"choices": [{"text": "hi", "logprobs": None}], "usage": {"tokens": 12}}


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ([(b"content-type", b"application/json"), (b"content-encoding", b"gzip")], GZIPPED),
        ([(b"content-type", b"text/event-stream")], b"data: " + PLAIN + b"\n\n"),
        ([(b"content-type", b"application/x-ndjson")], PLAIN * 2),
        ([(b"content-type", b"text/plain")], b"cat 0.9127"),
        ([], b"label,p\ncat,0.9127"),
        ([(b"content-type", b"application/octet-stream")], b"\x00\x01\x02" * 40),
        ([(b"content-type", b"application/json")], b'{"probabilities": [NaN, 0.9127]}'),
        ([(b"content-type", b"application/json")], b'{"embedding": "' + b"QUJD" * 40 + b'"}'),
        ([(b"content-type", b"application/json")], b"[" * 200 + b"0.9127" + b"]" * 200),
        ([(b"content-type", b"application/json")], b"[" + b"0.9127," * 700_000 + b"1]"),
    ],
)  # fmt: skip
def test_what_cannot_be_reduced_is_withheld(headers: Any, body: bytes) -> None:
    status, given = reducing((headers, body))
    assert status == 403
    assert b"0.9127" not in given
    assert b"may not have this answer" in given


def test_json_under_another_type_is_reduced() -> None:
    status, body = reducing(([(b"content-type", b"text/plain")], PLAIN))
    assert (status, json.loads(body)["probabilities"]) == (200, [0.0, 0.9, 0.0])
