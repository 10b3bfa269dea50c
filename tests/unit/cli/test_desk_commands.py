"""`alerts` and `backtest` as an analyst runs them: real files, real exit codes."""

import json
from pathlib import Path
from typing import Any

import pytest

from copycatch.__main__ import main

START_MS = 1_772_359_200_000  # 2026-03-01
LIMIT = "rules: [{name: fast, when: {feature: queries_per_s, above: 0.05}, severity: high, action: block}]"


@pytest.fixture
def log(tmp_path: Path) -> str:
    """One account that sends a query a second, and one that sends one a minute."""
    records: list[dict[str, Any]] = []
    for account, gap_ms in (("fast", 1000), ("slow", 60_000)):
        records += [
            {
                "event_id": f"{account}{n}",
                "event_time": START_MS + n * gap_ms,
                "account_id": account,
                "model_id": "m",
                "input": f"question {n}",
            }
            for n in range(60)
        ]
    records.sort(key=lambda record: record["event_time"])
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


@pytest.fixture
def policy(tmp_path: Path) -> str:
    path = tmp_path / "policy.yaml"
    path.write_text(f"version: 1\n{LIMIT}\n")
    return str(path)


def test_what_replay_writes_alerts_lists(
    log: str, policy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alerts, rows = str(tmp_path / "alerts.jsonl"), str(tmp_path / "rows.jsonl")
    assert main(["replay", log, "--policy", policy, "--alerts", alerts, "--recommendations", rows]) == 1
    told = capsys.readouterr().err
    assert "at a budget of 0.5: 0, 1: 0, 2: 0, 5: 0 per 1,000 accounts and day" in told
    assert main(["alerts", alerts, rows, "--at", "2026-03-01T10:01:00Z"]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("HIGH     open   fast on m\n")
    assert "block until 2026-03-01T14:00Z" in shown.out
    assert "1 case of" in shown.err
    assert "1 restricted now" in shown.err
    assert main(["alerts", alerts, rows, "--json", "--at", "2026-03-01T10:01:00Z"]) == 0
    entry = json.loads(capsys.readouterr().out)
    assert entry["entity"] == {"kind": "account", "id": "fast"}
    assert entry["in_force"]["action"] == "block"
    assert main(["alerts", alerts, "--account", "slow"]) == 0
    assert capsys.readouterr().out == ""
    assert main(["alerts", log]) == 1
    assert "neither a native alert (uid) nor a recommendation" in capsys.readouterr().err
    assert main(["alerts", alerts, "--since", "yesterday"]) == 2


def test_backtest_says_whom_a_limit_would_gain(
    log: str, policy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["backtest", log, "--new", policy, "--quiet"]) == 1, "nothing had a score: not judged"
    shown = capsys.readouterr()
    assert "gained: 1" in shown.out
    assert "+ fast on m: high, restricted, after 12 queries at 2026-03-01T10:00Z" in shown.out
    assert "NOT JUDGED" in shown.err
    verdicts = tmp_path / "verdicts.jsonl"
    verdicts.write_text('{"account_id": "fast", "verdict": "benign"}\n')
    assert main(["backtest", log, "--new", policy, "--json", "--verdicts", str(verdicts)]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["against_verdicts"] == ["fast"]
    assert report["old"]["alerted"] == 0
    assert report["gained"][0]["verdict"] == "benign"
    verdicts.write_text('{"account_id": "fast", "verdict": "guilty"}\n')
    assert main(["backtest", log, "--new", policy, "--verdicts", str(verdicts)]) == 2
    assert f"{verdicts}:1: verdict 'guilty' is none of attack, benign, unsure" in capsys.readouterr().err
