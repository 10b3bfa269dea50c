"""Messages in the shapes that gateways really write, and what a careful liar makes of them.

A change falls on any node of a document with equal chance, deep ones too, and on those of JSON that stands
in text: bytes changed at random seldom get past the first look of a reader.
"""

import base64
import json
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tests.support.log_shapes import CHAT, TABULAR, Logged, Query, responses

Rng = np.random.Generator
Shape = Callable[[Query], list[Logged]]
Path_ = tuple[str | int, ...]

# Name of the format and how it writes a query; a format with several shapes stands several times.
SHAPES: tuple[tuple[str, Shape], ...] = (
    *CHAT.items(), *TABULAR.items(), ("openai", responses),
)  # fmt: skip
SAMPLES = Path(__file__).parents[2].parent / "shared" / "samples"  # of many vendors, where there are any
NODES_MAX = 1_000

NUMBERS = (
    0, 1, -1, 2, 7, 255, 1 << 31, 1 << 53, 1 << 63, 1 << 64, -(1 << 70), 10**30, 0.5, -0.0, 1e-310, 3.4e38,
    1e39, 1e308, float("nan"), float("inf"), 1772359200, 1772359200000, 1772359200000000000,
)  # fmt: skip
TEXTS = (
    "", " ", "\x00", "\ud800", "\u202eabc", "{}", "[]", "null", "[[1,2],[3]]", "1,2\n3,nan", "AAAA", "AAA=",
    "=", "-", "chat.completion", "user", "tool", "CSV", "JSON", "BASE64", "FP32", "BYTES", "f4", "[DONE]",
    "data: {}\n\n", "2026-03-01T00:00:00Z", "2026-13-41T99:99:99+99:99", "0001-01-01T00:00:00Z", "1e400",
    "9" * 400, "a" * 70_000,
    'data: [DONE]\n\ndata: {"choices":[{"delta":{"content":"x"}}]}\n\n', "日" * 300, "/", "m/../x",
)  # fmt: skip


def samples() -> list[bytes]:
    """Vendors' samples that lie beside the checkout; none where it stands alone."""
    return [path.read_bytes() for path in sorted(SAMPLES.glob("in_*.json"))] if SAMPLES.is_dir() else []


def nodes(document: Any) -> list[Path_]:
    """Where each value of a document lies, the first NODES_MAX from the top."""
    found: list[Path_] = []
    waiting: deque[tuple[Path_, Any]] = deque([((), document)])
    while waiting and len(found) < NODES_MAX:
        at, value = waiting.popleft()
        if isinstance(value, dict | list):
            keys = list(value) if isinstance(value, dict) else range(len(value))
            here = [((*at, key), value[key]) for key in keys]
            found += [place for place, _ in here]
            waiting += here
    return found[:NODES_MAX]


def copied(document: Any) -> Any:
    """The document again, which may be changed."""
    return json.loads(json.dumps(document))


def any_value(rng: Rng, others: list[Any]) -> Any:
    """A number, a text, a little of either, or a part of another document."""
    kind = rng.integers(8)
    if kind < 2:
        return NUMBERS[rng.integers(len(NUMBERS))]
    if kind < 4:
        return TEXTS[rng.integers(len(TEXTS))]
    if kind == 4:
        return [None, True, False, [], {}, [[]], [None], {"": None}][rng.integers(8)]
    if kind == 5:
        return base64.b64encode(rng.bytes(int(rng.integers(0, 64)))).decode()
    if kind == 6:
        return [float(each) for each in rng.normal(size=rng.integers(0, 40))]
    other = others[rng.integers(len(others))] if others else {}
    places = nodes(other)
    return copied(_at(other, places[rng.integers(len(places))]) if places else other)


def _at(document: Any, place: Path_) -> Any:
    for key in place:
        document = document[key]
    return document


def _changed_value(rng: Rng, old: Any, others: list[Any]) -> Any:
    kind = rng.integers(9)
    if isinstance(old, str) and old[:1] in "{[" and rng.random() < 0.8:
        return changed_text(rng, old, others)
    if kind == 0:
        return [old] * int(rng.integers(1, 5))
    if kind == 1:
        return {str(rng.choice(("text", "content", "values", "data", "x"))): old}
    if kind == 2 and isinstance(old, list) and old:
        return old * int(rng.integers(2, 40))
    if kind == 3 and isinstance(old, str):
        cut = int(rng.integers(0, len(old) + 1))
        return old[:cut] + TEXTS[rng.integers(len(TEXTS))] + old[cut:]
    if kind == 4 and isinstance(old, dict | list):
        return json.dumps(old)
    if kind == 5 and isinstance(old, int | float):
        return str(old)
    if kind == 6:
        for _ in range(int(rng.integers(1, 700))):
            old = [old]
        return old
    return any_value(rng, others)


def changed(rng: Rng, document: Any, others: list[Any]) -> Any:
    """The document with one to four of its values changed, moved, doubled or taken out."""
    document = copied(document)
    for _ in range(int(rng.integers(1, 5))):
        places = nodes(document)
        if not places:
            return any_value(rng, others)
        *above, key = places[rng.integers(len(places))]
        parent = _at(document, tuple(above))
        kind = rng.integers(6)
        if kind == 0:
            del parent[key]
        elif kind == 1 and isinstance(parent, dict):
            names = [place[-1] for place in places if isinstance(place[-1], str)]
            parent[names[rng.integers(len(names))]] = parent.pop(key)
        elif kind == 2:
            other = places[rng.integers(len(places))]
            parent[key] = copied(_at(document, other))
        else:
            parent[key] = _changed_value(rng, parent[key], others)
    return document


def changed_text(rng: Rng, text: str, others: list[Any]) -> str:
    """JSON that is logged as text, changed; what is no JSON or a stream of it stays text."""
    try:
        return json.dumps(changed(rng, json.loads(text), others))
    except (ValueError, RecursionError):
        cut = int(rng.integers(0, len(text) + 1))
        return text[:cut] + TEXTS[rng.integers(len(TEXTS))] + text[cut + int(rng.integers(0, 9)) :]


def damaged(rng: Rng, value: bytes, others: list[Any]) -> bytes:
    """One message changed: within its JSON mostly, else in its bytes."""
    if rng.random() < 0.85:
        try:
            document = json.loads(value)
            return json.dumps(changed(rng, document, others)).replace("Infinity", "1e400").encode()
        except (ValueError, RecursionError):
            pass
    at = int(rng.integers(0, len(value) + 1))
    taken = int(rng.integers(0, 9))
    return value[:at] + rng.bytes(int(rng.integers(0, 9))) + value[at + taken :]


def documents_of(values: list[bytes]) -> list[Any]:
    """Those that are JSON, to take parts of."""
    found = []
    for value in values:
        try:
            found.append(json.loads(value))
        except ValueError:
            continue
    return found
