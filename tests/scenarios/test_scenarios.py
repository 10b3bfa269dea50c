"""Every folder here is a scenario: `policy.yaml`, what is seen (`seen.txt`), what follows (`expected.txt`).

`seen.txt`: one evaluation a line, `+TIME ACCOUNT key=value ...`, where a key is `tail`, `queries`, `tenant`,
`model` or a feature; or `+TIME advance`: event time goes on; or `+TIME policy NAME`: that policy comes in.
`expected.txt`: what goes out, in order. Both skip empty lines and # comments. To see what a changed rule
does, delete `expected.txt`, run this test once and read what it wrote.
"""

import datetime as dt
import re
from pathlib import Path

import pytest
from tests.support.evaluations import CATALOG, NAMES, Seen, columns

from copycatch.decisions.judge import Verdicts, advance, judge
from copycatch.decisions.state import DecisionState
from copycatch.records.policy import Policy
from copycatch.records.wire import Alert, Recommendation
from copycatch.settings.policy import load_policy
from copycatch.units import parse_rfc3339

HERE = Path(__file__).parent
SCENARIOS = sorted(path.parent for path in HERE.glob("*/seen.txt"))
BASE_MS = int(dt.datetime(2026, 1, 5, tzinfo=dt.UTC).timestamp() * 1000)
UNITS_MS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}

Step = Seen | int | str


def _lines(path: Path) -> list[str]:
    stripped = (line.partition("#")[0].strip() for line in path.read_text("utf-8").splitlines())
    return [line for line in stripped if line]


def _time_ms(word: str) -> int:
    parts = re.findall(r"([0-9.]+)([smhd])", word)
    assert parts, f"{word} is no time"
    assert word.startswith("+")
    return BASE_MS + round(sum(float(number) * UNITS_MS[unit] for number, unit in parts))


def _words(time: str) -> str:
    rest_ms, words = parse_rfc3339(time) - BASE_MS, ""
    for unit in ("d", "h", "m", "s"):
        count, rest_ms = divmod(rest_ms, UNITS_MS[unit])
        words += f"{count}{unit}" if count else ""
    assert rest_ms == 0
    return f"+{words or '0m'}"


def _step(line: str) -> Step:
    time, who, *pairs = line.split()
    if who == "advance":
        return _time_ms(time)
    if who == "policy":
        return pairs[0]
    values = dict(pair.split("=", 1) for pair in pairs)
    unknown = set(values) - {"tail", "queries", "tenant", "model", *NAMES}
    assert not unknown, f"unknown in seen.txt: {unknown}"
    return Seen(
        account_id=who,
        time_ms=_time_ms(time),
        tail_prob=float(values.get("tail", "nan")),
        queries=int(values.get("queries", "100")),
        tenant_id=values.get("tenant"),
        model_id=values.get("model", "m"),
        features={name: float(values[name]) for name in NAMES if name in values},
    )


def _alert_text(alert: Alert) -> str:
    mode = " shadow" if alert.mode == "shadow" else ""
    who = alert.entity.id if alert.entity.kind == "account" else ",".join(alert.entity.accounts)
    return f"{_words(alert.time)} alert {alert.op} {alert.severity} {alert.rule} {who}{mode}"


def _recommendation_words(rec: Recommendation) -> str:
    mode = " shadow" if rec.mode == "shadow" else ""
    until = f" until {_words(rec.expires_at)}" if rec.op == "upsert" and rec.expires_at else ""
    return f"{_words(rec.issued_at)} {rec.op} {rec.value} r{rec.revision} {rec.action}{until}{mode}"


def _play(folder: Path, cut: str) -> list[str]:
    policies = {p.stem: load_policy(p, NAMES) for p in folder.glob("*.yaml")}
    policy: Policy = policies["policy"]
    state = DecisionState()
    said: list[str] = []

    def tell(verdicts: Verdicts) -> None:
        alerts = [(parse_rfc3339(a.time), 0, _alert_text(a)) for a in verdicts.alerts]
        recs = [(parse_rfc3339(r.issued_at), 1, _recommendation_words(r)) for r in verdicts.recommendations]
        said.extend(words for _, _, words in sorted([*alerts, *recs], key=lambda row: row[:2]))

    def flush(batch: list[Seen]) -> None:
        if batch:
            tell(judge(*columns(batch), policy, CATALOG, state))
            batch.clear()

    batch: list[Seen] = []
    for step in map(_step, _lines(folder / "seen.txt")):
        if isinstance(step, Seen):
            if cut == "advancing":
                tell(advance(state, step.time_ms, policy))
            batch.append(step)
            if cut != "whole":
                flush(batch)
        else:
            flush(batch)
            if isinstance(step, str):
                policy = policies[step]
            else:
                tell(advance(state, step, policy))
        if cut == "restarting":
            flush(batch)
            state = DecisionState.restore(state.snapshot())
    flush(batch)
    tell(advance(state, state.clock_ms, policy))  # whoever was not seen again has deadlines, too
    return said


@pytest.mark.parametrize("folder", SCENARIOS, ids=lambda folder: folder.name)
def test_scenario(folder: Path) -> None:
    expected_path = folder / "expected.txt"
    said = _play(folder, "single")
    if not expected_path.exists():
        expected_path.write_text("\n".join(said) + "\n", "utf-8")
        pytest.fail(f"{expected_path.name} was missing and has been written: read it, then keep it")
    assert said == _lines(expected_path)


@pytest.mark.parametrize("cut", ["whole", "advancing", "restarting"])
@pytest.mark.parametrize("folder", SCENARIOS, ids=lambda folder: folder.name)
def test_scenario_however_cut(folder: Path, cut: str) -> None:
    assert sorted(_play(folder, cut)) == sorted(_lines(folder / "expected.txt"))


def test_there_are_scenarios() -> None:
    assert len(SCENARIOS) >= 10
