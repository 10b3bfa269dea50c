"""Late, repeated, unread or unfit is not unseen: it is judged as far as it can be, or charged."""

from typing import Any

import numpy as np
import pytest
from tests.support.streams import D, Normal, features, fold, queries
from tests.support.traffic import NOW_MS, START_MS, batches, columns, raw_batch, record, traffic

from copycatch.engine import new_state, step
from copycatch.engine.state import EngineState
from copycatch.formats.catalog import make_decoder
from copycatch.formats.shared.format import FormatOptions
from copycatch.records.columns import Charge, Counts
from copycatch.records.policy import Policy
from copycatch.records.wire import ENCODER
from copycatch.units import UnixMs
from copycatch.windows.admission import DROPPED_MS

MINUTE_MS = 60_000


def played(
    records: list[dict[str, Any]], cuts: list[int] | None = None
) -> tuple[EngineState, Counts, list[Any]]:
    state, counts, evaluations = new_state(Policy()), Counts(), []
    for batch in batches(records, cuts or [len(records)]):
        outcomes = step(state, batch, UnixMs(NOW_MS + 10 * DROPPED_MS), Policy())
        counts.add(outcomes.counts)
        evaluations += outcomes.evaluations
    return state, counts, evaluations


def held(records: list[dict[str, Any]], account: str, hold_ms: int) -> list[dict[str, Any]]:
    """The same log where this account's lines come so much later, in order of arrival."""
    arrivals = [
        (each["event_time"] + hold_ms * (each["account_id"] == account), at)
        for at, each in enumerate(records)
    ]
    return [records[at] for _, at in sorted(arrivals)]


@pytest.mark.parametrize("hold_ms", [5 * MINUTE_MS, 15 * MINUTE_MS, 12 * 60 * MINUTE_MS])
def test_who_is_logged_late_is_judged_as_if_it_came_in_time(hold_ms: int) -> None:
    records = traffic(seed=4, n_accounts=20, n_records=3_000, hours=48)
    in_time, late = played(records), played(held(records, "thief", hold_ms))
    assert late[1] == Counts(accepted=len(records))

    def looks(evaluations: list[Any]) -> list[int]:
        return [
            int(n)
            for each, _ in evaluations
            for name, n in zip(each.account_ids, each.queries, strict=True)
            if name == "thief"
        ]

    assert looks(late[2]) == looks(in_time[2])


def test_a_log_line_of_more_than_a_day_ago_is_dropped_and_charged() -> None:
    records = [record(index, event_time=START_MS + 2 * DROPPED_MS) for index in range(30)]
    records += [record(100 + index, event_time=START_MS + index) for index in range(20)]
    state, counts, evaluations = played(records)
    assert counts == Counts(accepted=30, late=20)
    named = features(evaluations[-1][0])
    assert named["late_share"] == pytest.approx(20 / 50, abs=0.06)
    assert state.windows.last_ms.max() == START_MS + 2 * DROPPED_MS


def test_what_came_twice_is_charged_and_counts_for_nothing() -> None:
    records = [record(index, input=[float(index), 1.0, 2.0, 3.0]) for index in range(40)]
    twice = [each for pair in zip(records, records, strict=True) for each in pair]
    once, both = played(records), played(twice)
    assert both[1] == Counts(accepted=40, duplicates=40)
    assert features(both[2][-1][0])["repeated_share"] == pytest.approx(0.5, abs=0.02)
    assert [e.queries.tolist() for e, _ in once[2]] == [e.queries.tolist() for e, _ in both[2]]


def test_charges_are_the_same_however_cut() -> None:
    records = held(traffic(seed=5, n_accounts=20, n_records=1_500, hours=48), "thief", 15 * MINUTE_MS)
    rng = np.random.default_rng(6)
    mixed = [each for one in records for each in [one] * (1 + (rng.random() < 0.2))]
    mixed[::50] = [each | {"event_time": START_MS - 2 * DROPPED_MS} for each in mixed[::50]]

    def said(cuts: list[int]) -> list[str]:
        return [repr(e.lifetime.values[i].tolist()) for e, _ in played(mixed, cuts)[2] for i in range(len(e))]

    assert said([len(mixed)]) == said([7, 400, 1, 90])


def test_a_dead_letter_names_the_account() -> None:
    bad = record(1, account_id="acct-9", event_time="yesterday")
    _, rejects = columns(raw_batch([bad]))
    assert [each.account_id for each in rejects] == ["acct-9"]
    outcomes = step(
        new_state(Policy()),
        columns(raw_batch([record(1, account_id="acct-9", event_time=NOW_MS + DROPPED_MS)]))[0],
        UnixMs(NOW_MS), Policy(),
    )  # fmt: skip
    assert [each.account_id for each in outcomes.rejects] == ["acct-9"]
    assert b'"account_id":"acct-9"' in ENCODER.encode(outcomes.rejects[0])


def test_a_request_without_its_answer_is_judged_and_charged() -> None:
    decoder = make_decoder("oip", FormatOptions(join_timeout_s=1.0, account_headers=("x-account-id",)))
    body = (
        b'{"id":"r1","model_name":"m","inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[1,2]}]}'
    )
    raw = raw_batch([body])
    raw.headers, raw.timestamps_ms = [[("x-account-id", b"a1")]], [START_MS]
    decoder.decode(raw)
    decoder.flush(0)
    given_up = decoder.flush(35_000)
    assert [each.input for each in given_up.records] == [[1.0, 2.0]]
    assert given_up.charges == {0: Charge.UNJOINED}


@pytest.fixture(scope="module")
def normal() -> Normal:
    return Normal()


@pytest.mark.parametrize("unfit", ["longer", "not a number"])
def test_inputs_that_cannot_be_measured_reach_a_limit(normal: Normal, unfit: str) -> None:
    rng = np.random.default_rng(7)
    records = queries(normal, normal.draw(rng, 40))
    for each in records:
        each["input"] = [*each["input"], 0.0] if unfit == "longer" else [float("nan"), *each["input"][1:]]
    assert features(fold(normal, records))["unfit_share"] == 1.0
    assert features(fold(normal, queries(normal, normal.draw(rng, 40))))["unfit_share"] == 0.0
    limits = {rule.name: rule for rule in Policy().limits}
    assert limits["unfit_inputs"].when.above < 1.0
    refused = [each | {"status": 400} for each in records]
    assert np.isnan(features(fold(normal, refused))["unfit_share"]), "the server did not take them either"
    assert len(normal.means[0]) == D


@pytest.mark.parametrize("answer", [{"predicted_label": 1}, {"output_text": "all but the last word"}])
def test_an_error_with_its_answer_is_judged(normal: Normal, answer: dict[str, Any]) -> None:
    """Who hangs up just before the end of a stream has the answer, and is logged with an error."""
    asked = queries(normal, normal.draw(np.random.default_rng(8), 40))
    for each in asked:
        del each["predicted_label"], each["probabilities"]
    failed = [each | {"status": 500} for each in asked]
    hung_up = [each | answer for each in failed]
    assert fold(normal, hung_up).answered.tolist() == fold(normal, asked).answered.tolist() != []
    assert not fold(normal, failed).answered.any()
