"""Drawn records through intake and engine, so that every kernel sees shapes that nobody thought of:

    NUMBA_BOUNDSCHECK=1 NUMBA_CACHE_DIR=.cache/numba-checked python -m tests.fuzz.engine --seconds 900

Any record is judged or a reject; now and then the state is written and read back. It ends with the first
error, and says the seed of the state that made it: --seed repeats from there.
"""

import argparse
import base64
import json
import time
from typing import Any

import numpy as np
from tests.fuzz.texts import draw
from tests.support.traffic import START_MS, native_intake, raw_batch, record

from copycatch.adapters.memory import MemoryMetrics
from copycatch.embedding.embedder import TextEmbedder
from copycatch.ports import Shard
from copycatch.records.policy import Policy
from copycatch.service.judging import EngineJudge
from copycatch.units import UnixMs

Rng = np.random.Generator
NASTY = (0.0, -0.0, 1e-310, 1e38, -1e38, 3e38, 1e39, 1e300, float("nan"), float("inf"), 2.0**31, -1.0)
LENGTHS = (1, 2, 3, 4, 7, 8, 31, 64, 300, 1_023, 1_024, 1_025, 3_000)
KINDS = ("usual", "vector", "vector", "matrix", "text", "text", "image", "tokens", "none")
BATCH = 400
BATCHES_A_STATE = 40  # then another model, other lengths


def _values(rng: Rng, n: int) -> list[float]:
    values = rng.normal(0, 10.0 ** rng.integers(-3, 6), n)
    if rng.random() < 0.3:
        values[rng.integers(n, size=max(n // 4, 1))] = rng.choice(NASTY)
    return [float(each) for each in values]


def _input(rng: Rng, kind: str, length: int, texts: list[str]) -> Any:
    if kind == "vector":
        return _values(rng, length)
    if kind == "matrix":
        return [_values(rng, max(length // 4, 1)) for _ in range(4)]
    if kind == "text":
        return texts[rng.integers(len(texts))]
    if kind == "image":
        shape = [int(each) for each in rng.integers(1, 40, 3)]
        size = int(np.prod(shape)) + int(rng.integers(-1, 2))
        encoded = base64.b64encode(rng.bytes(max(size, 0))).decode()
        return {"b64": encoded, "shape": shape, "dtype": str(rng.choice(["uint8", "float32", "int8"]))}
    if kind == "tokens":
        return [int(each) for each in rng.integers(-(1 << 40), 1 << 40, length)]
    return None


def drawn(rng: Rng, index: int, kind: str, length: int, texts: list[str]) -> dict[str, Any]:
    """One record; most of a state's are of one kind and length, so that its model is born and judged."""
    if rng.random() < 0.1:
        kind, length = str(rng.choice(KINDS)), int(rng.choice(LENGTHS))
    fields: dict[str, Any] = {
        "event_time": START_MS + index * int(rng.integers(1, 90_000)) - int(rng.integers(0, 200_000)),
        "account_id": f"a{int(rng.integers(40))}",
        "model_id": f"m{int(rng.random() < 0.05)}",
        "status": int(rng.choice([200, 200, 200, 200, 400, 429, 500])),
    }
    if kind != "usual":
        n = int(rng.integers(1, 5))
        fields["input"] = _input(rng, kind, length, texts)
        fields["predicted_label"] = int(rng.integers(-2, 5)) if rng.random() < 0.9 else str(rng.integers(9))
        fields["probabilities"] = (
            _values(rng, n) if rng.random() < 0.2 else rng.dirichlet(np.ones(n)).tolist()
        )
        if rng.random() < 0.1:
            fields["embedding"] = _values(rng, int(rng.choice(LENGTHS[:8])))
        if rng.random() < 0.3:
            fields["output_text"] = texts[rng.integers(len(texts))]
            fields["input_tokens"] = int(rng.integers(0, 1 << 33))
    return record(index, **fields)


def check(seed: int) -> int:
    """One state from its birth; the number of records judged."""
    rng = np.random.default_rng(seed)
    text_batches = draw(seed)
    kind, length = str(rng.choice(KINDS)), int(rng.choice(LENGTHS))

    def judge() -> EngineJudge:
        embedder = TextEmbedder()
        return EngineJudge(Policy(), 64, native_intake(embedder=embedder), MemoryMetrics())

    now, n_judged = judge(), 0
    for turn in range(BATCHES_A_STATE):
        texts = next(text_batches)
        first = turn * BATCH
        lines = [
            json.dumps(drawn(rng, first + i, kind, length, texts)).replace("Infinity", "1e400").encode()
            for i in range(BATCH)
        ]
        outcomes = now.step(raw_batch(lines, first), UnixMs(START_MS + 40 * 86_400_000))
        assert outcomes.counts.total == BATCH, "each record is judged or a reject"
        n_judged += outcomes.counts.accepted
        if turn % 8 == 7:
            kept = bytearray()
            now.snapshot(Shard("logs", 0), kept.extend)
            now = judge()
            now.restore(Shard("logs", 0), memoryview(kept))
    return n_judged


def main() -> None:
    """Check states until the seconds have passed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=900.0)
    asked = parser.parse_args()
    seed, n_judged, end_s = asked.seed, 0, time.monotonic() + asked.seconds
    while n_judged == 0 or time.monotonic() < end_s:
        print("seed", seed, flush=True)
        n_judged += check(seed)
        seed += 1
    print(f"{n_judged} records judged in {seed - asked.seed} states")


if __name__ == "__main__":
    main()
