"""File replay end to end beside reading and decoding the same file and doing nothing with it."""

import gzip
import itertools
import tempfile
import time
from pathlib import Path

import msgspec

from copycatch.records.columns import Outcomes
from copycatch.records.policy import Policy
from copycatch.records.wire import InferenceRecord
from copycatch.service.replay import replay
from copycatch.units import UnixMs
from tests.benchmarks.engine import NOW_MS
from tests.benchmarks.measure import Figure, Part, Spent, Target, ratios, spend, take_turns
from tests.benchmarks.scale import Scale
from tests.benchmarks.traffic import START_MS, Draw, Pool, Shape

ACCOUNTS = 10_000
WARM_SHARE = 0.2  # of the records lie in the days before, so that everything has been learned
WARM_DAYS = 2.6
BUSY_PER_S = 200.0
POLL_RECORDS = 5_000
TRACES = Path(__file__).parents[3] / "shared" / "traces"


def write_log(path: Path, n: int, seed: int = 5) -> None:
    """Some quiet days, then a busy span: `n` records; `.gz` as rotated logs are."""
    pool = Pool(Shape(), min(n, 20_000), seed)
    n_quiet = round(n * WARM_SHARE)
    quiet_ms = round(WARM_DAYS * 86_400_000)
    quiet = pool.lines(n_quiet, Draw(400, "uniform", seed), START_MS, n_quiet / (WARM_DAYS * 86_400))
    busy = pool.lines(n - n_quiet, Draw(ACCOUNTS, "zipf", seed), START_MS + quiet_ms, BUSY_PER_S)
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wb") as file:
        file.writelines(line + b"\n" for line in itertools.chain(quiet, busy))


def bare_decode(path: Path) -> int:
    """Read and validate every line; gives their number."""
    decode = msgspec.json.Decoder(InferenceRecord).decode
    opener = gzip.open if path.suffix == ".gz" else open
    n = 0
    with opener(path, "rb") as file:
        for line in file:
            decode(line)
            n += 1
    return n


def judge_file(path: Path) -> int:
    """The product, as `copycatch replay` runs it."""
    found = Outcomes()

    def keep(outcomes: Outcomes) -> None:
        found.alerts += outcomes.alerts
        found.recommendations += outcomes.recommendations

    return replay([str(path)], Policy(), keep, now_ms=UnixMs(NOW_MS)).counts.total


def judge_busy(path: Path, n_quiet: int) -> Spent:
    """Seconds a record of what follows the quiet days: the product once everything has been learned."""
    seen, places = 0, []

    def keep(outcomes: Outcomes) -> None:
        nonlocal seen
        seen += outcomes.counts.total
        if seen >= n_quiet:
            places.append((seen, time.perf_counter(), time.process_time()))

    replay([str(path)], Policy(), keep, now_ms=UnixMs(NOW_MS))
    (first, wall_s, cpu_s), (last, wall_end_s, cpu_end_s) = places[0], places[-1]
    n = max(last - first, 1)
    return Spent((wall_end_s - wall_s) / n, (cpu_end_s - cpu_s) / n)


def run(scale: Scale) -> Part:
    """Part (b)."""
    part = Part("files", "File replay end to end beside bare decode")
    with tempfile.TemporaryDirectory(prefix="copycatch-bench-") as folder:
        small = Path(folder) / "small.jsonl"
        write_log(small, min(2_000, scale.file_records))
        judge_file(small)  # compiled code is loaded before anything is timed
        for suffix in ("jsonl", "jsonl.gz"):
            path = Path(folder) / f"log.{suffix}"
            write_log(path, scale.file_records)
            target = Target("at least", 0.5, "ratio") if suffix == "jsonl" else None
            note = (
                f"{WARM_SHARE:.0%} of {scale.file_records:,} records over {WARM_DAYS} days, the others at "
                f"{BUSY_PER_S:g} a second of event time, {ACCOUNTS:,} accounts; ratio of CPU time"
            )
            _add(part, f".{suffix}", path, scale.file_records, scale.rounds, target, note)
            if suffix == "jsonl" and scale.file_records * (1 - WARM_SHARE) > 2 * POLL_RECORDS:
                _add_busy(part, path, scale)
    for trace in sorted(TRACES.glob("*/log.jsonl.gz")) if scale.with_traces else ():
        with gzip.open(trace, "rb") as lines:
            n = sum(1 for _ in lines)
        note = "a development trace: a week of 167 accounts, so nearly every tick of five minutes costs"
        _add(part, f"trace {trace.parent.name}", trace, n, 1, None, note)
    return part


def _add_busy(part: Part, path: Path, scale: Scale) -> None:
    """The same file without its quiet days, in which each tick of five minutes serves a few dozen records."""
    n = scale.file_records
    spent = take_turns(
        {
            "busy": lambda: judge_busy(path, round(n * WARM_SHARE)),
            "decode": lambda: spend(lambda: bare_decode(path), n),
        },
        scale.rounds,
    )
    cpu = {key: [1 / each.cpu_s for each in taken] for key, taken in spent.items()}
    part.figures.append(
        Figure(
            part.key,
            "the busy span of it alone",
            "records/s",
            [1 / each.wall_s for each in spent["busy"]],
            "bare decode",
            ratios(cpu["busy"], cpu["decode"]),
            None,
            "what follows the quiet days; ratio of CPU time",
        )
    )


def _add(part: Part, name: str, path: Path, n: int, rounds: int, target: Target | None, note: str) -> None:
    spent = take_turns(
        {
            "replay": lambda: spend(lambda: judge_file(path), n),
            "decode": lambda: spend(lambda: bare_decode(path), n),
        },
        rounds,
    )
    rates = {key: [1 / each.wall_s for each in taken] for key, taken in spent.items()}
    cpu = {key: [1 / each.cpu_s for each in taken] for key, taken in spent.items()}
    in_cpu = ratios(cpu["replay"], cpu["decode"])
    part.figures.append(
        Figure(
            part.key, f"replay of {name}", "records/s", rates["replay"], "bare decode", in_cpu, target, note
        )
    )
    part.figures.append(Figure(part.key, f"bare decode of {name}", "records/s", rates["decode"]))
