"""Where the microseconds go, stage by stage: decoding, columns, engine, on the same traffic as the benchmark.

    python -m tests.benchmarks.profile                      py-spy where it is installed, else cProfile
    python -m tests.benchmarks.profile --accounts 100000 --with cprofile

py-spy samples from outside and distorts nothing; cProfile charges Python calls more than they cost. Time in
numpy, in the JSON decoder and in compiled code counts for the function of copycatch that called it.
"""

import argparse
import cProfile
import os
import pstats
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from copycatch import engine
from copycatch.formats.catalog import make_decoder
from copycatch.formats.shared.format import FormatOptions
from copycatch.intake.columns import ColumnBuilder
from copycatch.records.policy import Policy
from copycatch.units import UnixMs
from tests.benchmarks.engine import LIVE_PER_S, NOW_MS, Bench
from tests.benchmarks.isolated import ROOT
from tests.benchmarks.traffic import BATCH, Draw, Pool, Shape, raw_batches

PACKAGE = "/copycatch/"
SAMPLES_PER_S = 200
FUNCTIONS_SHOWN = 22
Place = tuple[str, str]  # stage, function
FunctionKey = tuple[str, int, str]


def stage_of(path: str) -> str | None:
    """First folder (or file) below the package; None for what is not ours.

    Examples
    --------
    >>> stage_of("/x/src/copycatch/signals/compute.py"), stage_of("/x/numpy/core.py")
    ('signals', None)
    """
    _, found, below = path.rpartition(PACKAGE)
    return below.split("/")[0].removesuffix(".py") if found else None


class Work:
    """The path of a record from bytes to outcomes, warmed."""

    def __init__(self, accounts: int, warm_records: int) -> None:
        self._bench = Bench(accounts, Shape(), Policy(), warm_records, BATCH)
        self._bench.introduce(accounts)
        self._pool = Pool(Shape(), 20_000, seed=1)
        self._draw = Draw(accounts, "zipf", seed=3)
        self._builder, self._decoder = (
            ColumnBuilder(b"benchmark, no secret", None),
            make_decoder("native", FormatOptions()),
        )

    def turn(self, records: int, profiler: cProfile.Profile | None = None) -> float:
        """Judge so many records; seconds of CPU."""
        lines = self._pool.lines(records, self._draw, self._bench.columns.now_ms, LIVE_PER_S)
        batches = list(raw_batches(lines))
        self._bench.columns.now_ms += round(records / LIVE_PER_S * 1000)
        began_s = time.process_time()
        if profiler is not None:
            profiler.enable()
        for raw in batches:
            batch, _ = self._builder.build(raw, self._decoder.decode(raw))
            engine.step(self._bench.state, batch, UnixMs(NOW_MS), self._bench.policy)
        if profiler is not None:
            profiler.disable()
        return time.process_time() - began_s


def by_cprofile(work: Work, records: int) -> Counter[Place]:
    """Seconds per place."""
    profiler = cProfile.Profile()
    work.turn(records, profiler)
    table: dict[FunctionKey, Any] = pstats.Stats(profiler).stats  # type: ignore[attr-defined]
    shares: dict[FunctionKey, dict[Place, float]] = {}

    def share(key: FunctionKey, above: frozenset[FunctionKey]) -> dict[Place, float]:
        """To whom a function's time belongs: itself, or those who called it."""
        stage = stage_of(key[0])
        if stage is not None:
            return {(stage, key[2]): 1.0}
        if key in shares:
            return shares[key]
        callers = {
            caller: numbers[2]
            for caller, numbers in table[key][4].items()
            if caller not in above and caller in table
        }
        total = sum(callers.values())
        found: Counter[Place] = Counter()
        for caller, seconds in callers.items():
            weight = seconds / total if total else 1 / len(callers)
            for place, part in share(caller, above | {key}).items():
                found[place] += weight * part  # type: ignore[assignment]
        shares[key] = dict(found)
        return shares[key]

    places: Counter[Place] = Counter()
    for key, numbers in table.items():
        for place, part in share(key, frozenset()).items():
            places[place] += numbers[2] * part
    return places


def by_py_spy(command: str, accounts: int, records: int, turns: int) -> Counter[Place]:
    """Samples per place; the work runs in a child."""
    with tempfile.TemporaryDirectory(prefix="copycatch-bench-") as folder:
        raw = Path(folder) / "raw.txt"
        arguments = ["--work", "--accounts", str(accounts), "--records", str(records), "--turns", str(turns)]
        subprocess.run(
            [
                command,
                "record",
                "--format",
                "raw",
                "--rate",
                str(SAMPLES_PER_S),
                "--output",
                str(raw),
                "--",
                sys.executable,
                "-m",
                "tests.benchmarks.profile",
                *arguments,
            ],
            cwd=ROOT,
            check=True,
            capture_output=True,
        )
        return parse_samples(raw.read_text())


def parse_samples(text: str) -> Counter[Place]:
    """Samples by the innermost function of ours, within the turns that are looked at.

    Examples
    --------
    >>> stack = "turn (profile.py:5);add (/x/copycatch/windows/fold.py:3);dot (numpy/a.py:1)"
    >>> parse_samples(f"{stack} 7")
    Counter({('windows', 'add'): 7})
    """
    places: Counter[Place] = Counter()
    for line in text.splitlines():
        stack, _, count = line.rpartition(" ")
        frames = stack.split(";")
        if not any(frame.startswith("turn ") for frame in frames):
            continue
        for frame in reversed(frames):
            name, _, where = frame.partition(" (")
            stage = stage_of(where.rpartition(":")[0])
            if stage is not None:
                places[stage, name] += int(count)
                break
    return places


def report(places: Counter[Place], us: float) -> str:
    """Both tables: stages, then functions; `us` is what an event costs in all."""
    total = sum(places.values())
    stages: Counter[str] = Counter()
    for (stage, _), amount in places.items():
        stages[stage] += amount
    lines = [f"{us:.1f} us of CPU an event, from bytes to outcomes", "", f"{'us':>7}  {'share':>6}  stage"]
    lines += [f"{us * n / total:7.2f}  {n / total:6.1%}  {stage}" for stage, n in stages.most_common()]
    lines += ["", f"{'us':>7}  {'share':>6}  function"]
    lines += [
        f"{us * n / total:7.2f}  {n / total:6.1%}  {stage}: {name}"
        for (stage, name), n in places.most_common(FUNCTIONS_SHOWN)
    ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--accounts", type=int, default=10_000)
    parser.add_argument("--records", type=int, default=50_000, help="a turn")
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--warm-records", type=int, default=20_000)
    parser.add_argument(
        "--with", dest="profiler", choices=("py-spy", "cprofile"), help="py-spy if it is there"
    )
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    work = Work(args.accounts, args.warm_records)
    work.turn(min(args.records, BATCH))
    if args.work:
        for _ in range(args.turns):
            work.turn(args.records)
        return 0
    us = min(work.turn(args.records) for _ in range(args.turns)) / args.records * 1e6
    command = shutil.which(
        "py-spy", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    )
    if args.profiler == "cprofile" or (command is None and args.profiler is None):
        places = by_cprofile(work, args.records)
        how = "cProfile"
    elif command is None:
        print("py-spy is not installed: pip install py-spy, or --with cprofile", file=sys.stderr)
        return 2
    else:
        places = by_py_spy(command, args.accounts, args.records, args.turns)
        how = "py-spy"
    print(f"{how}, {args.accounts:,} accounts, Zipf\n{report(places, us)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
