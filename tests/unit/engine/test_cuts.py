"""One batch or many: any cut of the same records gives the same outcomes."""

import functools

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.traffic import NOW_MS, batches, traffic

from copycatch.engine import new_state, step
from copycatch.records.policy import Policy
from copycatch.records.wire import ENCODER
from copycatch.units import UnixMs

RECORDS = traffic(seed=11, n_accounts=35, n_records=4_000, hours=72)


def outcomes_of(cuts: list[int]) -> tuple[bytes, ...]:
    state = new_state(Policy())
    said: list[bytes] = []
    looks: list[bytes] = []
    for batch in batches(RECORDS, cuts):
        outcomes = step(state, batch, UnixMs(NOW_MS), Policy())
        said += [ENCODER.encode(each) for each in outcomes.alerts]
        looks += [
            repr((evaluations.account_ids[i], scores.values[i].tolist(), scores.tail_probs[i])).encode()
            for evaluations, scores in outcomes.evaluations
            for i in range(len(evaluations))
        ]
    return (*said, b"--", *looks)


@functools.cache
def whole() -> tuple[bytes, ...]:
    return outcomes_of([len(RECORDS)])


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.integers(1, 1500), min_size=1, max_size=5))
def test_any_cut_gives_the_same_looks_and_alerts(cuts: list[int]) -> None:
    if sum(cuts) / len(cuts) < 20:
        cuts = [*cuts, 400]  # thousands of tiny batches say no more and take minutes
    assert outcomes_of(cuts) == whole()
    assert len(whole()) > 100
