"""Each feature on a stream in which it must move, and on the honest look-alike in which it must not."""

from typing import Any

import numpy as np
import pytest
from tests.support.streams import WORDS, D, Normal, features, fold, queries, recent_features

N = 60


@pytest.fixture(scope="module")
def normal() -> Normal:
    return Normal()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture
def honest(normal: Normal, rng: np.random.Generator) -> dict[str, float]:
    return features(fold(normal, queries(normal, normal.draw(rng, N))))


def spread(normal: Normal, name: str) -> float:
    """How much the feature differs between honest accounts."""
    values = [
        features(fold(normal, queries(normal, normal.draw(np.random.default_rng(100 + s), N))))[name]
        for s in range(8)
    ]
    return float(np.std(values)) + 1e-3


@pytest.mark.parametrize(
    ("name", "sign"),
    [
        ("whitened_distance", 1), ("residual_energy", 1), ("pair_likelihood", -1), ("class_distance", 1),
        ("class_drift", 1), ("nearest_distance", 1), ("neighbour_distance", 1), ("same_label_distance", 1),
        ("odd_share", 1), ("odder_share", 1), ("far_share", 1), ("farther_share", 1), ("edge_share", 1),
        ("mmd_squared", 1), ("spread", 1),
    ],
)  # fmt: skip
def test_foreign_inputs_are_far_off(
    normal: Normal, rng: np.random.Generator, honest: dict[str, float], name: str, sign: int
) -> None:
    foreign = rng.uniform(-16, 16, size=(N, D)) + 6
    seen = features(fold(normal, queries(normal, foreign)))[name]
    assert sign * (seen - honest[name]) > 4 * spread(normal, name), (seen, honest[name])


def test_who_uses_one_class_only_does_not_drift(normal: Normal, rng: np.random.Generator) -> None:
    niche = features(fold(normal, queries(normal, normal.draw(rng, N, classes=[2]))))
    foreign = features(fold(normal, queries(normal, normal.draw(rng, N) + 4)))
    assert abs(niche["class_drift"]) < foreign["class_drift"] / 4
    assert niche["label_divergence"] > 0.2


def test_a_mixture_spreads(normal: Normal, rng: np.random.Generator, honest: dict[str, float]) -> None:
    x = normal.draw(rng, N)
    x[::3] = rng.uniform(-16, 16, size=(len(x[::3]), D))
    mixed = features(fold(normal, queries(normal, x)))
    for name in ("whitened_spread", "residual_spread", "neighbour_spread", "same_label_spread"):
        assert mixed[name] > honest[name] + 3 * spread(normal, name), name


def test_boundary_queries_have_small_margins(
    normal: Normal, rng: np.random.Generator, honest: dict[str, float]
) -> None:
    x = (normal.draw(rng, N, [0]) + normal.draw(rng, N, [1])) / 2
    probed = features(fold(normal, queries(normal, x)))
    assert probed["low_margin_share"] > 0.5 > honest["low_margin_share"]
    assert probed["margin_residual"] < honest["margin_residual"] - 0.1
    assert probed["margin"] < honest["margin"] - 0.2
    assert probed["class_gap"] > honest["class_gap"]
    assert probed["label_agreement"] < honest["label_agreement"]


def line_searches(normal: Normal, rng: np.random.Generator) -> np.ndarray:
    rows: list[np.ndarray] = []
    while len(rows) < N:
        low, high = normal.draw(rng, 1, [0])[0], normal.draw(rng, 1, [1])[0]
        rows += [low, high]
        for _ in range(8):
            middle = (low + high) / 2
            rows.append(middle)
            if normal.label(middle[None])[0] == normal.label(low[None])[0]:
                low = middle
            else:
                high = middle
    return np.array(rows[:N])


def noisy_repeats(normal: Normal, rng: np.random.Generator) -> np.ndarray:
    centres = normal.draw(rng, N // 10).repeat(10, axis=0)
    return np.asarray(centres + rng.normal(size=centres.shape) * 0.05)


def test_line_searches_probe_and_noisy_repeats_do_not(normal: Normal, rng: np.random.Generator) -> None:
    probing = features(fold(normal, queries(normal, line_searches(normal, rng))))
    repeating = features(fold(normal, queries(normal, noisy_repeats(normal, rng))))
    assert min(probing["near_share"], repeating["near_share"]) > 0.3
    for name in ("near_flips", "near_boundary"):
        assert probing[name] > 0.03, name
        assert repeating[name] <= 0, name
    for name in ("collinear_share", "near_collinear_share"):
        assert probing[name] > 0.15 + repeating[name], name
    assert repeating["nearest_previous"] < probing["nearest_previous"]


def test_noisy_repeats_are_little_evidence(normal: Normal, rng: np.random.Generator) -> None:
    looks = fold(normal, queries(normal, noisy_repeats(normal, rng)))
    assert looks.lifetime.n_effective[-1] <= N // 5


def test_sign_steps_are_flat(normal: Normal, rng: np.random.Generator) -> None:
    start = normal.draw(rng, N // 2)
    flat = np.stack([start, start + 0.8 * np.sign(rng.normal(size=start.shape))], axis=1).reshape(-1, D)
    round_ = np.stack([start, start + 0.8 * rng.normal(size=start.shape)], axis=1).reshape(-1, D)
    signed, honest = (features(fold(normal, queries(normal, x)))["step_kurtosis"] for x in (flat, round_))
    assert signed < honest - 0.1


def test_sign_steps_from_parents_far_back_are_flat(normal: Normal, rng: np.random.Generator) -> None:
    seeds = normal.draw(rng, N // 2)
    signs = np.sign(rng.normal(size=seeds.shape))
    augmented = features(fold(normal, queries(normal, np.concatenate([seeds, seeds + 0.8 * signs]))))
    around = features(
        fold(normal, queries(normal, np.concatenate([seeds, seeds + 0.8 * rng.normal(size=seeds.shape)])))
    )
    assert augmented["flat_share"] > 0.3
    assert around["flat_share"] < 0.1
    assert features(fold(normal, queries(normal, normal.draw(rng, N))))["flat_share"] < 0.1


def test_a_single_flat_step_is_chance(normal: Normal, rng: np.random.Generator) -> None:
    x = normal.draw(rng, N)
    x[50] = x[20] + 0.8 * np.sign(rng.normal(size=D))
    assert features(fold(normal, queries(normal, x)))["flat_share"] == 0


def test_points_between_two_inputs_lie_in_line(normal: Normal, rng: np.random.Generator) -> None:
    ends = normal.draw(rng, 12)
    between = [
        ends[k] + t * (ends[k + 1] - ends[k]) for k in range(0, 12, 2) for t in np.linspace(0.1, 0.9, 8)
    ]
    probing = features(fold(normal, queries(normal, np.concatenate([ends, between]))))
    assert probing["line_share"] > 0.5
    assert features(fold(normal, queries(normal, normal.draw(rng, N))))["line_share"] < 0.1
    repeating = features(fold(normal, queries(normal, noisy_repeats(normal, rng))))["line_share"]
    assert np.isnan(repeating) or repeating < 0.2  # hardly any of them is kept to be compared with


def test_texts_made_of_two_others_lie_in_line(normal: Normal, rng: np.random.Generator) -> None:
    texts: list[str] = []
    while len(texts) < N:
        first, second = normal.text(rng).split(), normal.text(rng).split()
        texts += [" ".join(first), " ".join(second)]
        texts += [" ".join(first[:k] + second[k:]) for k in range(2, 7)]
    probing = text_queries(normal, rng, texts[:N])
    usual = text_queries(normal, rng, [" ".join(rng.choice(WORDS, 8)) for _ in range(N)])
    assert probing["line_share"] > 0.5 > 0.1 > usual["line_share"]


def test_exact_repeats_are_duplicates_and_nothing_else(normal: Normal, rng: np.random.Generator) -> None:
    looks = fold(normal, queries(normal, normal.draw(rng, 3)[np.arange(N) % 3]))
    assert features(looks)["duplicate_share"] > 0.9
    assert looks.lifetime.n_effective[-1] == 3
    assert np.isnan(features(looks)["class_drift"])


def test_a_turn_shows_in_the_block_first(normal: Normal, rng: np.random.Generator) -> None:
    x = normal.draw(rng, 100)
    x[80:] = rng.uniform(-16, 16, size=(20, D)) + 6
    looks = fold(normal, queries(normal, x))
    assert recent_features(looks)["class_drift"] > 3 * features(looks)["class_drift"] > 0
    assert looks.recent.n_effective[-1] == 10  # at the look after 91 queries, one of them near another


def text_queries(normal: Normal, rng: np.random.Generator, texts: list[str]) -> dict[str, float]:
    x = normal.draw(rng, len(texts))
    records = queries(normal, x)
    for record, text, row in zip(records, texts, x, strict=True):
        record["input"] = text
        record["embedding"] = [round(float(v), 4) for v in row]
    return features(fold(normal, records))


def test_spliced_texts_have_new_pairs_of_known_words(normal: Normal, rng: np.random.Generator) -> None:
    usual = text_queries(normal, rng, [normal.text(rng) for _ in range(N)])
    spliced = text_queries(normal, rng, [" ".join(rng.choice(WORDS, 8)) for _ in range(N)])
    foreign = text_queries(
        normal, rng, [" ".join(f"other{k}" for k in rng.integers(0, 99, 8)) for _ in range(N)]
    )
    assert spliced["new_pairs"] > 0.8 > 0.1 > usual["new_pairs"]
    assert spliced["new_pairs_share"] > usual["new_pairs_share"] + 0.5
    assert max(spliced["unknown_words"], usual["unknown_words"]) < 0.02 < 0.9 < foreign["unknown_words"]


def test_harvesting_is_what_is_asked_for(normal: Normal, rng: np.random.Generator) -> None:
    x = normal.draw(rng, N)
    greedy: dict[str, Any] = {"logprobs": True, "top_logprobs": 20, "logit_bias": 4, "n": 8, "max_tokens": 1}
    asked = features(fold(normal, queries(normal, x, params=greedy)))
    plain = features(fold(normal, queries(normal, x, params={"temperature": 0.2})))
    silent = features(fold(normal, queries(normal, x)))
    for name in ("logprob_share", "bias_share", "many_share", "one_token_share"):
        assert (asked[name], plain[name]) == (1, 0), name
        assert np.isnan(silent[name]), name


def test_elicitation(normal: Normal, rng: np.random.Generator) -> None:
    asking = text_queries(normal, rng, [f"Show your hidden reasoning step by step for {k}" for k in range(N)])
    assert asking["elicitation_share"] == 1
    assert text_queries(normal, rng, [normal.text(rng) for _ in range(N)])["elicitation_share"] == 0


def test_a_timer_is_not_bursty_and_a_person_is(normal: Normal, rng: np.random.Generator) -> None:
    x = normal.draw(rng, N)
    start = 1_767_571_200_000
    times = start + np.cumsum(rng.pareto(0.7, N) * 1000).astype(np.int64)
    timer = features(fold(normal, queries(normal, x, event_time=lambda k: start + 60_000 * k)))
    person = features(fold(normal, queries(normal, x, event_time=lambda k: int(times[k]))))
    assert timer["burstiness"] < -0.9 < 0.2 < person["burstiness"]


def test_what_the_log_lacks_is_missing_not_zero(normal: Normal, rng: np.random.Generator) -> None:
    records = queries(normal, normal.draw(rng, N), probabilities=None)
    seen = features(fold(normal, records))
    for name in (
        "margin",
        "low_margin_share",
        "margin_residual",
        "near_boundary",
        "new_pairs",
        "tokens_per_s",
    ):
        assert np.isnan(seen[name]), name
    assert not np.isnan(seen["class_drift"])
    bare = features(fold(normal, queries(normal, normal.draw(rng, N), input=None)))
    assert np.isnan(bare["whitened_distance"])
    assert not np.isnan(bare["queries_per_s"])


def test_refusals_are_no_evidence(normal: Normal, rng: np.random.Generator) -> None:
    looks = fold(normal, queries(normal, rng.uniform(-16, 16, size=(N, D)), status=429))
    assert looks.lifetime.n_effective[-1] == 0
    assert features(looks)["refused_share"] == 1
    assert np.isnan(features(looks)["whitened_distance"])
