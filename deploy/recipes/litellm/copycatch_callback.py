"""LiteLLM callback: every call, with its standard logging payload, to the topic that copycatch reads.

In the proxy's config.yaml, next to this file:

    litellm_settings:
      callbacks: copycatch_callback.logger

Settings come from the environment: COPYCATCH_KAFKA (localhost:9092), COPYCATCH_TOPIC (inference-logs).
The topic's format is `litellm`. Producing never delays or fails a call: a full buffer drops the record and
counts it, which `logger.dropped` and a line in the log every 1,000 tell.
"""

import json
import logging
import os
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
PENDING_MAX = 5_000  # calls that wait for the broker; some 50 MB of long chats


class CopycatchLogger(CustomLogger):
    """Sends `standard_logging_object` as JSON, keyed by user, so that a user's calls keep their order."""

    def __init__(self, servers: str, topic: str) -> None:
        super().__init__()
        self._servers = servers
        self._topic = topic
        self._producer: KafkaProducer | None = None
        self.sent = 0
        self.dropped = 0
        self._pending = 0

    def _send(self, kwargs: dict[str, Any]) -> None:
        payload = kwargs.get("standard_logging_object")
        if payload is None:
            return
        if self._pending >= PENDING_MAX:
            self._drop(f"{self._pending} calls wait for the broker")
            return
        try:
            if self._producer is None:
                # With the first call, not at import: the proxy forks its workers after it.
                self._producer = KafkaProducer(
                    bootstrap_servers=self._servers,
                    linger_ms=50,
                    max_block_ms=100,
                    compression_type="gzip",
                )
            kept = {name: value for name, value in payload.items() if name not in LEFT_OUT}
            metadata = payload.get("metadata") or {}
            account = metadata.get("user_api_key_user_id") or metadata.get("user_api_key_hash")
            future = self._producer.send(
                self._topic,
                key=None if account is None else str(account).encode(),
                value=json.dumps(kept, default=str).encode(),
            )
            self.sent += 1
            self._pending += 1
            future.add_both(self._on_done)
        except (KafkaError, ValueError, TypeError) as error:
            self._drop(error)

    def _drop(self, reason: object) -> None:
        self.dropped += 1
        if self.dropped % 1000 == 1:
            log.warning("copycatch: %d calls were not logged: %s", self.dropped, reason)

    def _on_done(self, _result: Any) -> None:
        self._pending -= 1

    # LiteLLM passes these by name.
    def log_success_event(
        self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        self._send(kwargs)

    def log_failure_event(
        self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        self._send(kwargs)

    async def async_log_success_event(
        self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        self._send(kwargs)

    async def async_log_failure_event(
        self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        self._send(kwargs)

    def flush(self, timeout_s: float = 10.0) -> None:
        """Wait until what was sent has arrived; for scripts that end."""
        if self._producer is not None:
            self._producer.flush(timeout=timeout_s)


logger = CopycatchLogger(
    os.environ.get("COPYCATCH_KAFKA", "localhost:9092"), os.environ.get("COPYCATCH_TOPIC", "inference-logs")
)
