"""The list of cases: a line each, whole in a pipe, fitted to a terminal."""

import pytest
from rich.cells import cell_len
from tests.support.evaluations import CATALOG, DAY_MS, MINUTE_MS, Seen, columns

from copycatch.cli.render_cases import case_lines
from copycatch.decisions.judge import judge
from copycatch.decisions.state import DecisionState
from copycatch.desk.overview import Case, cases_of
from copycatch.records.policy import Policy
from copycatch.records.wire import Alert, Recommendation

NAMES = ("acct-7f3a", "a\x1b[31m客户", "acct-" + "9" * 60)
NOW_MS = DAY_MS + 30 * MINUTE_MS


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    """Three accounts, each ever rarer: a case of several alerts."""
    state = DecisionState()
    alerts: list[Alert] = []
    rows: dict[str, Recommendation] = {}
    for minute, tail_prob in ((0, 1e-3), (5, 1e-4), (10, 1e-6)):
        seen = [Seen(name, DAY_MS + minute * MINUTE_MS, tail_prob) for name in NAMES]
        given = judge(*columns(seen), Policy(), CATALOG, state)
        alerts += given.alerts
        rows |= {row.decision_key: row for row in given.recommendations}
    return cases_of(alerts, rows)


def test_a_pipe_gets_a_line_a_case_and_all_of_it(cases: list[Case]) -> None:
    titles, *lines = case_lines(cases, {"acct-7f3a": "attack"}, NOW_MS, None)
    assert titles.split() == [
        "worst", "state", "who", "model", "since", "queries", "trend", "in", "force", "verdict", "why",
    ]  # fmt: skip
    assert len(lines) == len(NAMES)
    assert "\x1b" not in "".join(lines)
    (line,) = [each for each in lines if "acct-7f3a" in each]
    assert line.startswith("CRITICAL  open   acct-7f3a")
    assert "  1970-01-01T23:00Z  " in line
    assert "  block until 1970-01-02T04:10Z  attack   " in line
    (case,) = [each for each in cases if each.entity_id == "acct-7f3a"]
    assert line.endswith(f"  {case.first_reason}")
    assert NAMES[2] in "".join(lines)
    assert case_lines([], {}, NOW_MS, None) == []


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
def test_a_terminal_gets_what_fits(cases: list[Case], width: int) -> None:
    short = [case for case in cases if len(case.entity_id) < 20]
    lines = case_lines(short, {}, NOW_MS, width)
    # One line a case as soon as something of the reason fits; in less, the reason stands below.
    assert len(lines) == 1 + len(short) * (1 if width >= 100 else 2)
    if width > 60:
        assert max(map(cell_len, lines)) <= width
    assert all("block until 01-02 04:10Z" in line for line in lines if line.startswith("CRIT"))
