"""LiteLLM callback: every call, with its standard logging payload, to the topic that copycatch reads.

In the proxy's config.yaml, next to this file:

    litellm_settings:
      callbacks: copycatch_callback.logger

Settings come from the environment: COPYCATCH_KAFKA (localhost:9092), COPYCATCH_TOPIC (inference-logs). The
topic's format is `litellm`. Logging never delays or fails a call: payloads wait in a bounded queue for a
thread that produces them, and what finds it full is dropped and counted.
"""

import json
import logging
import os
import queue
import threading
from typing import Any

from kafka.errors import KafkaError
from litellm.integrations.custom_logger import CustomLogger

from kafka import KafkaProducer

log = logging.getLogger("copycatch")

# Never needed for judging, and long or secret: they do not leave the proxy.
LEFT_OUT = frozenset(
    {
        "hidden_params",
        "model_map_information",
        "api_base",
        "cost_breakdown",
        "response_cost_failure_debug_info",
    }
)
WAITING_MAX = 5_000  # some 50 MB of long chats


class CopycatchLogger(CustomLogger):
    """Sends `standard_logging_object` as JSON, keyed by user, so that a user's calls keep their order."""

    def __init__(self, servers: str, topic: str) -> None:
        super().__init__()
        self._servers = servers
        self._topic = topic
        self._waiting: queue.Queue[dict[str, Any]] = queue.Queue(WAITING_MAX)
        self._thread: threading.Thread | None = None
        self._start_lock = threading.Lock()
        self.sent = 0
        self.dropped = 0

    def _take(self, kwargs: dict[str, Any]) -> None:
        payload = kwargs.get("standard_logging_object")
        if payload is None:
            return
        with self._start_lock:  # with the first call, not at import: the proxy forks its workers after it
            if self._thread is None:
                self._thread = threading.Thread(target=self._produce, name="copycatch", daemon=True)
                self._thread.start()
        try:
            self._waiting.put_nowait(payload)
        except queue.Full:
            self._drop("the broker does not keep up, or cannot be reached")

    def _produce(self) -> None:
        producer: KafkaProducer | None = None
        while True:
            payload = self._waiting.get()
            try:
                if producer is None:
                    producer = KafkaProducer(
                        bootstrap_servers=self._servers, linger_ms=50, compression_type="gzip"
                    )
                metadata = payload.get("metadata") or {}
                account = metadata.get("user_api_key_user_id") or metadata.get("user_api_key_hash")
                kept = {name: value for name, value in payload.items() if name not in LEFT_OUT}
                producer.send(
                    self._topic,
                    key=None if account is None else str(account).encode(),
                    value=json.dumps(kept, default=str).encode(),
                ).add_both(self._on_done)
                if self._waiting.empty():
                    producer.flush()  # of a quiet proxy's calls none lies about
            except (KafkaError, ValueError, TypeError) as error:
                self._drop(error)
            finally:
                self._waiting.task_done()

    def _on_done(self, result: Any) -> None:
        if isinstance(result, BaseException):
            self._drop(result)
        else:
            self.sent += 1

    def _drop(self, reason: object) -> None:
        self.dropped += 1
        if self.dropped % 1000 == 1:
            log.warning("copycatch: %d calls were not logged: %s", self.dropped, reason)

    # LiteLLM passes these by name.
    def log_success_event(
        self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        self._take(kwargs)

    def log_failure_event(
        self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        self._take(kwargs)

    async def async_log_success_event(
        self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        self._take(kwargs)

    async def async_log_failure_event(
        self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        self._take(kwargs)


logger = CopycatchLogger(
    os.environ.get("COPYCATCH_KAFKA", "localhost:9092"), os.environ.get("COPYCATCH_TOPIC", "inference-logs")
)
