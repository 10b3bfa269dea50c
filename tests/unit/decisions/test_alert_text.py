"""Reasons and paragraphs that an analyst can act on, and that nobody can abuse."""

import re

import numpy as np
import pytest
from tests.support.evaluations import CATALOG, NAMES, Seen, columns

from copycatch.cli.render_alert import Exempting, alert_text
from copycatch.decisions.explain import readable_share, reasons_of
from copycatch.decisions.judge import advance, judge
from copycatch.decisions.state import DecisionState
from copycatch.features.catalog import SPECS
from copycatch.records.policy import Policy

EXEMPTING = Exempting("kim", "2026-12-31T00:00:00Z")

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
        "share of queries close to a boundary: 0.75, normal is 0 to 0.2 (rarer than 1 in 100 normal accounts)"
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
        "beyond all normal account-days seen (extrapolated: 1 in 1,000,000)",
        "test-set evaluator",
        "refuse its queries",
    ):
        assert words in alert.words
    assert "93 %" not in alert.words, "a second opinion is for programs, not beside the verdict"
    assert alert.entity.id == HOSTILE, "machines match on the exact id"
    assert recommendation.decision_key.count("|") == 3
    assert recommendation.decision_key.isprintable() or "\u202e" in recommendation.decision_key
    assert alert.looks_like == ["a test-set evaluator\\x1b[2J"]


@pytest.mark.parametrize("tail_prob", [0.09, 0.05, 0.013, 1e-3, 2.5e-4, 1e-5, 1e-6, 1e-9, 1e-15])
def test_a_rare_share_is_one_in_so_many(tail_prob: float) -> None:
    words = readable_share(tail_prob, "x")
    one_in = float(re.findall(r"1 in ([0-9,]+)", words)[0].replace(",", ""))
    assert one_in == pytest.approx(1 / max(tail_prob, 1e-6), rel=0.06)
    assert ("extrapolated" in words) == (tail_prob < 1e-5)


def test_no_sentence_points_at_one_that_is_not_there() -> None:
    """A reason stands alone: `that distance` and `such pairs` would name nothing."""
    for spec in SPECS:
        assert not re.search(
            r"\b(that|those|such) (distance|pairs|directions)\b|^the same\b", spec.sentence
        ), spec


def test_what_it_resembles_acquits_nobody() -> None:
    seen = Seen("a", 3_600_000, 1e-9, looks_like=("a robustness test",), attack_prob=0.0)
    verdicts = judge(*columns([seen]), Policy(), CATALOG, DecisionState())
    words = verdicts.alerts[0].words
    assert "Ask the owner first: it also resembles a robustness test, as most attacks do." in words
    shown = alert_text(verdicts.alerts[0], verdicts.recommendations[0], EXEMPTING)
    assert shown.startswith("CRITICAL")
    assert "0 % chance" not in words + shown
    closed = advance(state_of(seen), 40 * 86_400_000, Policy()).alerts[-1]
    shown = alert_text(closed, None, EXEMPTING)
    assert "It has stopped, or was cut off. What it got it has" in shown
    assert "no further sign of it since 1970-01-01T01:00Z; block has run out" in closed.words
    assert "Nothing" not in shown


def state_of(seen: Seen) -> DecisionState:
    state = DecisionState()
    judge(*columns([seen]), Policy(), CATALOG, state)
    return state


def test_names_of_the_catalogue_are_in_step() -> None:
    assert len(NAMES) == columns([Seen("a", 0)])[1].values.shape[1]
    assert np.isnan(columns([Seen("a", 0)])[1].values).all()
