"""Drawn records through intake and engine, so that every kernel sees shapes that nobody thought of:

    NUMBA_BOUNDSCHECK=1 NUMBA_CACHE_DIR=.cache/numba-checked python -W error::RuntimeWarning \\
        -m tests.fuzz.engine --seconds 3600

Half of the states are of drawn native records, half of queries as a gateway logs them, some damaged. Any
message is judged, a reject or counted beside; now and then the state is written and read back. It ends with
the first error or overflow, and says the seed of the state that made it: --seed repeats from there.
"""

import argparse
import base64
import itertools
import json
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from tests.fuzz.shapes import SHAPES, Shape, damaged, documents_of
from tests.fuzz.texts import draw
from tests.support.log_shapes import Query, native
from tests.support.traffic import HMAC_KEY, START_MS, raw_batch, record

from copycatch.adapters.memory import MemoryMetrics
from copycatch.embedding.embedder import TextEmbedder
from copycatch.formats.catalog import make_decoder
from copycatch.formats.shared.format import FormatOptions
from copycatch.intake.read import Intake
from copycatch.ports import Shard
from copycatch.records.columns import Counts
from copycatch.records.policy import Policy
from copycatch.service.judging import EngineJudge
from copycatch.units import UnixMs

Rng = np.random.Generator
NASTY = (0.0, -0.0, 1e-310, 1e38, -1e38, 3e38, 1e39, 1e300, float("nan"), float("inf"), 2.0**31, -1.0)
LENGTHS = (1, 2, 3, 4, 7, 8, 31, 64, 300, 1_023, 1_024, 1_025, 3_000)
KINDS = ("usual", "vector", "vector", "matrix", "text", "text", "image", "tokens", "none")
BATCH = 400
QUERIES = 250  # a batch in a gateway's shape
LOGGED_MS = 1_772_323_200_000  # when the queries of log_shapes begin
BESIDE = ("skipped", "unknown", "joined", "split")
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


Lines = Iterator[list[bytes]]


def native_lines(rng: Rng, seed: int) -> Lines:
    """Batches of drawn native records; times rise at the state's pace, some a little back or far off."""
    kind, length = str(rng.choice(KINDS)), int(rng.choice(LENGTHS))
    pace_ms, now_ms, text_batches = int(rng.choice([1, 500, 20_000, 90_000])), START_MS, draw(seed)
    for first in itertools.count(0, BATCH):
        texts, lines = next(text_batches), []
        for index in range(first, first + BATCH):
            now_ms += int(rng.integers(2 * pace_ms))
            fields = drawn(rng, index, kind, length, texts)
            off_ms = (
                int(rng.integers(200_000)) if rng.random() < 0.98 else int(rng.integers(-1 << 31, 1 << 31))
            )
            line = json.dumps(fields | {"event_time": now_ms - off_ms})
            lines.append(line.replace("Infinity", "1e400").encode())
        yield lines


def real_lines(rng: Rng, seed: int, shape: Shape) -> Lines:
    """Batches of queries as a gateway writes them: one message in seven damaged, some out of order."""
    text_batches, length, n_classes = draw(seed), int(rng.integers(1, 40)), int(rng.integers(1, 12))
    parts = documents_of([each.value for each in shape(_query(rng, 0, ["a"], length, n_classes))])
    for first in itertools.count(0, QUERIES):
        texts = next(text_batches)
        lines = [
            message.value
            for index in range(first, first + QUERIES)
            for message in shape(_query(rng, index, texts, length, n_classes))
        ]
        lines = [damaged(rng, line, parts) if rng.random() < 1 / 7 else line for line in lines]
        for _ in range(QUERIES // 20):
            at, to = rng.integers(len(lines), size=2)
            lines.insert(int(to), lines[at])
        yield lines


def _query(rng: Rng, index: int, texts: list[str], length: int, n_classes: int) -> Query:
    prompt, answer = (texts[at].encode(errors="replace").decode() for at in rng.integers(len(texts), size=2))
    return Query(
        f"e-{index:08d}", f"acct-{int(rng.integers(40))}", prompt, answer, index * 5 % 86_400,
        _values(rng, length), rng.dirichlet(np.ones(n_classes)).tolist(),
    )  # fmt: skip


def check(seed: int) -> int:
    """One state from its birth; the number of records judged."""
    rng = np.random.default_rng(seed)
    is_real = rng.random() < 0.5
    name, shape = SHAPES[rng.integers(len(SHAPES))] if is_real else ("native", native)
    lines_of_turn = real_lines(rng, seed, shape) if is_real else native_lines(rng, seed)
    now_ms = UnixMs(LOGGED_MS + 2 * 86_400_000 if is_real else START_MS + 60 * 86_400_000)
    options = FormatOptions(model_id="m", account_fallback="key", pending_max=200)
    metrics = MemoryMetrics()
    print("seed", seed, shape.__name__ if is_real else "drawn", flush=True)

    def judge() -> EngineJudge:
        intake = Intake(HMAC_KEY, TextEmbedder(), {"*": lambda: make_decoder(name, options)})
        return EngineJudge(Policy(), 64, intake, metrics)

    now, counts, n_messages = judge(), Counts(), 0
    for turn in range(BATCHES_A_STATE):
        lines = next(lines_of_turn)
        raw = raw_batch(lines, n_messages)
        raw.timestamps_ms = [int(now_ms)] * len(lines)
        raw.keys = [f"k{each}".encode() for each in rng.integers(40, size=len(lines))]
        counts.add(now.step(raw, now_ms).counts)
        n_messages += len(lines)
        if turn % 8 == 7:
            kept = bytearray()
            now.snapshot(Shard("logs", 0), kept.extend)
            now = judge()
            now.restore(Shard("logs", 0), memoryview(kept))
    counts.add(now.end(now_ms).counts)
    notes = {note: int(metrics.get("copycatch_notes_total", note=note)) for note in BESIDE}
    beside = notes["skipped"] + notes["unknown"] + notes["joined"] - notes["split"]
    assert n_messages == counts.total + beside, "each message is judged, a reject, or told beside"
    return counts.accepted


def main() -> None:
    """Check states until the seconds have passed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=900.0)
    asked = parser.parse_args()
    seed, n_judged, end_s = asked.seed, 0, time.monotonic() + asked.seconds
    while n_judged == 0 or time.monotonic() < end_s:
        n_judged += check(seed)
        seed += 1
    print(f"{n_judged} records judged in {seed - asked.seed} states")


if __name__ == "__main__":
    main()
