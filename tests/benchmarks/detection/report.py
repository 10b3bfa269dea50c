"""The study as tables and plots."""

import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from copycatch.records.policy import Policy
from tests.benchmarks.detection.judging import Judged

PRODUCT = "copycatch"
DEFAULT_BUDGET = Policy().budget.alerts_per_1000_accounts_per_day
MEAN_OF = "mean of "
COLUMNS: tuple[tuple[str, Callable[[Judged], float], str], ...] = (
    ("recall", lambda j: j.recall, ".2f"),
    ("fidelity share at alert", lambda j: j.fidelity_share, ".2f"),
    ("at recommendation", lambda j: j.recommendation_fidelity_share, ".2f"),
    ("queries to alert", lambda j: j.queries, ".0f"),
    ("benign alerted", lambda j: j.benign_alerted, ".1%"),
    ("recommended", lambda j: j.benign_recommended, ".1%"),
    ("alerts per 1,000 account-days", lambda j: j.alerts_per_1000_account_days, ".2f"),
)
# Issue 3, point 6; mean of the development traces.
TO_REACH = {"recall": ">= .95", "fidelity share at alert": "<= .40", "at recommendation": "<= .50",
            "benign alerted": "<= 1.4%", "recommended": "<= 0.7%"}  # fmt: skip


@dataclass
class Study:
    """All verdicts."""

    machine: str = ""
    judged: list[Judged] = field(default_factory=list)
    calibration: list[Judged] = field(default_factory=list)
    ablation: list[Judged] = field(default_factory=list)
    more_tables: list[tuple[str, list[tuple[str, ...]]]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    kind_by_trace: dict[str, str] = field(default_factory=dict)  # whose means are shown

    def tables(self) -> list[tuple[str, list[tuple[str, ...]]]]:
        found = [("Detectors, mean over traces", self._means(self.judged))]
        for trace in dict.fromkeys(each.trace for each in self.judged):
            own = [each for each in self.judged if each.trace == trace]
            found.append(
                (f"Trace {trace}", [_heading("detector"), *(_row(each.detector, [each]) for each in own)])
            )
        found.append(("copycatch, attack by attack", self._attacks()))
        found.append(("Benign accounts alerted / recommended, by kind", self._benign()))
        if len(self.calibration) > len([each for each in self.calibration if each.detector == PRODUCT]):
            found.append(
                ("Calibration: alerts per 1,000 benign account-days against the budget", self._calibration())
            )
        if self.ablation:
            found.append(("Ablation, mean over traces", self._ablation()))
        return found + self.more_tables

    def _means(self, judged: Sequence[Judged]) -> list[tuple[str, ...]]:
        detectors = dict.fromkeys(each.detector for each in judged)
        rows = [_row(name, [each for each in judged if each.detector == name]) for name in detectors]
        return [
            _heading("detector"),
            *rows,
            ("to reach", *(TO_REACH.get(name, "") for name, _, _ in COLUMNS)),
        ]

    def _attacks(self) -> list[tuple[str, ...]]:
        share = "fidelity share"
        heading = ("trace", "attack", "accounts", "queries", "alert at", share, "recommended at", share)
        return [
            heading,
            *(
                (
                    each.trace,
                    group.kind,
                    str(group.accounts),
                    str(group.queries),
                    _at(group.alert.queries),
                    f"{group.alert.fidelity_share:.2f}",
                    _at(group.recommendation.queries),
                    f"{group.recommendation.fidelity_share:.2f}",
                )
                for each in self.judged
                if each.detector == PRODUCT
                for group in sorted(each.verdicts.groups, key=lambda g: g.kind)
            ),
        ]

    def _benign(self) -> list[tuple[str, ...]]:
        detectors = list(dict.fromkeys(each.detector for each in self.judged))
        kinds = sorted({kind for each in self.judged for kind in each.verdicts.benign})
        rows: list[tuple[str, ...]] = [("kind", "accounts", *detectors)]
        for kind in kinds:
            cells = []
            n = 0
            for detector in detectors:
                found = [
                    each.verdicts.benign[kind]
                    for each in self.judged
                    if each.detector == detector and kind in each.verdicts.benign
                ]
                n = sum(one.accounts for one in found)
                cells.append(f"{sum(one.alerted for one in found)} / {sum(one.recommended for one in found)}")
            rows.append((kind, str(n), *cells))
        return rows

    def calibration_points(self) -> dict[str, list[tuple[float, float]]]:
        """Budget and measured rate by trace, and the means over each kind of trace."""
        points: dict[str, list[tuple[float, float]]] = {}
        of_kind: dict[str, dict[float, list[float]]] = {}
        for each in self.calibration:
            budget = (
                DEFAULT_BUDGET if each.detector == PRODUCT else float(each.detector.removeprefix("budget "))
            )
            points.setdefault(each.trace, []).append((budget, each.alerts_per_1000_account_days))
            kind = MEAN_OF + self.kind_by_trace.get(each.trace, "all")
            of_kind.setdefault(kind, {}).setdefault(budget, []).append(each.alerts_per_1000_account_days)
        for kind, by_budget in of_kind.items():
            points[kind] = [(budget, statistics.fmean(found)) for budget, found in by_budget.items()]
        return {name: sorted(found) for name, found in points.items()}

    def _calibration(self) -> list[tuple[str, ...]]:
        points = self.calibration_points()
        budgets = sorted({budget for found in points.values() for budget, _ in found})
        rows: list[tuple[str, ...]] = [("trace", *(f"budget {budget:g}" for budget in budgets))]
        for name, found in points.items():
            measured = dict(found)
            rows.append((name, *(f"{measured[b]:.2f}" if b in measured else "" for b in budgets)))
        return rows

    def _ablation(self) -> list[tuple[str, ...]]:
        whole = [each for each in self.judged if each.detector == PRODUCT]
        traces = {each.trace for each in self.ablation}
        whole = [each for each in whole if each.trace in traces]
        names = dict.fromkeys(each.detector for each in self.ablation)
        return [
            _heading("what is off"),
            _row("nothing", whole),
            *(_row(name, [each for each in self.ablation if each.detector == name]) for name in names),
        ]

    def as_text(self) -> str:
        lines = [self.machine, *self.notes, ""]
        for title, rows in self.tables():
            widths = [max(len(cells[i]) for cells in rows) for i in range(len(rows[0]))]
            lines.append(title)
            lines += [
                "  ".join(c.ljust(w) for c, w in zip(cells, widths, strict=True)).rstrip() for cells in rows
            ]
            lines.append("")
        return "\n".join(lines)

    def as_markdown(self) -> str:
        lines = ["# Detection benchmark", "", self.machine, "", *(f"- {note}" for note in self.notes), ""]
        for title, rows in self.tables():
            lines += [f"## {title}", "", "| " + " | ".join(rows[0]) + " |", "|---" * len(rows[0]) + "|"]
            lines += ["| " + " | ".join(cells) + " |" for cells in rows[1:]]
            lines.append("")
        lines += [f"![{name}]({name}.png)" for name in ("detectors", "calibration", "ablation")]
        return "\n".join(lines)


def _at(queries: int | None) -> str:
    return "-" if queries is None else str(queries)


def _heading(first: str) -> tuple[str, ...]:
    return (first, *(name for name, _, _ in COLUMNS))


def _row(name: str, judged: Sequence[Judged]) -> tuple[str, ...]:
    return (name, *(format(mean([value(each) for each in judged]), form) for _, value, form in COLUMNS))


def mean(values: Sequence[float]) -> float:
    """Of those that are known.

    Examples
    --------
    >>> mean([1.0, float("nan"), 3.0])
    2.0
    """
    known = [value for value in values if value == value]
    return statistics.fmean(known) if known else float("nan")


def write_study(study: Study, folder: Path) -> None:
    """detection.md, detection.json and the plots."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "detection.md").write_text(study.as_markdown())
    plain = {
        "machine": study.machine,
        "notes": study.notes,
        "judged": [
            {
                "trace": each.trace,
                "detector": each.detector,
                **{name: value(each) for name, value, _ in COLUMNS},
            }
            for each in (*study.judged, *study.ablation, *study.calibration)
        ],
    }
    (folder / "detection.json").write_text(json.dumps(plain, indent=1))
    _draw(folder / "detectors.png", lambda axes: _draw_detectors(study, axes))
    _draw(folder / "calibration.png", lambda axes: _draw_calibration(study, axes))
    _draw(folder / "ablation.png", lambda axes: _draw_ablation(study, axes))


def _draw(path: Path, paint: Callable[[Any], None]) -> None:
    from matplotlib.figure import Figure

    canvas = Figure(figsize=(8, 5), layout="constrained")
    axes = canvas.subplots()
    paint(axes)
    axes.grid(alpha=0.25)
    canvas.savefig(path, dpi=120)


def _draw_detectors(study: Study, axes: Any) -> None:
    for name in dict.fromkeys(each.detector for each in study.judged):
        own = [each for each in study.judged if each.detector == name]
        axes.plot(
            [100 * each.benign_alerted for each in own],
            [each.fidelity_share for each in own],
            "o",
            label=name,
            markersize=10 if name == PRODUCT else 6,
        )
    axes.set_xlabel("benign accounts alerted, %")
    axes.set_ylabel("share of the final fidelity that the attacker has at the alert")
    axes.set_xscale("symlog", linthresh=1)
    axes.set_ylim(0, 1.02)
    axes.set_title("One point a trace; lower left is better")
    axes.legend(fontsize=8)


def _draw_calibration(study: Study, axes: Any) -> None:
    points = study.calibration_points()
    budgets = [0.4, 6.0]
    axes.plot(budgets, budgets, color="black", linewidth=1, label="as promised")
    axes.fill_between(
        budgets, [b / 1.5 for b in budgets], [b * 1.5 for b in budgets], alpha=0.15, label="within 1.5 times"
    )
    for name, found in points.items():
        style = {"linewidth": 2.5} if name.startswith(MEAN_OF) else {"linewidth": 1, "alpha": 0.6}
        axes.plot(
            [b for b, _ in found], [max(rate, 0.05) for _, rate in found], marker="o", label=name, **style
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("budget: alerts per 1,000 accounts and day")
    axes.set_ylabel("benign accounts alerted per 1,000 account-days (none: .05)")
    axes.legend(fontsize=8)


def _draw_ablation(study: Study, axes: Any) -> None:
    whole = {each.trace: each for each in study.judged if each.detector == PRODUCT}
    lost: dict[str, list[float]] = {}
    for each in study.ablation:
        if each.trace in whole:
            more = each.fidelity_share - whole[each.trace].fidelity_share
            lost.setdefault(each.detector.removeprefix("without "), []).append(more)
    names = sorted(lost, key=lambda name: mean(lost[name]))
    axes.barh(names, [mean(lost[name]) for name in names])
    axes.tick_params(axis="y", labelsize=8)
    axes.set_xlabel("what the attackers gain without it: fidelity share at alert")
