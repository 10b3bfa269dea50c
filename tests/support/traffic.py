"""Small made-up traffic for the core's tests: honest accounts, and one that harvests noise."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from copycatch.formats.catalog import make_decoder
from copycatch.formats.shared.format import FormatOptions
from copycatch.intake.embed import Embedder
from copycatch.intake.read import Intake
from copycatch.records.columns import RawBatch, RecordBatch
from copycatch.records.wire import Rejected

START_MS = 1_767_571_200_000
HMAC_KEY = b"tests: no secret"
NOW_MS = START_MS + 10 * 86_400_000


def record(index: int, **fields: Any) -> dict[str, Any]:
    """A valid record with these fields instead of the usual ones; None leaves one out."""
    whole: dict[str, Any] = {
        "event_id": f"e{index:06d}",
        "event_time": START_MS + 1000 * index,
        "account_id": "a1",
        "model_id": "m1",
        "input": [0.1, 0.2, 0.3, 0.4],
        "predicted_label": 1,
        "probabilities": [0.2, 0.7, 0.1],
        "status": 200,
    } | fields
    return {name: value for name, value in whole.items() if value is not None}


def raw_batch(records: Sequence[dict[str, Any] | bytes], start: int = 0, topic: str = "logs") -> RawBatch:
    values = [value if isinstance(value, bytes) else json.dumps(value).encode() for value in records]
    return RawBatch(topic, 0, list(range(start, start + len(values))), values)


def native_intake(hmac_key: bytes = HMAC_KEY, embedder: Embedder | None = None) -> Intake:
    """Reads native records of any topic."""
    return Intake(hmac_key, embedder, {"*": lambda: make_decoder("native", FormatOptions())})


def columns(raw: RawBatch, intake: Intake | None = None) -> tuple[RecordBatch, list[Rejected]]:
    read = (intake or native_intake()).read(raw, NOW_MS)
    return read.batch, read.rejects


def traffic(seed: int, n_accounts: int, n_records: int, hours: float) -> list[dict[str, Any]]:
    """Honest accounts that draw around their own centre of a mixture; account "thief" draws uniformly."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(0, 1, (6, 8))
    weights = rng.normal(0, 1, (8, 4))
    times = np.sort(rng.uniform(0, hours * 3_600_000, n_records)).astype(int)
    names = [f"acct-{index:03d}" for index in range(n_accounts)]
    records = []
    for index, offset_ms in enumerate(times.tolist()):
        is_thief = rng.random() < 1.5 / n_accounts
        account = n_accounts if is_thief else int(rng.integers(n_accounts))
        if is_thief:
            vector = rng.uniform(-4, 4, 8)
        else:
            centre = int(rng.integers(6)) if rng.random() < 0.3 else account % 6
            vector = centres[centre] + rng.normal(0, 0.3, 8)
        logits = vector @ weights
        probs = np.exp(logits - logits.max())
        probs /= probs.sum()
        records.append(
            record(
                index,
                event_time=START_MS + offset_ms,
                account_id="thief" if is_thief else names[account],
                input=[round(float(x), 4) for x in vector],
                predicted_label=int(probs.argmax()),
                probabilities=[round(float(p), 5) for p in probs],
                client_ip=f"198.51.100.{account % 250}",
            )
        )
    return records


def batches(records: list[dict[str, Any]], cuts: list[int]) -> Iterator[RecordBatch]:
    """The records as columns, cut into batches of these sizes, over and over."""
    intake = native_intake()
    start = turn = 0
    while start < len(records):
        stop = min(start + cuts[turn % len(cuts)], len(records))
        batch, rejects = columns(raw_batch(records[start:stop], start), intake)
        assert not rejects
        yield batch
        start, turn = stop, turn + 1
