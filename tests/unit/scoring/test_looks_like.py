"""Each harmless kind in words, on features that show it and on ones that do not."""

import numpy as np
import pytest

from copycatch.features.catalog import FEATURE_INDEX, NAMES
from copycatch.records.columns import Normal
from copycatch.scoring.looks_like import KINDS, QUERIES_MIN, looks_like

# An account in the middle of everything; every feature of its peers has median 0 and scale 1 but shares.
USUAL = dict.fromkeys(NAMES, 0.0) | {
    "hour_entropy": 0.8,
    "active_share": 0.05,
    "topics": 8.0,
    "class_drift": 0.0,
    "input_spread": 1.0,
    "input_coupling": 1.0,
}
FAR = {"class_distance": 2.0, "whitened_distance": 2.0, "nearest_distance": 2.0}  # ten deviations
SHIFTED = 0.6 * 16 * float(np.exp(2.0))
# (what it says, features that show it, features of a near miss)
CASES = [
    ("a health check: 99 %", {"duplicate_share": 0.99}, {"duplicate_share": 0.1}),
    ("a resubmitter: 40 % exact repeats", {"duplicate_share": 0.4}, {"duplicate_share": 0.2}),
    ("a robustness test", FAR | {"class_drift": 0.01}, FAR | {"class_drift": SHIFTED / 4}),
    (
        "a client with mis-scaled inputs",
        FAR | {"class_drift": SHIFTED},
        FAR | {"class_drift": SHIFTED, "near_boundary": 0.2},
    ),
    (
        "a client with mis-scaled inputs",
        {"input_shift": 1.2, "input_spread": 0.9},
        {"input_shift": 1.2, "input_spread": 2.0},
    ),
    (
        "a hard-case reviewer",
        {"low_margin_share": 2.0},
        {"low_margin_share": 2.0, "class_distance": 2.0, "class_drift": 20.0},
    ),
    (
        "a nightly batch",
        {"burstiness": 0.8, "hour_entropy": 0.2, "active_share": 0.01},
        {"burstiness": 0.8, "hour_entropy": 0.9, "active_share": 0.01},
    ),
    (
        "a niche user",
        {"topics": 1.5, "label_divergence": 2.0},
        FAR | {"topics": 1.5, "label_divergence": 2.0, "class_drift": 20.0},
    ),
    ("templated use", {"ending_common": 0.9}, {"opening_common": 0.9, "duplicate_share": 0.99}),
    (
        "conversations",
        {"step_excess": 0.15, "unlike_share": 0.9},
        {"step_excess": 0.01, "unlike_share": 0.9},
    ),
    (
        "an agent",
        {"step_excess": 0.5, "repeat_share": 0.6},
        {"step_excess": 0.9, "repeat_share": 0.98, "rebiased_share": 0.9},
    ),
]


def said_of(features: dict[str, float], queries: int = 100, normal: Normal | None = None) -> list[str]:
    values = np.array([[(USUAL | features)[name] for name in NAMES]])
    if normal is None:
        normal = Normal.unknown(1, len(NAMES))
        normal.medians[:], normal.ups[:], normal.downs[:] = 0.0, 0.2, 0.2
    return looks_like(values, normal, np.array([queries]), FEATURE_INDEX)[0]


@pytest.mark.parametrize(("words", "shows", "misses"), CASES, ids=[words for words, _, _ in CASES])
def test_a_kind_is_named_where_it_shows_and_only_there(
    words: str, shows: dict[str, float], misses: dict[str, float]
) -> None:
    assert any(said.startswith(words) for said in said_of(shows)), said_of(shows)
    kind = words.split(":", maxsplit=1)[0]
    assert not any(said.startswith(kind) for said in said_of(misses)), said_of(misses)


def test_a_harvest_of_logits_is_taken_for_no_health_check_nor_resubmission() -> None:
    for share in (0.5, 0.99):
        assert said_of({"duplicate_share": share}) != []
        assert said_of({"duplicate_share": share, "rebiased_share": 0.8}) == []


def test_every_kind_has_its_case() -> None:
    assert len({words.split(":")[0] for words, _, _ in CASES}) == len(KINDS)
    for words, _, _ in CASES:
        assert sum(kind.description.startswith(words.split(":")[0]) for kind in KINDS) == 1


def test_an_ordinary_account_resembles_nothing() -> None:
    assert said_of({}) == []


@pytest.mark.filterwarnings("error")
def test_what_is_missing_resembles_nothing() -> None:
    assert said_of(dict.fromkeys(NAMES, float("nan"))) == []
    unknown = Normal.unknown(1, len(NAMES))
    assert said_of(FAR | {"class_drift": 0.01}, normal=unknown) == []


def test_nothing_is_said_of_the_first_queries() -> None:
    shows = CASES[1][1]
    assert said_of(shows, QUERIES_MIN - 1) == []
    assert said_of(shows, QUERIES_MIN) != []
