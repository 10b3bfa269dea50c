"""The dearest records of every kind beside usual ones: cost per byte, from bytes to outcomes.

Usual records are prompts, rows of numbers, chats and spans in equal numbers. Between them stand messages of
one kind, from accounts and of a model of their own, in a state that knows both; what these add to the cost,
by their bytes, is compared with what a byte of the usual ones costs in the same round.
"""

import base64
import itertools
import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from copycatch import engine
from copycatch.embedding.embedder import TextEmbedder
from copycatch.formats.catalog import make_decoder
from copycatch.formats.shared.format import FormatOptions
from copycatch.intake.read import Intake
from copycatch.records.columns import RawBatch
from copycatch.records.policy import Policy
from copycatch.units import UnixMs
from tests.benchmarks.engine import NOW_MS
from tests.benchmarks.isolated import MeasurementFailed, run_isolated
from tests.benchmarks.measure import Figure, Part, Spent, Target, ratios, spend
from tests.benchmarks.prompts import hostile_texts, prompts
from tests.benchmarks.scale import Scale
from tests.support.log_shapes import (
    MODEL,
    Query,
    kserve,
    native,
    native_tabular,
    openai,
    otel,
    otlp_document,
)

BLOCK_S = 3_600  # of event time
WARM_BLOCKS = 3  # a model is born and its geometry fitted within
ACCOUNTS = 12
BATCH = 256
TIMES_MAX = 8.0
FORMATS = ("native", "openai", "otel", "kserve")
Message = tuple[str, bytes]  # the format's name and what is logged
Make = Callable[[np.random.Generator, Query], Any]


def _native(query: Query, **fields: Any) -> dict[str, Any]:
    return {
        "event_id": query.id, "event_time": query.rfc3339, "account_id": query.account, "model_id": "worst",
        "status": 200, **fields,
    }  # fmt: skip


def _chat(query: Query, messages: Sequence[Any], **request: Any) -> dict[str, Any]:
    [logged] = openai(query)
    document: dict[str, Any] = json.loads(logged.value)
    document["request"] |= {"messages": messages, "model": "worst", **request}
    return document


def _tool_calls(n: int) -> list[dict[str, Any]]:
    calls = [
        {"id": f"c{i}", "type": "function", "function": {"name": "f", "arguments": "{}"}} for i in range(n)
    ]
    said = [{"role": "assistant", "tool_calls": calls}]
    return [*said, *({"role": "tool", "tool_call_id": f"c{i}", "content": "x"} for i in range(n))]


def _spans(query: Query, n: int) -> dict[str, Any]:
    document = otlp_document(query)
    spans = document["resourceSpans"][0]["scopeSpans"][0]["spans"]
    number = int(spans[0]["spanId"], 16)
    spans[:] = [spans[0] | {"spanId": f"{number * n + i & (1 << 64) - 1:016x}"} for i in range(n)]
    return document


def _nested(depth: int) -> Any:
    found: Any = 1
    for _ in range(depth):
        found = [found]
    return found


def _texts(kind: str) -> Make:
    texts = itertools.cycle(hostile_texts(64)[kind])
    return lambda _, query: _native(query, input=next(texts))


def _vectors(length: int) -> Make:
    return lambda rng, query: _native(query, input=rng.integers(0, 9, length).tolist())


def _image(rng: np.random.Generator, query: Query) -> Any:
    packed = base64.b64encode(rng.bytes(64 * 64 * 3)).decode()
    return _native(query, input={"b64": packed, "shape": [64, 64, 3], "dtype": "u1"})


def _tools(n: int) -> list[dict[str, Any]]:
    return [{"type": "function", "function": {"name": f"f{i}"}} for i in range(n)]


def _turns(n: int) -> list[dict[str, Any]]:
    return [{"role": ("user", "assistant")[i % 2], "content": str(i)} for i in range(n)]


KINDS: dict[str, tuple[str, Make]] = {
    "vector of 65,536": ("native", _vectors(65_536)),
    "vector of 6,144": ("native", _vectors(6_144)),
    "vector of 1,024": ("native", _vectors(1_024)),
    "probabilities of 10,000 classes": (
        "native", lambda _, query: _native(query, input=[1, 2], probabilities=[0.0001] * 10_000),
    ),
    "image in base64, 64x64x3": ("native", _image),
    "2,000 Chinese characters": ("native", _texts("Chinese")),
    "2,000 marks": ("native", _texts("punctuation")),
    "2,000 random letters": ("native", _texts("one word of random letters")),
    "text of 250,000 characters": ("native", lambda rng, query: _native(query, input=_text(rng, 250_000))),
    "answer of 250,000 characters": (
        "native", lambda rng, query: _native(query, input="hi", output_text=_text(rng, 250_000)),
    ),
    "4,000 token ids": (
        "openai", lambda rng, query: _completion(query, rng.integers(0, 50_000, 4_000).tolist()),
    ),
    "2,001 messages": ("openai", lambda _, query: _chat(query, _turns(2_001))),
    "5,000 parts of a message": (
        "openai",
        lambda _, query: _chat(query, [{"role": "user", "content": [{"type": "text", "text": "a"}] * 5_000}]),
    ),
    "1,000 tool calls": ("openai", lambda _, query: _chat(query, [*_tool_calls(1_000), _said(query)])),
    "2,000 tools": ("openai", lambda _, query: _chat(query, [_said(query)], tools=_tools(2_000))),
    "nested 500 deep": ("openai", lambda _, query: _chat(query, [_said(query)], metadata=_nested(500))),
    "500 times nested 20 deep": (
        "openai", lambda _, query: _chat(query, [_said(query)], metadata=[_nested(20)] * 500),
    ),
    "500 spans": ("otel", lambda _, query: _spans(query, 500)),
    "1,000 prompts of a request": ("openai", lambda _, query: _completion(query, ["a"] * 1_000)),
    "2,000 rows of a request": ("kserve", lambda _, query: query),
}  # fmt: skip


def _said(query: Query) -> dict[str, Any]:
    """The query as a message."""
    return {"role": "user", "content": query.prompt}


def _text(rng: np.random.Generator, n: int) -> str:
    """Letters and blanks, all different."""
    return bytes(rng.integers(97, 123, n, dtype=np.uint8)).decode().replace("e", " ")


def _completion(query: Query, prompt: Any) -> dict[str, Any]:
    document = _chat(query, [])
    del document["request"]["messages"]
    document["request"]["prompt"] = prompt
    return document


def _rows(query: Query, n: int) -> list[Message]:
    """A KServe request of so many rows of one number, and its answer."""
    found = []
    for logged, body in zip(
        kserve(query), ({"instances": [[i % 7] for i in range(n)]}, {"predictions": [1] * n}), strict=True
    ):
        document = json.loads(logged.value) | {"data": body, "inferenceservicename": "worst"}
        found.append(("kserve", json.dumps(document, separators=(",", ":")).encode()))
    return found


def dear(kind: str, times_s: Sequence[int]) -> list[list[Message]]:
    """The messages of queries of a kind at these times, each query's together."""
    rng = np.random.default_rng(times_s[0] + 1)
    name, make = KINDS[kind]
    found = []
    for index, time_s in enumerate(times_s):
        query = _query(rng, f"w-{time_s}-{index:06d}", f"worst-{index % ACCOUNTS}", "what is this", time_s)
        if make(rng, query) is query:
            found.append(_rows(query, 2_000))
        else:
            document = make(rng, query)
            found.append([(name, json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode())])
    return found


def _query(rng: np.random.Generator, name: str, account: str, prompt: str, time_s: int) -> Query:
    return Query(
        name, account, prompt, prompt[: len(prompt) // 2], time_s,
        rng.normal(size=16).round(4).tolist(), rng.dirichlet(np.full(10, 0.2)).round(5).tolist(),
    )  # fmt: skip


def usual(times_s: Sequence[int]) -> list[list[Message]]:
    """Prompts, rows, chats and spans of 300 accounts in turn, at these times."""
    rng = np.random.default_rng(times_s[0])
    said = itertools.cycle(prompts(max(len(times_s), 200))[0])
    shapes = (("native", native), ("native", native_tabular), ("openai", openai), ("otel", otel))
    found = []
    for index, time_s in enumerate(times_s):
        query = _query(rng, f"u-{time_s}-{index:06d}", f"a{index % 300}", next(said), time_s)
        name, shape = shapes[index % len(shapes)]
        model = b"rows" if shape is native_tabular else b"chat"
        found.append([(name, each.value.replace(MODEL.encode(), model)) for each in shape(query)])
    return found


class Stream:
    """A state that is fed block after block, each an hour of event time."""

    def __init__(self, kind: str, queries: int, records: int) -> None:
        make_by_topic = {name: partial(make_decoder, name, FormatOptions(model_id="m")) for name in FORMATS}
        self._intake = Intake(b"no secret", TextEmbedder(), make_by_topic)
        self._state = engine.new_state(Policy(), accounts_max=10_000)
        self._kind, self._queries, self._records = kind, queries, records
        self._now_s = 0
        self.n_judged = 0

    def block(self, *, with_dear: bool) -> list[list[Message]]:
        """The next hour's queries; nothing of it is fed yet."""
        queries = usual(self._times(self._records))
        if with_dear:
            every = max(self._records // self._queries, 1)
            for index, messages in enumerate(dear(self._kind, self._times(self._queries))):
                queries.insert(index * (every + 1), messages)
        self._now_s += BLOCK_S
        return queries

    def _times(self, n: int) -> list[int]:
        return [self._now_s + BLOCK_S * index // n for index in range(n)]

    def feed(self, queries: Sequence[Sequence[Message]]) -> Spent:
        """Seconds for a block, from bytes to outcomes."""

        def run() -> None:
            for first in range(0, len(queries), BATCH):
                values_by_topic: dict[str, list[bytes]] = {}
                for name, value in itertools.chain.from_iterable(queries[first : first + BATCH]):
                    values_by_topic.setdefault(name, []).append(value)
                for topic, values in values_by_topic.items():
                    raw = RawBatch(topic, 0, list(range(len(values))), values)
                    batch = self._intake.read(raw, NOW_MS).batch
                    outcomes = engine.step(self._state, batch, UnixMs(NOW_MS), Policy())
                    self.n_judged += outcomes.counts.accepted

        return spend(run, 1)


def size_of(queries: Sequence[Sequence[Message]]) -> int:
    """Bytes of all messages."""
    return sum(len(value) for messages in queries for _, value in messages)


def measure(kind: str, queries: int, records: int, rounds: int) -> dict[str, Any]:
    """Nanoseconds a byte of usual records and of one kind among them; runs in a child."""
    stream = Stream(kind, queries, records)
    for _ in range(WARM_BLOCKS):
        stream.feed(stream.block(with_dear=True))
    usual_ns, kind_ns, ms = [], [], []
    for _ in range(rounds):
        plain, mixed = stream.block(with_dear=False), stream.block(with_dear=True)
        plain_s, mixed_s = stream.feed(plain).cpu_s, stream.feed(mixed).cpu_s
        more_s, n_more = max(mixed_s - plain_s, 0.0), size_of(mixed) - size_of(plain)
        usual_ns.append(plain_s / size_of(plain) * 1e9)
        kind_ns.append(more_s / n_more * 1e9)
        ms.append(more_s / queries * 1e3)
    n_bytes = n_more / queries
    return {"usual_ns": usual_ns, "kind_ns": kind_ns, "bytes": n_bytes, "ms": float(np.median(ms))}


def run(scale: Scale) -> Part:
    """Each kind in a process of its own."""
    part = Part("worst", "The dearest records, from bytes to outcomes, beside usual ones")
    for kind in KINDS:
        sizes = {"queries": scale.worst, "records": scale.worst * 20, "rounds": scale.rounds}
        try:
            found = run_isolated("tests.benchmarks.worst:measure", {"kind": kind, **sizes})
        except MeasurementFailed as error:
            part.skipped.append(f"{kind}: {error}")
            continue
        relative = ratios(found["kind_ns"], found["usual_ns"])
        note = f"{found['bytes']:,.0f} bytes and {found['ms']:.2f} ms each"
        target = Target("at most", TIMES_MAX, "ratio")
        part.figures.append(
            Figure(part.key, kind, "ns a byte", found["kind_ns"], "usual records", relative, target, note)
        )
    return part
