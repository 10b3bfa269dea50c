"""The families of `tails.py` as a scorer: the population's normal range is all the model it needs."""

import numpy as np

from copycatch.records.columns import FloatArray, IntArray
from copycatch.scoring.families import ANOMALY_MAX, family_values
from copycatch.scoring.protocol import Takes, within_unit
from copycatch.scoring.scored_features import FEATURE_FAMILIES


class RobustTails:
    """Mean anomalies of each family's known features.

    Examples
    --------
    >>> from copycatch.scoring.scored_features import SCORED_FEATURES
    >>> float(RobustTails().score_many(np.full((1, len(SCORED_FEATURES)), 0.25))[0, 0])
    1.0
    """

    name = "robust_tails"
    families: tuple[str, ...] = FEATURE_FAMILIES
    takes: Takes = "anomalies"

    def score_many(self, values: FloatArray) -> FloatArray:
        clean = np.where(np.isnan(values), np.nan, within_unit(values, 0.0))
        return family_values(clean * ANOMALY_MAX)

    def learn_many(self, account_hashes: IntArray, values: FloatArray) -> None:
        """Nothing: the population's reference has learned the features themselves."""

    def snapshot(self) -> bytes:
        return b""

    def restore(self, data: bytes) -> str | None:
        return None
