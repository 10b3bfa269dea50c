"""What a query is made of: the inputs of one model, however they are drawn, varied or mixed.

A :class:`Domain` is the world in which one victim lives. Benign users draw from it, attackers
draw from what they know of it, and both pass through the same variation, so that no account
can be told by an artefact of the simulator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Rng = np.random.Generator
FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

Inputs = NDArray[Any]
"""Numeric: float64, shape (n_queries, n_features). Text: object (str), shape (n_queries,)."""

InputKind = Literal["image", "tabular", "text"]


@dataclass(frozen=True)
class Style:
    """The habits of one account, which colour everything it sends.

    Attributes
    ----------
    untidiness : float
        From 0 to 1: sensor noise of an image, measurement error of a row, typing errors of a text.
    tone : float
        From -1 to 1: brightness, a sub-population, a preference for greetings and capitals.
    """

    untidiness: float
    tone: float


PLAIN = Style(untidiness=0.3, tone=0.0)


def draw_style(rng: Rng) -> Style:
    """One account's habits; most are tidy, a few are not.

    Examples
    --------
    >>> style = draw_style(np.random.default_rng(0))
    >>> 0 <= style.untidiness <= 1 and -1 <= style.tone <= 1
    True
    """
    return Style(untidiness=float(rng.beta(2.0, 4.0)), tone=float(np.clip(rng.normal(0.0, 0.4), -1, 1)))


@dataclass(frozen=True)
class Box:
    """The ranges of a numeric input, which a model's documentation states and an attacker knows.

    Attributes
    ----------
    lower, upper : ndarray of float64, shape (n_features,)
    steps : ndarray of float64, shape (n_features,)
        Smallest difference that the input's type can express; 0 where it is continuous.

    Examples
    --------
    >>> box = Box(np.zeros(2), np.full(2, 10.0), np.array([1.0, 0.5]))
    >>> box.fit(np.array([[3.4, 11.0]]))
    array([[ 3., 10.]])
    """

    lower: FloatArray
    upper: FloatArray
    steps: FloatArray

    @property
    def widths(self) -> FloatArray:
        return self.upper - self.lower

    def fit(self, inputs: FloatArray) -> FloatArray:
        """Clip to the ranges and round to what the type can express."""
        grain = np.where(self.steps > 0, self.steps, 1.0)
        rounded = np.where(self.steps > 0, np.round(inputs / grain) * grain, inputs)
        fitted: FloatArray = np.clip(rounded, self.lower, self.upper)
        return fitted


class Domain(Protocol):
    """Where a victim's inputs come from; each method takes its randomness."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> InputKind: ...
    @property
    def class_names(self) -> tuple[str, ...]: ...
    @property
    def class_weights(self) -> FloatArray:
        """How often each class is asked for by the whole population; sums to 1."""
        ...

    @property
    def box(self) -> Box | None:
        """Ranges of numeric input; None for text."""
        ...

    def draw_training(self, n_inputs: int, rng: Rng) -> tuple[Inputs, IntArray]:
        """The victim's own training data, which neither users nor attackers hold."""
        ...

    def draw(self, labels: IntArray, style: Style, rng: Rng) -> Inputs:
        """One natural input per wanted class."""
        ...

    def draw_foreign(self, n_queries: int, style: Style, rng: Rng) -> Inputs:
        """Natural inputs of other domains, as an attacker without in-domain data has them."""
        ...

    def draw_uniform(self, n_queries: int, rng: Rng) -> Inputs:
        """Inputs that only know the type: uniform numbers, random words."""
        ...

    def vary(self, inputs: Inputs, amount: float, rng: Rng) -> Inputs:
        """The same thing once more, a little different; `amount` 1 is a clear edit."""
        ...

    def disturb(self, inputs: Inputs, rng: Rng) -> Inputs:
        """What a robustness evaluation does to a test set: noise, occlusion, garbled words."""
        ...

    def miscalibrate(self, inputs: Inputs, rng: Rng) -> Inputs:
        """An honest client whose preprocessing is wrong: other scale, cut off, upper case."""
        ...

    def blend(self, start: Inputs, end: Inputs, shares: FloatArray, rng: Rng) -> Inputs:
        """Points between pairs: share 0 gives `start`, share 1 gives `end`."""
        ...

    def to_wire(self, inputs: Inputs) -> list[object]:
        """The `input` field of a record, one per query."""
        ...

    def embed(self, inputs: Inputs) -> FloatArray | None:
        """The embedding a gateway would log, shape (n_queries, n_dims); None where it logs none."""
        ...


def draw_population(
    domain: Domain, n_queries: int, style: Style, rng: Rng, class_weights: FloatArray | None = None
) -> tuple[Inputs, IntArray]:
    """Natural inputs with their true classes, by the population's class mix or another one.

    Returns
    -------
    inputs : Inputs
    labels : ndarray of int64, shape (n_queries,)
    """
    weights = domain.class_weights if class_weights is None else class_weights
    labels = rng.choice(len(weights), size=n_queries, p=weights).astype(np.int64)
    return domain.draw(labels, style, rng), labels


def draw_many_styles(domain: Domain, n_queries: int, rng: Rng, n_styles: int = 20) -> tuple[Inputs, IntArray]:
    """Natural inputs of many people: a test set, or what an attacker gathers in the open."""
    cuts = np.diff(np.linspace(0, n_queries, n_styles + 1).astype(int))
    parts = [draw_population(domain, int(n), draw_style(rng), rng) for n in cuts if n or n_queries == 0]
    return join([inputs for inputs, _ in parts]), np.concatenate([labels for _, labels in parts])


def join(parts: Sequence[Inputs]) -> Inputs:
    """Concatenate along queries; numeric and text alike."""
    joined: Inputs = np.concatenate(list(parts))
    return joined


def as_texts(texts: Sequence[str]) -> Inputs:
    """Texts as an object array, which can be indexed with rows and masks.

    Examples
    --------
    >>> as_texts(["a", "b"])[[1]].tolist()
    ['b']
    """
    array = np.empty(len(texts), dtype=object)
    array[:] = list(texts)
    return array
