"""Whether an account's queries are far from their classes in one direction or in all.

Another population lies somewhere: its queries are moved the same way. Noise on usual inputs, as a test of
robustness adds it, moves each its own way, however far. Novelty that is not coherent speaks with a low voice,
and so does a mixture of usual and odd queries of which the odd ones have nothing in common.
"""

import numpy as np

from copycatch.records.columns import FloatArray
from copycatch.records.layout import SKETCH

# Mean cosine between the class residuals of two queries of an account. On the development traces noise has
# .01 to .06, ordinary use 0 to .03, other populations .05 to .37, mis-scaled inputs .35 to .45. Among three
# times as much ordinary use another population has .01, its odd queries alone .06 to .12.
NOVELTY_FULL, NOVELTY_LEAST = 0.15, 0.2
MIXTURE_FULL, MIXTURE_LEAST = 0.06, 0.4


def coherence_of(class_drift: FloatArray, class_distance: FloatArray) -> FloatArray:
    """Share of the squared distance from the predicted classes that is one common shift, shape (n,).

    Parameters
    ----------
    class_drift : ndarray of float64, shape (n,)
        Unbiased squared length of the mean class residual over the root of its dimensions.
    class_distance : ndarray of float64, shape (n,)
        Log mean square of the residual's coordinates.

    Returns
    -------
    ndarray of float64, shape (n,)
        About 0 where residuals point anywhere, 1 where all are the same; NaN where either is missing.

    Examples
    --------
    >>> coherence_of(np.array([4.0, 0.0]), np.array([0.0, 0.0])).tolist()
    [1.0, 0.0]
    """
    share: FloatArray = class_drift / (np.sqrt(SKETCH) * np.exp(class_distance))
    return share


def _voice(coherence: FloatArray, full: float, least: float) -> FloatArray:
    factors: FloatArray = np.where(np.isnan(coherence), 1.0, np.clip(coherence / full, least, 1.0))
    return factors


def novelty_voice(coherence: FloatArray) -> FloatArray:
    """Factor for what novelty says, `NOVELTY_LEAST` to 1, shape (n,); 1 where coherence is unknown.

    Examples
    --------
    >>> novelty_voice(np.array([-0.1, 0.06, 0.4, np.nan])).round(2).tolist()
    [0.2, 0.4, 1.0, 1.0]
    """
    return _voice(coherence, NOVELTY_FULL, NOVELTY_LEAST)


def mixture_voice(coherence: FloatArray) -> FloatArray:
    """Factor for what a mixture says, `MIXTURE_LEAST` to 1, shape (n,); 1 where coherence is unknown.

    Examples
    --------
    >>> mixture_voice(np.array([-0.1, 0.03, 0.4, np.nan])).round(2).tolist()
    [0.4, 0.5, 1.0, 1.0]
    """
    return _voice(coherence, MIXTURE_FULL, MIXTURE_LEAST)
