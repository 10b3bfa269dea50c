"""What a user would write with river alone: dicts per account, running statistics, trees per event.

Five families as well as river can: volume (a rolling hour), timing (gaps), input entropy (spread of the
values), boundary (margin, its low quantile, entropy of the answer) and drift (distance from the model's
running mean). Each record is turned into features, scaled, scored by half-space trees and learned.
"""

import datetime as dt
import math
from collections import defaultdict
from typing import Any

from river import anomaly, preprocessing, stats, utils

ROLLING = dt.timedelta(hours=1)
QUANTILE = 0.1


class Account:
    """Running statistics of one account."""

    def __init__(self) -> None:
        self.calls: Any = utils.TimeRolling(stats.Sum(), period=ROLLING)
        self.gap_mean = stats.Mean()
        self.gap_var = stats.Var()
        self.value_var = stats.Var()
        self.value_entropy = stats.Mean()
        self.margin_mean = stats.Mean()
        self.margin_low: Any = stats.Quantile(QUANTILE)
        self.output_entropy = stats.EWMean()
        self.distance_mean = stats.Mean()
        self.distance_var = stats.Var()
        self.labels: dict[Any, stats.Count] = defaultdict(stats.Count)
        self.last_s: float | None = None


class Pipeline:
    """Features, scaler and trees of one model."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = defaultdict(Account)
        self.means: dict[int, stats.Mean] = defaultdict(stats.Mean)
        self.variances: dict[int, stats.Var] = defaultdict(stats.Var)
        self.scaler: Any = preprocessing.MinMaxScaler()
        self.trees: Any = anomaly.HalfSpaceTrees(n_trees=25, height=8, window_size=250, seed=1)

    def step(self, record: dict[str, Any]) -> float:
        """Score of one record; it is learned afterwards."""
        features = self.features(record)
        self.scaler.learn_one(features)
        scaled = self.scaler.transform_one(features)
        score: float = self.trees.score_one(scaled)
        self.trees.learn_one(scaled)
        return score

    def features(self, record: dict[str, Any]) -> dict[str, float]:
        """The account's features after this record."""
        account = self.accounts[record["account_id"]]
        time = dt.datetime.fromisoformat(record["event_time"]).replace(tzinfo=None)
        account.calls.update(1, t=time)
        now_s = time.timestamp()
        if account.last_s is not None:
            account.gap_mean.update(now_s - account.last_s)
            account.gap_var.update(now_s - account.last_s)
        account.last_s = now_s
        self._add_vector(account, record["input"])
        self._add_answer(account, record["probabilities"], record["predicted_label"])
        gap = account.gap_mean.get()
        deviation = math.sqrt(account.gap_var.get())
        return {
            "calls": float(account.calls.get()),
            "gap": gap,
            "burstiness": (deviation - gap) / max(deviation + gap, 1e-9),
            "value_variance": account.value_var.get(),
            "value_entropy": account.value_entropy.get(),
            "margin": account.margin_mean.get(),
            "margin_low": account.margin_low.get() or 0.0,
            "output_entropy": account.output_entropy.get(),
            "distance": account.distance_mean.get(),
            "distance_variance": account.distance_var.get(),
            "labels": float(len(account.labels)),
        }

    def _add_vector(self, account: Account, vector: list[float]) -> None:
        squares = 0.0
        counts: dict[int, int] = defaultdict(int)
        for index, value in enumerate(vector):
            mean, variance = self.means[index], self.variances[index]
            squares += (value - mean.get()) ** 2 / max(variance.get(), 1e-9)
            mean.update(value)
            variance.update(value)
            account.value_var.update(value)
            counts[math.floor(value * 2)] += 1
        n = len(vector)
        account.value_entropy.update(-sum(c / n * math.log(c / n) for c in counts.values()))
        distance = math.log1p(squares / n)
        account.distance_mean.update(distance)
        account.distance_var.update(distance)

    def _add_answer(self, account: Account, probs: list[float], label: Any) -> None:
        highest = sorted(probs, reverse=True)
        account.margin_mean.update(highest[0] - highest[1])
        account.margin_low.update(highest[0] - highest[1])
        account.output_entropy.update(-sum(p * math.log(p) for p in probs if p > 0))
        account.labels[label].update(1)
