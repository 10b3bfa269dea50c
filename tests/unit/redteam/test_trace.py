import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from tests.benchmarks.detection.judging import SCORER, scorer_verdicts

from copycatch.redteam.campaign import AttackSpec, CampaignPlan, simulate
from copycatch.redteam.trace import write_campaign
from copycatch.redteam.verdict_views import attack_table, benign_table, summary_text, write_plot
from copycatch.redteam.verdicts import Verdicts, judge_trace
from copycatch.redteam.victims import Victim
from copycatch.units import format_rfc3339, parse_rfc3339

VictimOf = Callable[[str], Victim]
ROOT = Path(__file__).parents[3]
ATTACKS = (
    AttackSpec("uniform", budget=60),
    AttackSpec("knockoff_random", "cover75", budget=60),
    AttackSpec("jbda", "ring10", budget=60),
    AttackSpec("indomain_random", budget=60),
)


def write(victim: Victim, folder: Path, attacks: tuple[AttackSpec, ...] = ATTACKS, seed: int = 3) -> Path:
    plan = CampaignPlan(
        victim.name, seed, days=4, warmup_days=1, n_benign=14, attacks=attacks, volume_share=0.3
    )
    write_campaign(simulate(plan, victim), folder)
    return folder


def records_of(folder: Path) -> list[dict[str, Any]]:
    with gzip.open(folder / "log.jsonl.gz", "rt") as lines:
        return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def trace(victim_of: VictimOf, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(victim_of("wine"), tmp_path_factory.mktemp("trace"))


@pytest.mark.parametrize("name", ["wine", "digits", "intents", "llm"])
def test_records_keep_the_contract(name: str, victim_of: VictimOf, tmp_path: Path) -> None:
    schema = json.loads((ROOT / "schemas" / "v1" / "record.schema.json").read_text())
    validator = jsonschema.Draft202012Validator(schema)
    attack = "logprob_harvest" if name == "llm" else "uniform"
    records = records_of(write(victim_of(name), tmp_path, (AttackSpec(attack, budget=30),)))
    for record in records:
        validator.validate(record)
    assert len({r["event_id"] for r in records}) == len(records)
    times = [parse_rfc3339(r["event_time"]) for r in records]
    assert times == sorted(times)
    outputs = {"predicted_label", "probabilities", "top_scores", "output_text"}
    for record in records:
        assert bool(outputs & record.keys()) == (record["status"] == 200)


def test_labels_tell_what_was_sent(trace: Path) -> None:
    records = records_of(trace)
    with (trace / "labels.csv").open(newline="") as rows:
        labels = {row["account_id"]: row for row in csv.DictReader(rows)}
    times = json.loads(gzip.decompress((trace / "times.json.gz").read_bytes()))
    base_ms = parse_rfc3339(times["base"])
    meta = json.loads((trace / "meta.json").read_text())
    assert meta["events"] == len(records) == sum(int(row["queries"]) for row in labels.values())
    assert meta["accounts"] == len(labels)
    for account, row in labels.items():
        own = [parse_rfc3339(r["event_time"]) for r in records if r["account_id"] == account]
        assert int(row["queries"]) == len(own)
        assert [base_ms + t for t in times["event_ms"][account]] == own
        assert (row["is_attack"] == "1") == (int(row["attack_queries"]) > 0)
    groups = {row["group"] for row in labels.values() if row["is_attack"] == "1"}
    assert groups == {f["group"] for f in json.loads((trace / "fidelity.json").read_text())}
    assert len(groups) == len(ATTACKS)


def test_a_few_answers_fail_for_everybody(victim_of: VictimOf, tmp_path: Path) -> None:
    plan = CampaignPlan("wine", 4, n_benign=60, attacks=(AttackSpec("uniform", budget=3000),))
    write_campaign(simulate(plan, victim_of("wine")), tmp_path)
    failed = [r["status"] != 200 for r in records_of(tmp_path)]
    assert 0.003 < np.mean(failed) < 0.01


def test_the_seed_gives_the_bytes(victim_of: VictimOf, tmp_path: Path) -> None:
    folders = [
        write(victim_of("wine"), tmp_path / name, seed=seed) for name, seed in (("a", 3), ("b", 3), ("c", 4))
    ]
    for name in ("log.jsonl.gz", "labels.csv", "fidelity.json", "times.json.gz", "meta.json"):
        first, again, other = ((folder / name).read_bytes() for folder in folders)
        assert first == again
        assert first != other


def test_no_account_can_be_told_by_an_artefact(trace: Path) -> None:
    """Ids, addresses and options are dealt out alike; nobody sends another's input."""
    with (trace / "labels.csv").open(newline="") as rows:
        is_attack = {row["account_id"]: row["is_attack"] == "1" for row in csv.DictReader(rows)}
    senders: dict[str, set[str]] = {}
    for record in records_of(trace):
        senders.setdefault(json.dumps(record["input"]), set()).add(record["account_id"])
        assert record["client_ip"].startswith(("198.18.", "198.19."))
    assert max(len(accounts) for accounts in senders.values()) == 1
    numbers = {kind: [int(a[-5:]) for a, k in is_attack.items() if k == kind] for kind in (True, False)}
    assert min(numbers[True]) < max(numbers[False])
    assert min(numbers[False]) < max(numbers[True])


def made_up_verdicts(trace: Path, folder: Path, rng: np.random.Generator) -> tuple[Path, Path]:
    """Alerts and recommendations of every sort about random accounts at random times."""
    times = json.loads(gzip.decompress((trace / "times.json.gz").read_bytes()))
    base_ms = parse_rfc3339(times["base"])
    accounts = sorted(times["event_ms"])
    alerts: list[dict[str, object]] = []
    made: list[dict[str, object]] = []
    for number in range(25):
        named = [str(a) for a in rng.choice(accounts, size=int(rng.integers(1, 4)), replace=False)]
        when = format_rfc3339(base_ms + int(rng.choice(times["event_ms"][named[0]])))
        entity = (
            {"kind": "campaign", "id": "c", "accounts": named}
            if len(named) > 1
            else {"kind": "account", "id": named[0]}
        )
        severity, op = (
            str(rng.choice(["low", "medium", "high"])),
            str(rng.choice(["open", "update", "close"])),
        )
        alerts.append({"uid": f"u{number}", "op": op, "time": when, "severity": severity, "entity": entity})
        is_account = len(named) == 1
        made.append(
            {
                "op": str(rng.choice(["upsert", "revoke"])),
                "action_rank": int(rng.integers(0, 6)),
                "scope": "account" if is_account else "campaign",
                "value": named[0] if is_account else "c",
                "alert_uids": [f"u{number}"],
                "issued_at": when,
            }
        )
    paths = folder / "alerts.jsonl", folder / "recommendations.jsonl"
    for path, rows in zip(paths, (alerts, made), strict=True):
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return paths


@pytest.mark.skipif(not SCORER.exists(), reason="the development traces' scorer is not beside this checkout")
@pytest.mark.parametrize("seed", range(4))
def test_our_score_is_the_scorers(trace: Path, tmp_path: Path, seed: int) -> None:
    alerts, made = made_up_verdicts(trace, tmp_path, np.random.default_rng(seed))
    ours = judge_trace(trace, alerts, made)
    theirs = scorer_verdicts(trace, alerts, made)
    assert dict(ours.summary) == pytest.approx(theirs["summary"])
    by_kind = {g.kind: g for g in ours.groups}
    for group in theirs["groups"]:
        for verdict in ("alert", "recommendation"):
            own = getattr(by_kind[group["kind"]], verdict)
            assert own.is_hit == group[verdict]["hit"]
            assert own.queries == group[verdict]["queries"]
            assert own.fidelity_share == pytest.approx(group[verdict]["fidelity_share"])
    for kind, (accounts, alerted, recommended) in theirs["benign"].items():
        row = ours.benign[kind]
        assert (row.accounts, row.alerted, row.recommended) == (accounts, alerted, recommended)


def verdicts_of(trace: Path, folder: Path) -> Verdicts:
    alerts, made = made_up_verdicts(trace, folder, np.random.default_rng(1))
    return judge_trace(trace, alerts, made)


def test_what_is_hindered_is_what_came_after_the_cut(trace: Path, tmp_path: Path) -> None:
    with (trace / "labels.csv").open(newline="") as rows:
        honest = next(row for row in csv.DictReader(rows) if row["is_attack"] == "0")
    times = json.loads(gzip.decompress((trace / "times.json.gz").read_bytes()))
    own = times["event_ms"][honest["account_id"]]
    when = format_rfc3339(parse_rfc3339(times["base"]) + own[len(own) // 2])
    cut = {"scope": "account", "value": honest["account_id"], "action_rank": 5, "issued_at": when}
    (tmp_path / "a").write_text("")
    (tmp_path / "r").write_text(json.dumps(cut))
    row = judge_trace(trace, tmp_path / "a", tmp_path / "r").benign[honest["kind"]]
    after = sum(t > own[len(own) // 2] for t in own)
    assert (row.recommended, row.alerted, row.queries_hindered) == (1, 0, after)


@pytest.mark.parametrize("suffix", ["png", "svg", "html"])
def test_the_plot_shows_every_attack(trace: Path, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"plot.{suffix}"
    write_plot(verdicts_of(trace, tmp_path), path, "a <title>")
    data = path.read_bytes()
    assert len(data) > 10_000
    if suffix == "html":
        assert b"jbda+ring10" in data
        assert b"a &lt;title&gt;" in data


def test_the_tables_name_every_attack_and_kind(trace: Path, tmp_path: Path) -> None:
    verdicts = verdicts_of(trace, tmp_path)
    assert attack_table(verdicts).row_count == len(ATTACKS)
    assert benign_table(verdicts).row_count == len(verdicts.benign)
    assert "honest accounts" in summary_text(verdicts)
