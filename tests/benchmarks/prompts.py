"""Texts of the text benchmark: prompts of real length, labelled sets for probes, texts made to be dear."""

import csv
import gzip
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from copycatch.redteam.inputs import draw_many_styles
from copycatch.redteam.texts import shop_texts

TRACES = Path(__file__).parents[3] / "shared" / "traces"
PROMPT_BYTES = 550.0  # the mean of what is timed
HOSTILE_CHARS = 2_000
LETTERS = "abcdefghijklmnopqrstuvwxyz"
Labelled = tuple[list[str], list[str]]


def _records(trace: str) -> Iterator[dict[str, object]]:
    path = TRACES / trace / "log.jsonl.gz"
    if path.is_file():
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            yield from (json.loads(line) for line in lines)


def made_texts(n: int) -> Labelled:
    """Questions of a shop's customers with their intents, written by the red team's grammar."""
    texts, intents = draw_many_styles(shop_texts(seed=1), n, np.random.default_rng(4))
    return [str(text) for text in texts], [str(intent) for intent in intents]


def prompts(n: int) -> tuple[list[str], str]:
    """Prompts of PROMPT_BYTES in the mean, and where they come from: a trace beside the checkout, or made."""
    real = sorted({str(record["input"]) for record in _records("llm-1")})
    found = real or made_texts(n * 20)[0]
    rng = np.random.default_rng(5)
    rng.shuffle(found)
    if not real:  # several questions are one prompt
        found = [" ".join(found[first : first + 12]) for first in range(0, len(found), 12)]
    sizes = np.array([len(text.encode()) for text in found])
    is_long = sizes > PROMPT_BYTES
    # Long ones are drawn more often, so that the mean is the asked one whatever the source.
    short, long = sizes[~is_long].mean(), sizes[is_long].mean()
    share = (PROMPT_BYTES - short) / (long - short)
    n_long = min(round(n * share), int(is_long.sum()))
    picks = [*np.flatnonzero(is_long)[:n_long], *np.flatnonzero(~is_long)[: n - n_long]]
    rng.shuffle(picks)
    return [found[pick] for pick in picks], "real prompts" if real else "made prompts"


def labelled_sets(n: int) -> dict[str, Labelled]:
    """Texts with labels for linear probes; those of traces where they lie beside the checkout."""
    rng = np.random.default_rng(6)
    sets = {"intents of a shop (made)": made_texts(n)}
    labels_by_text = {str(each["input"]): str(each.get("predicted_label")) for each in _records("banking")}
    labels = TRACES / "llm-1" / "labels.csv"
    kind_by_text: dict[str, str] = {}
    if labels.is_file():
        with labels.open(encoding="utf-8") as rows:
            kinds = {row["account_id"]: row["kind"] for row in csv.DictReader(rows)}
        kind_by_text = {str(each["input"]): kinds[str(each["account_id"])] for each in _records("llm-1")}
    for name, found in (("77 banking intents", labels_by_text), ("kinds of LLM accounts", kind_by_text)):
        if found:
            texts = sorted(found)
            picked = [texts[i] for i in rng.permutation(len(texts))[:n]]
            sets[name] = (picked, [found[text] for text in picked])
    return sets


def hostile_texts(n: int) -> dict[str, list[str]]:
    """Texts of one length that cost more than prose, by kind."""
    rng = np.random.default_rng(7)

    def of(alphabet: Sequence[str]) -> list[str]:
        return [
            "".join(alphabet[i] for i in rng.integers(len(alphabet), size=HOSTILE_CHARS)) for _ in range(n)
        ]

    return {
        "one word of random letters": of(LETTERS),
        "random words": of(LETTERS + "   "),
        "Chinese": of([chr(point) for point in range(0x4E00, 0x9C00)]),
        "emoji": of([chr(point) for point in range(0x1F300, 0x1F600)]),
        "punctuation": of("{}[]()<>/\\|-_=+*&^%$#@!~`;:,.?"),
        "accented letters": of([chr(point) for point in range(0xC0, 0x180)]),
        "lone surrogates": of([chr(point) for point in range(0xD800, 0xE000)]),
        "blanks": [" " * HOSTILE_CHARS] * n,
    }
