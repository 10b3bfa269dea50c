"""One example of each message: what the schemas show, and what tests send."""

from typing import Any

_SCORE = {
    "tail_prob": 0.0002,
    "rank": "rarer than 1 in 5,000 normal account-days",
    "attack_prob": None,
}
_REASON = {
    "feature": "low_margin_share",
    "value": 0.61,
    "normal_low": 0.02,
    "normal_high": 0.11,
    "tail_prob": 0.0004,
    "share": 0.46,
    "words": "61 % of its queries lie close to the decision boundary; normal accounts have 2 to 11 %",
}

EXAMPLES: dict[str, list[dict[str, Any]]] = {
    "InferenceRecord": [
        {
            "event_id": "83b63da3-45a9",
            "event_time": "2026-11-22T00:43:44.101Z",
            "account_id": "acct-7f3a",
            "model_id": "fraud-v3",
            "tenant_id": "acme",
            "client_ip": "203.0.113.7",
            "input": [6.8, 2.8, 4.8, 1.4],
            "predicted_label": 1,
            "probabilities": [0.02, 0.91, 0.07],
            "latency_ms": 12.5,
        },
        {
            "event_id": "chatcmpl-9f2a",
            "event_time": 1795303424101,
            "account_id": "acct-7f3a",
            "model_id": "acme-chat-1",
            "input": "Solve 17*23 step by step.",
            "output_text": "391",
            "params": {"logprobs": True, "top_logprobs": 2, "logit_bias": {"1734": -100}, "n": 1},
            "input_tokens": 24,
            "output_tokens": 1,
            "status": 200,
        },
    ],
    "Alert": [
        {
            "uid": "9b1c0f5e7d2a4c63",
            "op": "open",
            "time": "2026-11-22T00:43:44.000Z",
            "first_seen": "2026-11-21T23:43:44.000Z",
            "last_seen": "2026-11-22T00:43:40.000Z",
            "severity": "high",
            "mode": "enforce",
            "tenant_id": "acme",
            "model_id": "fraud-v3",
            "entity": {"kind": "account", "id": "acct-7f3a", "accounts": ["acct-7f3a"], "accounts_total": 1},
            "score": _SCORE,
            "rule": "extraction",
            "policy_version": "9f2c51d0",
            "detector_version": "0.1.0",
            "window_s": 3600.0,
            "queries": 1842,
            "reasons": [_REASON],
            "sample_event_ids": ["83b63da3-45a9"],
            "techniques": ["AML.T0024.002"],
            "recommendation": "acme|account|acct-7f3a|fraud-v3",
            "words": "acct-7f3a sent 1,842 queries to fraud-v3 within an hour, 61 % of them close to the "
            "decision boundary. This looks like an attempt to copy the model.",
            "client_ips": ["203.0.113.7"],
            "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        }
    ],
    "Recommendation": [
        {
            "decision_key": "acme|account|acct-7f3a|fraud-v3",
            "revision": 1,
            "op": "upsert",
            "mode": "enforce",
            "action": "reduce_output",
            "action_rank": 2,
            "action_params": {"max_top_logprobs": 0, "top_k_labels": 1, "round_decimals": 1, "max_n": 1},
            "fallback_action": "throttle",
            "requires_human": False,
            "scope": "account",
            "value": "acct-7f3a",
            "tenant_id": "acme",
            "model_id": "fraud-v3",
            "issued_at": "2026-11-22T00:43:44.000Z",
            "expires_at": "2026-11-22T06:43:44.000Z",
            "ttl_s": 21600.0,
            "severity": "high",
            "score": _SCORE,
            "alert_uids": ["9b1c0f5e7d2a4c63"],
            "reasons": [_REASON],
            "techniques": ["AML.T0024.002"],
            "policy_version": "9f2c51d0",
            "mitigations": ["AML.M0002"],
            "epoch": 1795308224000,
        }
    ],
    "Rejected": [
        {
            "reason": "schema",
            "field": "account_id",
            "message": "account_id is missing; every record must have it",
            "topic": "inference-logs",
            "partition": 3,
            "offset": 1724,
            "excerpt": '{"event_id":"83b63da3-45a9","input":"<25>"}',
            "value_bytes": 61,
        }
    ],
    "Ack": [
        {
            "decision_key": "acme|account|acct-7f3a|fraud-v3",
            "revision": 1,
            "result": "applied",
            "time": "2026-11-22T00:43:45.210Z",
        }
    ],
}
