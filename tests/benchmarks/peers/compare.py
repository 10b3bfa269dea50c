"""The engine beside river's pipeline and PRADA, per event, in the same process and rounds."""

from typing import Any

import msgspec
import numpy as np

from copycatch.records.policy import Policy
from tests.benchmarks.engine import US, Bench
from tests.benchmarks.isolated import MeasurementFailed, run_isolated
from tests.benchmarks.measure import Figure, Part, Spent, Target, ratios, spend, take_turns
from tests.benchmarks.peers.prada import Prada
from tests.benchmarks.peers.river_pipeline import Pipeline
from tests.benchmarks.scale import Scale
from tests.benchmarks.traffic import START_MS, Draw, Pool, Shape

PRADA_TIMED = 50  # queries, once the detector holds as many as asked for
PRADA_LENGTH = 16


def measure(
    accounts: int,
    records: int,
    engine_records: int,
    prada_queries: int,
    rounds: int,
    warm_records: int,
    size: int,
) -> dict[str, Any]:
    """Microseconds an event of each, round by round; runs in a child."""
    bench = Bench(accounts, Shape(), Policy(), warm_records, size)
    bench.introduce(accounts)
    draw = Draw(accounts, "zipf", seed=3)
    bench.feed(draw, engine_records)
    pool = Pool(Shape(), 2_000, seed=9)
    pipeline = Pipeline()
    decode = msgspec.json.decode
    for line in pool.lines(records, draw, START_MS, 50.0):
        pipeline.step(decode(line))
    position = 0

    def river() -> Spent:
        nonlocal position
        position += 1
        lines = pool.lines(records, draw, START_MS + position * 10_000_000, 50.0)
        decoded = [decode(line) for line in lines]

        def run() -> None:
            for record in decoded:
                pipeline.step(record)

        return spend(run, records)

    spent = take_turns(
        {
            "engine": lambda: bench.timed(draw, engine_records),
            "river": river,
            "prada": lambda: _prada_timed(prada_queries, 1),
            "prada_tenth": lambda: _prada_timed(prada_queries, 10),
        },
        rounds,
    )
    return {name: [each.cpu_s * US for each in found] for name, found in spent.items()}


def _prada_timed(n: int, test_every: int) -> Spent:
    """Per query, when the client has sent `n`: the set is searched, all distances are tested."""
    rng = np.random.default_rng(4)
    prada = Prada(delta=0.0, test_every=test_every)
    labels = rng.integers(10, size=n + PRADA_TIMED).tolist()
    queries = rng.normal(size=(n + PRADA_TIMED, PRADA_LENGTH))
    for index in range(n):
        prada.take(queries[index], labels[index])
    prada.is_attack()

    def run() -> None:
        for index in range(n, n + PRADA_TIMED):
            prada.add(queries[index], labels[index])

    return spend(run, PRADA_TIMED)


def run(scale: Scale) -> Part:
    """Peers per event."""
    part = Part("peers", "Peers per event, in the same run")
    arguments = {
        "accounts": scale.peer_accounts,
        "records": scale.peer_records,
        "engine_records": scale.records,
        "prada_queries": scale.prada_queries,
        "rounds": scale.rounds,
        "warm_records": scale.warm_records,
        "size": scale.batch,
    }
    try:
        found = run_isolated("tests.benchmarks.peers.compare:measure", arguments)
    except MeasurementFailed as error:
        part.skipped.append(str(error))
        return part
    unit = "us of CPU an event"
    engine = found["engine"]
    accounts = f"{scale.peer_accounts:,} accounts, Zipf"
    part.figures += [
        Figure(part.key, "copycatch engine", unit, engine, note=accounts),
        Figure(
            part.key,
            "plain river pipeline",
            unit,
            found["river"],
            "copycatch engine",
            ratios(found["river"], engine),
            Target("at least", 20, "ratio"),
            "running statistics in dicts, half-space trees an event",
        ),
        Figure(
            part.key,
            f"PRADA at n = {scale.prada_queries:,}",
            unit,
            found["prada"],
            "copycatch engine",
            ratios(found["prada"], engine),
            Target("at least", 50, "ratio"),
            f"{PRADA_LENGTH} dimensions, ten classes; tested at every query, as in the paper",
        ),
        Figure(
            part.key,
            "the same, tested at every tenth query",
            unit,
            found["prada_tenth"],
            "copycatch engine",
            ratios(found["prada_tenth"], engine),
            None,
            "as its authors' code does",
        ),
    ]
    return part
