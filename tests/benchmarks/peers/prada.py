"""PRADA as published: the distances to the nearest earlier query of the same class should look normal.

Juuti, Szyller, Marchal, Asokan: PRADA: Protecting Against DNN Model Stealing Attacks, EuroS&P 2019,
algorithm 1:
per class a growing set of queries, entered by those that are farther from it than its threshold; all
nearest distances of the client go into one set; those within three standard deviations are given to the
Shapiro-Wilk test where they are more than 100, and a statistic below `delta` is an attack. The paper tests at
every query; the authors' own code at every tenth, and leaves out classes with fewer than ten distances
(checked against it: the rest is the same). Both ways of testing are measured.
"""

import warnings

import numpy as np

from copycatch.records.columns import FloatArray

DISTANCES_MIN = 100
CLASS_DISTANCES_MIN = 10
DELTA = 0.90  # the paper's for the harder of its two data sets; .95 for the other
TESTED_MAX = 5_000  # beyond, the p-value of Shapiro-Wilk is inaccurate; the statistic is what counts


class GrowingSet:
    """The queries of one class that are far from one another."""

    def __init__(self, first: FloatArray) -> None:
        self._members = np.empty((64, len(first)))
        self._members[0] = first
        self._n = 1
        self._distances = [0.0]
        self.threshold = 0.0

    def nearest(self, query: FloatArray) -> float:
        """Distance of a query to the set."""
        return float(np.sqrt(((self._members[: self._n] - query) ** 2).sum(axis=1).min()))

    def offer(self, query: FloatArray, distance: float) -> None:
        """Take a query in if it is farther than the threshold."""
        if distance <= self.threshold:
            return
        if self._n == len(self._members):
            self._members = np.concatenate([self._members, np.empty_like(self._members)])
        self._members[self._n] = query
        self._n += 1
        self._distances.append(distance)
        self.threshold = max(self.threshold, float(np.mean(self._distances) - np.std(self._distances)))


class Prada:
    """The detector of one client.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> prada = Prada()
    >>> any(prada.add(query, label=0) for query in rng.normal(size=(150, 8)))
    False
    >>> prada = Prada()
    >>> lattice = [step * np.ones(8) * (100 if i % 10 == 0 else 1) for i, step in enumerate(range(150))]
    >>> any(prada.add(query, label=0) for query in lattice)
    True
    """

    def __init__(self, delta: float = DELTA, test_every: int = 1) -> None:
        self.delta = delta
        self.test_every = test_every
        self.set_by_label: dict[int, GrowingSet] = {}
        self.distances_by_label: dict[int, list[float]] = {}
        self._said = False
        self._queries = 0

    def add(self, query: FloatArray, label: int) -> bool:
        """Take one query in; True where it is called an attack."""
        self.take(query, label)
        self._queries += 1
        if self._queries % self.test_every == 0:
            self._said = self.is_attack()
        return self._said

    def take(self, query: FloatArray, label: int) -> None:
        """Without the test."""
        grown = self.set_by_label.get(label)
        if grown is None:
            self.set_by_label[label] = GrowingSet(query)
            return
        distance = grown.nearest(query)
        self.distances_by_label.setdefault(label, []).append(distance)
        grown.offer(query, distance)

    def is_attack(self) -> bool:
        """The test over all distances so far."""
        from scipy import stats

        distances: list[float] = []
        for of_label in self.distances_by_label.values():
            if len(of_label) >= CLASS_DISTANCES_MIN:
                distances += of_label
        if len(distances) <= DISTANCES_MIN:
            return False
        found = np.array(distances)
        if np.ptp(found) == 0:
            return True  # all alike: as far from normal as can be
        inner = found[np.abs(found - found.mean()) < 3 * found.std()]
        if len(inner) <= DISTANCES_MIN:
            return False
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return bool(stats.shapiro(inner).statistic < self.delta)
