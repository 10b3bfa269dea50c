"""Every log format beside copycatch's own, on bodies of real length, in one process and run.

From bytes to columns, as the intake reads a message, and the decoding of that alone.
"""

import itertools
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from copycatch.formats.catalog import make_decoder
from copycatch.formats.shared.format import FormatOptions
from copycatch.intake.read import ANY_TOPIC, SPAN_RECORDS, Intake
from copycatch.records.columns import RawBatch
from tests.benchmarks.isolated import MeasurementFailed, run_isolated
from tests.benchmarks.measure import Figure, Part, Target, ratios, spend, take_turns
from tests.benchmarks.prompts import prompts
from tests.benchmarks.scale import Scale
from tests.support.log_shapes import CHAT, TABULAR, Logged, Query

PROMPT_BYTES = (500, 2_000)
FEATURES, CLASSES = 20, 30
BATCH = SPAN_RECORDS  # as the intake reads
BOUND = Target("at most", 4.0, "ratio")
BOUNDED = ("openai", "litellm", "otel")
START_MS = 1_772_359_200_000


def queries(n: int) -> Iterator[Query]:
    """Queries with prompts of PROMPT_BYTES, answers half as long, and vectors as a classifier has them."""
    rng = np.random.default_rng(1)
    words = itertools.cycle(prompts(max(n, 50))[0])
    for index in range(n):
        size = int(rng.integers(*PROMPT_BYTES))
        prompt = answer = next(words)
        while len(prompt) < size:
            prompt += " " + next(words)
        while len(answer) < size // 2:
            answer += " " + next(words)
        probabilities = rng.dirichlet(np.full(CLASSES, 0.1)).round(6)
        yield Query(
            f"e-{index:08d}", f"acct-{index % 997}", prompt[:size], answer[: size // 2], index % 86_400,
            rng.normal(size=FEATURES).round(5).tolist(), probabilities.tolist(),
        )  # fmt: skip


def batches_of(shape: Callable[[Query], list[Logged]], asked: list[Query]) -> list[RawBatch]:
    """Messages as the intake gets them."""
    messages = [message for query in asked for message in shape(query)]
    found = []
    for first in range(0, len(messages), BATCH):
        part = messages[first : first + BATCH]
        at = list(range(first, first + len(part)))
        headers = [each.headers for each in part] if any(each.headers for each in part) else []
        times = [START_MS] * len(part)
        found.append(RawBatch("logs", 0, at, [each.value for each in part], times, headers))
    return found


def _decode(name: str, batches: list[RawBatch], n: int) -> None:
    decoder = make_decoder(name, FormatOptions())
    decoded = [decoder.decode_lazily(batch) for batch in batches]
    decoder.flush(0)
    decoded.append(decoder.flush(1 << 50))
    found = sum(len(each.records) for each in decoded)
    assert found == n, f"{name}: {found} records of {n} queries: {decoded[0].rejects[:1]}"


def _read(name: str, batches: list[RawBatch], n: int) -> None:
    intake = Intake(b"k" * 32, None, {ANY_TOPIC: lambda: make_decoder(name, FormatOptions())})
    found = sum(len(intake.read(batch, 0).batch) for batch in batches)
    found += sum(len(each.batch) for each in intake.end())
    assert found == n, f"{name}: {found} records of {n} queries"


_WAYS = {"": _read, ", decoding": _decode}


def measure(records: int, rounds: int) -> dict[str, Any]:
    """Microseconds a record of each format and way, and bytes a record; runs in a child."""
    asked = list(queries(records))
    shapes = {("chat", name): shape for name, shape in CHAT.items()}
    shapes |= {("tabular", name): shape for name, shape in TABULAR.items()}
    logs = {key: batches_of(shape, asked) for key, shape in shapes.items()}
    spent = take_turns(
        {
            "/".join(key) + way: partial(spend, partial(take, key[1], log, records), records)
            for key, log in logs.items()
            for way, take in _WAYS.items()
        },
        rounds,
    )
    return {
        "us": {name: [each.cpu_s * 1e6 for each in found] for name, found in spent.items()},
        "bytes": {
            "/".join(key): sum(len(value) for batch in log for value in batch.values) / records
            for key, log in logs.items()
        },
    }


def run(scale: Scale) -> Part:
    part = Part("formats", "Formats: bytes to columns, beside the native format of the same queries")
    try:
        arguments = {"records": max(scale.records // 10, 100), "rounds": scale.rounds}
        found = run_isolated("tests.benchmarks.formats:measure", arguments)
    except MeasurementFailed as failure:
        part.skipped.append(str(failure))
        return part
    for name, us in found["us"].items():
        kind, _, rest = name.partition("/")
        format_name, separator, way = rest.partition(", ")
        own = found["us"][f"{kind}/native{separator}{way}"]
        part.figures.append(
            Figure(
                part.key,
                f"{format_name}, {kind}{separator}{way}",
                "records a second and core",
                [1e6 / each for each in us],
                "" if format_name == "native" else "native, in time",
                () if format_name == "native" else ratios(us, own),
                BOUND if format_name in BOUNDED and not way else None,
                f"{found['bytes'][f'{kind}/{format_name}']:,.0f} bytes a record",
            )
        )
    return part
