"""The engine alone: columns in, outcomes out, everything on, with a state that has learned what is normal."""

from typing import Any

import msgspec
import numpy as np

from copycatch import engine
from copycatch.engine import EngineState
from copycatch.records.columns import Outcomes, RecordBatch
from copycatch.records.policy import Policy, Windows
from copycatch.records.wire import InferenceRecord
from copycatch.units import UnixMs
from tests.benchmarks.isolated import MeasurementFailed, run_isolated
from tests.benchmarks.machine import resident_bytes
from tests.benchmarks.measure import Figure, Part, Spent, Target, ratios, spend, take_turns
from tests.benchmarks.scale import Scale
from tests.benchmarks.traffic import BATCH, Columns, Draw, Shape, Traffic

NOW_MS = 4_000_000_000_000  # no record of a benchmark comes from the future
WARM_ACCOUNTS = 400
WARM_DAYS = 2.6  # references and calibrations need accounts that are two days old
LIVE_PER_S = 5_000.0  # event time passes as it would at this rate
US = 1e6


class Bench:
    """An engine with its traffic.

    Parameters
    ----------
    warm_records : int
        Spread over WARM_DAYS by WARM_ACCOUNTS accounts, before anything is timed.
    """

    def __init__(self, n_accounts: int, shape: Shape, policy: Policy, warm_records: int, size: int) -> None:
        self.policy = policy
        self.columns = Columns(shape, seed=1, size=size)
        self.state: EngineState = engine.new_state(policy, accounts_max=n_accounts * 2 + 10_000)
        self._size = size
        self.looks = 0
        self.warm_looks = 0
        self.alerts = 0
        if warm_records:
            draw = Draw(min(WARM_ACCOUNTS, n_accounts), "uniform", seed=2)
            self.feed(draw, warm_records, warm_records / (WARM_DAYS * 86_400))

    def take(self, batch: RecordBatch) -> Outcomes:
        return engine.step(self.state, batch, UnixMs(NOW_MS), self.policy)

    def note(self, outcomes: Outcomes) -> None:
        for evaluations, scores in outcomes.evaluations:
            self.looks += len(evaluations)
            self.warm_looks += int(np.sum(scores.is_warm))
        self.alerts += len(outcomes.alerts)

    def feed(self, draw: Draw, n: int, per_s: float = LIVE_PER_S) -> None:
        """Untimed traffic."""
        for first in range(0, n, self._size):
            accounts = draw.accounts(min(self._size, n - first))
            self.take(self.columns.batch(accounts, per_s))

    def introduce(self, n_accounts: int) -> None:
        """One record of every account, so that the state has them all."""
        for first in range(0, n_accounts, self._size):
            accounts = np.arange(first, min(first + self._size, n_accounts), dtype=np.int64)
            self.take(self.columns.batch(accounts, LIVE_PER_S))

    def timed(self, draw: Draw, n: int) -> Spent:
        """Seconds per record of `n` records; making the columns is not part of it."""
        batches = [
            self.columns.batch(draw.accounts(min(self._size, n - first)), LIVE_PER_S)
            for first in range(0, n, self._size)
        ]
        found: list[Outcomes] = []

        def run() -> None:
            found.extend(self.take(batch) for batch in batches)

        spent = spend(run, n)
        for outcomes in found:
            self.note(outcomes)
        return spent

    def decode_timed(self) -> Spent:
        """Seconds per record of the JSON decoder alone, on the same records: the yardstick of the machine."""
        decode = msgspec.json.Decoder(InferenceRecord).decode
        values = self.columns.raw[0].values

        def run() -> None:
            for value in values:
                decode(value)

        return spend(run, len(values))


def measure(
    accounts: int,
    traffic: Traffic,
    records: int,
    rounds: int,
    warm_records: int,
    shape: dict[str, Any] | None = None,
    window_factor: float = 1.0,
    size: int = BATCH,
) -> dict[str, Any]:
    """Rounds of `records` records each, in turn with the bare decoder; runs in a child."""
    usual = Windows()
    lengths = Windows(
        short_s=usual.short_s * window_factor,
        long_s=usual.long_s * window_factor,
        memory_s=usual.memory_s * window_factor,
    )
    before_bytes = resident_bytes()
    bench = Bench(accounts, Shape(**(shape or {})), Policy(windows=lengths), warm_records, size)
    bench.introduce(accounts)
    draw = Draw(accounts, traffic, seed=3)
    bench.feed(draw, min(records, 2 * size))
    spent = take_turns({"engine": lambda: bench.timed(draw, records), "decode": bench.decode_timed}, rounds)
    return {
        "engine_cpu_us": [each.cpu_s * US for each in spent["engine"]],
        "engine_wall_us": [each.wall_s * US for each in spent["engine"]],
        "decode_cpu_us": [each.cpu_s * US for each in spent["decode"]],
        "looks_per_1000": 1000 * bench.looks / (records * rounds),
        "warm_share": bench.warm_looks / max(bench.looks, 1),
        "alerts": bench.alerts,
        "resident_growth_bytes": resident_bytes() - before_bytes,
    }


def _note_of(found: dict[str, Any]) -> str:
    wall = float(np.median(found["engine_wall_us"]))
    return (
        f"{found['looks_per_1000']:.0f} looks per 1,000 records, {found['warm_share']:.0%} of them warm; "
        f"{wall:.1f} us on the clock"
    )


def figure(
    part: str, name: str, found: dict[str, Any], at: float, line: str, target: Target | None
) -> Figure:
    return Figure(
        part,
        name,
        "us of CPU an event",
        found["engine_cpu_us"],
        "bare JSON decode",
        ratios(found["engine_cpu_us"], found["decode_cpu_us"]),
        target,
        _note_of(found),
        at,
        line,
    )


def run(scale: Scale) -> Part:
    """Part (a): accounts from a thousand to a million, Zipf and even traffic."""
    part = Part("engine", "Engine only: columns in, outcomes out", axis="accounts")
    for traffic in ("zipf", "uniform"):
        for accounts in scale.accounts:
            name = f"{accounts:,} accounts, {traffic}"
            try:
                found = run_isolated(
                    "tests.benchmarks.engine:measure",
                    {
                        "accounts": accounts,
                        "traffic": traffic,
                        "records": scale.records,
                        "rounds": scale.rounds,
                        "warm_records": scale.warm_records,
                        "size": scale.batch,
                    },
                )
            except MeasurementFailed as error:
                part.skipped.append(f"{name}: {error}")
                continue
            is_central = accounts == 100_000 and traffic == "zipf"
            target = Target("at most", 10.0) if is_central else None
            part.figures.append(figure(part.key, name, found, accounts, traffic, target))
    return part


def run_growth(scale: Scale) -> Part:
    """Part (f): cost as windows, models and vectors grow; accounts grow in part (a)."""
    part = Part(
        "growth",
        "Cost per event as things grow (beside the smallest of each line)",
        axis="times the smallest",
    )
    lines: dict[str, list[tuple[str, dict[str, Any]]]] = {
        "window length": [(f"windows x {f:g}", {"window_factor": f}) for f in scale.window_factors],
        "models": [(f"{n} models", {"shape": {"models": n}}) for n in scale.models],
        "vector length": [
            (f"{n}-dimensional embeddings and inputs", {"shape": {"embedding_length": n, "input_length": n}})
            for n in scale.vector_lengths
        ],
    }
    for line, cases in lines.items():
        smallest: list[float] | None = None
        for index, (name, more) in enumerate(cases):
            arguments = {
                "accounts": scale.growth_accounts, "traffic": "zipf", "records": scale.records,
                "rounds": scale.rounds, "warm_records": scale.warm_records, "size": scale.batch,
            }  # fmt: skip
            try:
                found = run_isolated("tests.benchmarks.engine:measure", arguments | more)
            except MeasurementFailed as error:
                part.skipped.append(f"{name}: {error}")
                continue
            # Beside the decoder of the same round, so that a slow minute of the machine does not count.
            relative = ratios(found["engine_cpu_us"], found["decode_cpu_us"])
            if line == "vector length":
                relative = list(found["engine_cpu_us"])  # longer records are slower to decode, too
            smallest = smallest or relative
            part.figures.append(
                Figure(
                    part.key,
                    name,
                    "us of CPU an event",
                    found["engine_cpu_us"],
                    cases[0][0],
                    ratios(relative, smallest),
                    None,
                    _note_of(found),
                    4.0**index,
                    line,
                )
            )
    return part
