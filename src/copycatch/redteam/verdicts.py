"""Scores a detector's alerts on a labelled trace: who was caught when, with how much, at what cost.

The definitions are those of the development traces' scorer: an alert counts from severity medium,
a recommendation from rank 2 (reduce_output); queries answered before an account was named count as
learnt; benign accounts are counted per account and per 1,000 account-days.
"""

from __future__ import annotations

import bisect
import csv
import gzip
import json
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from copycatch.units import parse_rfc3339

COUNTED_SEVERITIES = frozenset({"medium", "high", "critical"})
COUNTED_RANK_MIN = 2

FirstTimes = dict[str, int]
Curve = Sequence[Sequence[float]]


@dataclass(frozen=True)
class Catch:
    """How one kind of verdict (alerts or recommendations) met one attack.

    Attributes
    ----------
    is_hit : bool
    queries : int or None
        Answered before the group's accounts were named; None where all were.
    fidelity_share : float
        Of what the full budget gives.
    """

    is_hit: bool
    queries: int | None
    fidelity_share: float


@dataclass(frozen=True)
class GroupResult:
    """One attack: an account, or a ring of them."""

    kind: str
    group: str
    accounts: int
    queries: int
    attack_share: float
    curve: Curve
    alert: Catch
    recommendation: Catch


@dataclass(frozen=True)
class BenignResult:
    """One kind of honest user.

    Attributes
    ----------
    queries_hindered : int
        Sent after a recommendation of reduce_output or stronger: what the cure would cost.
    """

    accounts: int
    alerted: int
    recommended: int
    queries: int
    queries_hindered: int


@dataclass(frozen=True)
class Verdicts:
    """A judged trace."""

    groups: tuple[GroupResult, ...]
    benign: Mapping[str, BenignResult]
    summary: Mapping[str, float]


def fidelity_at(curve: Curve, queries: float) -> float:
    """Fidelity after so many attack queries, linear between the curve's points; none gives 0.

    Examples
    --------
    >>> fidelity_at([(10, 0.5, 0.5), (20, 0.7, 0.6)], 15)
    0.6
    >>> fidelity_at([(10, 0.5, 0.5)], 5), fidelity_at([(10, 0.5, 0.5)], 99)
    (0.25, 0.5)
    """
    below, low = 0.0, 0.0
    for count, fidelity, *_ in curve:
        if queries <= count:
            return low + (fidelity - low) * (queries - below) / (count - below)
        below, low = count, fidelity
    return low


def _json_lines(path: Path) -> Iterator[dict[str, Any]]:
    data = path.read_bytes()
    text = gzip.decompress(data) if path.suffix == ".gz" else data
    yield from (json.loads(line) for line in text.splitlines() if line.strip())


def _ms(value: str | float) -> int:
    return parse_rfc3339(value) if isinstance(value, str) else int(value)


def _add_first(firsts: FirstTimes, accounts: Iterable[str], time_ms: int) -> None:
    for account in accounts:
        firsts[account] = min(time_ms, firsts.get(account, time_ms))


def first_times(
    alerts: Iterable[Mapping[str, Any]], recommendations: Iterable[Mapping[str, Any]]
) -> tuple[FirstTimes, FirstTimes]:
    """When each account was first named by a counted alert, and by a counted recommendation.

    Examples
    --------
    >>> entity = {"kind": "account", "id": "a"}
    >>> first_times([{"uid": "u", "op": "open", "severity": "high", "time": 7, "entity": entity}], [])
    ({'a': 7}, {})
    """
    alerted: FirstTimes = {}
    recommended: FirstTimes = {}
    accounts_by_uid: dict[str, set[str]] = {}
    for alert in alerts:
        accounts = alert["entity"].get("accounts") or [alert["entity"]["id"]]
        accounts_by_uid.setdefault(alert["uid"], set()).update(accounts)
        if alert.get("op", "open") != "close" and alert["severity"] in COUNTED_SEVERITIES:
            _add_first(alerted, accounts, _ms(alert["time"]))
    for made in recommendations:
        if made.get("op", "upsert") != "upsert" or made["action_rank"] < COUNTED_RANK_MIN:
            continue
        uids = made.get("alert_uids", ())
        named = (
            [made["value"]]
            if made["scope"] == "account"
            else [a for u in uids for a in accounts_by_uid.get(u, ())]
        )
        _add_first(recommended, named, _ms(made["issued_at"]))
    return alerted, recommended


def _catch(
    accounts: Sequence[str],
    firsts: FirstTimes,
    times: Mapping[str, list[int]],
    attack_share: float,
    curve: Curve,
) -> Catch:
    """What a group still learnt: every query answered before its own account was named."""
    queries = sum(len(times[a]) for a in accounts)
    answered = sum(bisect.bisect_right(times[a], firsts.get(a, float("inf"))) for a in accounts)
    most = fidelity_at(curve, float("inf"))
    return Catch(
        is_hit=any(a in firsts for a in accounts),
        queries=answered if answered < queries else None,
        fidelity_share=fidelity_at(curve, answered * attack_share) / most if most else float("nan"),
    )


def judge_trace(folder: Path, alerts: Path, recommendations: Path | None = None) -> Verdicts:
    """Score alerts and recommendations against a trace folder.

    Parameters
    ----------
    folder : Path
        With labels.csv, times.json.gz, fidelity.json and meta.json.
    alerts, recommendations : Path
        Native, one JSON object a line.
    """
    with (folder / "labels.csv").open(newline="") as rows:
        labels = list(csv.DictReader(rows))
    meta = json.loads((folder / "meta.json").read_text())
    curves = {f["group"]: f["curve"] for f in json.loads((folder / "fidelity.json").read_text())}
    packed = json.loads(gzip.decompress((folder / "times.json.gz").read_bytes()))
    base_ms = _ms(packed["base"])
    times = {account: sorted(base_ms + t for t in ts) for account, ts in packed["event_ms"].items()}
    made = _json_lines(recommendations) if recommendations is not None else iter(())
    alerted, recommended = first_times(_json_lines(alerts), made)
    groups = _group_results(labels, curves, times, alerted, recommended)
    benign = _benign_results([r for r in labels if r["is_attack"] == "0"], times, alerted, recommended)
    return Verdicts(groups, benign, _summary(groups, benign, float(meta["days"])))


def _group_results(
    labels: list[dict[str, str]],
    curves: Mapping[str, Curve],
    times: Mapping[str, list[int]],
    alerted: FirstTimes,
    recommended: FirstTimes,
) -> tuple[GroupResult, ...]:
    members: dict[str, list[dict[str, str]]] = {}
    for row in labels:
        if row["is_attack"] == "1":
            members.setdefault(row["group"], []).append(row)
    results = []
    for group, rows in members.items():
        accounts = [r["account_id"] for r in rows]
        queries = sum(len(times[a]) for a in accounts)
        share = sum(int(r["attack_queries"]) for r in rows) / queries
        curve = curves[group]
        catches = [_catch(accounts, firsts, times, share, curve) for firsts in (alerted, recommended)]
        results.append(GroupResult(rows[0]["kind"], group, len(rows), queries, share, curve, *catches))
    return tuple(results)


def _benign_results(
    labels: list[dict[str, str]], times: Mapping[str, list[int]], alerted: FirstTimes, recommended: FirstTimes
) -> dict[str, BenignResult]:
    accounts_by_kind: dict[str, list[str]] = {}
    for row in labels:
        accounts_by_kind.setdefault(row["kind"], []).append(row["account_id"])
    return {
        kind: BenignResult(
            accounts=len(accounts),
            alerted=sum(a in alerted for a in accounts),
            recommended=sum(a in recommended for a in accounts),
            queries=sum(len(times[a]) for a in accounts),
            queries_hindered=sum(
                len(times[a]) - bisect.bisect_right(times[a], recommended[a])
                for a in accounts
                if a in recommended
            ),
        )
        for kind, accounts in sorted(accounts_by_kind.items())
    }


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return statistics.fmean(found) if found else float("nan")


def _summary(
    groups: Sequence[GroupResult], benign: Mapping[str, BenignResult], days: float
) -> dict[str, float]:
    # Queries from the victim's own distribution look like use; nobody can be asked to find them.
    findable = [g for g in groups if not g.kind.startswith("indomain")]
    accounts = sum(b.accounts for b in benign.values())
    alerted = sum(b.alerted for b in benign.values())
    recommended = sum(b.recommended for b in benign.values())
    n, account_days = max(accounts, 1), max(accounts * days, 1e-9)
    return {
        "groups": len(groups),
        "recall_alert_without_indomain": _mean(g.alert.is_hit for g in findable),
        "fidelity_share_at_alert_without_indomain": _mean(g.alert.fidelity_share for g in findable),
        "recall_alert": _mean(g.alert.is_hit for g in groups),
        "recall_recommendation": _mean(g.recommendation.is_hit for g in groups),
        "fidelity_share_at_alert": _mean(g.alert.fidelity_share for g in groups),
        "fidelity_share_at_recommendation": _mean(g.recommendation.fidelity_share for g in groups),
        "benign_accounts": accounts,
        "benign_alerted": alerted / n,
        "benign_recommended": recommended / n,
        "benign_alerts_per_1000_account_days": 1000 * alerted / account_days,
        "benign_recommendations_per_1000_account_days": 1000 * recommended / account_days,
    }
