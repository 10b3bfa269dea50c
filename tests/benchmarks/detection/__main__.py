"""`make bench-detection`: product and peers on all traces, calibration and ablation.

python -m tests.benchmarks.detection                       everything
python -m tests.benchmarks.detection --only letter --no-ablation --no-simulated
"""

import argparse
import secrets
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.detection import product
from tests.benchmarks.detection.judging import Judged, disagreement, judge, write_firsts
from tests.benchmarks.detection.report import DEFAULT_BUDGET, Study, write_study
from tests.benchmarks.detection.traces import DEVELOPMENT, HONEST_PART, found_traces
from tests.benchmarks.isolated import MeasurementFailed, run_isolated
from tests.benchmarks.machine import machine_words

BUDGETS = (0.5, 1.0, 2.0, 5.0)
FRESH = (("digits", "demo"), ("intents", "demo"), ("digits", "hiding"))
# Honest use alone: of few accounts a week shows no rate of .5 alerts per 1,000 accounts and day.
POPULATIONS = ("digits", "intents", "tabular")
POPULATION_ACCOUNTS = 1_200
RING_TOWNS = 4
PRODUCT = "copycatch"


@dataclass
class Bench:
    """Everything of one run; `folder` keeps what product and peers wrote."""

    folder: Path
    jobs: int
    study: Study = field(default_factory=Study)

    def all(self, tasks: Sequence[Callable[[], Any]]) -> list[Any]:
        """Children side by side; a failed one is a line in the report."""
        with ThreadPoolExecutor(self.jobs) as pool:
            return [done for done in pool.map(self._safely, tasks) if done is not None]

    def _safely(self, task: Callable[[], Any]) -> Any:
        try:
            return task()
        except MeasurementFailed as error:
            self.study.notes.append(f"not measured: {error}")
            return None

    def path(self, trace: Path, what: str) -> Path:
        return self.folder / "runs" / trace.name / what

    def run_product(self, trace: Path, what: str = PRODUCT, **options: Any) -> Judged:
        """Replay, then judge."""
        out = self.path(trace, what)
        done = run_isolated(
            "tests.benchmarks.detection.product:run_product", {"trace": str(trace), "out": str(out)} | options
        )
        judged = judge(trace, what, out / product.ALERTS, out / product.RECOMMENDATIONS)
        print(
            f"  {trace.name} {what}: recall {judged.recall:.2f}, fidelity share {judged.fidelity_share:.2f}, "
            f"benign {judged.benign_alerted:.1%}, {done['cpu_s']:.0f} s of CPU",
            file=sys.stderr,
        )
        return judged

    def note_warmth(self, trace: Path) -> None:
        """A detector that never left its warm-up has no false alarms; the report names it."""
        evaluations = product.read_evaluations(self.path(trace, PRODUCT))
        warm = ~np.isnan(evaluations.tail_probs)
        if not warm.any():
            self.study.notes.append(
                f"{trace.name}: copycatch was warming up throughout "
                f"({len(warm)} evaluations): too few accounts"
            )
            return
        first_ms, born_ms = evaluations.times_ms[warm].min(), evaluations.times_ms[0]
        self.study.notes.append(
            f"{trace.name}: copycatch scored from hour {(first_ms - born_ms) / 3_600_000:.0f} on, "
            f"{warm.mean():.0%} of {len(warm)} evaluations"
        )

    def check_scorer(self, trace: Path, judged: Judged) -> None:
        out = self.path(trace, PRODUCT)
        found = disagreement(trace, judged, out / product.ALERTS, out / product.RECOMMENDATIONS)
        if found is None:
            self.study.notes.append(
                "the traces' own scorer is not here: figures by copycatch.redteam.verdicts only"
            )
        elif found:
            self.study.notes.append(
                f"{trace.name}: DISAGREES with the traces' own scorer: {'; '.join(found)}"
            )
        else:
            self.study.notes.append(f"{trace.name}: equal to the traces' own scorer in every figure")


def run_peers(trace: str, product_out: str, out: str) -> dict[str, dict[str, int]]:
    """First alarms of each peer; runs in a child."""
    from tests.benchmarks.detection import peers
    from tests.benchmarks.detection.traces import read_queries

    folder = Path(trace)
    queries = read_queries(folder)
    found = {
        "volume rule, 500 calls in 60 min": peers.volume_rule(folder),
        "PRADA as published": peers.prada(queries),
        "windowed MMD, benign quantile": peers.windowed_mmd(queries),
    }
    evaluations = product.read_evaluations(Path(product_out))
    found["river HalfSpaceTrees, same features"] = peers.half_space_trees(evaluations, queries.warmup_end_ms)
    for name, firsts in found.items():
        write_firsts(firsts, Path(out) / name.split(",")[0].replace(" ", "-") / "alerts.jsonl")
    return found


def measure_peers(bench: Bench, trace: Path) -> list[Judged]:
    out = bench.path(trace, "peers")
    found = run_isolated(
        "tests.benchmarks.detection.__main__:run_peers",
        {"trace": str(trace), "product_out": str(bench.path(trace, PRODUCT)), "out": str(out)},
    )
    return [judge(trace, name, out / name.split(",")[0].replace(" ", "-") / "alerts.jsonl") for name in found]


def measure_rings(seed: int) -> list[tuple[str, list[tuple[str, ...]]]]:
    """Rings and innocent sharing, drawn by the red team."""
    found = run_isolated("tests.benchmarks.detection.rings:measure_all", {"seed": seed, "towns": RING_TOWNS})
    return [(title, [tuple(row) for row in rows]) for title, rows in found["tables"]]


def run(args: argparse.Namespace) -> Study:
    """All of it, the report rewritten after each stage."""
    bench = Bench(args.out, args.jobs)
    study = bench.study
    study.machine = machine_words()
    traces = found_traces([DEVELOPMENT, *args.traces])
    if not args.no_simulated:
        traces += [Path(each["folder"]) for each in bench.all(_simulations(args, bench))]
    traces = [each for each in traces if not args.only or each.name in args.only]
    study.kind_by_trace |= {
        each.name: "traces" if DEVELOPMENT in each.parents else "small simulated traces" for each in traces
    }
    if not traces:
        sys.exit("no trace: give folders with --traces, or leave --no-simulated out")
    stages: list[tuple[str, list[Callable[[], Any]], list[Judged]]] = []
    products: list[Callable[[], Any]] = [partial(bench.run_product, trace) for trace in traces]
    stages.append(("product", products, study.judged))
    if not args.no_peers:
        peers: list[Callable[[], Any]] = [partial(measure_peers, bench, trace) for trace in traces]
        stages.append(("peers", peers, study.judged))
    if not args.no_calibration:
        honest = [Path(each["folder"]) for each in bench.all(_honest(args, bench, traces))]
        study.kind_by_trace |= {each.name: _kind_of_honest(each) for each in honest}
        stages.append(("calibration", _budgets(bench, traces, honest), study.calibration))
    if not args.no_rings:
        for each in bench.all([partial(measure_rings, args.seed)]):
            study.more_tables += each
    if not args.no_ablation:
        # Simulated ones differ from run to run; what a family is worth is read on those that stay.
        lasting = [trace for trace in traces if DEVELOPMENT in trace.parents] or traces
        stages.append(("ablation", _ablations(bench, lasting), study.ablation))
    for name, tasks, kept in stages:
        began_s = time.monotonic()
        for done in bench.all(tasks):
            kept.extend(done if isinstance(done, list) else [done])
        print(f"{name}: {time.monotonic() - began_s:.0f} s", file=sys.stderr)
        if name == "product":
            for judged in study.judged:
                trace = next(each for each in traces if each.name == judged.trace)
                bench.check_scorer(trace, judged)
                bench.note_warmth(trace)
            study.calibration += study.judged
        write_study(study, args.out)
    return study


def _simulations(args: argparse.Namespace, bench: Bench) -> list[Callable[[], Any]]:
    bench.study.notes.append(f"simulated traces: seed {args.seed} (repeat with --seed {args.seed})")
    return [
        partial(
            run_isolated,
            "tests.benchmarks.detection.traces:write_simulated",
            {
                "victim": victim,
                "preset": args.preset or preset,
                "seed": args.seed,
                "folder": str(args.out / "traces"),
            },
        )
        for victim, preset in FRESH
    ]


def _honest(args: argparse.Namespace, bench: Bench, traces: list[Path]) -> list[Callable[[], Any]]:
    """Honest traffic alone: the development traces without their attackers, and large simulated ones."""
    folder = str(args.out / "traces")
    makers: list[Callable[[], Any]] = [
        partial(
            run_isolated,
            "tests.benchmarks.detection.traces:write_honest_part",
            {"trace": str(trace), "folder": folder},
        )
        for trace in traces
        if DEVELOPMENT in trace.parents
    ]
    if not args.no_simulated:
        makers += [
            partial(
                run_isolated,
                "tests.benchmarks.detection.traces:write_population",
                {"victim": victim, "accounts": POPULATION_ACCOUNTS, "seed": args.seed, "folder": folder},
            )
            for victim in POPULATIONS
        ]
    return makers


def _kind_of_honest(path: Path) -> str:
    is_part = path.name.endswith(HONEST_PART)
    return "traces without their attackers" if is_part else "simulated honest accounts"


def _budgets(bench: Bench, traces: list[Path], honest: list[Path]) -> list[Callable[[], Any]]:
    return [
        partial(bench.run_product, trace, f"budget {budget:g}", budget=budget)
        for trace in (*traces, *honest)
        for budget in BUDGETS
        if trace in honest or budget != DEFAULT_BUDGET  # that is the product's own run
    ]


def _ablations(bench: Bench, traces: list[Path]) -> list[Callable[[], Any]]:
    without: list[tuple[str, dict[str, Any]]] = [
        (f"without feature family {name}", {"off": name}) for name in product.judged_families()
    ]
    without += [(f"without {name}", {"off_scorer": name}) for name in product.scorer_names()]
    return [
        partial(bench.run_product, trace, what, **options) for trace in traces for what, options in without
    ]


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="make bench-detection", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--traces", type=Path, nargs="*", default=[], help="more trace folders, or folders of them"
    )
    parser.add_argument("--only", nargs="*", help="names of traces to keep")
    parser.add_argument("--seed", type=int, help="of the simulated traces; a fresh one when left out")
    parser.add_argument("--preset", help="size of the simulated traces (copycatch simulate --list)")
    for stage in ("simulated", "peers", "calibration", "ablation", "rings"):
        parser.add_argument(f"--no-{stage}", action="store_true")
    parser.add_argument("--jobs", type=int, default=2, help="children side by side")
    parser.add_argument("--out", type=Path, default=Path("bench-out") / "detection")
    args = parser.parse_args()
    if args.seed is None:
        args.seed = secrets.randbelow(1_000_000)
    study = run(args)
    print(study.as_text())
    print(f"tables and plots: {args.out}/")
    return 0 if study.judged else 1


if __name__ == "__main__":
    sys.exit(main())
