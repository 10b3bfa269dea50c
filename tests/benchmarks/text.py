"""Embedding of raw text, for logs that bring none: beside the decoder on the same records."""

from typing import Any

import numpy as np

from copycatch.embedding.embedder import TextEmbedder
from copycatch.formats.catalog import make_decoder
from copycatch.formats.shared.format import FormatOptions
from tests.benchmarks.isolated import MeasurementFailed, run_isolated
from tests.benchmarks.measure import Figure, Part, ratios, spend, take_turns
from tests.benchmarks.scale import Scale
from tests.benchmarks.traffic import START_MS, Draw, Pool, Shape, raw_batches


def measure(texts: int, rounds: int) -> dict[str, Any]:
    """Microseconds a text, fresh ones and ones seen before; runs in a child."""
    pool = Pool(Shape(is_text=True), texts, seed=6)
    raw = next(raw_batches(pool.lines(texts, Draw(100, "uniform", 6), START_MS, 10.0), size=texts))
    decoder = make_decoder("native", FormatOptions())
    inputs = [str(record.input) for record in decoder.decode(raw).records]
    rng = np.random.default_rng(8)
    warm = TextEmbedder()
    warm.embed_many(inputs)
    turn = 0

    def fresh() -> object:
        nonlocal turn
        turn += 1
        return warm.embed_many([f"{text} {turn} {rng.integers(1 << 30)}" for text in inputs])

    spent = take_turns(
        {
            "fresh": lambda: spend(fresh, texts),
            "seen": lambda: spend(lambda: warm.embed_many(inputs), texts),
            "decode": lambda: spend(lambda: decoder.decode(raw), texts),
        },
        rounds,
    )
    return {name: [each.cpu_s * 1e6 for each in found] for name, found in spent.items()} | {
        "words": float(np.mean([len(text.split()) for text in inputs]))
    }


def run(scale: Scale) -> Part:
    """Part (g)."""
    part = Part("text", "Embedding of raw text (wordllama, 64 dimensions)")
    try:
        found = run_isolated("tests.benchmarks.text:measure", {"texts": scale.texts, "rounds": scale.rounds})
    except MeasurementFailed as error:
        part.skipped.append(str(error))
        return part
    note = f"{found['words']:.0f} words a text"
    for name, words in (("fresh", "a text never seen"), ("seen", "a text seen lately")):
        relative = ratios(found[name], found["decode"])
        part.figures.append(
            Figure(
                part.key,
                words,
                "us of CPU a text",
                found[name],
                "its record's decoding",
                relative,
                None,
                note,
            )
        )
    return part
