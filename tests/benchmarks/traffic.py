"""Records like a gateway's, made once and re-used: 560 to 870 bytes, by Zipf or evenly over accounts.

A record has a numeric input, an embedding, a probability vector and the usual fields beside them. Bodies
(input, embedding, answer) come from a pool of distinct ones; ids, accounts and times are fresh each time.
Accounts are drawn with probability proportional to rank ** -ZIPF_EXPONENT.
"""

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import msgspec
import numpy as np

from copycatch.formats.catalog import make_decoder
from copycatch.formats.shared.format import FormatOptions
from copycatch.intake.columns import ColumnBuilder
from copycatch.records.columns import FloatArray, IntArray, RawBatch, RecordBatch
from copycatch.units import format_rfc3339

ZIPF_EXPONENT = 1.1
START_MS = 1_767_571_200_000  # a Monday
DAY_MS = 86_400_000
N_CLASSES = 10
TOPICS = 24
AGENTS = (
    "python-requests/2.32",
    "Go-http-client/2.0",
    "okhttp/4.12.0",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
    "acme-support-console/11.4 (internal; batch)",
)
BATCH = 5_000
Traffic = Literal["zipf", "uniform"]


@dataclass(frozen=True)
class Shape:
    """What a record looks like."""

    input_length: int = 16
    embedding_length: int = 32
    models: int = 1
    is_text: bool = False
    text_models: int = 0  # so many of the models take text and give names as labels: types are mixed


class Draw:
    """Which account asks next; ranks are shuffled over account numbers, as they are in life."""

    def __init__(self, n_accounts: int, traffic: Traffic, seed: int) -> None:
        self._rng = np.random.default_rng([seed, 2])
        self.n_accounts = n_accounts
        self._traffic = traffic
        self._numbers = self._rng.permutation(n_accounts)

    @cached_property
    def _cumulated(self) -> FloatArray:
        weights = np.arange(1, self.n_accounts + 1, dtype=np.float64) ** -ZIPF_EXPONENT
        cumulated: FloatArray = np.cumsum(weights / weights.sum())
        return cumulated

    def accounts(self, n: int) -> IntArray:
        """Account numbers of the next `n` records."""
        if self._traffic == "uniform":
            return self._rng.integers(self.n_accounts, size=n)
        ranks = np.searchsorted(self._cumulated, self._rng.random(n))
        numbers: IntArray = self._numbers[np.minimum(ranks, self.n_accounts - 1)]
        return numbers


def account_name(number: int) -> str:
    return f"acct-{number:07d}"


class Pool:
    """Distinct bodies, and records made of them.

    Examples
    --------
    >>> pool = Pool(Shape(), n_bodies=50, seed=1)
    >>> sizes = [len(line) for line in pool.lines(50, Draw(10, "zipf", seed=1), START_MS, per_s=100.0)]
    >>> 560 <= min(sizes), max(sizes) <= 870
    (True, True)
    """

    def __init__(self, shape: Shape, n_bodies: int, seed: int) -> None:
        self.shape = shape
        self._rng = np.random.default_rng([seed, 1])
        self._bodies = list(self._make_bodies(n_bodies))
        self._sent = 0

    def _make_bodies(self, n: int) -> Iterator[bytes]:
        rng, shape = self._rng, self.shape
        centres = rng.normal(0, 2, (TOPICS, shape.input_length))
        spread = rng.uniform(0.4, 1.2, TOPICS)
        to_embedding = rng.normal(0, 1, (shape.input_length, shape.embedding_length))
        to_logits = rng.normal(0, 1, (shape.input_length, N_CLASSES))
        topics = rng.integers(TOPICS, size=n)
        inputs = centres[topics] + rng.normal(0, 1, (n, shape.input_length)) * spread[topics, None]
        embeddings = np.tanh(inputs @ to_embedding / math.sqrt(shape.input_length))
        logits = inputs @ to_logits * 1.2
        probs = np.exp(logits - logits.max(axis=1, keepdims=True))
        probs /= probs.sum(axis=1, keepdims=True)
        encode = msgspec.json.Encoder().encode
        for index in range(n):
            body: dict[str, object] = {
                "client_ip": f"198.18.{rng.integers(256)}.{rng.integers(256)}",
                "user_agent": AGENTS[int(rng.integers(len(AGENTS)))],
                "model_id": f"model-{index % shape.models}",
                "predicted_label": int(probs[index].argmax()),
                "probabilities": np.round(probs[index], 4).tolist(),
                "params": {"logprobs": bool(rng.random() < 0.2), "temperature": 0.0},
                "latency_ms": round(float(rng.gamma(4, 12)), 1),
                "status": 200,
            }
            if rng.random() < 0.5:
                body["api_key_id"] = f"key-{rng.integers(1 << 62):032x}"
            if rng.random() < 0.5:
                body |= {"input_tokens": int(rng.integers(5, 400)), "output_tokens": int(rng.integers(1, 90))}
            has_text_label = index % shape.models < shape.text_models
            if has_text_label:
                body["predicted_label"] = f"intent {probs[index].argmax()}"
            if shape.is_text or has_text_label:
                body["input"] = _sentence(rng)
            else:
                body["input"] = np.round(inputs[index], 2).tolist()
                body["embedding"] = np.round(embeddings[index], 3).tolist()
            yield encode(body)[1:]

    def lines(self, n: int, draw: Draw, start_ms: int, per_s: float) -> Iterator[bytes]:
        """Native records as JSON, in event-time order, `per_s` of them a second of event time."""
        accounts = draw.accounts(n).tolist()
        picks = self._rng.integers(len(self._bodies), size=n).tolist()
        gap_ms = 1000 / per_s
        for index, (account, pick) in enumerate(zip(accounts, picks, strict=True)):
            time = format_rfc3339(start_ms + int(index * gap_ms))
            self._sent += 1
            yield (
                b'{"event_id":"%012x-%s","event_time":"%s","account_id":"%s",'
                % (self._sent, b"0c5e", time.encode(), account_name(account).encode())
            ) + self._bodies[pick]


def raw_batches(lines: Iterator[bytes], topic: str = "bench", size: int = BATCH) -> Iterator[RawBatch]:
    """Cut as a poll would."""
    first = 0
    values: list[bytes] = []
    for line in lines:
        values.append(line)
        if len(values) == size:
            yield RawBatch(topic, 0, list(range(first, first + size)), values)
            first, values = first + size, []
    if values:
        yield RawBatch(topic, 0, list(range(first, first + len(values))), values)


class Columns:
    """Batches of columns without the cost of JSON: decoded once, then given fresh ids, accounts and times."""

    def __init__(self, shape: Shape, seed: int, n_templates: int = 8, size: int = BATCH) -> None:
        pool = Pool(shape, n_templates * size, seed)
        self._size = size
        builder, decoder = (
            ColumnBuilder(b"benchmark, no secret", None),
            make_decoder("native", FormatOptions()),
        )
        lines = pool.lines(n_templates * size, Draw(1000, "uniform", seed), START_MS, 100.0)
        self.raw = list(raw_batches(lines, size=size))
        self._templates: list[RecordBatch] = []
        for raw in self.raw:
            batch, rejects = builder.build(raw, decoder.decode(raw))
            assert not rejects, rejects[0]
            self._templates.append(batch)
        self._position = 0
        self._turn = 0
        self.now_ms = START_MS

    def batch(self, accounts: IntArray, per_s: float) -> RecordBatch:
        """The next records, one per entry of `accounts` (at most as many as a template has)."""
        n, gap_ms = len(accounts), 1000 / per_s
        template = self._templates[self._turn % len(self._templates)]
        self._turn += 1
        positions = np.arange(self._position, self._position + n, dtype=np.int64)
        if n < self._size:
            from copycatch.records.selection import select

            template = select(template, np.arange(n, dtype=np.int64))
        batch = dataclasses.replace(
            template,
            raw=dataclasses.replace(template.raw, positions=positions.tolist()),
            positions=positions,
            event_ids=[f"{position:012x}-0c5e" for position in positions.tolist()],
            event_times_ms=self.now_ms + (np.arange(n) * gap_ms).astype(np.int64),
            account_ids=[account_name(account) for account in accounts.tolist()],
        )
        self._position += n
        self.now_ms += max(1, round(n * gap_ms))
        return batch


PHRASES = (
    "how do I my card is not working where can the transfer money pending account please help with a "
    "new top up refund why was charged twice still waiting for delivery change address limit abroad rate"
)
WORDS = PHRASES.split()


def _sentence(rng: np.random.Generator) -> str:
    return " ".join(rng.choice(WORDS, size=int(rng.integers(6, 18))).tolist())
