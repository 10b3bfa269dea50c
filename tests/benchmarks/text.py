"""Embedding of raw text, for logs that bring none: beside WordLlama itself, on prompts of real length."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from copycatch import engine
from copycatch.embedding.embedder import TextEmbedder, shorten
from copycatch.formats.catalog import make_decoder
from copycatch.formats.shared.format import FormatOptions
from copycatch.intake.read import ANY_TOPIC, Intake
from copycatch.records.columns import Float32Array, RawBatch
from copycatch.records.policy import Policy
from copycatch.units import UnixMs
from tests.benchmarks.engine import NOW_MS
from tests.benchmarks.isolated import MeasurementFailed, run_isolated
from tests.benchmarks.measure import Figure, Part, Spent, Target, ratios, spend, take_turns
from tests.benchmarks.prompts import Labelled, hostile_texts, labelled_sets, prompts
from tests.benchmarks.scale import Scale

US = 1e6
HOSTILE_EACH = 8  # one record in so many is hostile: enough to tell its cost from the noise
START_MS = 1_767_571_200_000
BATCH = 512


class WordLlamaItself:
    """What is embedded by the package whose tokens and weights these are, texts cut alike."""

    def __init__(self) -> None:
        import wordllama

        folder = Path(wordllama.__file__).parent
        self._model = wordllama.WordLlama.load(trunc_dim=64, cache_dir=folder, disable_download=True)

    def embed_many(self, texts: list[str]) -> Float32Array:
        vectors = self._model.embed([shorten(text) for text in texts])
        unit: Float32Array = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
        return unit


def probe(vectors: Float32Array, labels: list[str]) -> float:
    """Accuracy of a linear probe by least squares on the last third, taught by the others."""
    classes, codes = np.unique(labels, return_inverse=True)
    X = np.hstack([vectors, np.ones((len(vectors), 1))])
    n_taught = len(X) * 2 // 3
    W, *_ = np.linalg.lstsq(X[:n_taught], np.eye(len(classes))[codes[:n_taught]], rcond=None)
    return float(((X[n_taught:] @ W).argmax(axis=1) == codes[n_taught:]).mean())


def measure(texts: int, rounds: int) -> dict[str, Any]:
    """Microseconds a text of both, and of hostile texts; runs in a child."""
    inputs, source = prompts(texts)
    few = inputs[: max(len(inputs) // 10, 10)]  # the other one is 30 times slower
    ours, theirs = TextEmbedder(), WordLlamaItself()
    hostile = hostile_texts(20)
    ours.embed_many(inputs[:3])
    timed = {
        "ours": partial(spend, partial(ours.embed_many, inputs), len(inputs)),
        "theirs": partial(spend, partial(theirs.embed_many, few), len(few)),
    }
    for kind, found in hostile.items():
        timed[kind] = partial(spend, partial(ours.embed_many, found), len(found))
    spent = take_turns(timed, rounds)
    vectors, others = ours.embed_many(few), theirs.embed_many(few)
    return {
        "us": {name: [each.cpu_s * US for each in each_round] for name, each_round in spent.items()},
        "bytes": float(np.mean([len(text.encode()) for text in inputs])),
        "hostile_bytes": {k: len(found[0].encode(errors="surrogatepass")) for k, found in hostile.items()},
        "source": source,
        "same_share": float((np.abs(vectors - others).max(axis=1) < 2e-4).mean()),
    }


def measure_quality(texts: int) -> dict[str, list[float]]:
    """Accuracy of probes on our vectors and on theirs; runs in a child."""
    ours, theirs = TextEmbedder(), WordLlamaItself()

    def both(found: Labelled) -> list[float]:
        return [probe(each.embed_many(found[0]), found[1]) for each in (ours, theirs)]

    return {name: both(found) for name, found in labelled_sets(texts).items()}


def measure_records(records: int, rounds: int) -> dict[str, Any]:
    """Microseconds a record, from message to outcomes, of prompts alone and with hostile ones among them."""
    inputs, _ = prompts(records)
    streams = {"": inputs}
    for kind, found in hostile_texts(8).items():
        if kind != "lone surrogates":  # no JSON
            streams[kind] = [
                found[row // HOSTILE_EACH % len(found)] if row % HOSTILE_EACH == 0 else text
                for row, text in enumerate(inputs)
            ]
    _replay(inputs)  # compiles
    spent = take_turns({kind: partial(_replay, own) for kind, own in streams.items()}, rounds)
    size = {kind: sum(len(message) for message in _messages(own)) / len(own) for kind, own in streams.items()}
    return {
        "us": {kind: [each.cpu_s * US for each in each_round] for kind, each_round in spent.items()},
        "bytes": size,
    }


def _messages(inputs: list[str]) -> list[bytes]:
    return [
        json.dumps({
            "event_id": f"e{row}", "event_time": START_MS + row * 200, "account_id": f"a{row % 300}",
            "model_id": "m", "input": text, "status": 200,
        }, ensure_ascii=False).encode()
        for row, text in enumerate(inputs)
    ]  # fmt: skip


def _replay(inputs: list[str]) -> Spent:
    messages = _messages(inputs)
    state = engine.new_state(Policy(), accounts_max=1_000)
    intake = Intake(
        b"no secret", TextEmbedder(), {ANY_TOPIC: lambda: make_decoder("native", FormatOptions())}
    )
    intake.read(RawBatch("bench", 0, [0], messages[:1]), NOW_MS)  # loads the tables

    def replay() -> None:
        for first in range(0, len(messages), BATCH):
            values = messages[first : first + BATCH]
            raw = RawBatch("bench", 0, list(range(first, first + len(values))), values)
            engine.step(state, intake.read(raw, NOW_MS).batch, UnixMs(NOW_MS), Policy())

    return spend(replay, len(messages))


def _speed_figures(part: Part, found: dict[str, Any]) -> None:
    us, size = found["us"], found["bytes"]
    note = f"{size:.0f} bytes in the mean, {found['source']}; {found['same_share']:.1%} within 2e-4"
    relative = ratios(us["ours"], us["theirs"])
    part.figures.append(
        Figure(
            part.key,
            "a prompt",
            "us of CPU",
            us["ours"],
            "WordLlama",
            relative,
            Target("at most", 15.0),
            note,
        )
    )
    for kind, n_bytes in found["hostile_bytes"].items():
        relative = ratios(us[kind], us["ours"])
        target = Target("at most", 20.0, "ratio")
        per_byte = np.median(relative) * size / n_bytes
        note = f"2,000 characters; {per_byte:.1f} times a prompt's cost per byte"
        part.figures.append(Figure(part.key, kind, "us of CPU", us[kind], "a prompt", relative, target, note))


def _record_figures(part: Part, found: dict[str, Any]) -> None:
    us, size = found["us"], found["bytes"]
    part.figures.append(
        Figure(part.key, "a record", "us of CPU", us[""], note=f"{size['']:.0f} bytes, to outcomes")
    )
    for kind in us:
        if kind:
            # What the hostile records add, by their bytes, beside what a byte costs otherwise.
            kept = 1 - 1 / HOSTILE_EACH
            more_bytes = size[kind] - size[""] * kept
            more = [(each - usual * kept) / more_bytes for each, usual in zip(us[kind], us[""], strict=True)]
            own = [max(each, 0.0) * 1000 for each in more]
            usual = [each / size[""] * 1000 for each in us[""]]
            target = Target("at most", 8.0, "ratio")
            name = f"a record of text: {kind}"
            part.figures.append(
                Figure(
                    part.key,
                    name,
                    "ns a byte",
                    own,
                    "a record's",
                    ratios(own, usual),
                    target,
                    f"one in {HOSTILE_EACH}",
                )
            )


def run(scale: Scale) -> Part:
    """Part (g)."""
    part = Part("text", "Embedding of raw text, 64 dimensions")
    module = "tests.benchmarks.text"
    sizes = {"texts": scale.texts, "rounds": scale.rounds}
    try:
        _speed_figures(part, run_isolated(f"{module}:measure", sizes))
        _record_figures(
            part, run_isolated(f"{module}:measure_records", {"records": scale.texts, "rounds": scale.rounds})
        )
        quality = run_isolated(f"{module}:measure_quality", {"texts": scale.texts})
    except MeasurementFailed as error:
        part.skipped.append(str(error))
        return part
    for name, (ours, theirs) in quality.items():
        target = Target("at most", 0.01)
        note = f"{ours:.3f} and {theirs:.3f}"
        lost = [max(theirs - ours, 0.0)]
        part.figures.append(
            Figure(part.key, f"probe: {name}", "of accuracy lost", lost, "WordLlama", (), target, note)
        )
    return part
