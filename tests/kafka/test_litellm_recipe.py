"""The LiteLLM callback of deploy/recipes: real LiteLLM, a stub of a model server, real Kafka, our decoder."""

import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from copycatch.formats.catalog import make_decoder
from copycatch.formats.shared.format import FormatOptions
from copycatch.records.columns import RawBatch
from kafka import KafkaConsumer, TopicPartition
from tests.unit.formats.support import fields_of

pytestmark = pytest.mark.kafka
RECIPE = Path(__file__).parents[2] / "deploy" / "recipes" / "litellm"
ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1772359200,
    "model": "acme-1-2026",
    "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "391"}},
    ],
    "usage": {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6},
}
SCRIPT = """
import asyncio, sys
import litellm
from copycatch_callback import logger
litellm.callbacks = [logger]
known = {"user_api_key_user_id": "acct-1", "user_api_key_hash": "hash-1"}
options = dict(api_base=sys.argv[1], api_key="none", num_retries=0, max_retries=0)
async def main():
    await litellm.acompletion(
        model="openai/acme-1", messages=[{"role": "user", "content": "Solve 17*23"}],
        logprobs=True, top_logprobs=2, metadata=known, **options)
    try:
        await litellm.acompletion(
            model="openai/refused", messages=[{"role": "user", "content": "again"}],
            metadata=known, **options)
    except litellm.exceptions.RateLimitError:
        print("refused as expected")
    for _ in range(1200):  # callbacks run after the call has returned
        await asyncio.sleep(0.1)
        if logger.sent >= 2:
            break
asyncio.run(main())
print("dropped", logger.dropped)
"""


class ModelServer(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        is_refused = asked["model"] == "refused"
        body = json.dumps({"error": {"message": "slow down"}} if is_refused else ANSWER).encode()
        self.send_response(429 if is_refused else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@pytest.fixture
def model_url() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), ModelServer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


def test_calls_arrive_as_records(
    kafka_servers: str, make_topic: Callable[[str, int], str], model_url: str
) -> None:
    topic = make_topic("litellm", 1)
    environment = {
        **os.environ,
        "COPYCATCH_KAFKA": kafka_servers,
        "COPYCATCH_TOPIC": topic,
        "PYTHONPATH": str(RECIPE),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # no network
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, model_url],
        env=environment, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert "refused as expected" in done.stdout
    assert "dropped 0" in done.stdout
    consumer = KafkaConsumer(bootstrap_servers=kafka_servers, group_id=None)
    assert consumer.partitions_for_topic(topic) == {0}
    shard = TopicPartition(topic, 0)
    consumer.assign([shard])
    consumer.seek_to_beginning(shard)
    messages: list[Any] = []
    while len(messages) < 2:
        found = consumer.poll(timeout_ms=120_000)
        assert found, "no message came"
        messages += [message for each in found.values() for message in each]
    consumer.close()
    assert {message.key for message in messages} == {b"acct-1"}
    batch = RawBatch(topic, 0, [0, 1], [message.value for message in messages])
    decoded = make_decoder("litellm", FormatOptions()).decode(batch)
    assert decoded.rejects == []
    good, refused = sorted((fields_of(record) for record in decoded.records), key=lambda each: each["status"])
    assert good["account_id"] == "acct-1"
    assert good["api_key_id"] == "hash-1"
    assert (good["input"], good["output_text"]) == ("Solve 17*23", "391")
    assert (good["input_tokens"], good["output_tokens"], good["status"]) == (5, 1, 200)
    assert good["params"]["logprobs"] is True
    assert good["params"]["top_logprobs"] == 2
    assert (refused["status"], refused["input"]) == (429, "again")
