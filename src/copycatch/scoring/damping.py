"""Damping: anomalies that an innocent habit explains count less.

Two such habits leave marks that extraction does not. Noise on usual inputs, as a test of robustness adds it,
moves every query its own way (`coherence`). A client with wrong preprocessing, units mistaken or columns in
another order, moves all of them alike: together they lie far off, but vary no more than usual inputs do
(`displacement`). Inputs of another population seldom do: they vary in ways that the model was not made for.

A thief who knows this can pass for either, and learns less by it: SECURITY.md says how much. Never damped
are the marks of extraction itself: probing, lines, flat steps, spliced texts.
"""

from typing import NamedTuple

import numpy as np

from copycatch.records.columns import FloatArray
from copycatch.scoring.catalog import COMPONENTS, FAMILIES

# Squared shift over variance, below which inputs are not displaced, and above which they are.
DISPLACED_FROM, DISPLACED_FULL = 0.5, 0.8
# Variance in units of the usual one: up to here as usual, from there on another population's.
SPREAD_USUAL, SPREAD_FOREIGN = 1.1, 1.4
SPREAD_MIN = 0.05
# How far coordinates go together, in that of usual inputs. Errors of preprocessing leave it where it was: of
# 30 remembered queries 98 % had .45 and more, of a dozen 90 % (four public data sets, five errors); inputs of
# another domain have .3 to .6, noise -.1 to .1.
COUPLED_FROM, COUPLED_FULL = 0.45, 0.6
DISPLACED_LEAST = 0.2


class Damping(NamedTuple):
    """Families damped down to `least` where odd queries have nothing in common; not at all from `full` on."""

    columns: list[int]
    full: float
    least: float


def _columns(*components: str) -> list[int]:
    return [
        FAMILIES.index(family) for each in COMPONENTS if each.name in components for family in each.families
    ]


# On the development traces noise has a coherence of .01 to .06, ordinary use 0 to .03, other populations .05
# to .37. Among three times as much ordinary use another population has .01, its odd queries alone .06 to .12.
DAMPINGS = (
    Damping(_columns("novelty"), 0.15, 0.2),
    Damping(_columns("mixture"), 0.06, 0.4),
    Damping(_columns("half_space"), 0.06, 0.3),
)
# A mistaken unit is novel, rare, and hard for the model, all at once.
DISPLACED = _columns("novelty", "boundary", "half_space", "multivariate")


def damping(coherence: FloatArray, shift: FloatArray, spread: FloatArray, coupling: FloatArray) -> FloatArray:
    """Factor for the value of each family, (n, n_families); 1 where nothing is known.

    Parameters
    ----------
    coherence : ndarray of float64, shape (n,)
        Mean cosine between the class residuals of two queries.
    shift, spread : ndarray of float64, shape (n,)
        Mean square of the centre of the inputs, and their variance around it, in the usual inputs' variance.
    coupling : ndarray of float64, shape (n,)
        How far their coordinates go together, in that of the usual inputs.

    Examples
    --------
    >>> novelty, mixture = FAMILIES.index("novelty"), FAMILIES.index("mixture")
    >>> factors = damping(np.array([-0.1, 0.06, np.nan]), *np.full((3, 3), np.nan))
    >>> factors[:, [novelty, mixture]].round(2).tolist()
    [[0.2, 0.4], [0.4, 1.0], [1.0, 1.0]]
    >>> one = np.ones(1)
    >>> damping(np.nan * one, 1.5 * one, 0.9 * one, one)[0, [novelty, mixture]].round(2).tolist()
    [0.2, 1.0]
    """
    factors = np.ones((len(coherence), len(FAMILIES)))
    for columns, full, least in DAMPINGS:
        share = np.where(np.isnan(coherence), 1.0, np.clip(coherence / full, least, 1.0))
        factors[:, columns] *= share[:, None]
    factors[:, DISPLACED] *= (1 - (1 - DISPLACED_LEAST) * displacement(shift, spread, coupling))[:, None]
    return factors


def displacement(shift: FloatArray, spread: FloatArray, coupling: FloatArray) -> FloatArray:
    """How well one common error of preprocessing explains where the inputs lie, 0 to 1; 0 for NaN.

    An error moves and scales coordinates, which go together as before: noise does not go together. A coupling
    of NaN explains nothing less.

    Examples
    --------
    >>> nan = np.nan
    >>> displacement(np.array([1.5, 1.5, 0.3, 8.0, nan]), np.array([0.9, 0.9, 1.0, 2.7, nan]),
    ...              np.array([0.9, 0.05, 1.0, 1.0, nan])).tolist()
    [1.0, 0.0, 0.0, 0.0, 0.0]
    """
    is_far = (shift / np.maximum(spread, SPREAD_MIN) - DISPLACED_FROM) / (DISPLACED_FULL - DISPLACED_FROM)
    is_narrow = (SPREAD_FOREIGN - spread) / (SPREAD_FOREIGN - SPREAD_USUAL)
    is_coupled = np.nan_to_num((coupling - COUPLED_FROM) / (COUPLED_FULL - COUPLED_FROM), nan=1.0)
    explained: FloatArray = np.nan_to_num(
        np.clip(is_far, 0, 1) * np.clip(is_narrow, 0, 1) * np.clip(is_coupled, 0, 1)
    )
    return explained
