"""Reasons and paragraphs that an analyst can act on, and that nobody can abuse."""

import numpy as np
import pytest
from tests.support.evaluations import CATALOG, NAMES, Seen, columns

from copycatch.decisions.explain import readable_share, reasons_of
from copycatch.decisions.judge import judge
from copycatch.decisions.state import DecisionState
from copycatch.records.policy import Policy

HOSTILE = "a\x1b]0;owned\x07\n\u202e\u2028|%"


def test_strongest_reason_first_and_no_reason_without_a_value() -> None:
    seen = Seen(
        "a",
        0,
        1e-6,
        features={"queries_per_s": 3.0, "low_margin_share": 0.75},
        shares={"queries_per_s": 0.2, "low_margin_share": 0.7, "tokens_per_s": 0.1},
        normal_highs={"low_margin_share": 0.2},
    )
    _, scores = columns([seen])
    reasons = reasons_of(scores.values[0], scores, 0, CATALOG)
    assert [r.feature for r in reasons] == ["low_margin_share", "queries_per_s"]
    assert reasons[0].words == (
        "share of queries close to a boundary: 0.75, normal is 0 to 0.2 "
        "(more anomalous than 99 % of normal accounts)"
    )
    assert (reasons[1].normal_low, reasons[1].normal_high) == (None, None)
    assert "normal is" not in reasons[1].words


def test_the_paragraph_names_all_that_matters_and_escapes_ids() -> None:
    seen = Seen(
        HOSTILE,
        3_600_000,
        1e-6,
        features={"low_margin_share": 0.75},
        shares={"low_margin_share": 0.9},
        tenant_id="t\n",
        looks_like=("a test-set evaluator\x1b[2J",),
        attack_prob=0.93,
        queries=1234,
    )
    verdicts = judge(*columns([seen]), Policy(), CATALOG, DecisionState())
    alert, recommendation = verdicts.alerts[0], verdicts.recommendations[0]
    assert all(c.isprintable() for c in alert.words)
    for words in (
        "1,234 queries in 1 h",
        "more anomalous than 99.9999 %",
        "test-set evaluator",
        "refuse its queries",
    ):
        assert words in alert.words
    assert "93 %" not in alert.words, "a second opinion is for programs, not beside the verdict"
    assert alert.entity.id == HOSTILE, "machines match on the exact id"
    assert recommendation.decision_key.count("|") == 3
    assert recommendation.decision_key.isprintable() or "\u202e" in recommendation.decision_key
    assert alert.looks_like == ["a test-set evaluator\\x1b[2J"]


@pytest.mark.parametrize("tail_prob", [0.9, 0.5, 0.1, 0.05, 0.013, 1e-3, 2.5e-4, 1e-6, 1e-9, 1e-15])
def test_readable_share_never_claim_all(tail_prob: float) -> None:
    words = readable_share(tail_prob, "x")
    assert "100 %" not in words
    said = float(words.split()[3])
    assert abs((1 - said / 100) - tail_prob) <= max(0.5 * tail_prob, 0.006, 2e-10)


def test_names_of_the_catalogue_are_in_step() -> None:
    assert len(NAMES) == columns([Seen("a", 0)])[1].values.shape[1]
    assert np.isnan(columns([Seen("a", 0)])[1].values).all()
