"""What each family of features needs, where it is scored, and what it finds by itself.

python -m tests.benchmarks.detection.families --traces FOLDERS

Each trace is replayed once by the product. From the values that calibrated its families, levels, tails and
first alarms of the score are then computed anew, with some families only or without them: tails are fitted
once an hour, as the product does, and what would not have been flagged is learned. Alarms of limits and of
campaigns are left out: this is about the score. Cells count attacks named, of all, and honest accounts named.
"""

import argparse
import gzip
import json
import math
import shutil
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from copycatch.features.catalog import FEATURES
from copycatch.population.calibration import (
    BASE_PROB,
    SCORE_SCALE_MIN,
    USE_SCALE_MIN,
    Calibration,
    FamilyCalibration,
    calibrate,
    calibrate_families,
)
from copycatch.records.columns import FloatArray, IntArray
from copycatch.records.policy import Policy
from copycatch.redteam.trace import LOG_NAME
from copycatch.scoring.catalog import FAMILIES, SCORERS
from copycatch.scoring.combine import FAMILY_SCALE_MINS, score_of
from copycatch.scoring.distillation import USAGE_COLUMNS, shipped_forest
from copycatch.scoring.forest import Forest
from copycatch.scoring.persistence import follow, lateness
from copycatch.scoring.score import DISTILLATION
from copycatch.units import MS_PER_DAY
from copycatch.usage.measures import MEASURES
from tests.benchmarks.detection import product
from tests.benchmarks.detection.judging import judge, write_firsts
from tests.benchmarks.detection.traces import DEVELOPMENT, found_traces
from tests.benchmarks.isolated import run_isolated

HOUR_MS = 3_600_000
MATURE_MS = 48 * HOUR_MS
ALERT_PROB = Policy().budget.alerts_per_1000_accounts_per_day / 1000
QUERIES_MIN = 15
INPUTS = ("input", "embedding", "predicted_label", "probabilities", "params", "conversation_id", "turn")
# What measures of a language model's use belong to which family of the card.
MEASURE_FAMILIES: dict[str, tuple[str, ...]] = {
    "volume": ("day_queries",),
    "topic spread": ("pair_similarity", "breadth", "own_breadth", "unlike_share"),
    "nearest-previous": ("sample_nearest", "sample_nearest_high", "own_sample_nearest", "own_nearest",
                         "repeat_share", "alike_share"),
    "conversations": ("step_similarity", "step_excess", "quick_step_excess", "follow_up_share"),
    "templates": ("opening_top", "opening_common", "ending_top", "ending_common"),
    "settings": ("settings_entropy", "settings_top", "settings_switches", "settings_two"),
    "harvesting": ("rebiased_share", "new_completions"),
    "input entropy": ("length_spread", "vocabulary"),
    "elicitation": ("reasoning_words", "grading_requests"),
    "distribution drift": ("coverage",),
}  # fmt: skip
assert {name for names in MEASURE_FAMILIES.values() for name in names} == set(MEASURES)


class Row(NamedTuple):
    """A row of the table: families of the score, or measures of the forest."""

    name: str
    needs: tuple[str, ...]
    families: tuple[str, ...] = ()
    measures: tuple[str, ...] = ()


def rows() -> list[Row]:
    """By the families of features in `features.catalog`; then the scorers; then the forest's measures."""
    families: dict[str, dict[str, None]] = {}
    needs: dict[str, dict[str, None]] = {}
    for each in FEATURES:
        if each.spec.family not in ("usage", "unjudged"):  # below, and built-in limits
            own = families.setdefault(each.spec.family, {})
            own.update({} if each.scored is None else {each.scored.family: None})
            needs.setdefault(each.spec.family, {}).update(dict.fromkeys(each.spec.needs))
    found = [Row(name, tuple(needs[name]), tuple(own)) for name, own in families.items()]
    found += [Row(f"scorer {spec.name}", (spec.takes,), (spec.name,)) for spec in SCORERS]
    of_measure = {each.spec.name: each.spec.needs for each in FEATURES}
    return found + [
        Row(f"use: {name}", tuple(dict.fromkeys(need for one in own for need in of_measure[one])), (), own)
        for name, own in MEASURE_FAMILIES.items()
    ]


@dataclass(frozen=True)
class Seen:
    """Evaluations of one run; arrays along them."""

    trace: Path
    log: product.EvaluationLog
    rows: IntArray  # number of each evaluation's account
    forest: Forest

    @property
    def is_of_use(self) -> bool:
        return bool(np.isfinite(self.log.families[:, DISTILLATION]).any())


@dataclass
class _Tails:
    """What is learned in a rerun: maxima of accounts, and the tails fitted on them."""

    judged_ms: IntArray
    flagged: np.ndarray
    score_max: FloatArray
    family_max: FloatArray
    families: FamilyCalibration | None = None
    score: Calibration | None = None
    fitted_h: int = 0

    def fit(self, now_ms: int, born_ms: int, scale_min: float) -> None:
        """As the learner does, with the flagged left out but for as many as are false alarms."""
        age_ms = min(MATURE_MS, (now_ms - born_ms) // 2)
        old = np.flatnonzero((self.judged_ms > 0) & (self.judged_ms <= now_ms - age_ms))
        highest = self.score_max[old]
        flagged = np.flatnonzero(self.flagged[old] & np.isfinite(highest))
        n_false = math.ceil(0.01 * len(old))
        kept = np.concatenate(
            [
                np.flatnonzero(~self.flagged[old]),
                flagged[np.argsort(-highest[flagged], kind="stable")][:n_false],
            ]
        ).astype(np.int64)
        own = kept[np.isfinite(highest[kept])]
        self.families = calibrate_families(self.family_max[old[kept]], FAMILY_SCALE_MINS) or self.families
        fitted = calibrate(highest[own], (now_ms - self.judged_ms[old[own]]) / MS_PER_DAY, scale_min)
        hour = (now_ms - born_ms) // HOUR_MS
        if fitted is not None:
            is_young = self.score is None or now_ms - born_ms < MATURE_MS
            self.score = fitted if is_young or self.score is None else fitted.held_to(
                self.score, hour - self.fitted_h
            )  # fmt: skip
        self.fitted_h = hour

    @property
    def threshold(self) -> float:
        """Score from which on an alert follows."""
        if self.score is None:
            return math.inf
        return self.score.base + self.score.scale * math.log(
            BASE_PROB / self.score.lifetime_days / ALERT_PROB
        )


def first_alarms(seen: Seen, families: FloatArray) -> dict[str, int]:
    """First time that each account's score alone would have alerted, with these values of families."""
    log, n_accounts = seen.log, int(seen.rows.max()) + 1
    tails = _Tails(
        np.zeros(n_accounts, dtype=np.int64),
        np.zeros(n_accounts, dtype=np.bool_),
        np.full(n_accounts, -np.inf),
        np.full((n_accounts, len(FAMILIES)), -np.inf),
    )
    born_ms = int(log.times_ms[0])
    warm_ms = int(log.times_ms[np.isfinite(log.tail_probs)].min(initial=2**62))
    levels = np.full(n_accounts, np.nan)
    scale_min = USE_SCALE_MIN if seen.is_of_use else SCORE_SCALE_MIN
    alarms: dict[str, int] = {}
    for part in np.split(np.arange(len(seen.rows)), 1 + np.flatnonzero(np.diff(log.times_ms // HOUR_MS))):
        tails.fit(int(log.times_ms[part[0]]), born_ms, scale_min)
        rows, times = seen.rows[part], log.times_ms[part]
        firsts = np.unique(rows, return_index=True)[1]
        is_first = tails.judged_ms[rows[firsts]] == 0
        tails.judged_ms[rows[firsts][is_first]] = times[firsts][is_first]
        singles = np.full(len(part), np.nan)
        if tails.families is not None:
            singles = score_of(tails.families.surprisal(families[part]))[0]
        after = follow(rows, singles, levels[rows])
        known = ~np.isnan(after)
        levels[rows[known]] = after[known]  # of several of one account the last one stays
        raw = after - lateness(log.answered[part])
        is_warm = (times >= warm_ms) & (log.queries[part] >= QUERIES_MIN)
        is_over = is_warm & (raw >= tails.threshold)
        for at in np.flatnonzero(is_over).tolist():
            alarms.setdefault(log.accounts[part[at]], int(times[at]))
        tails.flagged[rows[is_over]] = True
        clear = known & ~tails.flagged[rows]
        np.fmax.at(tails.score_max, rows[clear], raw[clear])
        unflagged = ~tails.flagged[rows]
        np.fmax.at(tails.family_max, rows[unflagged], families[part][unflagged])
    return alarms


def with_only(seen: Seen, row: Row) -> FloatArray:
    """Values of families where all but the row's are missing."""
    values = np.full_like(seen.log.families, np.nan)
    if row.measures:
        values[:, DISTILLATION] = forest_value(seen, row.measures)
        return values
    columns = [FAMILIES.index(family) for family in row.families]
    values[:, columns] = seen.log.families[:, columns]
    return values


def without(seen: Seen, row: Row) -> FloatArray:
    values = seen.log.families.copy()
    if row.measures:
        kept = [name for name in MEASURES if name not in row.measures]
        values[:, DISTILLATION] = forest_value(seen, kept)
    values[:, [FAMILIES.index(family) for family in row.families]] = np.nan
    return values


def forest_value(seen: Seen, kept: Iterable[str]) -> FloatArray:
    """What the forest says where all other measures are missing."""
    forest = seen.forest
    wanted = set(kept)
    masked = np.full((len(seen.rows), len(forest.names)), np.nan)
    for at, name in enumerate(MEASURES):
        if name in wanted:
            masked[:, at] = seen.log.values[:, USAGE_COLUMNS[at]]
    is_known = np.isfinite(seen.log.families[:, DISTILLATION])
    return np.where(is_known, forest.surprisal(masked), np.nan)


def strip(trace: Path, folder: Path) -> Path:
    """The same trace with nothing but time, account, model, tokens and status."""
    folder.mkdir(parents=True, exist_ok=True)
    for each in trace.iterdir():
        if each.name != LOG_NAME and each.is_file():
            shutil.copyfile(each, folder / each.name)
    with gzip.open(trace / LOG_NAME, "rt") as lines, gzip.open(folder / LOG_NAME, "wt") as out:
        for line in lines:
            record = json.loads(line)
            out.write(json.dumps({key: value for key, value in record.items() if key not in INPUTS}) + "\n")
    return folder


def see(trace: Path, out: Path, forests: Path | None) -> Seen:
    """The product's run of a trace; one that is there already is read.

    The forest is that of `forests` for this trace, taught on other logs; else the shipped one.
    """
    if not (out / product.EVALUATIONS).exists():
        run_isolated("tests.benchmarks.detection.product:run_product", {"trace": str(trace), "out": str(out)})
    log = product.read_evaluations(out)
    numbers = {name: number for number, name in enumerate(dict.fromkeys(log.accounts))}
    own = None if forests is None else forests / f"{trace.name}.msgpack"
    is_own = own is not None and own.exists()
    forest = Forest.from_bytes(own.read_bytes()).for_inputs(MEASURES) if own and is_own else shipped_forest()
    seen = Seen(trace, log, np.array([numbers[name] for name in log.accounts]), forest)
    if is_own:
        log.families[:, DISTILLATION] = forest_value(seen, MEASURES)
    return seen


class Found(NamedTuple):
    hits: int
    groups: int
    honest: int

    def __str__(self) -> str:
        return f"{self.hits} of {self.groups}, {self.honest}"


def whole(seen: Seen, row: Row) -> FloatArray:
    """Values of families as they are."""
    return seen.log.families


def found_by(seen: list[Seen], out: Path, values: Callable[[Seen, Row], FloatArray], row: Row) -> Found:
    """Attacks and honest accounts named in all these traces."""
    total = Found(0, 0, 0)
    for each in seen:
        alarms = write_firsts(first_alarms(each, values(each, row)), out / each.trace.name / "alerts.jsonl")
        verdicts = judge(each.trace, "", alarms).verdicts
        groups = [group for group in verdicts.groups if not group.kind.startswith("indomain")]
        honest = sum(kind.alerted for kind in verdicts.benign.values())
        hits = sum(group.alert.is_hit for group in groups)
        total = Found(total.hits + hits, total.groups + len(groups), total.honest + honest)
    return total


def is_scored(seen: list[Seen], row: Row) -> bool:
    """Whether anything of it is known in these logs."""
    if row.measures:
        return all(each.is_of_use for each in seen)
    families = row.families
    columns = [FAMILIES.index(family) for family in families]
    return any(bool(np.isfinite(each.log.families[:, columns]).any()) for each in seen)


def table(by_kind: dict[str, list[Seen]], out: Path) -> list[tuple[str, ...]]:
    """Header and rows of text."""
    kinds = [kind for kind, seen in by_kind.items() if seen]
    header = (
        "family",
        "log fields",
        *(f"{kind}: alone" for kind in kinds),
        *(f"{kind}: without" for kind in kinds),
    )
    everything = Row("all together", ())
    of_all = [str(found_by(by_kind[kind], out, whole, everything)) for kind in kinds]
    lines = [header, (everything.name, "", *of_all, *("" for _ in kinds))]
    for row in rows():
        alone, lost = [], []
        for kind in kinds:
            is_in = is_scored(by_kind[kind], row)
            alone.append(str(found_by(by_kind[kind], out, with_only, row)) if is_in else "not scored")
            lost.append(str(found_by(by_kind[kind], out, without, row)) if is_in else "")
        lines.append((row.name, ", ".join(row.needs) or "none", *alone, *lost))
        print("  ".join(lines[-1]), file=sys.stderr, flush=True)
    return lines


def as_markdown(lines: list[tuple[str, ...]]) -> str:
    head, *rest = ("| " + " | ".join(cells) + " |" for cells in lines)
    return "\n".join([head, "|---" * len(lines[0]) + "|", *rest])


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--traces", type=Path, nargs="*", default=[DEVELOPMENT], help="folders, or folders of them"
    )
    parser.add_argument("--only", nargs="*", help="names of traces to keep")
    parser.add_argument(
        "--bare", nargs="*", default=["letter", "llm-2"], help="traces to strip of inputs, too"
    )
    parser.add_argument("--out", type=Path, default=Path("bench-out") / "families")
    parser.add_argument("--forests", type=Path, help="<trace>.msgpack of each: forests that others taught")
    args = parser.parse_args()
    traces = [each for each in found_traces(args.traces) if not args.only or each.name in args.only]
    if not traces:
        sys.exit("no trace: give folders with --traces")
    seen = [see(trace, args.out / "runs" / trace.name, args.forests) for trace in traces]
    bare = [strip(trace, args.out / "bare" / trace.name) for trace in traces if trace.name in args.bare]
    by_kind = {
        "classifiers": [each for each in seen if not each.is_of_use],
        "text": [each for each in seen if each.is_of_use],
        "without inputs": [see(trace, args.out / "runs" / f"{trace.name}-bare", None) for trace in bare],
    }
    text = as_markdown(table(by_kind, args.out / "alarms"))
    (args.out / "families.md").write_text(text + "\n")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
