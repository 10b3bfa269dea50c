"""`check` and `explain` as an analyst runs them: real files, real exit codes."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.evaluations import CATALOG, DAY_MS, MINUTE_MS, Seen, columns

from copycatch.adapters.clock import SystemClock
from copycatch.cli import check, explain
from copycatch.decisions.judge import judge
from copycatch.decisions.state import DecisionState
from copycatch.errors import ConfigError
from copycatch.features.catalog import NAMES
from copycatch.records.policy import Policy
from copycatch.records.wire import ENCODER
from copycatch.settings.policy import load_policy, parse_policy
from copycatch.settings.policy_notes import policy_warnings

DEPLOY = Path(__file__).parents[3] / "deploy"
HOSTILE = "thief\x1b[2J\u202e"


def _run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    subparsers = parser.add_subparsers(required=True)
    check.add_parser(subparsers)
    explain.add_parser(subparsers)
    args = parser.parse_args(words)
    code = args.run(args)
    assert isinstance(code, int)
    return code


@pytest.fixture
def alerts_path(tmp_path: Path) -> Path:
    state = DecisionState()
    alerts, recommendations = [], []
    for minute, tail_prob in ((0, 0.0009), (5, 1e-9)):
        seen = [
            Seen(
                account,
                minute * MINUTE_MS,
                tail_prob,
                features={"low_margin_share": 0.7},
                shares={"low_margin_share": 0.8},
                normal_highs={"low_margin_share": 0.2},
                tenant_id="acme",
                looks_like=("a nightly batch",),
            )
            for account in (HOSTILE, "other")
        ]
        verdicts = judge(*columns(seen), Policy(), CATALOG, state)
        alerts += verdicts.alerts
        recommendations += verdicts.recommendations
    path = tmp_path / "alerts.jsonl"
    path.write_bytes(b"\n".join(map(ENCODER.encode, alerts)) + b"\n")
    (tmp_path / "recommendations.jsonl").write_bytes(b"\n".join(map(ENCODER.encode, recommendations)))
    return path


def test_check_tells_what_a_good_policy_means(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("check", str(DEPLOY / "policy.example.yaml"), "--at", "2027-02-20T00:00:00Z") == 0
    out = capsys.readouterr().out
    assert "one in 5,000 normal account-days" in out
    assert "Limit hard_limits: queries_per_s above 50 for 1 min" in out
    assert "allow for account nightly-eval expires soon" in out
    assert "silence for tenant acme, model search-v2 expired" in out


def test_check_prints_all_faults_in_the_form_editors_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("version: 1\nmood: shadow\nrules: [{name: extraction, querys_min: 3}]\n")
    assert _run("check", str(path)) == 1
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [
        f"{path}:2:1: mood: unknown key 'mood' (did you mean mode?)",
        f"{path}:3:28: rules[0].querys_min: unknown key 'querys_min' (did you mean queries_min?)",
    ]
    assert "2 faults" in captured.err
    assert _run("check", "--json", str(path)) == 1
    report = json.loads(capsys.readouterr().out)
    assert [(f["line"], f["column"], f["path"]) for f in report["faults"]] == [
        (2, 1, "mood"),
        (3, 28, "rules[0].querys_min"),
    ]
    assert report["policy_version"] is None


def test_check_knows_the_real_features(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("version: 1\nrules: [{name: x, when: {feature: querie_per_s, above: 5}}]\n")
    assert _run("check", str(path)) == 1
    assert "did you mean queries_per_s?" in capsys.readouterr().out


def test_check_of_a_missing_file_goes_on_with_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run("check", str(tmp_path / "none.yaml"), str(DEPLOY / "policy.minimal.yaml")) == 2
    captured = capsys.readouterr()
    assert "cannot be read" in captured.err
    assert "policy.minimal.yaml: good" in captured.out
    assert _run("check", "--at", "yesterday", str(DEPLOY / "policy.minimal.yaml")) == 2


def test_explain_tells_everything_and_lets_nothing_through(
    alerts_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run("explain", str(alerts_path), "--last", "9") == 0
    out = capsys.readouterr().out
    assert out.count("CRITICAL account") == 2, "the newest state of each alert, once"
    assert all(line.isprintable() for line in out.splitlines())
    for words in (
        "################.... 80 %",
        "normal is 0 to 0.2",
        "resembles a nightly batch",
        "refuse its queries",
    ):
        assert words in out


def test_explain_finds_by_the_first_characters_and_says_what_is_in_force(
    alerts_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uid = json.loads(alerts_path.read_text().splitlines()[-1])["uid"]
    recommendations = alerts_path.with_name("recommendations.jsonl")
    assert _run("explain", str(alerts_path), "--uid", uid[:6], "--recommendations", str(recommendations)) == 0
    out = capsys.readouterr().out
    assert "CRITICAL account other of tenant acme" in out
    assert "until 1970-01-01T04:05:00.000Z, revision 2 of acme|account|other|m" in out


def _pasted(told: str) -> Policy:
    """The policy with the entries that `explain` shows, as they stand."""
    snippet = told.partition("put this into the policy\n")[2]
    return parse_policy("version: 1\n" + "\n".join(line[2:] for line in snippet.splitlines()), "p.yaml")


def test_the_entry_of_an_odd_id_can_be_pasted_as_it_stands_and_names_it_exactly(
    alerts_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uid = json.loads(alerts_path.read_text().splitlines()[0])["uid"]
    assert _run("explain", str(alerts_path), "--uid", uid) == 0
    policy = _pasted(capsys.readouterr().out)
    assert policy.allow[0].match.account_id == HOSTILE
    assert policy.allow[0].match.tenant_id == "acme"
    now_ms = SystemClock().now_ms()
    assert policy_warnings(policy, now_ms) == []
    assert policy.allow[0].expires_ms is not None
    assert abs(policy.allow[0].expires_ms - now_ms - 30 * DAY_MS) < DAY_MS


def test_the_entry_of_who_is_judged_over_all_models_holds_for_each(
    alerts_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alert = json.loads(alerts_path.read_text().splitlines()[0])
    alerts_path.write_text(json.dumps(alert | {"model_id": "*"}) + "\n")
    assert _run("explain", str(alerts_path)) == 0
    policy = _pasted(capsys.readouterr().out)
    assert policy.allow[0].match.model_id is None
    assert policy.allow[0].match.account_id == HOSTILE


@pytest.mark.parametrize("accounts", [["other"], ["other", "o'hara $(id)", "b c"]])
def test_the_command_that_exempts_can_be_pasted_into_a_shell(
    accounts: list[str], alerts_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alert = json.loads(alerts_path.read_text().splitlines()[-1])
    alert["entity"] |= {"id": accounts[0], "accounts": accounts, "accounts_total": len(accounts)}
    alerts_path.write_text(json.dumps(alert) + "\n")
    policy = tmp_path / "policy.yaml"
    policy.write_text("version: 1\n")
    assert _run("explain", str(alerts_path), "--policy", str(policy)) == 0
    shown = capsys.readouterr().out.partition("exempt it for 30 days\n")[2]
    runs = f'copycatch() {{ "{sys.executable}" -m copycatch "$@"; }}\n{shown}\n'
    subprocess.run(["bash", "-ec", runs], check=True, capture_output=True, timeout=60)
    allow = load_policy(policy, NAMES).allow
    assert [(each.match.account_id, each.match.tenant_id) for each in allow] == [
        (account, "acme") for account in accounts
    ]


def test_explain_reads_standard_input_and_pretty_printed_files(
    alerts_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    line = alerts_path.read_text().splitlines()[0]
    pretty = alerts_path.with_name("one.json")
    pretty.write_text(json.dumps(json.loads(line), indent=2))
    assert _run("explain", str(pretty)) == 0
    alone = alerts_path.with_name("one.jsonl")
    alone.write_text(line)
    with alone.open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        assert _run("explain", "-") == 0
    assert capsys.readouterr().out.count("MEDIUM account") == 2


def test_explain_says_what_it_could_not_read(alerts_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with alerts_path.open("a") as file:
        file.write("{not json\n\n")
    assert _run("explain", str(alerts_path)) == 1
    assert "alerts.jsonl:5: JSON is malformed" in capsys.readouterr().err
    assert _run("explain", str(alerts_path), "--uid", "zzz") == 1
    assert "no alert with uid 'zzz'" in capsys.readouterr().err
    for wrong in ([str(alerts_path.with_name("none"))], [str(alerts_path), "--last", "0"]):
        with pytest.raises(ConfigError):
            _run("explain", *wrong)
