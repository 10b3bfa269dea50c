"""Detectors to compare with, on the same records: who is named, and when."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from copycatch.records.columns import BoolArray, FloatArray
from tests.benchmarks.detection.product import EvaluationLog
from tests.benchmarks.detection.traces import Queries, all_times
from tests.benchmarks.peers.prada import Prada

FirstAlerts = dict[str, int]
HOUR_MS = 3_600_000
CALLS_MAX = 500  # an hour
TEST_EVERY_QUERY_UNTIL = 1_000  # PRADA tests each; beyond, each tenth changes nothing but our waiting time
MMD_WINDOW = 100
MMD_STEP = 25
MMD_FEATURES = 256
HST_WINDOW = 250
REFERENCE_PER_ACCOUNT = 20
# Thresholds from what is surely benign (nobody attacks before the end of the warm-up): the score that one
# in a hundred accounts exceeds in its life so far.
BENIGN_QUANTILE = 0.99


def volume_rule(folder: Path) -> FirstAlerts:
    """More than 500 calls within 60 minutes."""
    names, accounts, times_ms = all_times(folder)
    firsts: FirstAlerts = {}
    for number, name in enumerate(names):
        own = np.sort(times_ms[accounts == number])
        if len(own) <= CALLS_MAX:
            continue
        span_ms = own[CALLS_MAX:] - own[:-CALLS_MAX]
        hits = np.flatnonzero(span_ms <= HOUR_MS)
        if len(hits):
            firsts[name] = int(own[CALLS_MAX + hits[0]])
    return firsts


def prada(queries: Queries) -> FirstAlerts:
    """PRADA per account, until its first alarm."""
    firsts: FirstAlerts = {}
    for number, name in enumerate(queries.names):
        detector = Prada()
        for n, position in enumerate(queries.of(number).tolist()):
            detector.take(queries.inputs[position], int(queries.labels[position]))
            if (n < TEST_EVERY_QUERY_UNTIL or n % 10 == 0) and detector.is_attack():
                firsts[name] = int(queries.times_ms[position])
                break
    return firsts


def windowed_mmd(queries: Queries) -> FirstAlerts:
    """MMD by random Fourier features between an account's last 100 queries and the warm-up's."""
    rng = np.random.default_rng(1)
    is_warmup = queries.times_ms < queries.warmup_end_ms
    # One vote an account also in the reference, or the busiest is the norm.
    reference = np.concatenate(
        [
            queries.of(number)[is_warmup[queries.of(number)]][:REFERENCE_PER_ACCOUNT]
            for number in range(len(queries.names))
        ]
    )
    sample = queries.embeddings[reference]
    scale = np.maximum(sample.std(axis=0), 1e-6)
    pairs = rng.integers(len(sample), size=(2, 2_000))
    median = float(np.median(np.linalg.norm((sample[pairs[0]] - sample[pairs[1]]) / scale, axis=1)))
    frequencies = rng.normal(0, 1 / max(median, 1e-6), (queries.embeddings.shape[1], MMD_FEATURES))
    phases = rng.uniform(0, 2 * np.pi, MMD_FEATURES)

    def embed(vectors: FloatArray) -> FloatArray:
        mapped: FloatArray = np.sqrt(2 / MMD_FEATURES) * np.cos(vectors / scale @ frequencies + phases)
        return mapped

    mean = embed(sample).mean(axis=0)
    times: list[tuple[str, int, float]] = []
    for number, name in enumerate(queries.names):
        own = queries.of(number)
        mapped = embed(queries.embeddings[own])
        for stop in range(MMD_WINDOW, len(own) + 1, MMD_STEP):
            window = mapped[stop - MMD_WINDOW : stop]
            total = window.sum(axis=0)
            n = len(window)
            own_term = (total @ total - (window**2).sum()) / (n * (n - 1))
            value = own_term - 2 * total @ mean / n + mean @ mean
            times.append((name, int(queries.times_ms[own[stop - 1]]), float(value)))
    return _over_benign_quantile(times, queries.warmup_end_ms)


def half_space_trees(evaluations: EvaluationLog, warmup_end_ms: int) -> FirstAlerts:
    """River's half-space trees alone, on the product's own features; scored first, then learned."""
    scaled = _ranks(evaluations.values, evaluations.times_ms < warmup_end_ms)
    names = [str(index) for index in range(scaled.shape[1])]
    by_model: dict[str, Any] = {}
    seen: Counter[str] = Counter()
    times: list[tuple[str, int, float]] = []
    rows = zip(evaluations.accounts, evaluations.models, evaluations.times_ms.tolist(), strict=True)
    for index, (account, model, time_ms) in enumerate(rows):
        row = dict(zip(names, scaled[index].tolist(), strict=True))
        trees = by_model.setdefault(model, _trees())
        seen[model] += 1
        if seen[model] > HST_WINDOW:  # before its first window is full it calls everything odd
            times.append((account, time_ms, trees.score_one(row)))
        trees.learn_one(row)
    return _over_benign_quantile(times, warmup_end_ms)


def _trees() -> Any:
    from river import anomaly

    return anomaly.HalfSpaceTrees(n_trees=25, height=8, window_size=HST_WINDOW, seed=1)


def _ranks(values: FloatArray, is_warmup: BoolArray) -> FloatArray:
    """Each feature as its rank among the warm-up's evaluations, in [0, 1]; missing values at one half."""
    scaled = np.full(values.shape, 0.5)
    for column in range(values.shape[1]):
        known = np.sort(values[is_warmup, column][~np.isnan(values[is_warmup, column])])
        has = ~np.isnan(values[:, column])
        if len(known):
            low = np.searchsorted(known, values[has, column], side="left")
            high = np.searchsorted(known, values[has, column], side="right")
            scaled[has, column] = (low + high) / (2 * len(known))
    return scaled


def _over_benign_quantile(times: list[tuple[str, int, float]], warmup_end_ms: int) -> FirstAlerts:
    """First time each account's score is above what one in a hundred had reached in the warm-up."""
    highest: dict[str, float] = {}
    for name, time_ms, value in times:
        if time_ms < warmup_end_ms:
            highest[name] = max(value, highest.get(name, -np.inf))
    if not highest:
        return {}
    threshold = float(np.quantile(list(highest.values()), BENIGN_QUANTILE))
    firsts: FirstAlerts = {}
    for name, time_ms, value in times:
        # Whom the calibration saw is not judged by it before its end.
        if time_ms >= warmup_end_ms and value > threshold:
            firsts[name] = min(time_ms, firsts.get(name, time_ms))
    return firsts
