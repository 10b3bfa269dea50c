"""What a policy allows and does not mean: notes, which --strict takes for faults; and budgets by model."""

from pathlib import Path

import pytest

from copycatch.__main__ import main
from copycatch.adapters.clock import ManualClock
from copycatch.adapters.memory import MemoryMetrics
from copycatch.decisions.plan import alerts_per_1000, make_plan
from copycatch.features.catalog import NAMES, SPECS
from copycatch.service.policy_watch import PolicyWatch
from copycatch.settings.policy import check_policy, parse_policy
from copycatch.settings.policy_notes import policy_warnings
from copycatch.units import UnixMs, parse_rfc3339

NOW_MS = parse_rfc3339("2026-11-29T00:00:00Z")
DEPLOY = Path(__file__).parents[3] / "deploy"
ENTRY = "{match: {account_id: ci}, reason: load test, owner: qa, expires: 2027-06-01T00:00:00Z}"
BY_MODEL = """\
version: 1
sensitivity: 0.5
overrides:
  - match: {model_id: precious}
    budget: {alerts_per_1000_accounts_per_day: 5, recommendations_per_1000_accounts_per_day: 1}
  - match: {model_id: cheap}
    budget: {alerts_per_1000_accounts_per_day: 0.1}
  - match: {model_id: precious, tenant_id: t}
    sensitivity: 1
"""


def notes(text: str) -> list[str]:
    return policy_warnings(parse_policy(f"version: 1\n{text}\n", "p.yaml", NAMES), NOW_MS)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"allow: [{ENTRY.replace('load test', '...')}]", "reason '...' says nothing"),
        (f"allow: [{ENTRY.replace('load test', 'TODO')}]", "reason 'TODO' says nothing"),
        (f"allow: [{ENTRY.replace('qa', '<your team>')}]", "owner '<your team>' says nothing"),
        (f"silences: [{ENTRY.replace('load test', '-')}]", "silence for account ci: reason"),
        (f"attacks: [{ENTRY.replace('account_id: ci', 'account_id: ...')}]", "an id that is a placeholder"),
        (f"attacks: [{ENTRY.replace('2027', '2020')}]", "attack for account ci expired"),
        (f"allow: [{ENTRY.replace('2027', '2020')}]", "allow for account ci expired"),
        (f"allow: [{ENTRY}]\nattacks: [{ENTRY}]", "in allow and in attacks"),
        (f"allow: [{ENTRY.replace('owner', 'unless_below: 0.5, owner')}]", "exempts nothing"),
        ("rules: [{name: r, when: {feature: flat_share, above: 1}}]", "r can never speak"),
        ("rules: [{name: r, when: {feature: queries_per_s, above: -1}}]", "r speaks of everybody"),
        ("rules: [{name: extraction, enabled: false}]", "extraction is off"),
        ("budget: {alerts_per_1000_accounts_per_day: 50}", "comes to 50 alerts"),
        ("sensitivity: 100", "comes to 200 alerts"),
        ("sensitivity: 0.01", "comes to 0.02 alerts"),
        ("overrides: [{match: {model_id: m}, sensitivity: 100}]", "the budget for model m comes to 200"),
        (
            "overrides: [{match: {model_id: m}, budget: {alerts_per_1000_accounts_per_day: 9}}]",
            "the budget for model m comes to 9",
        ),
        (
            "overrides: [{match: {model_id: m}, mode: shadow}, {match: {model_id: m}, queries_min: 20}]",
            "2 overrides are for model m",
        ),
    ],
)
def test_what_is_probably_not_meant_is_said(text: str, words: str) -> None:
    assert any(words in note for note in notes(text)), notes(text)


def test_what_is_meant_is_not_noted() -> None:
    assert notes("mode: shadow") == []
    assert notes(f"allow: [{ENTRY}]\nbudget: {{alerts_per_1000_accounts_per_day: 5}}") == []
    # Built-in limits are switched off this way.
    assert notes("rules: [{name: changing_bias, when: {feature: rebiased_share, above: 1}}]") == []


def test_strict_takes_notes_for_faults(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy, settings = tmp_path / "policy.yaml", tmp_path / "settings.yaml"
    policy.write_text(f"version: 1\nallow: [{ENTRY.replace('2027', '2020')}]\n")
    settings.write_text(
        f"kafka: {{instance_id: w1, security: {{protocol: SSL}}}}\npolicy: {policy}\n"
        "outputs: {alerts: TODO}\n"
    )
    assert main(["check", str(policy), str(settings)]) == 0
    assert "EXPIRED at 2020-06-01" in capsys.readouterr().out
    assert main(["check", str(policy), "--strict"]) == 1
    assert main(["check", str(settings), "--strict"]) == 1
    told = capsys.readouterr().out
    assert f"{policy}: allow for account ci expired" in told
    assert "outputs.alerts: 'TODO' is a placeholder" in told
    assert main(["check", str(DEPLOY / "policy.minimal.yaml"), "--strict"]) == 0
    example = ["check", str(DEPLOY / "policy.example.yaml"), "--strict", "--at", "2026-11-29T00:00:00Z"]
    assert main(example) == 0


def test_a_model_may_have_a_budget_of_its_own() -> None:
    policy = parse_policy(BY_MODEL, "p.yaml", NAMES)
    plan = make_plan(policy, SPECS)
    by_model = {
        model: (
            round(plan.settings_for((tenant, "a", model)).alert_threshold, 6),
            round(plan.settings_for((tenant, "a", model)).recommendation_threshold, 6),
        )
        for tenant, model in ((None, "precious"), (None, "cheap"), (None, "other"))
    }
    # Restrictions are never more than alerts: the cheap model's follow its budget down.
    assert by_model == {"precious": (0.0025, 0.0005), "cheap": (5e-5, 5e-5), "other": (0.001, 0.0001)}
    assert plan.settings_for(("t", "a", "precious")).alert_threshold == pytest.approx(0.005)
    assert plan.alert_threshold_max == pytest.approx(0.005)
    assert alerts_per_1000(policy, (None, "", "cheap")) == pytest.approx(0.05)


def test_a_budget_that_says_nothing_is_a_fault() -> None:
    text = "version: 1\noverrides: [{match: {model_id: m}, budget: {}}]\n"
    policy, faults = check_policy(text, "p.yaml", NAMES)
    assert policy is None
    assert "a budget that changes nothing" in str(faults[0])


def test_a_diff_says_a_changed_budget(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = tmp_path / "old.yaml", tmp_path / "new.yaml"
    old.write_text(BY_MODEL)
    new.write_text(BY_MODEL.replace("day: 5", "day: 4"))
    assert main(["policy", "diff", str(old), str(new)]) == 1
    assert "alerts per 1,000 accounts and day 4.0" in capsys.readouterr().out
    assert main(["policy", "diff", str(old), str(old)]) == 0
    capsys.readouterr()
    assert main(["policy", "show", str(old), "--effective"]) == 0
    assert (
        parse_policy(capsys.readouterr().out, "shown.yaml", NAMES).content_hash()
        == parse_policy(BY_MODEL, "p.yaml", NAMES).content_hash()
    )


def test_without_a_policy_nothing_is_enforced_and_the_log_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert PolicyWatch(None, ManualClock(UnixMs(0)), MemoryMetrics()).policy.mode == "shadow"
    told = capsys.readouterr().out
    assert "policy in force" in told
    assert "built-in" in told
    assert "mode=shadow" in told or '"mode":"shadow"' in told or "shadow" in told
    assert "alerts_per_1000_accounts_per_day" in told
    path = tmp_path / "policy.yaml"
    path.write_text("version: 1\n")
    assert PolicyWatch(path, ManualClock(UnixMs(0)), MemoryMetrics()).policy.mode == "enforce"
