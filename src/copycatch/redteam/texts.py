"""Text worlds: sentences that a grammar writes and people type."""

from __future__ import annotations

import numpy as np

from copycatch.redteam.grammar import edit, expand, mistype, type_out, vocabulary_of
from copycatch.redteam.grammar_files import Grammar, load_grammar
from copycatch.redteam.inputs import (
    Box,
    FloatArray,
    InputKind,
    Inputs,
    IntArray,
    Rng,
    Style,
    as_texts,
    draw_many_styles,
)


class GrammarTexts:
    """Sentences of a grammar's topics; one topic is one class.

    Parameters
    ----------
    name : str
    grammar : Grammar
        The victim's own.
    seed : int
        Draws how often each topic is asked.

    Examples
    --------
    >>> world = shop_texts(seed=1)
    >>> world.draw(np.array([0]), Style(0.0, -1.0), np.random.default_rng(3)).tolist()
    ['no blue dress yet!']
    """

    kind: InputKind = "text"
    box: Box | None = None

    def __init__(self, name: str, grammar: Grammar, seed: int) -> None:
        rng = np.random.default_rng([seed, 14])
        foreign = load_grammar("foreign_topics")
        self.name = name
        self.class_names = tuple(grammar.templates)
        self.class_weights: FloatArray = rng.dirichlet(np.full(len(grammar.templates), 6.0))
        self._grammar = grammar
        self._templates = list(grammar.templates.values())
        self._ambiguous = [
            tuple(t for each in grammar.ambiguous if topic in each.topics for t in each.templates)
            for topic in grammar.templates
        ]
        self._foreign = [t for topic in foreign.templates.values() for t in topic]
        self._foreign_slots = foreign.slots
        own_words = vocabulary_of([t for topic in self._templates for t in topic], grammar.slots)
        foreign_words = vocabulary_of(self._foreign, foreign.slots)
        self.own_words = own_words
        self.all_words = tuple(sorted({*own_words, *foreign_words, *foreign.words}))

    def draw_training(self, n_inputs: int, rng: Rng) -> tuple[Inputs, IntArray]:
        return draw_many_styles(self, n_inputs, rng)

    def draw(self, labels: IntArray, style: Style, rng: Rng) -> Inputs:
        texts = []
        for label in labels.tolist():
            is_ambiguous = self._ambiguous[label] and rng.random() < self._grammar.ambiguous_prob
            choices = self._ambiguous[label] if is_ambiguous else self._templates[label]
            sentence = expand(choices[int(rng.integers(len(choices)))], self._grammar.slots, rng)
            texts.append(type_out(sentence, style, rng))
        return as_texts(texts)

    def draw_foreign(self, n_queries: int, style: Style, rng: Rng) -> Inputs:
        picks = rng.integers(len(self._foreign), size=n_queries).tolist()
        return as_texts(
            [type_out(expand(self._foreign[i], self._foreign_slots, rng), style, rng) for i in picks]
        )

    def draw_uniform(self, n_queries: int, rng: Rng) -> Inputs:
        sizes = rng.integers(3, 14, size=n_queries).tolist()
        return as_texts([" ".join(rng.choice(self.all_words, size=size).tolist()) for size in sizes])

    def vary(self, inputs: Inputs, amount: float, rng: Rng) -> Inputs:
        return as_texts([edit(text, amount, rng) for text in inputs])

    def disturb(self, inputs: Inputs, rng: Rng) -> Inputs:
        garbled = []
        for text in inputs:
            words = text.split()
            is_hit = rng.random(len(words)) < rng.choice([0.15, 0.3, 0.5])
            words = [mistype(w, rng) if hit else w for w, hit in zip(words, is_hit, strict=True)]
            if len(words) > 3 and rng.random() < 0.5:
                del words[int(rng.integers(len(words)))]
            garbled.append(" ".join(words))
        return as_texts(garbled)

    def miscalibrate(self, inputs: Inputs, rng: Rng) -> Inputs:
        # A form that shouts, or one that cuts at a fixed width.
        return as_texts([text.upper() if rng.random() < 0.5 else text[:24] for text in inputs])

    def blend(self, start: Inputs, end: Inputs, shares: FloatArray, rng: Rng) -> Inputs:
        return as_texts([splice(a, b, float(s)) for a, b, s in zip(start, end, shares, strict=True)])

    def to_wire(self, inputs: Inputs) -> list[object]:
        return list(inputs)

    def embed(self, inputs: Inputs) -> FloatArray | None:
        return None


def splice(start: str, end: str, share: float) -> str:
    """The head of one sentence and the tail of another.

    Examples
    --------
    >>> splice("where is my parcel", "i forgot my password", 0.5)
    'where is my password'
    """
    head, tail = start.split(), end.split()
    n_head, n_tail = round(len(head) * (1 - share)), round(len(tail) * share)
    return " ".join([*head[:n_head], *tail[len(tail) - n_tail :]])


def shop_texts(seed: int) -> GrammarTexts:
    """The customers of a web shop, 26 intents."""
    return GrammarTexts("intents", load_grammar("shop_intents"), seed)
