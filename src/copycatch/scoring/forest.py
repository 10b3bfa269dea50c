"""Decision trees as flat arrays, read from a file that holds no code and evaluated by compiled code."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from copycatch.compiled import njit
from copycatch.errors import StateError
from copycatch.records.columns import Float32Array, FloatArray, IntArray
from copycatch.records.packing import pack, unpack

LEAF: Final = -1
PROB_MIN: Final = 0.002  # no forest of a hundred trees knows more
DEVIATION_MAX: Final = 8.0  # beyond, the chance is nothing in double precision


class Nodes(NamedTuple):
    """Nodes of all trees, each tree in depth-first order: a left child follows its parent."""

    roots: IntArray
    features: npt.NDArray[np.int16]  # tested, or `LEAF`
    thresholds: Float32Array  # up to here to the left
    rights: npt.NDArray[np.int32]
    probs: Float32Array  # of an attack among the training evaluations that came here
    missing_left: npt.NDArray[np.bool_]  # where NaN goes: with most of them


@dataclass(frozen=True, slots=True)
class Forest:
    """A trained forest.

    Attributes
    ----------
    names : sequence of str
        The features that `nodes.features` count.
    nodes : Nodes
    trained_on : sequence of str
        What it was trained on.
    digest : str
        Of the training data.
    honest_median, honest_spread : float
        Of the highest log odds in the lives of honest accounts of logs that were left out of the training.
    """

    names: Sequence[str]
    nodes: Nodes
    trained_on: Sequence[str]
    digest: str
    honest_median: float = 0.0
    honest_spread: float = 1.0

    def log_odds(self, values: FloatArray) -> FloatArray:
        """Log odds of an attack, (n,), for values (n, n_names).

        Examples
        --------
        >>> one_split().log_odds(np.array([[0.2], [0.7], [np.nan]])).round(2).tolist()
        [-1.39, 1.39, -1.39]
        """
        probs = np.empty(len(values))
        _probs(np.ascontiguousarray(values, dtype=np.float64), self.nodes, probs)
        clipped = np.clip(probs, PROB_MIN, 1 - PROB_MIN)
        odds: FloatArray = np.log(clipped / (1 - clipped))
        return odds

    def surprisal(self, values: FloatArray) -> FloatArray:
        """-ln of the chance that an honest account's log odds are ever so high, (n,), if they are normal.

        Log odds end where a forest knows no more: their tail is lighter than the exponential one that all
        scores are held against, and this one is exponential.

        Examples
        --------
        >>> one_split().surprisal(np.array([[0.2], [0.7]])).round(2).tolist()
        [0.09, 2.49]
        """
        out = np.empty(len(values))
        _normal_surprisal((self.log_odds(values) - self.honest_median) / self.honest_spread, out)
        return out

    def contributions(self, values: FloatArray) -> FloatArray:
        """How far each feature moved the chance of an attack, (n, n_names) [1]_.

        References
        ----------
        .. [1] Saabas, Interpreting random forests, 2014: differences along the decision paths.

        Examples
        --------
        >>> one_split().contributions(np.array([[0.2], [0.7]])).round(2).tolist()
        [[-0.3], [0.3]]
        """
        out = np.zeros((len(values), len(self.names)))
        _contributions(np.ascontiguousarray(values, dtype=np.float64), self.nodes, out)
        return out

    def to_bytes(self) -> bytes:
        """Plain data, for `from_bytes`."""
        return pack(
            {
                "names": list(self.names),
                "trained_on": list(self.trained_on),
                "digest": self.digest,
                "honest": [self.honest_median, self.honest_spread],
                "nodes": self.nodes._asdict(),
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> "Forest":
        """Read what `to_bytes` gave.

        Raises
        ------
        StateError
            If the bytes are damaged, or a node points nowhere.
        """
        found = unpack(data)
        try:
            nodes = Nodes(**{name: found["nodes"][name] for name in Nodes._fields})
            median, spread = found["honest"]
            forest = cls(found["names"], nodes, found["trained_on"], found["digest"], median, spread)
        except (KeyError, TypeError, ValueError) as error:
            message = f"the forest lacks a part: {error!r}"
            raise StateError(message) from error
        forest.check()
        return forest

    def check(self) -> None:
        """Raise StateError unless every path ends in a leaf within the arrays."""
        nodes = self.nodes
        n = len(nodes.features)
        here = np.arange(n)
        is_inner = nodes.features != LEAF
        is_good = (
            all(len(column) == n for column in nodes[1:])
            and bool((nodes.features < len(self.names)).all() and (nodes.features >= LEAF).all())
            and bool(
                (nodes.rights[is_inner] > here[is_inner] + 1).all() and (nodes.rights[is_inner] < n).all()
            )
            and bool(((nodes.roots >= 0) & (nodes.roots < n)).all())
            and not bool(is_inner[-1])
        )
        if not is_good:
            message = "the forest has a node that points nowhere"
            raise StateError(message)

    def for_inputs(self, names: Sequence[str]) -> "Forest":
        """The same over columns of these names; a feature that is gone counts as missing, at the end."""
        every = [*names, *(name for name in self.names if name not in names)]
        at = np.array([every.index(name) for name in self.names], dtype=np.int16)
        features = np.where(self.nodes.features == LEAF, LEAF, at[self.nodes.features]).astype(np.int16)
        return replace(self, names=every, nodes=self.nodes._replace(features=features))


def one_split() -> Forest:
    """The smallest forest, for examples: up to .5 an attack is unlikely."""
    nodes = Nodes(
        np.array([0]),
        np.array([0, LEAF, LEAF], dtype=np.int16),
        np.array([0.5, 0, 0], dtype=np.float32),
        np.array([2, 0, 0], dtype=np.int32),
        np.array([0.5, 0.2, 0.8], dtype=np.float32),
        np.array([True, False, False]),
    )
    return Forest(["x"], nodes, ["an example"], "")


@njit(cache=True)
def _normal_surprisal(deviations, out):  # type: ignore[no-untyped-def]
    for i in range(len(deviations)):
        out[i] = -np.log(0.5 * math.erfc(min(deviations[i], DEVIATION_MAX) / math.sqrt(2.0)))


@njit(cache=True)
def _next(row, nodes, at):  # type: ignore[no-untyped-def]
    """The child that a row goes on to."""
    value = row[nodes.features[at]]
    goes_left = nodes.missing_left[at] if np.isnan(value) else value <= nodes.thresholds[at]
    return at + 1 if goes_left else np.int64(nodes.rights[at])


@njit(cache=True)
def _probs(values, nodes, out):  # type: ignore[no-untyped-def]
    for i in range(len(values)):
        total = 0.0
        for root in nodes.roots:
            at = root
            while nodes.features[at] != LEAF:
                at = _next(values[i], nodes, at)
            total += nodes.probs[at]
        out[i] = total / len(nodes.roots)


@njit(cache=True)
def _contributions(values, nodes, out):  # type: ignore[no-untyped-def]
    for i in range(len(values)):
        for root in nodes.roots:
            at = root
            while nodes.features[at] != LEAF:
                after = _next(values[i], nodes, at)
                out[i, nodes.features[at]] += (nodes.probs[after] - nodes.probs[at]) / len(nodes.roots)
                at = after
