"""One account's made-up queries, from records to features, beside a known normal."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from copycatch.engine.evaluate import fold_segment
from copycatch.engine.state import EngineState, new_state
from copycatch.features.catalog import NAMES
from copycatch.records.columns import Evaluations
from copycatch.records.policy import Policy
from copycatch.signals.compute import compute_signals
from copycatch.space.fit import build_space
from copycatch.space.lexicon import empty_lexicon, hash_tokens, learn_tokens
from copycatch.space.model import ModelSpace
from copycatch.space.query import Query
from copycatch.windows.slots import Key, Slots
from tests.support.traffic import START_MS, columns, raw_batch, record

D, N_CLASSES = 8, 4
WORDS = [f"word{index}" for index in range(60)]


class Normal:
    """Four clusters in eight correlated dimensions; texts that walk through a fixed order of words."""

    def __init__(self, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.means = rng.normal(size=(N_CLASSES, D)) * 3
        self.mixing = rng.normal(size=(D, D)) * 0.6 + np.eye(D)
        self.space = self._space(rng)

    def draw(self, rng: np.random.Generator, n: int, classes: Sequence[int] = range(N_CLASSES)) -> np.ndarray:
        labels = rng.choice(list(classes), n)
        return np.asarray(self.means[labels] + rng.normal(size=(n, D)) @ self.mixing)

    def label(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(((x[:, None, :] - self.means) ** 2).sum(axis=2).argmin(axis=1))

    def margins(self, x: np.ndarray) -> np.ndarray:
        gaps = np.sort(((x[:, None, :] - self.means) ** 2).sum(axis=2), axis=1)
        return np.asarray(np.clip((gaps[:, 1] - gaps[:, 0]) / 40, 0, 1))

    def text(self, rng: np.random.Generator, n_words: int = 8) -> str:
        start = int(rng.integers(0, len(WORDS) - n_words))
        return " ".join(WORDS[start : start + n_words])

    def _space(self, rng: np.random.Generator) -> ModelSpace:
        lexicon, queries = empty_lexicon(), []
        for account in range(1, 41):
            x = self.draw(rng, 24)
            for row, label, margin in zip(x, self.label(x), self.margins(x), strict=True):
                _, words = hash_tokens([self.text(rng)])
                learn_tokens(lexicon, words, account)
                queries.append(
                    Query(account, 0, int(rng.integers(1, 1 << 60)), int(label), float(margin), 0.5,
                          row.astype(np.float32), words=words)
                )  # fmt: skip
        return build_space(queries, queries[::2], uses_inputs=True, version=1, lexicon=lexicon)


def row_by_key(slots: Slots) -> dict[Key, int]:
    """All accounts with their rows."""
    return {slots.key_of(row): row for row in slots.rows_in_use()}


def fold(normal: Normal, records: Sequence[dict[str, Any]]) -> Evaluations:
    """The evaluations of one account that sends these records."""
    state: EngineState = new_state(Policy())
    population = state.learned.population("m1", START_MS)
    assert population is not None
    population.space, population.is_settled = normal.space, True
    population.label_counts[:N_CLASSES] = 100
    batch, rejects = columns(raw_batch(list(records)))
    assert not rejects
    rows = state.slots.rows_for([(None, "a1", "m1")] * len(batch), 0)
    state.name_new_rows()
    block = compute_signals(batch, {"m1": normal.space}, np.full(len(batch), 999, dtype=np.int64))
    return fold_segment(state, batch, rows, block, Policy())


def features(evaluations: Evaluations) -> dict[str, float]:
    """Of the last evaluation, over the account's lifetime."""
    return dict(zip(NAMES, evaluations.lifetime.values[-1].tolist(), strict=True))


def recent_features(evaluations: Evaluations) -> dict[str, float]:
    """Of the last evaluation, over its recent window."""
    return dict(zip(NAMES, evaluations.recent.values[-1].tolist(), strict=True))


def queries(normal: Normal, x: np.ndarray, **fields: Callable[[int], Any] | object) -> list[dict[str, Any]]:
    """A record a row, answered by the nearest cluster; fields may be functions of the index."""
    labels, margins = normal.label(x), normal.margins(x)
    records = []
    for index, (row, label, margin) in enumerate(zip(x, labels.tolist(), margins.tolist(), strict=True)):
        probabilities = np.full(N_CLASSES, (1 - margin) / N_CLASSES)
        probabilities[label] += margin
        own: dict[str, Any] = {
            "input": [round(float(v), 4) for v in row],
            "predicted_label": label,
            "probabilities": [round(float(p), 6) for p in probabilities],
        }
        own |= {name: value(index) if callable(value) else value for name, value in fields.items()}
        records.append(record(index, **own))
    return records
