"""Evaluations and their scores by hand, for tests of decisions."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from copycatch.records.columns import Evaluations, Features, FeatureSpec, ScoreBasis, Scores

NAN = float("nan")
CATALOG: tuple[FeatureSpec, ...] = (
    FeatureSpec("queries_per_s", "volume", "1/s", 0, 1e9, "queries per second in the short window", ()),
    FeatureSpec("tokens_per_s", "volume", "1/s", 0, 1e9, "tokens per second in the long window", ()),
    FeatureSpec("low_margin_share", "boundary", "share", 0, 1, "share of queries close to a boundary", ()),
)
NAMES = tuple(spec.name for spec in CATALOG)
MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS


@dataclass(frozen=True)
class Seen:
    """One evaluation of one account."""

    account_id: str
    time_ms: int
    tail_prob: float = NAN
    features: dict[str, float] = field(default_factory=dict)
    queries: int = 100
    tenant_id: str | None = None
    model_id: str = "m"
    normal_highs: dict[str, float] = field(default_factory=dict)
    looks_like: tuple[str, ...] = ()
    attack_prob: float = NAN
    shares: dict[str, float] = field(default_factory=dict)


def columns(seen: Sequence[Seen]) -> tuple[Evaluations, Scores]:
    n, n_features = len(seen), len(CATALOG)

    def table(get: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        rows = [[getattr(s, get).get(name, NAN) for name in NAMES] for s in seen]
        return np.array(rows, dtype=np.float64).reshape(n, n_features)

    accounts = sorted({(s.tenant_id or "", s.account_id, s.model_id) for s in seen})
    row_by_account = {account: row for row, account in enumerate(accounts)}
    measured = Features(table("features"), np.array([s.queries for s in seen], dtype=np.int64), np.zeros(n))
    evaluations = Evaluations(
        rows=np.array(
            [row_by_account[s.tenant_id or "", s.account_id, s.model_id] for s in seen], dtype=np.int64
        ),
        account_ids=[s.account_id for s in seen],
        tenant_ids=[s.tenant_id for s in seen],
        model_ids=[s.model_id for s in seen],
        event_times_ms=np.array([s.time_ms for s in seen], dtype=np.int64),
        first_seen_ms=np.array([max(0, s.time_ms - HOUR_MS) for s in seen], dtype=np.int64),
        queries=np.array([s.queries for s in seen], dtype=np.int64),
        answered=np.array([s.queries for s in seen], dtype=np.int64),
        lifetime=measured,
        recent=measured,
        records=np.arange(n),
        kept_ids=np.zeros((n, 1), dtype="S1"),
        sample_event_ids=[[f"e{i}" for i in range(30)] for _ in seen],
        client_ips=[["192.0.2.1"] for _ in seen],
        traceparents=[""] * n,
    )
    nothing = np.zeros((n, 0))
    scores = Scores(
        values=table("features"),
        tail_probs=np.array([s.tail_prob for s in seen], dtype=np.float64),
        attack_probs=np.array([s.attack_prob for s in seen], dtype=np.float64),
        is_warm=np.array([s.tail_prob == s.tail_prob for s in seen], dtype=np.bool_),
        feature_tail_probs=np.full((n, n_features), 0.01),
        basis=ScoreBasis(
            nothing.astype(np.bool_),
            nothing,
            nothing,
            nothing,
            nothing,
            nothing,
            np.full(n, NAN),
            np.full(n, NAN),
        ),
        shares=np.nan_to_num(table("shares"), nan=0.0),
        normal_lows=np.where(np.isfinite(table("normal_highs")), 0.0, NAN),
        normal_highs=table("normal_highs"),
        looks_like=[list(s.looks_like) for s in seen],
    )
    return evaluations, scores
