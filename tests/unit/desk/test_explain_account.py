"""One account through a log: its evaluations beside others', why it was alerted on or not, its queries."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from tests.support.evaluations import CATALOG, DAY_MS, MINUTE_MS, Seen, columns

from copycatch.decisions.judge import judge
from copycatch.decisions.state import DecisionState
from copycatch.desk.samples import Samples, read_samples
from copycatch.desk.timeline import AccountTimeline, why_not
from copycatch.formats.catalog import make_decoder
from copycatch.formats.shared.format import FormatOptions
from copycatch.records.columns import Outcomes
from copycatch.records.policy import Allow, LimitRule, Match, Policy, When


def _timeline(*probs: float, others: int = 40) -> AccountTimeline:
    timeline = AccountTimeline("a", catalog=CATALOG)
    seen = [
        Seen("a", DAY_MS + at * MINUTE_MS, prob, {"queries_per_s": 9.0}, shares={"queries_per_s": 0.5})
        for at, prob in enumerate(probs)
    ]
    seen += [Seen(f"o{at}", DAY_MS, 0.5, {"queries_per_s": at / 100}) for at in range(others)]
    timeline.take(Outcomes(evaluations=[columns(seen)]))
    return timeline


def test_features_stand_beside_those_of_others_at_about_as_many_queries() -> None:
    timeline = _timeline(0.3, 0.01)
    worst = timeline.worst
    assert worst is not None
    assert worst.tail_prob == 0.01
    assert worst.strongest(3) == [0]
    low_high = timeline.usual(worst, 0)
    assert low_high is not None
    assert np.allclose(low_high, np.quantile(np.arange(40) / 100, [0.05, 0.95]))
    assert timeline.usual(worst, 2) is None, "nobody has the feature"
    few = _timeline(0.3, others=10)
    assert few.usual(few.points[0], 0) is None


def test_why_not_names_the_budget_that_would_have_named_it() -> None:
    assert "A budget of 10 alerts per 1,000 accounts and day" in why_not(_timeline(0.3, 0.01), Policy())
    limit = LimitRule(name="fast", when=When(feature="queries_per_s", above=5.0))
    alerted = _timeline(0.3, 1e-4)
    alerted.alerts += judge(
        *columns([Seen("a", DAY_MS, 1e-4, {"queries_per_s": 9.0})]),
        Policy(rules=[limit]), CATALOG, DecisionState(),
    ).alerts  # fmt: skip
    told = why_not(alerted, Policy(rules=[limit]))
    assert "Quiet it would have been with a budget below 0.1 alerts per 1,000 accounts and day" in told
    assert "a limit fast above 9" in told
    assert "never evaluated" in why_not(_timeline(), Policy())
    assert "no score" in why_not(_timeline(float("nan")), Policy())
    allow = Policy(allow=[Allow(match=Match(account_id="a"), reason="our own tests", owner="qa")])
    assert "allow-list: our own tests" in why_not(_timeline(1e-9), allow)


def _read(tmp_path: Path, inputs: Mapping[str, Sequence[object]], suspects: tuple[str, ...] = ()) -> Samples:
    records = [
        {
            "event_id": f"{name}{at}",
            "event_time": DAY_MS + at,
            "account_id": name,
            "model_id": "m",
            "input": given,
        }
        for name, all_given in inputs.items()
        for at, given in enumerate(all_given)
    ]
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return read_samples(
        [str(path)], lambda: make_decoder("native", FormatOptions()), [("thief", "m")], suspects
    )["thief", "m"]


def test_numbers_are_shown_as_deviations_farthest_first(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    usual = rng.normal(size=(50, 4)).tolist()
    samples = _read(tmp_path, {"thief": [*usual[:8], [0.0, 30.0, 0.0, 0.0]], "o": usual})
    assert samples.n_own == 9
    assert samples.telling[0].event_id == "thief8"
    assert samples.telling[0].deviations[0][0] == 1
    assert samples.telling[0].deviations[0][1] > 20
    assert {sample.account_id for sample in samples.usual} == {"o"}
    assert len(samples.usual) == 5


def test_texts_are_shown_once_and_say_how_often(tmp_path: Path) -> None:
    usual = [f"how do I change the address of account number {at}" for at in range(20)]
    asked = [*usual[:3], *["enumerate the eigenvalues of a banana"] * 4]
    samples = _read(tmp_path, {"thief": asked, "o": usual, "other thief": ["zzz"]}, ("other thief",))
    assert samples.telling[0].text == "enumerate the eigenvalues of a banana"
    assert samples.telling[0].times == 4
    assert len({sample.text for sample in samples.telling}) == len(samples.telling)
    assert all(sample.account_id == "o" for sample in samples.usual)


@pytest.mark.parametrize("given", [[None], []])
def test_a_log_without_questions_has_none_to_show(tmp_path: Path, given: list[object]) -> None:
    assert _read(tmp_path, {"thief": given, "o": given}).telling == []


def test_the_same_queries_are_chosen_however_often_they_are_read(tmp_path: Path) -> None:
    inputs: dict[str, list[object]] = {"thief": [[float(at), 0.0] for at in range(30)], "o": [[0.0, 1.0]] * 9}
    assert _read(tmp_path, inputs) == _read(tmp_path, inputs)
