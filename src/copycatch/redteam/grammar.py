"""A small grammar that writes sentences: alternatives `(a|b|)` and slots `<name>`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from copycatch.redteam.inputs import Rng, Style

_INNERMOST = re.compile(r"\(([^()]*)\)")
_SLOT = re.compile(r"<(\w+)>")
_SPACES = re.compile(r"\s+")

OPENERS = (
    "hi",
    "hello",
    "hey there",
    "hi team",
    "good morning",
    "sorry to bother you but",
    "quick question,",
)
CLOSERS = (
    "thanks",
    "please help",
    "thank you",
    "any help appreciated",
    "cheers",
    "asap please",
    "let me know",
)


def expand(template: str, slots: Mapping[str, Sequence[str]], rng: Rng) -> str:
    """One sentence of a template.

    Parameters
    ----------
    template : str
        `(a|b|)` picks one alternative, which may be empty or nested; `<name>` picks from `slots`.

    Examples
    --------
    >>> import numpy as np
    >>> expand("(cancel) my <item>", {"item": ["order"]}, np.random.default_rng(0))
    'cancel my order'
    """
    text = template
    while match := _INNERMOST.search(text):
        choices = match.group(1).split("|")
        text = text[: match.start()] + choices[int(rng.integers(len(choices)))] + text[match.end() :]
    while match := _SLOT.search(text):
        values = slots[match.group(1)]
        text = text[: match.start()] + values[int(rng.integers(len(values)))] + text[match.end() :]
    return _SPACES.sub(" ", text).strip()


def mistype(word: str, rng: Rng) -> str:
    """One slip of the finger: two letters swapped, one lost or one doubled.

    Examples
    --------
    >>> import numpy as np
    >>> len(mistype("refund", np.random.default_rng(0))) in (5, 6, 7)
    True
    """
    if len(word) < 4:
        return word
    at = int(rng.integers(1, len(word) - 1))
    slip = int(rng.integers(3))
    if slip == 0:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return word[:at] + word[at + 1 :] if slip == 1 else word[: at + 1] + word[at:]


def type_out(text: str, style: Style, rng: Rng) -> str:
    """How one person types a sentence: greeting, slips, lost words, capitals, marks."""
    words = text.split()
    slip_prob = 0.01 + 0.06 * style.untidiness
    rolls = rng.random(len(words))
    words = [mistype(w, rng) if r < slip_prob else w for w, r in zip(words, rolls, strict=True)]
    if len(words) > 4 and rng.random() < 0.15 * style.untidiness:
        del words[int(rng.integers(1, len(words)))]
    if rng.random() < 0.18 + 0.15 * style.tone:
        words.insert(0, OPENERS[int(rng.integers(len(OPENERS)))])
    if rng.random() < 0.18 + 0.15 * style.tone:
        words.append(CLOSERS[int(rng.integers(len(CLOSERS)))])
    typed = " ".join(words)
    if rng.random() < 0.6 - 0.4 * style.untidiness:
        typed = typed[:1].upper() + typed[1:]
    if rng.random() < 0.5:
        typed += str(rng.choice([".", "?", "!", "..", "?"]))
    return typed


def edit(text: str, amount: float, rng: Rng) -> str:
    """The same sentence sent again with a small change; amount 1 changes about one word in five.

    Examples
    --------
    >>> import numpy as np
    >>> edit("where is my parcel", 0.0, np.random.default_rng(0))
    'where is my parcel'
    """
    words = text.split()
    n_edits = int(rng.binomial(max(len(words), 1), min(0.2 * amount, 1.0)))
    if amount > 0 and n_edits == 0:
        n_edits = 1
    for _ in range(n_edits):
        if not words:
            break
        at, how = int(rng.integers(len(words))), int(rng.integers(4))
        if how == 0:
            words[at] = mistype(words[at], rng)
        elif how == 1 and len(words) > 3:
            del words[at]
        elif how == 2:
            words.append(CLOSERS[int(rng.integers(len(CLOSERS)))])
        else:
            words.insert(0, OPENERS[int(rng.integers(len(OPENERS)))])
    return " ".join(words)


def vocabulary_of(templates: Sequence[str], slots: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Every word that the templates and slots can say, sorted.

    Examples
    --------
    >>> vocabulary_of(["(cancel|stop) <item>"], {"item": ["my order"]})
    ('cancel', 'my', 'order', 'stop')
    """
    text = " ".join(
        [*(_SLOT.sub(" ", t) for t in templates), *(v for values in slots.values() for v in values)]
    )
    return tuple(sorted({w for w in re.findall(r"[a-z']+", text.lower()) if len(w) > 1}))
