"""The components of the score that rest on features: families that share one cap, so that no single property
decides alone. The scorers of `scoring.catalog` are components of their own.
"""

from enum import IntEnum
from typing import NamedTuple


class Combination(IntEnum):
    """How the families of a component are combined."""

    MAX = 0
    MEAN = 1
    FIRST_OR_MEAN = 2  # the first family alone, or the mean of all, whichever is higher


class Component(NamedTuple):
    """Families that share one cap, and the most that they add to the score (nats)."""

    name: str
    families: tuple[str, ...]
    cap: float
    combination: Combination = Combination.MAX


# Caps: novelty far beyond everything normal may nearly decide alone; hard cases (boundary) and flat steps
# occur among honest accounts and only support. There are several ways to be novel: look-alikes lack one or
# two, attacks none, hence the mean.
FEATURE_COMPONENTS: tuple[Component, ...] = (
    Component(
        "novelty", ("novelty", "oddities", "neighbours", "drift", "likelihood"), 16.0, Combination.MEAN
    ),
    Component("text", ("pairs", "words"), 12.0),
    Component("boundary", ("boundary", "labels"), 2.5, Combination.FIRST_OR_MEAN),
    Component("mixture", ("mixture",), 8.0),
    Component("probing", ("probing",), 20.0),
    Component("collinearity", ("collinearity", "lines"), 5.0),
    Component("step", ("step",), 3.0),
    Component("flat", ("flat",), 3.0),
)
FEATURE_FAMILIES: tuple[str, ...] = tuple(
    family for component in FEATURE_COMPONENTS for family in component.families
)
# Of these families the highest feature counts, for attacks of different makes raise different ones; of the
# others the mean.
MAX_FAMILIES = frozenset({"boundary", "labels", "probing"})
