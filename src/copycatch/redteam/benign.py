"""Honest users, the hard kinds among them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from copycatch.redteam.inputs import (
    Domain,
    FloatArray,
    Inputs,
    Rng,
    Style,
    draw_many_styles,
    draw_population,
    join,
)

Classify = Callable[[Inputs], FloatArray]
Compose = Callable[[Domain, Classify, int, Style, Rng], Inputs]


@dataclass(frozen=True)
class BenignKind:
    """One row of the table of honest users.

    Attributes
    ----------
    compose : callable
        Writes the account's inputs in the order they are sent.
    arrivals : tuple of str
        Names of `arrivals.ARRIVALS`, one of which the account keeps.
    queries_low, queries_high : int
        The middle 80 % of accounts send between these in a week.
    weight : float
        Share of the population before scaling to 1.
    """

    compose: Compose
    arrivals: tuple[str, ...]
    queries_low: int
    queries_high: int
    weight: float
    description: str


def own_mix(domain: Domain, rng: Rng) -> FloatArray:
    """One account's class mix around the population's."""
    return np.asarray(rng.dirichlet(domain.class_weights * 14 + 0.02))


def ordinary(domain: Domain, classify: Classify, n_queries: int, style: Style, rng: Rng) -> Inputs:
    """Natural inputs by the account's own class mix."""
    return draw_population(domain, n_queries, style, rng, own_mix(domain, rng))[0]


def niche(domain: Domain, classify: Classify, n_queries: int, style: Style, rng: Rng) -> Inputs:
    """An application that asks about one to three classes, and now and then another."""
    n_classes = len(domain.class_weights)
    weights = np.full(n_classes, 0.1 / n_classes)
    n_own = int(rng.integers(1, min(4, n_classes)))
    weights[rng.choice(n_classes, size=n_own, replace=False)] += 0.9 / n_own
    return draw_population(domain, n_queries, style, rng, weights)[0]


def resubmitter(domain: Domain, classify: Classify, n_queries: int, style: Style, rng: Rng) -> Inputs:
    """Sends one thing several times, exactly or nearly, until content."""
    return _chains(domain, n_queries, style, rng, mean_length=4.0, exact_prob=0.25, amount=0.25)


def form_editor(domain: Domain, classify: Classify, n_queries: int, style: Style, rng: Rng) -> Inputs:
    """Fills in a form and watches the answer change, field by field; A/B tests look the same."""
    return _chains(domain, n_queries, style, rng, mean_length=5.0, exact_prob=0.02, amount=0.7)


def retrier(domain: Domain, classify: Classify, n_queries: int, style: Style, rng: Rng) -> Inputs:
    """A client library that repeats what timed out."""
    return _chains(domain, n_queries, style, rng, mean_length=1.15, exact_prob=1.0, amount=0.0)


def _chains(
    domain: Domain,
    n_queries: int,
    style: Style,
    rng: Rng,
    mean_length: float,
    exact_prob: float,
    amount: float,
) -> Inputs:
    """Runs of a query and its followers; each follower repeats or edits the one before."""
    is_new = rng.random(n_queries) < 1 / mean_length
    is_new[0] = True
    inputs = ordinary(domain, lambda x: x, n_queries, style, rng)
    edited = rng.random(n_queries) >= exact_prob
    for i in np.flatnonzero(~is_new):
        inputs[i] = inputs[i - 1]
        if edited[i]:
            inputs[i : i + 1] = domain.vary(inputs[i : i + 1], amount, rng)
    return inputs


def evaluator(domain: Domain, classify: Classify, n_queries: int, style: Style, rng: Rng) -> Inputs:
    """Runs a test set, balanced or not; some run it twice."""
    is_twice = bool(rng.random() < 0.25)
    n_distinct = -(-n_queries // 2) if is_twice else n_queries
    if rng.random() < 0.5:
        test_set = draw_many_styles(domain, n_distinct, rng)[0]
    else:
        n_classes = len(domain.class_weights)
        test_set = draw_population(domain, n_distinct, style, rng, np.full(n_classes, 1 / n_classes))[0]
    return join([test_set, test_set])[:n_queries] if is_twice else test_set


def robustness_eval(domain: Domain, classify: Classify, n_queries: int, style: Style, rng: Rng) -> Inputs:
    """A test set, clean and disturbed."""
    clean = draw_many_styles(domain, n_queries, rng)[0]
    is_disturbed = rng.random(n_queries) < 0.6
    clean[is_disturbed] = domain.disturb(clean[is_disturbed], rng)
    return clean


def hard_cases(domain: Domain, classify: Classify, n_queries: int, style: Style, rng: Rng) -> Inputs:
    """A review queue or an active-learning team: mostly what the model is unsure about."""
    candidates = draw_population(domain, 4 * n_queries, style, rng, own_mix(domain, rng))[0]
    top_two = np.sort(classify(candidates), axis=1)[:, -2:]
    by_margin = np.argsort(top_two[:, 1] - top_two[:, 0])
    n_hard = round(0.7 * n_queries)
    rest = rng.choice(by_margin[n_hard:], size=n_queries - n_hard, replace=False)
    return np.asarray(candidates[rng.permutation(np.concatenate([by_margin[:n_hard], rest]))])


def miscalibrated_input(domain: Domain, classify: Classify, n_queries: int, style: Style, rng: Rng) -> Inputs:
    """An honest client with wrong preprocessing."""
    return domain.miscalibrate(ordinary(domain, classify, n_queries, style, rng), rng)


def health_check(domain: Domain, classify: Classify, n_queries: int, style: Style, rng: Rng) -> Inputs:
    """A monitor that sends the same few probes for ever."""
    probes = ordinary(domain, classify, int(rng.integers(1, 8)), style, rng)
    return np.asarray(probes[np.arange(n_queries) % len(probes)])


_DAYTIME = ("rhythm",)
BENIGN_KINDS: dict[str, BenignKind] = {
    "light": BenignKind(ordinary, _DAYTIME, 20, 160, 54, "a few queries a day"),
    "regular": BenignKind(ordinary, _DAYTIME, 180, 900, 34, "a small application"),
    "heavy_batch": BenignKind(ordinary, ("rhythm", "nightly", "poisson"), 1000, 2200, 14, "batch work"),
    "resubmitter": BenignKind(resubmitter, _DAYTIME, 250, 1200, 10, "sends things again, exactly or nearly"),
    "form_editor": BenignKind(form_editor, _DAYTIME, 120, 700, 6, "edits a form field by field"),
    "retrier": BenignKind(retrier, ("rhythm", "poisson"), 120, 700, 4, "a client that retries"),
    "evaluator": BenignKind(evaluator, ("burst",), 450, 1700, 9, "runs a test set"),
    "robustness_eval": BenignKind(robustness_eval, ("burst",), 500, 1100, 4, "runs a disturbed test set"),
    "niche": BenignKind(niche, _DAYTIME, 120, 900, 9, "asks about one to three classes"),
    "hard_cases": BenignKind(hard_cases, _DAYTIME, 160, 900, 6, "a review queue"),
    "miscalibrated_input": BenignKind(miscalibrated_input, _DAYTIME, 120, 600, 3, "wrong preprocessing"),
    "health_check": BenignKind(health_check, ("timer",), 300, 800, 3, "the same probes on a timer"),
}


def draw_kinds(n_accounts: int, rng: Rng) -> list[str]:
    """Kinds for a population: shares as in the table, every kind present where there is room.

    Examples
    --------
    >>> kinds = draw_kinds(60, np.random.default_rng(0))
    >>> len(kinds), set(kinds) == set(BENIGN_KINDS)
    (60, True)
    """
    names = list(BENIGN_KINDS)
    weights = np.array([BENIGN_KINDS[n].weight for n in names])
    shares = weights / weights.sum() * n_accounts
    counts = np.floor(shares).astype(int)
    if n_accounts >= 2 * len(names):
        counts = np.maximum(counts, 1)
    while counts.sum() > n_accounts:
        counts[int(counts.argmax())] -= 1
    for i in np.argsort(counts - shares)[: n_accounts - int(counts.sum())]:
        counts[i] += 1
    kinds = [name for name, count in zip(names, counts, strict=True) for _ in range(count)]
    return [kinds[i] for i in rng.permutation(len(kinds))]


def draw_queries(kind: str, days: float, rng: Rng) -> int:
    """How much one account of a kind asks in so many days, at least 15."""
    row = BENIGN_KINDS[kind]
    # 80 % of a log-normal lie within 1.28 standard deviations.
    center = (np.log(row.queries_low) + np.log(row.queries_high)) / 2
    spread = (np.log(row.queries_high) - np.log(row.queries_low)) / 2 / 1.28
    weekly = float(np.exp(np.clip(rng.normal(center, spread), center - 2 * spread, center + 2 * spread)))
    share = 1.0 if BENIGN_KINDS[kind].arrivals == ("burst",) else days / 7
    return max(15, round(weekly * share))
