"""Handwritten digits as 8x8 grey images, and the foreign images of an attacker without digits."""

from __future__ import annotations

import base64

import numpy as np

from copycatch.redteam.extras import require
from copycatch.redteam.inputs import Box, FloatArray, InputKind, Inputs, IntArray, Rng, Style

SIDE = 8
N_PIXELS = SIDE * SIDE
GREY_MAX = 255.0
# Eight neighbours mix into enough variety that 1,800 scans serve 100,000 queries without repeats.
N_NEIGHBOURS = 8
N_FOREIGN = 4000
EMBEDDING_DIMS = 32


def neighbours_of(images: FloatArray, groups: IntArray) -> IntArray:
    """Rows of the nearest images of the same group, shape (n_images, N_NEIGHBOURS)."""
    rows = np.empty((len(images), N_NEIGHBOURS), dtype=np.int64)
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group)
        some = images[members]
        squares = (some**2).sum(axis=1)
        distances = squares[:, None] + squares[None, :] - 2 * some @ some.T
        np.fill_diagonal(distances, np.inf)
        rows[members] = members[np.argsort(distances, axis=1)[:, :N_NEIGHBOURS]]
    return rows


def warp(images: FloatArray, angles: FloatArray, scales: FloatArray, shifts: FloatArray) -> FloatArray:
    """Rotate, scale and shift by bilinear interpolation; outside is black.

    Parameters
    ----------
    images : ndarray of float64, shape (n_images, 64)
    angles : ndarray of float64, shape (n_images,)
        Radians.
    scales : ndarray of float64, shape (n_images,)
    shifts : ndarray of float64, shape (n_images, 2)
        Pixels, down and right.

    Examples
    --------
    >>> dot = np.zeros((1, 64)); dot[0, 9] = 1.0
    >>> int(warp(dot, np.zeros(1), np.ones(1), np.array([[1.0, 0.0]])).argmax())
    17
    """
    centre = (SIDE - 1) / 2
    down, right = np.divmod(np.arange(N_PIXELS), SIDE)
    y = (down - centre)[None, :] - shifts[:, :1]
    x = (right - centre)[None, :] - shifts[:, 1:]
    cos, sin = np.cos(angles)[:, None] / scales[:, None], np.sin(angles)[:, None] / scales[:, None]
    source_y, source_x = cos * y + sin * x + centre, cos * x - sin * y + centre
    padded = np.zeros((len(images), SIDE + 2, SIDE + 2))
    padded[:, 1:-1, 1:-1] = images.reshape(-1, SIDE, SIDE)
    source_y, source_x = np.clip(source_y + 1, 0, SIDE + 0.999), np.clip(source_x + 1, 0, SIDE + 0.999)
    top, left = source_y.astype(int), source_x.astype(int)
    part_y, part_x = source_y - top, source_x - left
    row = np.arange(len(images))[:, None]
    upper = padded[row, top, left] * (1 - part_x) + padded[row, top, left + 1] * part_x
    lower = padded[row, top + 1, left] * (1 - part_x) + padded[row, top + 1, left + 1] * part_x
    warped: FloatArray = upper * (1 - part_y) + lower * part_y
    return warped


def photo_patches(n_images: int, rng: Rng) -> FloatArray:
    """Grey patches of the two photographs that ship with scikit-learn, shape (n_images, 64)."""
    photographs = require("sklearn.datasets").load_sample_images().images
    photos = [np.asarray(p, dtype=np.float64).mean(axis=2) for p in photographs]
    patches = np.empty((n_images, N_PIXELS))
    for i in range(n_images):
        photo = photos[int(rng.integers(len(photos)))]
        zoom = int(rng.choice([1, 2, 4, 8]))
        extent = SIDE * zoom
        top, left = rng.integers(photo.shape[0] - extent), rng.integers(photo.shape[1] - extent)
        window = photo[top : top + extent, left : left + extent]
        patches[i] = window.reshape(SIDE, zoom, SIDE, zoom).mean(axis=(1, 3)).ravel()
    return patches


def drawn_glyphs(n_images: int, rng: Rng) -> FloatArray:
    """Signs of an alphabet that never was: two to four strokes each, shape (n_images, 64)."""
    down, right = np.divmod(np.arange(N_PIXELS), SIDE)
    pixels = np.stack([down, right], axis=1).astype(np.float64)
    # An alphabet has letters that come again.
    signs = [rng.uniform(0.8, 6.2, size=(int(rng.integers(2, 5)), 2, 2)) for _ in range(40)]
    glyphs = np.empty((n_images, N_PIXELS))
    for i in range(n_images):
        strokes = signs[int(rng.integers(len(signs)))] + rng.normal(0, 0.35, size=(1, 2, 2))
        width = rng.uniform(0.5, 0.9)
        ink = np.zeros(N_PIXELS)
        for start, end in strokes:
            along = end - start
            share = np.clip(((pixels - start) @ along) / max(float(along @ along), 1e-6), 0, 1)
            distance = np.linalg.norm(pixels - (start + share[:, None] * along), axis=1)
            ink = np.maximum(ink, np.exp(-((distance / width) ** 2)))
        glyphs[i] = ink * GREY_MAX
    return glyphs


class DigitImages:
    """The digits that ship with scikit-learn (UCI optical recognition), scaled to 0..255.

    Parameters
    ----------
    seed : int
        Cuts the scans into the victim's own and the world's, and draws the foreign images.
    """

    name = "digits"
    kind: InputKind = "image"

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng([seed, 11])
        digits = require("sklearn.datasets").load_digits()
        images = np.asarray(digits.data, dtype=np.float64) * (GREY_MAX / 16.0)
        labels = np.asarray(digits.target, dtype=np.int64)
        order = rng.permutation(len(images))
        # The victim trains on scans that neither users nor attackers hold.
        own, world = order[:700], order[700:]
        self.own_images, self.own_labels = images[own], labels[own]
        self._own_neighbours = neighbours_of(self.own_images, self.own_labels)
        self._images, self._labels = images[world], labels[world]
        self._neighbours = neighbours_of(self._images, self._labels)
        self._rows_by_label = [np.flatnonzero(self._labels == label) for label in range(10)]
        self._foreign = np.concatenate(
            [photo_patches(N_FOREIGN // 2, rng), drawn_glyphs(N_FOREIGN // 2, rng)]
        )
        halves = (np.arange(N_FOREIGN) >= N_FOREIGN // 2).astype(np.int64)
        self._foreign_neighbours = neighbours_of(self._foreign, halves)
        self.class_names = tuple(str(i) for i in range(10))
        weights = rng.dirichlet(np.full(10, 20.0))
        self.class_weights: FloatArray = weights
        self.box: Box | None = Box(np.zeros(N_PIXELS), np.full(N_PIXELS, GREY_MAX), np.ones(N_PIXELS))
        self._centre = self.own_images.mean(axis=0)
        axes = np.linalg.svd(self.own_images - self._centre, full_matrices=False)[2]
        self._axes = axes[:EMBEDDING_DIMS] / GREY_MAX

    def _natural(self, base: FloatArray, partner: FloatArray, style: Style, rng: Rng) -> FloatArray:
        """Digits and foreign images go through the same camera: mixture, pose, light, noise."""
        n = len(base)
        share = rng.uniform(0.0, 0.5, size=(n, 1))
        mixed = (1 - share) * base + share * partner
        posed = warp(mixed, rng.normal(0, 0.10, n), rng.normal(1, 0.05, n), rng.normal(0, 0.35, (n, 2)))
        light = np.clip(1 + 0.12 * style.tone + rng.normal(0, 0.06, (n, 1)), 0.6, 1.3)
        grain = rng.normal(0, 2 + 10 * style.untidiness, size=posed.shape)
        return self._fit(posed * light + grain)

    def _fit(self, images: FloatArray) -> FloatArray:
        assert self.box is not None
        return self.box.fit(images)

    def draw_training(self, n_inputs: int, rng: Rng) -> tuple[Inputs, IntArray]:
        rows = rng.integers(len(self.own_images), size=n_inputs)
        partners = self._own_neighbours[rows, rng.integers(N_NEIGHBOURS, size=n_inputs)]
        style = Style(untidiness=0.4, tone=0.0)
        return self._natural(self.own_images[rows], self.own_images[partners], style, rng), self.own_labels[
            rows
        ]

    def draw(self, labels: IntArray, style: Style, rng: Rng) -> Inputs:
        sizes = np.array([len(rows) for rows in self._rows_by_label])
        picks = (rng.random(len(labels)) * sizes[labels]).astype(np.int64)
        rows = np.array(
            [self._rows_by_label[k][i] for k, i in zip(labels, picks, strict=True)], dtype=np.int64
        )
        partners = self._neighbours[rows, rng.integers(N_NEIGHBOURS, size=len(rows))]
        return self._natural(self._images[rows], self._images[partners], style, rng)

    def draw_foreign(self, n_queries: int, style: Style, rng: Rng) -> Inputs:
        rows = rng.integers(N_FOREIGN, size=n_queries)
        partners = self._foreign_neighbours[rows, rng.integers(N_NEIGHBOURS, size=n_queries)]
        return self._natural(self._foreign[rows], self._foreign[partners], style, rng)

    def draw_uniform(self, n_queries: int, rng: Rng) -> Inputs:
        return self._fit(rng.uniform(0, GREY_MAX, size=(n_queries, N_PIXELS)))

    def vary(self, inputs: Inputs, amount: float, rng: Rng) -> Inputs:
        n = len(inputs)
        moved = warp(
            inputs, rng.normal(0, 0.05, n) * amount, np.ones(n), rng.normal(0, 0.25, (n, 2)) * amount
        )
        return self._fit(moved + rng.normal(0, 6 * amount, size=moved.shape))

    def disturb(self, inputs: Inputs, rng: Rng) -> Inputs:
        noisy = inputs + rng.normal(0, 1, inputs.shape) * rng.choice([15, 35, 60], size=(len(inputs), 1))
        hidden = rng.random((len(inputs), SIDE, SIDE)) < 0
        corners = rng.integers(0, SIDE - 2, size=(len(inputs), 2))
        is_occluded = rng.random(len(inputs)) < 0.4
        for i in np.flatnonzero(is_occluded):
            hidden[i, corners[i, 0] : corners[i, 0] + 3, corners[i, 1] : corners[i, 1] + 3] = True
        return self._fit(np.where(hidden.reshape(-1, N_PIXELS), 0.0, noisy))

    def miscalibrate(self, inputs: Inputs, rng: Rng) -> Inputs:
        return self._fit(inputs * 0.4 + 70 + rng.normal(0, 2, size=inputs.shape))

    def blend(self, start: Inputs, end: Inputs, shares: FloatArray, rng: Rng) -> Inputs:
        return self._fit(start + shares[:, None] * (end - start))

    def to_wire(self, inputs: Inputs) -> list[object]:
        return [
            {"b64": base64.b64encode(row.tobytes()).decode(), "dtype": "u1"}
            for row in inputs.astype(np.uint8)
        ]

    def embed(self, inputs: Inputs) -> FloatArray | None:
        embeddings: FloatArray = np.round((inputs - self._centre) @ self._axes.T, 4)
        return embeddings
