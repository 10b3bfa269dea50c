"""Both front ends of the enforcement point over real HTTP, and recommendations for them."""

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import uvicorn

from copycatch.contracts.examples import EXAMPLES
from copycatch.enforcement.ext_authz import ExtAuthzServer
from copycatch.enforcement.middleware import EnforcementMiddleware
from copycatch.enforcement.table import DecisionTable
from copycatch.records.wire import ACTION_RANKS, ENCODER, Recommendation
from copycatch.units import format_rfc3339

BASE = msgspec.convert(EXAMPLES["Recommendation"][0], Recommendation)
NOW_MS = 1772359200000
HOUR_MS = 3_600_000
PARAMS = {
    "throttle": {"queries_per_minute": 2},
    "reduce_output": {"max_top_logprobs": 0, "top_k_labels": 1, "round_decimals": 1, "max_n": 1},
}


def recommend(action: Any, account: str = "a1", revision: int = 1, **more: Any) -> Recommendation:
    fields = {
        "decision_key": f"t|account|{account}|m",
        "revision": revision,
        "epoch": 0,
        "action": action,
        "action_rank": ACTION_RANKS[action],
        "action_params": PARAMS.get(action, {}),
        "fallback_action": None,
        "scope": "account",
        "value": account,
        "tenant_id": None,
        "model_id": "m",
        "expires_at": format_rfc3339(NOW_MS + HOUR_MS),
        **more,
    }
    return msgspec.structs.replace(BASE, **fields)


def put(table: DecisionTable, *recommendations: Recommendation, now_ms: int = NOW_MS) -> list[Any]:
    return [table.apply(each.decision_key, ENCODER.encode(each), now_ms) for each in recommendations]


def call(
    port: int, method: str = "POST", path: str = "/v1/x", body: Any = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    sent = {name.replace("_", "-"): text for name, text in headers.items()}
    data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    if data is not None:
        sent.setdefault("content-type", "application/json")
    connection.request(method, path, data, sent)
    response = connection.getresponse()
    answer = response.status, {name.lower(): text for name, text in response.getheaders()}, response.read()
    connection.close()
    return answer


@contextmanager
def ext_authz(table: DecisionTable, **more: Any) -> Iterator[ExtAuthzServer]:
    server = ExtAuthzServer("127.0.0.1", 0, table, lambda: NOW_MS, **more)
    server.start()
    try:
        yield server
    finally:
        server.close()


async def model_server(scope: Any, receive: Any, send: Any) -> None:
    """Answers with what it was asked, and probabilities."""
    if scope["type"] != "http":
        return
    body, has_more = b"", True
    while has_more:
        message = await receive()
        body += message.get("body", b"")
        has_more = message.get("more_body", False)
    if scope["path"] == "/stream":
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-type", b"text/event-stream")],
            }
        )
        for part in (b"data: 1\n\n", b"data: 2\n\n"):
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        return
    asked = json.loads(body) if body[:1] == b"{" else body.decode()
    verdict = scope["copycatch"].action
    answer = {"asked": asked, "verdict": verdict, "probabilities": [0.0213, 0.9127, 0.066], "label": 1}
    payload = json.dumps(answer).encode()
    await send({
        "type": "http.response.start",
        "status": 200,
        "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(payload)).encode())],
    })  # fmt: skip
    for half in (payload[:10], payload[10:]):
        await send({"type": "http.response.body", "body": half, "more_body": half == payload[:10]})


@contextmanager
def served(table: DecisionTable, app: Any = model_server) -> Iterator[int]:
    app = EnforcementMiddleware(app, table, lambda: NOW_MS)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
        yield int(server.servers[0].sockets[0].getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(timeout=120)
