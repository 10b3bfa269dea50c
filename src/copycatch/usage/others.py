"""What others ask a model: a fixed sample of earlier queries, and how much of it an account has come near.

The sample is made at learning steps, once a day, from queries that have waited in the model's pool; between
them it stands still. So a late starter is compared with the same sample as an early one, and nobody with an
empty one. An account's own entries are left out: they would only say that it is an old customer.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from copycatch.compiled import njit
from copycatch.records.columns import Float32Array, IntArray
from copycatch.usage.events import as_unit_bytes
from copycatch.usage.layout import VECTOR

OTHERS_MAX: Final = 256  # queries in the sample
OTHERS_MIN: Final = 24  # of other accounts, below which nothing is said
UNIT_SQUARED: Final = float(np.float32(1 / 127**2))


class Others(NamedTuple):
    """Sampled queries of one model."""

    vectors: npt.NDArray[np.int8]  # (n, VECTOR) unit vectors times 127
    owners: IntArray  # (n,) hashes of their accounts


NO_OTHERS: Final = Others(np.zeros((0, VECTOR), dtype=np.int8), np.zeros(0, dtype=np.int64))


def others_of(vectors: Sequence[Float32Array], owners: Sequence[int]) -> Others:
    """A sample, of at most `OTHERS_MAX` evenly spread; none of vectors that are no text's of our embedder.

    Examples
    --------
    >>> int(others_of([np.ones(VECTOR, dtype=np.float32)] * 400, list(range(400))).owners[-1])
    399
    >>> len(others_of([np.ones(3, dtype=np.float32)], [1]).owners)
    0
    """
    known = [at for at, vector in enumerate(vectors) if len(vector) == VECTOR]
    if not known:
        return NO_OTHERS
    picks = np.unique(np.linspace(0, len(known) - 1, OTHERS_MAX).astype(np.int64))
    kept = [known[at] for at in picks.tolist()]
    units, is_known = as_unit_bytes(np.stack([vectors[at] for at in kept]))
    return Others(units, np.array([owners[at] for at in kept], dtype=np.int64)[is_known])


class Compared(NamedTuple):
    """With what each measured account is compared; m models."""

    vectors: npt.NDArray[np.int8]  # (m, OTHERS_MAX, VECTOR)
    owners: IntArray  # (m, OTHERS_MAX)
    counts: IntArray  # (m,) rows that are filled
    models: IntArray  # (n_due,) of each account that is measured, -1 where nothing is known of it
    accounts: IntArray  # (n_due,) hashes


def compared(others: Sequence[Others], models: IntArray, accounts: IntArray) -> Compared:
    """Samples of models side by side, for `models` that count them."""
    m = len(others)
    vectors = np.zeros((m, OTHERS_MAX, VECTOR), dtype=np.int8)
    owners = np.zeros((m, OTHERS_MAX), dtype=np.int64)
    for at, each in enumerate(others):
        vectors[at, : len(each.owners)] = each.vectors
        owners[at, : len(each.owners)] = each.owners
    counts = np.array([len(each.owners) for each in others], dtype=np.int64)
    return Compared(vectors, owners, counts, models, accounts)


def with_nobody(n_due: int) -> Compared:
    """Of models that nothing is known of."""
    return compared([], np.full(n_due, -1, dtype=np.int64), np.zeros(n_due, dtype=np.int64))


@njit(cache=True)
def coverage(sample, n, to, at):  # type: ignore[no-untyped-def]
    """Mean similarity of what others asked to the nearest query in the account's sample; NaN of too few."""
    model = to.models[at]
    if model < 0:
        return np.nan
    total, known = 0.0, 0
    for k in range(to.counts[model]):
        if to.owners[model, k] == to.accounts[at]:
            continue
        highest = np.int32(-(2**30))
        for i in range(n):
            product = np.int32(0)
            for d in range(VECTOR):
                product += np.int32(to.vectors[model, k, d]) * np.int32(sample[i, d])
            highest = max(highest, product)
        total += highest * UNIT_SQUARED
        known += 1
    return total / known if known >= OTHERS_MIN else np.nan
