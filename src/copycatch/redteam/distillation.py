"""Campaigns that distil a language model, composed from what a log's honest accounts ask.

A thief of a language model needs prompts such as customers send. So a simulated campaign draws its prompts
from many honest accounts of a log, dresses them as known campaigns do, puts them in an order and gives them
options of its own; some hide among honest traffic. Only their usage events are made, no texts: what the
scorer `distillation` is trained on. A new kind of theft is a new `_dress` here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from copycatch.records.columns import Float32Array, FloatArray, IntArray, Uint64Array
from copycatch.usage.events import UNIT, Hashes, UsageEvents, joined, picked
from copycatch.usage.layout import VECTOR
from copycatch.usage.words import WORD_BITS, WORD_CELLS

QUERIES_MIN: Final = 12
PER_ACCOUNT_MAX: Final = 40  # prompts taken from one honest account
ORDERED_SHARE: Final = 0.45  # campaigns in which like follows like: else order alone would tell them
COVER_SHARE: Final = 0.3
TWO_SETTINGS_SHARE: Final = 0.4
BIASES: Final = 8  # asked for each prompt when log probabilities are harvested
MS_PER_DAY: Final = 86_400_000
TEMPLATE_WORDS: Final = 8  # that are not in the prompt already
SOURCES: Final = {"broad": 0.55, "domain": 0.25, "conversations": 0.2}
DRESSES: Final = {
    "plain": 0.28, "elicitation": 0.2, "rewritten": 0.12, "completions": 0.08, "grading": 0.1, "biases": 0.04,
    "slots": 0.08, "topics": 0.1,
}  # fmt: skip


@dataclass(frozen=True)
class HonestUse:
    """Usage events of a log's honest accounts, account by account and in order of time."""

    events: UsageEvents
    members: list[IntArray]  # positions of each account's events


@dataclass(frozen=True)
class UsageCampaign:
    """One simulated campaign of a single account."""

    source: str
    dress: str
    events: UsageEvents


def compose(use: HonestUse, n: int, seed: int) -> list[UsageCampaign]:
    """Simulate campaigns; the same for the same seed.

    Parameters
    ----------
    use : HonestUse
        Of honest accounts only: composed from all, campaigns would hold the thieves' own prompts.
    n : int
    seed : int
    """
    composer = _Composer(use, np.random.default_rng(seed))
    made = [composer.campaign() for _ in range(n)]
    return [each for each in made if len(each.events.rows) >= QUERIES_MIN]


class _Composer:
    def __init__(self, use: HonestUse, rng: np.random.Generator) -> None:
        self.events, self.rng = use.events, rng
        self.members = [at for at in use.members if len(at) >= QUERIES_MIN]
        self.vectors = use.events.vectors.astype(np.float64) / UNIT
        means = np.array([self.vectors[at].mean(axis=0) for at in self.members])
        self.means = means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-9)
        steps = np.array(
            [(self.vectors[at][1:] * self.vectors[at][:-1]).sum(axis=1).mean() for at in self.members]
        )
        self.conversations = np.flatnonzero(steps > np.median(steps))
        self.prompts = [at[np.unique(self.events.prompts[at], return_index=True)[1]] for at in self.members]

    def campaign(self) -> UsageCampaign:
        source, dress = self._one_of(SOURCES), self._one_of(DRESSES)
        at = self._prompts(source)
        events = self._with_settings(picked(self.events, at))
        events = self._dressed(events, dress)
        if dress != "biases" and self.rng.random() < ORDERED_SHARE:
            events = picked(events, self._like_after_like(events))
        if self.rng.random() < COVER_SHARE:
            events = self._covered(events)
        n = len(events.rows)
        times_ms = np.sort(self.rng.uniform(0, self.rng.uniform(0.3, 5) * MS_PER_DAY, n)).astype(np.int64)
        return UsageCampaign(source, dress, events._replace(rows=np.zeros(n, np.int64), times_ms=times_ms))

    def _one_of(self, shares: dict[str, float]) -> str:
        return str(self.rng.choice(list(shares), p=list(shares.values())))

    def _between(self, low: float, high: float) -> int:
        """Log-uniform."""
        return int(np.exp(self.rng.uniform(np.log(low), np.log(high))))

    def _accounts(self, source: str) -> IntArray:
        n = len(self.members)
        if source == "domain":
            near = np.argsort(-self.means @ self.means[self.rng.integers(n)])
            return near[: self.rng.integers(4, 17)]
        pool = np.arange(n) if source == "broad" else self.conversations
        wanted = self._between(12, 120) if source == "broad" else int(self.rng.integers(6, 41))
        return self.rng.choice(pool, min(len(pool), wanted), replace=False)

    def _prompts(self, source: str) -> IntArray:
        found = [
            self.prompts[account][self.rng.permutation(len(self.prompts[account]))[:PER_ACCOUNT_MAX]]
            for account in self._accounts(source)
        ]
        every = np.concatenate(found)
        return every[self.rng.permutation(len(every))[: self._between(150, 1200)]]

    def _hash(self, n: int) -> Hashes:
        return self.rng.integers(1, 1 << 31, n).astype(np.uint32)

    def _with_settings(self, events: UsageEvents) -> UsageEvents:
        n_sets = 2 if self.rng.random() < TWO_SETTINGS_SHARE else 1
        of_each = self.rng.integers(n_sets, size=len(events.rows))
        return events._replace(
            settings=self._hash(n_sets)[of_each],
            biases=np.zeros_like(events.biases),
            asks_many=np.zeros_like(events.asks_many),
        )

    def _dressed(self, events: UsageEvents, dress: str) -> UsageEvents:
        dresses: dict[str, Callable[[UsageEvents], UsageEvents]] = {
            "plain": lambda each: each,
            "elicitation": self._eliciting,
            "grading": self._grading,
            "topics": self._topics,
            "slots": lambda each: self._templated(each, is_ending=True, is_opening=True),
            "rewritten": lambda each: self._templated(each, is_ending=False, is_opening=False),
            "completions": lambda each: each._replace(asks_many=np.ones_like(each.asks_many)),
            "biases": self._with_biases,
        }
        return dresses[dress](events)

    def _templated(self, events: UsageEvents, *, is_ending: bool, is_opening: bool) -> UsageEvents:
        """Own words around each prompt: they pull its vector towards one of a few directions."""
        n_templates = int(self.rng.integers(1, 7))
        of_each = self.rng.integers(n_templates, size=len(events.rows))
        directions = self.rng.normal(size=(n_templates, VECTOR))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        share = self.rng.uniform(0.1, 0.45)
        vectors = (1 - share) * events.vectors / UNIT + share * directions[of_each]
        events = events._replace(vectors=_as_bytes(vectors), has_vector=np.ones_like(events.has_vector))
        at_front = is_ending and not is_opening and self.rng.random() < 0.35
        if at_front or is_opening:
            events = events._replace(openings=self._hash(n_templates)[of_each])
        if is_ending and not at_front:
            events = events._replace(endings=self._hash(n_templates)[of_each])
        return self._with_words(events, of_each, n_templates)

    def _with_words(self, events: UsageEvents, of_each: IntArray, n_templates: int) -> UsageEvents:
        """The words of templates beside the prompts' own, and their length."""
        bits = self._bits((n_templates, TEMPLATE_WORDS))
        chars = np.expm1(events.lengths) + self.rng.integers(30, 200)
        return events._replace(
            lengths=np.log1p(chars).astype(np.float32),
            word_bits=events.word_bits | bits[of_each],
            word_counts=events.word_counts + np.float32(2 * TEMPLATE_WORDS),
        )

    def _bits(self, shape: tuple[int, int]) -> Uint64Array:
        """Random sets of words, (n, WORD_CELLS), of `shape` (n, words)."""
        bits = np.zeros((shape[0], WORD_CELLS), dtype=np.uint64)
        words = self.rng.integers(WORD_BITS, size=shape)
        for column in words.T:
            bits[np.arange(shape[0]), column // 64] |= np.uint64(1) << (column % 64).astype(np.uint64)
        return bits

    def _eliciting(self, events: UsageEvents) -> UsageEvents:
        """Reasons are asked for, mostly in words that say so."""
        templated = self._templated(events, is_ending=True, is_opening=False)
        return templated._replace(reasons=self.rng.random(len(events.rows)) < 0.8)

    def _grading(self, events: UsageEvents) -> UsageEvents:
        """Answers are to be graded, with reasons or without."""
        graded = self._templated(events, is_ending=True, is_opening=False)
        reasons = np.ones_like(events.reasons) if self.rng.random() < 0.6 else events.reasons
        return graded._replace(grades=np.ones_like(events.grades), reasons=reasons)

    def _topics(self, events: UsageEvents) -> UsageEvents:
        """A few short templates around ever new topics: of a prompt is left what it is about."""
        n, n_templates = len(events.rows), int(self.rng.integers(4, 13))
        of_each = self.rng.integers(n_templates, size=n)
        common = self.rng.normal(size=VECTOR) / np.sqrt(VECTOR)
        directions = common + self.rng.normal(size=(n_templates, VECTOR)) / np.sqrt(VECTOR)
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        share = self.rng.uniform(0.35, 0.65)
        vectors = (1 - share) * events.vectors / UNIT + share * directions[of_each]
        endings = self._hash(n) if self.rng.random() < 0.7 else self._hash(n_templates)[of_each]
        return events._replace(
            vectors=_as_bytes(vectors),
            has_vector=np.ones_like(events.has_vector),
            openings=self._hash(n_templates)[of_each],
            endings=endings,
            lengths=self._short(n),
            word_bits=self._bits((n_templates, 3))[of_each] | self._bits((n, 1)),
            word_counts=np.full(n, 4, dtype=np.float32),
            reasons=(self.rng.random(n_templates) < 0.3)[of_each],
            grades=np.zeros_like(events.grades),
        )

    def _short(self, n: int) -> Float32Array:
        chars = self.rng.integers(20, 60) + self.rng.integers(0, 12, n)
        lengths: Float32Array = np.log1p(chars).astype(np.float32)
        return lengths

    def _with_biases(self, events: UsageEvents) -> UsageEvents:
        """The same prompt again and again, each time with another bias."""
        n = len(events.rows) // BIASES + 2
        again = picked(events, np.repeat(np.arange(min(n, len(events.rows))), BIASES))
        return again._replace(biases=self._hash(len(again.rows)))

    def _like_after_like(self, events: UsageEvents) -> IntArray:
        """Blocks of similar queries, as a conversation or a task list has them."""
        size = int(self.rng.integers(3, 12))
        vectors = events.vectors.astype(np.float64)
        left, order = np.arange(len(vectors)), []
        while len(left):
            first = left[self.rng.integers(len(left))]
            block = np.argsort(-(vectors[left] @ vectors[first]))[:size]
            order.append(left[block])
            left = np.delete(left, block)
        return np.concatenate(order)

    def _covered(self, events: UsageEvents) -> UsageEvents:
        """Among the traffic of a few honest accounts, both in their own order."""
        n = len(self.members)
        accounts = self.rng.choice(n, min(n, int(self.rng.integers(1, 5))), replace=False)
        cover = np.concatenate([self.members[account] for account in accounts])
        n_cover = min(len(cover), int(self.rng.uniform(0.5, 3) * len(events.rows)))
        start = self.rng.integers(len(cover) - n_cover + 1)
        honest = picked(self.events, cover[start : start + n_cover])
        is_cover = np.zeros(n_cover + len(events.rows), dtype=np.bool_)
        is_cover[self.rng.permutation(len(is_cover))[:n_cover]] = True
        order = np.empty(len(is_cover), dtype=np.int64)
        order[is_cover] = np.arange(n_cover)
        order[~is_cover] = n_cover + np.arange(len(events.rows))
        return picked(joined([honest, events]), order)


def _as_bytes(vectors: FloatArray) -> npt.NDArray[np.int8]:
    lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    as_bytes: npt.NDArray[np.int8] = np.rint(vectors / lengths * UNIT).astype(np.int8)
    return as_bytes
