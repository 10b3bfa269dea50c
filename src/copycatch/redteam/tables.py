"""Tabular worlds: a made-by-code one without end, and the real tables that ship with scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from copycatch.redteam.extras import require
from copycatch.redteam.inputs import (
    Box,
    FloatArray,
    InputKind,
    Inputs,
    IntArray,
    Rng,
    Style,
    draw_many_styles,
)

N_LATENT = 6
N_SUBGROUPS = 3


@dataclass(frozen=True)
class Column:
    """How one column turns a standard-normal-like quantity into what a business table holds."""

    shape: str
    scale: float
    lower: float
    upper: float
    step: float

    def realise(self, quantity: FloatArray) -> FloatArray:
        """The column's values for quantities of about unit spread."""
        if self.shape == "amount":
            values: FloatArray = np.asarray(self.scale * np.exp(0.7 * quantity), dtype=np.float64)
        elif self.shape == "count":
            values = np.asarray(np.floor(self.scale * np.exp(0.5 * quantity)), dtype=np.float64)
        elif self.shape == "share":
            values = np.asarray(1.0 / (1.0 + np.exp(-1.4 * quantity)), dtype=np.float64)
        else:
            values = 50.0 + 12.0 * quantity
        return np.asarray(np.clip(np.round(values / self.step) * self.step, self.lower, self.upper))


def _made_columns(n_features: int, rng: Rng) -> list[Column]:
    columns = []
    for _ in range(n_features):
        shape = str(rng.choice(["amount", "count", "share", "points"]))
        if shape == "amount":
            scale = float(rng.choice([40.0, 300.0, 2000.0]))
            columns.append(Column(shape, scale, 0.0, scale * 20, scale / 1000))
        elif shape == "count":
            columns.append(Column(shape, float(rng.integers(4, 20)), 0.0, 100.0, 1.0))
        elif shape == "share":
            columns.append(Column(shape, 1.0, 0.0, 1.0, 0.001))
        else:
            columns.append(Column(shape, 1.0, 0.0, 100.0, 0.1))
    return columns


class _Table:
    """What the tabular worlds share: ranges, edits, mixtures, the way onto the wire."""

    kind: InputKind = "tabular"

    def __init__(self, name: str, class_names: tuple[str, ...], class_weights: FloatArray, box: Box) -> None:
        self.name = name
        self.class_names = class_names
        self.class_weights = class_weights
        self.box: Box | None = box
        self._box = box
        self.centre: FloatArray = (box.lower + box.upper) / 2
        self.spread: FloatArray = box.widths / 4

    def draw_uniform(self, n_queries: int, rng: Rng) -> Inputs:
        return self._box.fit(
            rng.uniform(self._box.lower, self._box.upper, size=(n_queries, len(self.spread)))
        )

    def vary(self, inputs: Inputs, amount: float, rng: Rng) -> Inputs:
        # A form edit touches a few fields, not all of them.
        is_touched = rng.random(inputs.shape) < 0.15
        is_touched[np.arange(len(inputs)), rng.integers(inputs.shape[1], size=len(inputs))] = True
        edits = rng.normal(0, 0.25 * amount, size=inputs.shape) * self.spread
        return self._box.fit(inputs + np.where(is_touched, edits, 0.0))

    def disturb(self, inputs: Inputs, rng: Rng) -> Inputs:
        strengths = rng.choice([0.2, 0.5, 1.0], size=(len(inputs), 1))
        return self._box.fit(inputs + rng.normal(0, 1, inputs.shape) * strengths * self.spread)

    def miscalibrate(self, inputs: Inputs, rng: Rng) -> Inputs:
        # Two columns swapped and one in another unit: the usual mistakes of a feature pipeline.
        first, second, third = np.random.default_rng(inputs.shape[1]).permutation(inputs.shape[1])[:3]
        wrong = inputs.copy()
        wrong[:, [first, second]] = inputs[:, [second, first]]
        wrong[:, third] = inputs[:, third] * 0.1
        return self._box.fit(wrong)

    def blend(self, start: Inputs, end: Inputs, shares: FloatArray, rng: Rng) -> Inputs:
        return self._box.fit(start + shares[:, None] * (end - start))

    def to_wire(self, inputs: Inputs) -> list[object]:
        is_whole = self._box.steps >= 1
        return [
            [int(v) if whole else round(v, 6) for v, whole in zip(row, is_whole, strict=True)]
            for row in inputs.tolist()
        ]

    def embed(self, inputs: Inputs) -> FloatArray | None:
        scaled = np.clip((inputs - self.centre) / self.spread, -8, 8)
        return np.asarray(np.round(scaled, 4), dtype=np.float64)

    def _measure(self, sample: FloatArray) -> None:
        self.centre = sample.mean(axis=0)
        self.spread = np.asarray(np.maximum(sample.std(axis=0), 1e-3 * self._box.widths), dtype=np.float64)


class MadeTable(_Table):
    """Customers of a made-up lender: classes with sub-groups in a latent space, columns of every shape.

    Parameters
    ----------
    seed : int
        Draws the classes, the columns and their correlations.

    Examples
    --------
    >>> table = MadeTable(seed=1)
    >>> table.draw(np.array([0, 3]), Style(0.2, 0.0), np.random.default_rng(0)).shape
    (2, 16)
    """

    def __init__(self, seed: int, n_classes: int = 12, n_features: int = 16) -> None:
        rng = np.random.default_rng([seed, 12])
        self._columns = _made_columns(n_features, rng)
        self._centres = rng.normal(0, 1.5, size=(n_classes, N_SUBGROUPS, N_LATENT))
        self._loadings = rng.normal(0, 1 / np.sqrt(N_LATENT), size=(N_LATENT, n_features))
        self._foreign_loadings = rng.normal(0, 1 / np.sqrt(N_LATENT), size=(N_LATENT, n_features))
        self._foreign_centres = rng.normal(0, 1.5, size=(8, N_LATENT))
        self._tilt = rng.normal(0, 0.5, size=N_LATENT)
        box = Box(
            np.array([c.lower for c in self._columns]),
            np.array([c.upper for c in self._columns]),
            np.array([c.step for c in self._columns]),
        )
        names = tuple(f"segment-{i:02d}" for i in range(n_classes))
        super().__init__("tabular", names, rng.dirichlet(np.full(n_classes, 8.0)), box)
        labels = rng.integers(n_classes, size=3000).astype(np.int64)
        self._measure(self.draw(labels, Style(0.3, 0.0), rng))

    def draw_training(self, n_inputs: int, rng: Rng) -> tuple[Inputs, IntArray]:
        return draw_many_styles(self, n_inputs, rng)

    def draw(self, labels: IntArray, style: Style, rng: Rng) -> Inputs:
        n = len(labels)
        centres = self._centres[labels, rng.integers(N_SUBGROUPS, size=n)]
        latent = centres + rng.normal(0, 0.55, size=(n, N_LATENT)) + 0.5 * style.tone * self._tilt
        return self._realise(latent @ self._loadings, style, rng)

    def draw_foreign(self, n_queries: int, style: Style, rng: Rng) -> Inputs:
        centres = self._foreign_centres[rng.integers(len(self._foreign_centres), size=n_queries)]
        latent = centres + rng.normal(0, 0.55, size=(n_queries, N_LATENT)) + 0.5 * style.tone * self._tilt
        return self._realise(latent @ self._foreign_loadings, style, rng)

    def _realise(self, quantities: FloatArray, style: Style, rng: Rng) -> FloatArray:
        noisy = quantities + rng.normal(0, 0.10 + 0.15 * style.untidiness, size=quantities.shape)
        return np.stack([c.realise(noisy[:, i]) for i, c in enumerate(self._columns)], axis=1)


class RowsTable(_Table):
    """A sample of rows as a world: rows mixed with their class neighbours and measured once more.

    Parameters
    ----------
    name : str
    rows : ndarray of float64, shape (n_rows, n_features)
        Natural rows; the first third is the victim's own training data.
    labels : ndarray of int64, shape (n_rows,)
    class_names : tuple of str
    foreign_rows : ndarray of float64, shape (n_foreign, any)
        Another table, whose relations between columns are borrowed.
    seed : int

    Examples
    --------
    >>> rows = np.random.default_rng(0).normal(size=(90, 4))
    >>> table = RowsTable("own", rows, np.arange(90) % 2, ("no", "yes"), rows[:, :2], seed=1)
    >>> table.draw(np.array([0, 1]), Style(0.2, 0.0), np.random.default_rng(0)).shape
    (2, 4)
    """

    def __init__(
        self,
        name: str,
        rows: FloatArray,
        labels: IntArray,
        class_names: tuple[str, ...],
        foreign_rows: FloatArray,
        seed: int,
    ) -> None:
        rng = np.random.default_rng([seed, 13])
        margin = 0.05 * (rows.max(axis=0) - rows.min(axis=0))
        lower, upper = rows.min(axis=0) - margin, rows.max(axis=0) + margin
        # What was never negative (lengths, amounts, counts) stays so.
        lower = np.where(rows.min(axis=0) >= 0, np.maximum(lower, 0.0), lower)
        # Four significant digits of the range is what most tables hold.
        steps = 10.0 ** (np.floor(np.log10(np.maximum(upper - lower, 1e-9))) - 3)
        weights = np.bincount(labels, minlength=len(class_names)) / len(labels)
        super().__init__(name, class_names, weights, Box(lower, upper, steps))
        order = rng.permutation(len(rows))
        own, world = order[: len(rows) // 3], order[len(rows) // 3 :]
        self._rows, self._labels = rows[world], labels[world]
        self.own_rows, self.own_labels = rows[own], labels[own]
        self._measure(self._rows)
        self._foreign_rows = self._rescale(foreign_rows, rng)

    def _rescale(self, rows: FloatArray, rng: Rng) -> FloatArray:
        """Another table's columns, by rank, over this one's ranges: right type, wrong relations."""
        columns = rng.choice(rows.shape[1], size=len(self.spread), replace=rows.shape[1] < len(self.spread))
        ranks = rows[:, columns].argsort(axis=0).argsort(axis=0) / (len(rows) - 1)
        return np.stack([np.quantile(self._rows[:, i], ranks[:, i]) for i in range(ranks.shape[1])], axis=1)

    def draw_training(self, n_inputs: int, rng: Rng) -> tuple[Inputs, IntArray]:
        rows = rng.integers(len(self.own_rows), size=n_inputs)
        noise = rng.normal(0, 0.05, size=(n_inputs, len(self.spread))) * self.spread
        return self._box.fit(self.own_rows[rows] + noise), self.own_labels[rows]

    def draw(self, labels: IntArray, style: Style, rng: Rng) -> Inputs:
        drawn = np.empty((len(labels), len(self.spread)))
        for label in np.unique(labels):
            wanted = np.flatnonzero(labels == label)
            is_like = self._labels == label
            rows = self._rows[is_like] if is_like.any() else self._rows
            drawn[wanted] = self._remeasure(rows, len(wanted), style, rng)
        return drawn

    def draw_foreign(self, n_queries: int, style: Style, rng: Rng) -> Inputs:
        return self._remeasure(self._foreign_rows, n_queries, style, rng)

    def _remeasure(self, rows: FloatArray, n_queries: int, style: Style, rng: Rng) -> FloatArray:
        base, partner = rng.integers(len(rows), size=(2, n_queries))
        share = rng.uniform(0.0, 0.45, size=(n_queries, 1))
        mixed = (1 - share) * rows[base] + share * rows[partner]
        noise = rng.normal(0, 0.05 + 0.12 * style.untidiness, size=mixed.shape) * self.spread
        return self._box.fit(mixed + noise + 0.1 * style.tone * self.spread)


def real_table(name: str, seed: int) -> RowsTable:
    """A real table that ships with scikit-learn: `cancer` or `wine`; each is foreign to the other."""
    table = _shipped(name)
    names = tuple(str(n) for n in table.target_names)
    rows, labels = np.asarray(table.data, dtype=np.float64), np.asarray(table.target, dtype=np.int64)
    return RowsTable(name, rows, labels, names, foreign_rows("wine" if name == "cancer" else "cancer"), seed)


def foreign_rows(name: str) -> FloatArray:
    """The columns of one of scikit-learn's tables."""
    return np.asarray(_shipped(name).data, dtype=np.float64)


def _shipped(name: str) -> Any:
    datasets = require("sklearn.datasets")
    return datasets.load_wine() if name == "wine" else datasets.load_breast_cancer()
