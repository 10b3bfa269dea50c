"""A model's population as plain values for a snapshot, and back."""

from collections import deque
from dataclasses import asdict, fields
from typing import Any

import numpy as np

from copycatch.errors import StateError
from copycatch.population.calibration import Calibration
from copycatch.population.model import ModelPopulation
from copycatch.population.pool import Pool, Query
from copycatch.population.reference import Reference
from copycatch.records.space import ModelSpace


def to_plain(population: ModelPopulation) -> dict[str, Any]:
    """Dicts, lists, numbers and arrays only; `from_plain` gives an equal population.

    Examples
    --------
    >>> from_plain(to_plain(ModelPopulation(born_ms=5, n_features=2)), n_features=2).born_ms
    5
    """
    reference = population.reference
    space = population.space
    return {
        "born_ms": population.born_ms,
        "uses_inputs": population.uses_inputs,
        "bank_built_h": population.bank_built_h,
        "label_counts": population.label_counts,
        "calibration": None if population.calibration is None else asdict(population.calibration),
        "space": None if space is None else {f.name: getattr(space, f.name) for f in fields(space)},
        "pool": _queries_to_plain([q for qs in population.pool.queries_by_account.values() for q in qs]),
        "waiting": _queries_to_plain(list(population.pool.waiting)),
        "reference_values": reference.values,
        "reference_accounts": reference.accounts,
        "reference_next": reference.next_index,
    }


def from_plain(plain: dict[str, Any], n_features: int) -> ModelPopulation:
    """The population that `to_plain` described.

    Raises
    ------
    StateError
        If a part is missing or was written for another feature catalogue.
    """
    try:
        values = plain["reference_values"]
        if values.shape[2] != n_features:
            message = f"the snapshot knows {values.shape[2]} features, this version has {n_features}"
            raise StateError(message)
        population = ModelPopulation(plain["born_ms"], n_features)
        population.uses_inputs = plain["uses_inputs"]
        population.bank_built_h = plain["bank_built_h"]
        population.label_counts = plain["label_counts"]
        if plain["calibration"] is not None:
            population.calibration = Calibration(**plain["calibration"])
        if plain["space"] is not None:
            population.space = ModelSpace(**plain["space"])
        population.pool = Pool(waiting=deque(_queries_of(plain["waiting"])))
        for query in _queries_of(plain["pool"]):
            population.pool.queries_by_account.setdefault(query.account_hash, []).append(query)
        population.reference = _reference_of(plain, n_features)
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        message = f"the snapshot's population lacks or garbles a part: {error!r}"
        raise StateError(message) from error
    return population


def _reference_of(plain: dict[str, Any], n_features: int) -> Reference:
    reference = Reference(n_features)
    reference.values = plain["reference_values"]
    reference.accounts = plain["reference_accounts"]
    reference.next_index = plain["reference_next"]
    for stratum, accounts in enumerate(reference.accounts):
        reference.index_by_account[stratum] = {
            int(account): index for index, account in enumerate(accounts) if account
        }
    return reference


def _queries_to_plain(queries: list[Query]) -> dict[str, Any]:
    """Columns; vectors lie end to end, since a pool holds one length only."""
    return {
        "account_hash": np.array([q.account_hash for q in queries], dtype=np.int64),
        "time_ms": np.array([q.time_ms for q in queries], dtype=np.int64),
        "input_hash": np.array([q.input_hash for q in queries], dtype=np.uint64),
        "label": np.array([q.label for q in queries], dtype=np.int64),
        "margin": np.array([q.margin for q in queries]),
        "entropy": np.array([q.entropy for q in queries]),
        "vectors": np.stack([q.vector for q in queries]) if queries else np.empty((0, 0), dtype=np.float32),
    }


def _queries_of(columns: dict[str, Any]) -> list[Query]:
    scalars = zip(
        *(columns[name].tolist() for name in ("account_hash", "time_ms", "input_hash", "label", "margin", "entropy")),
        strict=True,
    )
    return [Query(*row, vector) for row, vector in zip(scalars, columns["vectors"], strict=True)]
