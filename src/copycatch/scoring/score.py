"""The score, from features to tail probabilities: one pure call."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from copycatch.features.catalog import FEATURE_INDEX
from copycatch.records.columns import (
    Baseline,
    BoolArray,
    Evaluations,
    Features,
    FloatArray,
    IntArray,
    ScoreBasis,
    Scores,
)
from copycatch.scoring.activity import ACTIVITY_COLUMNS, Activity, activity_of
from copycatch.scoring.catalog import FAMILIES, SCORERS
from copycatch.scoring.coherence import coherence_of
from copycatch.scoring.combine import feature_shares, score_of
from copycatch.scoring.damping import damping
from copycatch.scoring.distillation import USAGE_COLUMNS, shares_of_use
from copycatch.scoring.ensemble import Ensemble
from copycatch.scoring.families import ANOMALY_MAX, anomalies_of, deviations_of, family_values, positions_of
from copycatch.scoring.persistence import follow, lateness
from copycatch.scoring.pretrained import chance_of
from copycatch.scoring.protocol import Inputs
from copycatch.scoring.scored_features import SCORED_COLUMNS
from copycatch.scoring.switches import Switches

_PRETRAINED = FAMILIES.index("pretrained")
DISTILLATION = FAMILIES.index("distillation")
ACTIVITY_FAMILY = FAMILIES.index("activity")


class FamilyTails(Protocol):
    """The tails of the families among normal accounts of a model."""

    def surprisal(self, values: FloatArray) -> FloatArray: ...


class ScoreTail(Protocol):
    """The tail of the score among normal accounts of a model."""

    def tail_probs(self, scores: FloatArray) -> FloatArray: ...


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one model; None for what it has not seen enough for yet.

    Where its queries are measured, how much and when accounts ask has no part in the score.
    """

    ensemble: Ensemble | None = None
    tails: FamilyTails | None = None
    calibration: ScoreTail | None = None
    is_measured: bool = True


class Baselines(NamedTuple):
    """What is usual of the scored features, (n, n_scored): over lifetimes and over recent windows."""

    lifetime: Baseline
    recent: Baseline


class _Anomalies(NamedTuple):
    """Of every scored feature and family of features, whichever of the two windows deviates more."""

    features: FloatArray
    families: FloatArray
    is_recent: BoolArray
    positions: FloatArray


def score(
    evaluations: Evaluations,
    baselines: Baselines,
    models: Sequence[tuple[IntArray, Known]],
    levels: FloatArray,
    switches: Switches,
) -> Scores:
    """Score evaluations; changes nothing.

    Parameters
    ----------
    evaluations : Evaluations
    baselines : Baselines
    models : sequence of (members, known)
        Each model with the positions of its evaluations, ndarray of int64.
    levels : ndarray of float64, shape (n,)
        Level of each account before these evaluations; NaN before its first.
    switches : Switches

    Returns
    -------
    Scores
        Without reasons: NaN and empty lists in their place.
    """
    anomalies = _anomalies(evaluations, baselines)
    usage = evaluations.lifetime.values[:, USAGE_COLUMNS]
    activity = activity_of(evaluations.lifetime.values[:, ACTIVITY_COLUMNS])
    for members, known in models:
        if known.is_measured:
            activity[members] = np.nan
    inputs = Inputs(anomalies.positions, anomalies.families / ANOMALY_MAX, usage, activity)
    families = np.concatenate([anomalies.families, _scorers(models, inputs)], axis=1)
    families *= _damping(evaluations)
    surprisal = np.full_like(families, np.nan)
    for members, known in models:
        if known.tails is not None:
            surprisal[members] = known.tails.surprisal(families[members])
    single, parts = score_of(switches.mask(surprisal))
    after = follow(evaluations.rows, single, levels)
    raw = after - lateness(evaluations.answered)
    for members, known in models:
        if not known.is_measured:  # how much an account asks shows in many queries only
            raw[members] = after[members]
    tail_probs = np.full(len(evaluations), np.nan)
    for members, known in models:
        if known.calibration is not None:
            tail_probs[members] = known.calibration.tail_probs(raw[members])
    shares = _shares(evaluations, parts, anomalies.features)
    _add_shares_of_activity(shares, models, activity, parts)
    return Scores(
        values=_judged_values(evaluations, anomalies.is_recent),
        tail_probs=tail_probs,
        attack_probs=chance_of(families[:, _PRETRAINED]),
        is_warm=~np.isnan(tail_probs),
        shares=shares,
        basis=ScoreBasis(
            anomalies.is_recent, inputs.positions, inputs.families, activity, families, parts, after, raw
        ),
        feature_tail_probs=np.full_like(shares, np.nan),
        normal_lows=np.full_like(shares, np.nan),
        normal_highs=np.full_like(shares, np.nan),
        looks_like=[[] for _ in tail_probs],
    )


def _anomalies(evaluations: Evaluations, baselines: Baselines) -> _Anomalies:
    lifetime_deviations = _deviations(evaluations.lifetime, baselines.lifetime)
    recent_deviations = _deviations(evaluations.recent, baselines.recent)
    lifetime, recent = anomalies_of(lifetime_deviations), anomalies_of(recent_deviations)
    is_recent = np.nan_to_num(recent) > np.nan_to_num(lifetime)
    return _Anomalies(
        features=np.fmax(lifetime, recent),
        families=np.fmax(family_values(lifetime), family_values(recent)),
        is_recent=is_recent,
        positions=positions_of(np.where(is_recent, recent_deviations, lifetime_deviations)),
    )


def _shares(evaluations: Evaluations, parts: FloatArray, anomalies: FloatArray) -> FloatArray:
    """Each feature's share of the score: what the scorer of use says goes to the measures of use."""
    shares = np.zeros_like(evaluations.lifetime.values)
    others = parts.copy()
    others[:, DISTILLATION] = 0.0
    of_use = parts[:, DISTILLATION] / np.maximum(parts.sum(axis=1), 1e-12)
    shares[:, SCORED_COLUMNS] = feature_shares(others, anomalies) * (1 - of_use)[:, None]
    rows = np.flatnonzero(of_use > 0)
    if len(rows):
        usage = evaluations.lifetime.values[np.ix_(rows, USAGE_COLUMNS)]
        shares[np.ix_(rows, USAGE_COLUMNS)] += shares_of_use(usage) * of_use[rows, None]
    return shares


def _add_shares_of_activity(
    shares: FloatArray, models: Sequence[tuple[IntArray, Known]], activity: FloatArray, parts: FloatArray
) -> None:
    """What goes to how much and when an account asks: all of it, where that was scored."""
    for members, known in models:
        scorer = None if known.ensemble is None else known.ensemble.scorers["activity"]
        rows = members[parts[members, ACTIVITY_FAMILY] > 0]
        if isinstance(scorer, Activity) and len(rows):
            own = scorer.parts(activity[rows])
            shares[np.ix_(rows, ACTIVITY_COLUMNS)] = own / np.maximum(own.sum(axis=1, keepdims=True), 1e-12)


def _deviations(features: Features, baseline: Baseline) -> FloatArray:
    return deviations_of(
        features.values[:, SCORED_COLUMNS], baseline, features.n_effective, features.clustered_shares
    )


def _scorers(models: Sequence[tuple[IntArray, Known]], inputs: Inputs) -> FloatArray:
    """The values of each model's scorers, (n, n_scorers)."""
    values = np.full((len(inputs), len(SCORERS)), np.nan)
    for members, known in models:
        if known.ensemble is not None:
            values[members] = known.ensemble.values(inputs.pick(members))
    return values


def _damping(evaluations: Evaluations) -> FloatArray:
    """Factor for each family, (n, n_families).

    The coherence is that of all queries over the lifetime or the recent window, or of the odd ones alone,
    whichever is highest: among cover traffic only what is odd has anything in common.
    """
    drift, distance, odd, *place = (
        FEATURE_INDEX[name]
        for name in (
            "class_drift",
            "class_distance",
            "odd_coherence",
            "input_shift",
            "input_spread",
            "input_coupling",
        )
    )
    lifetime, recent = evaluations.lifetime.values, evaluations.recent.values
    of_all = [coherence_of(values[:, drift], values[:, distance]) for values in (lifetime, recent)]
    coherence = np.fmax(np.fmax(*of_all), lifetime[:, odd])
    return damping(coherence, *(lifetime[:, column] for column in place))


def _judged_values(evaluations: Evaluations, is_recent: BoolArray) -> FloatArray:
    """Features over the recent window where they deviate more, else over the lifetime: reasons show these."""
    values = evaluations.lifetime.values.copy()
    rows, scored = np.nonzero(is_recent)
    columns = SCORED_COLUMNS[scored]
    values[rows, columns] = evaluations.recent.values[rows, columns]
    return values
