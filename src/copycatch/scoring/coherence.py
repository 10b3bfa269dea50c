"""Whether an account's queries are far from their classes in one direction or in all.

Another population lies somewhere: its queries are moved the same way. Noise on usual inputs, as a test of
robustness adds it, moves each its own way, however far. `damping` makes of it how much is believed.
"""

import numpy as np

from copycatch.records.columns import FloatArray
from copycatch.space.model import SKETCH


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
