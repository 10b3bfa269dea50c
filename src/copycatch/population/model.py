"""All that is learned of one model's traffic."""

from dataclasses import dataclass, field

import numpy as np

from copycatch.population.calibration import Calibration, calibrate
from copycatch.population.geometry import (
    ACCOUNTS_MIN,
    BANK_ROWS,
    QUERIES_MIN,
    build_space,
    rebuild_bank,
)
from copycatch.population.pool import DELAY_MS, Pool
from copycatch.population.reference import Reference
from copycatch.records.columns import FloatArray
from copycatch.records.layout import FOURIER, LABEL_BINS
from copycatch.records.space import ModelSpace

HOUR_MS = 3_600_000
# The geometry settles as the pool fills: rebuilt at these ages of the model, then kept, because sketches of
# different geometries do not compare and every rebuild empties the rings.
REBUILD_AGES_H = (3, 6, 12, 24, 48)
BANK_EVERY_H = 2


@dataclass(slots=True)
class ModelPopulation:
    """What is normal for one model.

    `born_ms` is the event time of its first record. While it is younger than `DELAY_MS` queries enter the pool
    at once, afterwards only when they are `DELAY_MS` old and their account is not flagged.
    """

    born_ms: int
    n_features: int
    pool: Pool = field(default_factory=Pool)
    reference: Reference = field(init=False)
    space: ModelSpace | None = None
    uses_inputs: bool | None = None
    calibration: Calibration | None = None
    label_counts: FloatArray = field(default_factory=lambda: np.zeros(LABEL_BINS))
    bank_built_h: int = -1

    def __post_init__(self) -> None:
        self.reference = Reference(self.n_features)

    @property
    def label_shares(self) -> FloatArray:
        total = self.label_counts.sum()
        shares: FloatArray = self.label_counts / total if total else np.full(LABEL_BINS, np.nan)
        return shares

    @property
    def fourier_mean(self) -> FloatArray:
        return np.full(FOURIER, np.nan) if self.space is None else self.space.fourier_mean

    def tick(self, now_ms: int, flagged: frozenset[int], maxima: FloatArray, lives_ms: FloatArray) -> bool:
        """Learn what has waited long enough; True when the geometry is new (old sketches must be forgotten)."""
        age_h = (now_ms - self.born_ms) // HOUR_MS
        self.pool.admit(now_ms, 0 if now_ms - self.born_ms < DELAY_MS else DELAY_MS, flagged)
        self.calibration = calibrate(maxima, lives_ms) or self.calibration
        return self._refresh_space(age_h)

    def _refresh_space(self, age_h: int) -> bool:
        rows = self.pool.sample(self.pool.n_accounts * 24)
        if len(rows) < QUERIES_MIN or self.pool.n_accounts < ACCOUNTS_MIN:
            return False
        is_due = self.space is None or any(self.bank_built_h < mark <= age_h for mark in REBUILD_AGES_H)
        if is_due:
            version = 1 if self.space is None else self.space.version + 1
            self.space = build_space(rows, self.pool.sample(BANK_ROWS), uses_inputs=bool(self.uses_inputs),
                                     version=version)  # fmt: skip
            self.bank_built_h = age_h
            return True
        if self.space is not None and age_h >= self.bank_built_h + BANK_EVERY_H:
            self.space = rebuild_bank(self.space, self.pool.sample(BANK_ROWS))
            self.bank_built_h = age_h
        return False
