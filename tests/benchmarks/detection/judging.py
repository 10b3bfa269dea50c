"""Verdicts of product and peers by the same definitions: those of the development traces' own scorer."""

import json
import statistics
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from copycatch.redteam.verdicts import Verdicts, judge_trace

SCORER = Path(__file__).parents[4] / "shared" / "traces" / "score.py"
TOLERANCE = 1e-9
HARD_TO_FIND = "indomain"  # drawn from the victim's own distribution: reported apart


def write_firsts(firsts: Mapping[str, int], path: Path) -> Path:
    """A peer's alarms as native alerts, as far as the scorer reads them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as out:
        for account, time_ms in sorted(firsts.items()):
            entity = {"kind": "account", "id": account, "accounts": [account]}
            alert = {"uid": account, "op": "open", "severity": "high", "time": time_ms, "entity": entity}
            out.write(json.dumps(alert) + "\n")
    return path


@dataclass(frozen=True)
class Judged:
    """One detector on one trace."""

    trace: str
    detector: str
    verdicts: Verdicts

    @property
    def recall(self) -> float:
        return self.verdicts.summary["recall_alert_without_indomain"]

    @property
    def fidelity_share(self) -> float:
        return self.verdicts.summary["fidelity_share_at_alert_without_indomain"]

    @property
    def recommendation_fidelity_share(self) -> float:
        shares = [
            g.recommendation.fidelity_share
            for g in self.verdicts.groups
            if not g.kind.startswith(HARD_TO_FIND)
        ]
        return statistics.fmean(shares) if shares else float("nan")

    @property
    def queries(self) -> float:
        """Median over the attacks that were named of the queries that had been answered by then."""
        found = [
            each.alert.queries / each.accounts
            for each in self.verdicts.groups
            if each.alert.is_hit and each.alert.queries is not None and not each.kind.startswith(HARD_TO_FIND)
        ]
        return statistics.median(found) if found else float("nan")

    @property
    def benign_alerted(self) -> float:
        return self.verdicts.summary["benign_alerted"]

    @property
    def benign_recommended(self) -> float:
        return self.verdicts.summary["benign_recommended"]

    @property
    def alerts_per_1000_account_days(self) -> float:
        return self.verdicts.summary["benign_alerts_per_1000_account_days"]


def judge(trace: Path, detector: str, alerts: Path, recommendations: Path | None = None) -> Judged:
    return Judged(trace.name, detector, judge_trace(trace, alerts, recommendations))


def scorer_verdicts(trace: Path, alerts: Path, recommendations: Path) -> dict[str, Any]:
    """What the traces' own scorer says; it has to be there."""
    out = alerts.with_name("score.json")
    command = [sys.executable, str(SCORER), str(trace), "--alerts", str(alerts)]
    command += ["--recommendations", str(recommendations), "--json", str(out)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    verdicts: dict[str, Any] = json.loads(out.read_text())
    return verdicts


def disagreement(trace: Path, judged: Judged, alerts: Path, recommendations: Path) -> list[str] | None:
    """Where the traces' own scorer says otherwise; None where there is none here to ask."""
    if not SCORER.exists():
        return None
    theirs = scorer_verdicts(trace, alerts, recommendations)["summary"]
    ours = judged.verdicts.summary
    return [
        f"{key}: {ours.get(key)} here, {value} there"
        for key, value in theirs.items()
        if not (value != value and ours.get(key) != ours.get(key))
        and abs(ours.get(key, float("nan")) - value) > TOLERANCE
    ]
