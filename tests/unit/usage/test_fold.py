"""The compiled pass, beside the slow obvious count."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from tests.unit.usage.support import MINUTE_MS, events_for, picked, unit_vectors

from copycatch.layout.structs import as_bytes
from copycatch.records.columns import IntArray
from copycatch.usage.events import UNIT, UsageEvents
from copycatch.usage.fold import fold
from copycatch.usage.layout import QUERIES_MAX, SAMPLE, SUM, USAGE
from copycatch.usage.measures import MEASURES
from copycatch.usage.others import OTHERS_MAX, compared, others_of
from copycatch.usage.state import UsageRows

N = 30  # no more than the sample holds: what is measured is exact


def measured(events: UsageEvents, due: IntArray | None = None) -> dict[str, float]:
    at = np.array([len(events.rows) - 1]) if due is None else due
    return dict(zip(MEASURES, UsageRows().add(events, events.rows, at)[-1].tolist(), strict=True))


def one_account(n: int = N) -> UsageEvents:
    return events_for(np.zeros(n, dtype=np.int64))


def test_breadth_and_redundancy_are_those_of_all_pairs() -> None:
    events = one_account()
    found = measured(events)
    vectors = events.vectors.astype(np.float64) / UNIT
    cosines = vectors @ vectors.T
    pairs = cosines[~np.eye(N, dtype=bool)]
    nearest = np.sort(np.where(np.eye(N, dtype=bool), -1, cosines).max(axis=1))
    assert found["pair_similarity"] == pytest.approx(pairs.mean(), abs=1e-6)
    assert found["breadth"] == pytest.approx(-np.log((np.maximum(pairs, 0) ** 2).mean() + 1e-6), abs=1e-6)
    assert found["sample_nearest"] == pytest.approx(nearest[N // 2], abs=1e-6)
    assert found["sample_nearest_high"] == pytest.approx(nearest[N * 9 // 10], abs=1e-6)
    centred = vectors - vectors.mean(axis=0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    off = (centred @ centred.T)[~np.eye(N, dtype=bool)]
    assert found["own_breadth"] == pytest.approx(-np.log((np.maximum(off, 0) ** 2).mean()), abs=1e-3)


def test_order_and_novelty_are_those_of_successive_queries() -> None:
    events = one_account()
    found = measured(events)
    cosines = (vectors := events.vectors.astype(np.float64) / UNIT) @ vectors.T
    steps = np.diagonal(cosines, 1)
    nearest = np.array([cosines[i, :i].max() for i in range(1, N)])
    assert found["step_similarity"] == pytest.approx(steps.mean(), abs=1e-5)
    assert found["own_nearest"] == pytest.approx(nearest.mean(), abs=1e-5)
    assert found["unlike_share"] == pytest.approx((nearest < 0.6).mean(), abs=1e-5)
    assert found["quick_step_excess"] == pytest.approx(steps.mean() - found["pair_similarity"], abs=1e-5)


def test_a_conversation_follows_up_and_a_repeat_repeats() -> None:
    events = one_account()
    same = events._replace(vectors=np.repeat(events.vectors[::3], 3, axis=0)[:N])
    found = measured(same)
    assert found["repeat_share"] == pytest.approx((N - N // 3) / (N - 1), abs=1e-5)
    assert found["follow_up_share"] == found["repeat_share"]
    late = same._replace(times_ms=same.times_ms * 11)  # eleven minutes apart
    assert measured(late)["follow_up_share"] == 0.0


def test_templates_and_settings_are_counted() -> None:
    events = one_account()
    found = measured(events)
    assert found["ending_top"] >= 0.4
    assert found["opening_top"] <= 1 / N
    assert found["settings_top"] == 1.0
    assert found["settings_entropy"] == pytest.approx(1.0)
    assert found["settings_switches"] == found["settings_two"] == 0.0
    mixed = events._replace(settings=np.where(np.arange(N) % 3 == 0, 3, 4).astype(np.uint32))
    found = measured(mixed)
    assert found["settings_two"] == 1.0
    assert found["settings_switches"] == pytest.approx(19 / N)


def test_the_same_prompt_under_other_biases_is_seen() -> None:
    events = one_account()
    prompts = np.repeat(events.prompts[::5], 5)[:N]
    new = events._replace(prompts=prompts, biases=np.arange(1, N + 1, dtype=np.uint32))
    assert measured(new)["rebiased_share"] == pytest.approx(0.8)
    kept = new._replace(biases=np.full(N, 5, dtype=np.uint32))
    assert measured(kept)["rebiased_share"] == 0.0
    assert measured(events)["rebiased_share"] == 0.0


def test_completions_over_new_prompts_count_and_over_one_prompt_do_not() -> None:
    events = one_account()._replace(asks_many=np.ones(N, dtype=np.bool_))
    assert measured(events)["new_completions"] > 0.5
    same = events._replace(vectors=np.repeat(events.vectors[:1], N, axis=0))
    assert measured(same)["new_completions"] < 0.05


def test_new_queries_of_the_last_day_are_counted() -> None:
    events = one_account()
    assert measured(events)["day_queries"] == pytest.approx(np.log1p(N))
    slow = events._replace(times_ms=events.times_ms * 240)  # four hours apart
    assert measured(slow)["day_queries"] == pytest.approx(np.log1p(6))
    same = events._replace(vectors=np.repeat(events.vectors[:1], N, axis=0))
    assert measured(same)["day_queries"] == pytest.approx(np.log1p(1))


def test_lengths_words_and_what_is_asked_for_are_counted() -> None:
    events = one_account()
    found = measured(events)
    assert found["length_spread"] == pytest.approx(0.0, abs=5e-3)
    assert found["reasoning_words"] == pytest.approx(np.ceil(N / 4) / N)
    assert found["grading_requests"] == 0.0
    assert found["vocabulary"] == pytest.approx((7 + N) / np.sqrt(8 * N), rel=0.02)
    spread = np.where(np.arange(N) % 2, 2.0, 4.0).astype(np.float32)
    assert measured(events._replace(lengths=spread))["length_spread"] == pytest.approx(1.0, abs=1e-3)
    same_words = np.repeat(events.word_bits[:1], N, axis=0)
    assert measured(events._replace(word_bits=same_words))["vocabulary"] < found["vocabulary"] / 3


def test_nothing_is_said_of_few_queries_or_without_vectors_or_options() -> None:
    assert np.isnan(list(measured(one_account(11)).values())).all()
    events = one_account()
    found = measured(events._replace(has_vector=np.zeros(N, dtype=np.bool_)))
    assert np.isnan(found["breadth"])
    assert found["ending_top"] >= 0.4
    found = measured(events._replace(settings=np.zeros(N, dtype=np.uint32)))
    assert np.isnan(found["settings_top"])
    assert not np.isnan(found["breadth"])


@pytest.mark.parametrize("cut", [1, 7, 64])
def test_it_does_not_matter_how_events_are_cut(cut: int) -> None:
    rng = np.random.default_rng(3)
    events = events_for(rng.integers(5, size=400))
    due = np.sort(rng.choice(400, 30, replace=False))
    whole, parts = UsageRows(), UsageRows()
    values = whole.add(events, events.rows, due)
    found = []
    for start in range(0, 400, cut):
        part = picked(events, slice(start, start + cut))
        own = due[(due >= start) & (due < start + cut)] - start
        found.append(parts.add(part, part.rows, own))
    assert_array_equal(np.concatenate(found), values)
    assert_array_equal(as_bytes(parts.table), as_bytes(whole.table))


def test_a_long_life_fades_and_stays_within_its_row() -> None:
    n = 5 * QUERIES_MAX + 10  # just after a halving no words are known
    events = one_account(n)
    rows = np.zeros(1, dtype=USAGE)
    out = np.empty((1, len(MEASURES)))
    vectors = unit_vectors(OTHERS_MAX, seed=4).astype(np.float32)
    others = others_of(list(vectors), list(range(1, OTHERS_MAX + 1)))
    to = compared([others], np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64))
    fold(as_bytes(rows), events, np.array([n - 1]), to, out)
    assert QUERIES_MAX / 2 <= rows["sums"][0, SUM["queries"]] < QUERIES_MAX
    assert np.isfinite(out).all()
    assert 0 <= out[0, MEASURES.index("ending_top")] <= 1


def test_the_sample_is_uniform() -> None:
    n, hits = 120, np.zeros(120)
    for seed in range(400):
        events = events_for(np.zeros(n, dtype=np.int64), seed)
        marked = events._replace(vectors=np.repeat(np.arange(n, dtype=np.int8)[:, None], 64, axis=1))
        usage = UsageRows()
        usage.add(marked, marked.rows, np.empty(0, dtype=np.int64))
        hits[usage.table["sample"][0, :, 0]] += 1
    expected = 400 * SAMPLE / n
    assert abs(hits[:40].mean() - expected) < 0.15 * expected
    assert abs(hits[-40:].mean() - expected) < 0.15 * expected


def test_late_records_and_unknown_accounts_do_no_harm() -> None:
    events = events_for(np.array([0, -1] * N))
    counted = events._replace(is_counted=events.rows >= 0, times_ms=events.times_ms[::-1] + MINUTE_MS)
    found = UsageRows().add(counted, counted.rows, np.array([2 * N - 2, 2 * N - 1]))
    assert np.isfinite(np.delete(found[0], MEASURES.index("coverage"))).all()
    assert np.isnan(found[1]).all()
