"""Alerts and recommendations read back, and folded to one entry an account."""

import json
from pathlib import Path

import pytest
from msgspec import structs
from tests.support.evaluations import CATALOG, DAY_MS, HOUR_MS, MINUTE_MS, Seen, columns

from copycatch.decisions.judge import Verdicts, advance, judge
from copycatch.decisions.state import DecisionState
from copycatch.desk.overview import cases_of, first_reason, matching
from copycatch.desk.reading import read_announced
from copycatch.errors import ConfigError
from copycatch.records.policy import Policy
from copycatch.records.wire import ENCODER, Alert, Reason, Recommendation


def _announced() -> tuple[list[Alert], list[Recommendation]]:
    """Two accounts: one gets worse and is then quiet until its case closes, one is alerted on once."""
    state, alerts, rows = DecisionState(), list[Alert](), list[Recommendation]()

    def put(verdicts: Verdicts) -> None:
        alerts.extend(verdicts.alerts)
        rows.extend(verdicts.recommendations)

    for minute, account, tail_prob in ((0, "a", 0.0009), (5, "a", 1e-9), (6, "b", 0.0009)):
        seen = [Seen(account, DAY_MS + minute * MINUTE_MS, tail_prob, queries=100 + minute)]
        put(judge(*columns(seen), Policy(), CATALOG, state))
    put(advance(state, DAY_MS + HOUR_MS, Policy()))
    return alerts, rows


def test_updates_of_a_case_are_one_entry_and_the_worst_comes_first() -> None:
    alerts, rows = _announced()
    cases = cases_of(alerts, {row.decision_key: row for row in rows})
    assert [(case.entity_id, case.worst, case.queries) for case in cases] == [
        ("a", "critical", 105),
        ("b", "medium", 106),
    ]
    worse = cases[0]
    assert len(worse.levels) == 2
    assert worse.trend[0] < worse.trend[1]
    held = worse.in_force(DAY_MS + HOUR_MS)
    assert held is not None
    assert held.action == "block"
    assert worse.in_force(DAY_MS + 5 * HOUR_MS) is None, "a block ends by itself after four hours"


def test_the_reason_that_is_told_is_rare_by_itself_where_one_is() -> None:
    def reason(name: str, tail_prob: float | None) -> Reason:
        return Reason(
            feature=name,
            value=1.0,
            normal_low=0.0,
            normal_high=2.0,
            tail_prob=tail_prob,
            share=0.3,
            words=name,
        )

    alert = structs.replace(_announced()[0][0], reasons=[reason("usual", 0.25), reason("rare", 0.0)])
    assert first_reason(alert) == "rare"
    assert first_reason(structs.replace(alert, reasons=alert.reasons[:1])) == "usual"
    assert first_reason(structs.replace(alert, reasons=[])) == alert.words


def test_filters_keep_what_they_name() -> None:
    alerts, rows = _announced()
    cases = cases_of(alerts, {row.decision_key: row for row in rows})
    assert [case.entity_id for case in matching(cases, account="b")] == ["b"]
    assert matching(cases, model="other") == []
    assert matching(cases, tenant="t") == []
    assert [case.entity_id for case in matching(cases, severities=["critical"])] == ["a"]
    assert [case.entity_id for case in matching(cases, only_open=True)] == ["a", "b"]


def test_every_way_in_which_outcomes_are_written_is_read(tmp_path: Path) -> None:
    alerts, rows = _announced()
    plain, mixed, wrapped = (tmp_path / name for name in ("alerts.jsonl", "mixed.jsonl", "wrapped.jsonl"))
    plain.write_bytes(b"\n".join(map(ENCODER.encode, alerts)) + b"\n")
    mixed.write_bytes(b"\n".join(map(ENCODER.encode, [*alerts, *rows])) + b"\n")
    lines = [
        {"kind": kind, "key": "k", "value": json.loads(ENCODER.encode(value))}
        for kind, values in (("alert", alerts), ("recommendation", rows))
        for value in values
    ]
    lines.append({"kind": "dead_letter", "key": "k", "value": {"reason": "schema"}})
    wrapped.write_text("\n".join(map(json.dumps, lines)))
    assert read_announced([str(plain)]).alerts == alerts
    for path in (mixed, wrapped):
        found = read_announced([str(path)])
        assert (found.alerts, found.n_recommendations, found.faults) == (alerts, len(rows), [])
        assert all(found.rows[row.decision_key].revision >= row.revision for row in rows)


def test_what_is_neither_is_named_by_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"event_id": "e"}\nno json\n')
    found = read_announced([str(path)])
    assert found.n_faults == 2
    assert found.faults[0].startswith(f"{path}:1: neither a native alert")
    assert found.faults[1].startswith(f"{path}:2: ")
    _, rows = _announced()
    path.write_bytes(b"\n".join(map(ENCODER.encode, rows)))
    assert "holds recommendations" in read_announced([str(path)], wants="alert").faults[0]
    with pytest.raises(ConfigError, match="no such file; for a topic add --kafka"):
        read_announced([str(tmp_path / "missing")])
