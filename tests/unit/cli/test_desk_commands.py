"""`alerts` and `backtest` as an analyst runs them: real files, real exit codes."""

import argparse
import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from copycatch.__main__ import main
from copycatch.cli.options import add_source_arguments, kafka_of

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


def _lines(path: str) -> list[bytes]:
    return Path(path).read_bytes().splitlines()


def test_what_replay_writes_alerts_lists(
    log: str, policy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alerts, rows = str(tmp_path / "alerts.jsonl"), str(tmp_path / "rows.jsonl")
    assert main(["replay", log, "--policy", policy, "--alerts", alerts, "--recommendations", rows]) == 1
    told = capsys.readouterr().err
    verdicts = tmp_path / "verdicts.jsonl"
    verdicts.write_text('{"account_id": "fast", "verdict": "benign"}\n')
    assert main(["alerts", alerts, rows, "--verdicts", str(verdicts)]) == 0
    judged = capsys.readouterr()
    titles, row = judged.out.splitlines()
    assert titles.split()[-2:] == ["verdict", "why"]
    assert " benign   " in row
    assert "precision 0%: 0 attack, 1 benign, 0 unsure; 0 not judged, which counts neither way" in judged.err
    wrapped = b"".join(b'{"kind":"alert","key":"k","value":%s}\n' % line for line in _lines(alerts))
    piped = subprocess.run(
        [sys.executable, "-m", "copycatch", "alerts", "-", "--json"],
        input=wrapped, capture_output=True, timeout=120, check=True,
    )  # fmt: skip
    assert json.loads(piped.stdout)["entity"]["id"] == "fast", "what `run --sink -` writes, from a pipe"
    assert "at a budget of 0.5: 0, 1: 0, 2: 0, 5: 0 per 1,000 accounts and day" in told
    assert main(["alerts", alerts, rows, "--at", "2026-03-01T10:01:00Z"]) == 0
    shown = capsys.readouterr()
    (line,) = shown.out.splitlines()[1:]
    assert line.startswith("HIGH   open   fast  m      2026-03-01T10:00Z")
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
    (tried,) = report["new"]
    assert tried["against_verdicts"] == ["fast"]
    assert report["old"]["alerted"] == 0
    assert tried["gained"][0]["verdict"] == "benign"
    verdicts.write_text('{"account_id": "fast", "verdict": "guilty"}\n')
    assert main(["backtest", log, "--new", policy, "--verdicts", str(verdicts)]) == 2
    assert f"{verdicts}:1: Invalid enum value 'guilty'" in capsys.readouterr().err


def test_several_policies_are_tried_in_one_pass(
    log: str, policy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    same = tmp_path / "same.yaml"
    same.write_text("version: 1\n")
    tried = ["backtest", log, "--new", str(same), "--new", policy, "--quiet"]
    main(tried)
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].split() == ["old", "new", "1", "new", "2"]
    assert next(line for line in shown if line.startswith("alerted on")).split()[2:] == ["0", "0", "1"]
    at = shown.index(f"new 1: {same}")
    assert shown[at + 1 : at + 5] == ["gained: 0", "lost: 0", f"new 2: {policy}", "gained: 1"]
    main([*tried, "--json"])
    first, second = json.loads(capsys.readouterr().out)["new"]
    assert (first["file"], second["file"]) == (str(same), policy)
    assert not first["gained"]
    assert [each["entity"]["id"] for each in second["gained"]] == ["fast"]


@pytest.fixture
def alerts(log: str, policy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    path = str(tmp_path / "alerts.jsonl")
    main(["replay", log, "--policy", policy, "--alerts", path, "--quiet"])
    capsys.readouterr()
    return path


def _uid(alerts: str) -> str:
    uid = json.loads(Path(alerts).read_text().splitlines()[0])["uid"]
    assert isinstance(uid, str)
    return uid


def test_a_verdict_is_noted_and_changes_the_policy(
    log: str, alerts: str, policy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    verdicts = str(tmp_path / "verdicts.jsonl")
    given = [
        "--alerts",
        alerts,
        "--policy",
        policy,
        "--verdicts",
        verdicts,
        "--reason",
        "a load test",
        "--by",
        "kim",
    ]
    assert main(["verdict", _uid(alerts)[:8], "benign", *given]) == 0
    shown = capsys.readouterr().out
    assert '+  - match: {account_id: "fast", model_id: "m"}' in shown
    noted = json.loads(Path(verdicts).read_text())
    assert (noted["account_id"], noted["verdict"], noted["by"]) == ("fast", "benign", "kim")
    assert (
        main(["replay", log, "--policy", policy, "--alerts", str(tmp_path / "again.jsonl"), "--quiet"]) == 1
    )
    assert (tmp_path / "again.jsonl").read_text() == "", "nobody is alerted on any more"
    assert main(["allow", "list", "--policy", policy]) == 0
    assert "account fast, model m: until" in capsys.readouterr().out
    assert main(["verdict", "zz", "attack", *given]) == 1
    assert "no alert has that uid" in capsys.readouterr().err
    before = Path(policy).read_text()
    given[-3] = "..."
    assert main(["verdict", _uid(alerts), "attack", *given]) == 2
    assert Path(policy).read_text() == before


def test_allow_add_shows_the_change_and_keeps_comments(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("version: 1  # ours\n# nobody yet\nallow: []\n")
    given = ["--policy", str(policy), "--for", "30d", "--reason", "nightly job", "--owner", "ops"]
    assert main(["allow", "add", "ci", *given, "--dry-run"]) == 0
    assert "allow: []" in policy.read_text()
    assert main(["allow", "add", "ci", *given]) == 0
    assert policy.read_text().startswith(
        'version: 1  # ours\n# nobody yet\nallow:\n  - match: {account_id: "ci"}\n'
    )
    assert main(["allow", "add", "ci", *given[:3], "soon", *given[4:]]) == 2
    assert "--for soon: 'soon' is no duration" in capsys.readouterr().err


def test_policy_diff_and_show(tmp_path: Path, policy: str, capsys: pytest.CaptureFixture[str]) -> None:
    plain = tmp_path / "plain.yaml"
    plain.write_text("version: 1\n")
    assert main(["policy", "diff", str(plain), str(plain)]) == 0
    assert main(["policy", "diff", str(plain), policy]) == 1
    assert "+ Limit fast: queries_per_s above 0.05" in capsys.readouterr().out
    assert main(["policy", "show", policy, "--account", "fast", "--model", "m"]) == 0
    assert "medium: tail_prob at or below 0.002, recommends observe" in capsys.readouterr().out
    assert main(["policy", "show", policy, "--effective"]) == 0
    shown = capsys.readouterr().out
    again = tmp_path / "effective.yaml"
    again.write_text(shown)
    assert main(["policy", "diff", policy, str(again)]) == 0, "what is shown means the same"


def test_explain_an_account_of_a_log(log: str, policy: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--account", "fast", "--log", log, "--policy", policy]) == 0
    shown = capsys.readouterr().out
    assert "It was alerted on at 2026-03-01T10:00:11.000Z, by rule fast." in shown
    assert "Its queries that lie farthest from what others ask (of 60)" in shown
    assert '"question ' in shown
    assert main(["explain", "--account", "slow", "--log", log]) == 0
    assert "It has no score" in capsys.readouterr().out
    assert main(["explain", "--account", "nobody", "--log", log]) == 1
    assert "never evaluated" in capsys.readouterr().out
    assert main(["explain", "--log", log]) == 2
    assert main(["explain"]) == 2


def test_explain_chooses_by_account_and_reads_mixed_output(
    alerts: str, log: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", alerts, "--account", "fast"]) == 0
    assert "HIGH account fast on model m" in capsys.readouterr().out
    assert main(["explain", alerts, "--account", "slow"]) == 1
    assert "no alert with account 'slow' found" in capsys.readouterr().err
    wrapped = tmp_path / "mixed.jsonl"
    lines = Path(alerts).read_text().splitlines()
    wrapped.write_text("".join(f'{{"kind": "alert", "key": "k", "value": {line}}}\n' for line in lines))
    assert main(["explain", str(wrapped)]) == 0
    assert "HIGH account fast" in capsys.readouterr().out
    assert main(["explain", "--feature", "flat_shar"]) == 2
    assert "did you mean flat_share?" in capsys.readouterr().err
    assert main(["explain", "--feature", "flat_share"]) == 0
    assert "needs input" in capsys.readouterr().out


def test_decisions_are_listed_revoked_and_added(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = str(tmp_path / "rows.jsonl")
    why = ["--reason", "a leaked key", "--by", "kim"]
    add = ["decisions", "add", "acct", rows, "--model", "m", "--action", "block", "--for", "4h"]
    assert main([*add, *why]) == 0
    assert main(["decisions", "list", rows]) == 0
    shown = capsys.readouterr()
    assert "block         acct on m until 20" in shown.out
    assert shown.out.strip().endswith(", by kim")
    assert "1 decisions, 1 of them restrictions" in shown.err
    assert main(["decisions", "revoke", "acct", rows, *why]) == 0
    assert main(["decisions", "list", rows]) == 0
    assert "0 decisions" in capsys.readouterr().err
    assert main(["decisions", "list", rows, "--all"]) == 0
    assert "(not in force)" in capsys.readouterr().out
    assert main(["decisions", "revoke", "acct", rows, *why]) == 1
    assert main(["decisions", "revoke", "other", rows, *why]) == 1
    revisions = [json.loads(line) for line in Path(rows).read_text().splitlines()]
    assert [(row["op"], row["revision"], row["decided_by"]) for row in revisions] == [
        ("upsert", 1, "kim"),
        ("revoke", 2, "kim"),
    ]
    assert main([*add, "--reason", "...", "--by", "kim"]) == 2
    assert len(Path(rows).read_text().splitlines()) == 2


def test_a_policy_is_held_against_expectations(
    log: str, policy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases, plain = tmp_path / "cases", tmp_path / "plain.yaml"
    plain.write_text("version: 1\n")
    add = ["test", policy, str(cases), "--add", "week", "--log", log]
    assert main([*add, "--account", "fast", "--expect", "alerted"]) == 0
    assert main([*add, "--account", "fast", "--expect", "restricted"]) == 0
    assert main([*add, "--account", "slow", "--expect", "quiet"]) == 0
    assert main(["test", policy, str(cases)]) == 0
    assert "1 of 1 pass" in capsys.readouterr().err
    junit = tmp_path / "results.xml"
    assert main(["test", str(plain), str(cases), "--junit", str(junit)]) == 1
    assert "fast was not alerted on" in capsys.readouterr().out
    suite = ET.parse(junit).getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("1", "1")
    assert "fast was not restricted" in str(suite.findtext("testcase/failure"))
    (cases / "quiet.yaml").write_text("log: ../log.jsonl\nquiet: [slow]\nothers: none\n")
    assert main(["test", policy, str(cases / "quiet.yaml")]) == 1
    shown = capsys.readouterr().out
    assert "fast was alerted on and is not listed" in shown
    assert "silence proves nothing: NOT JUDGED" in shown
    (cases / "wrong.yaml").write_text("log: missing.jsonl\nquite: [slow]\n")
    assert main(["test", policy, str(cases)]) == 2
    told = capsys.readouterr().err
    assert "wrong.yaml:2:1: quite: unknown key 'quite' (did you mean quiet?)" in told


def test_a_settings_file_names_the_broker(tmp_path: Path) -> None:
    settings = tmp_path / "settings.yaml"
    settings.write_text("version: 1\nkafka: {bootstrap_servers: [broker-1:9092]}\ninputs: [{topic: logs}]\n")
    parser = argparse.ArgumentParser()
    add_source_arguments(parser)
    kafka = kafka_of(parser.parse_args(["alerts", "--settings", str(settings)]))
    assert kafka is not None
    assert kafka.bootstrap_servers == ["broker-1:9092"]
    other = kafka_of(parser.parse_args(["alerts", "--settings", str(settings), "--kafka", "a:1,b:2"]))
    assert other is not None
    assert other.bootstrap_servers == ["a:1", "b:2"]
    assert kafka_of(parser.parse_args(["alerts.jsonl"])) is None
