"""A model's population as plain values for a snapshot, and back."""

from collections import deque
from dataclasses import asdict, fields
from typing import Any

import numpy as np

from copycatch.errors import StateError
from copycatch.population.calibration import Calibration, FamilyCalibration
from copycatch.population.model import ModelPopulation, epoch_of
from copycatch.population.newcomers import Newcomers
from copycatch.population.pool import Pool
from copycatch.population.reference import Reference
from copycatch.population.shape import Shape, Votes
from copycatch.space.model import Frame, Lexicon, ModelSpace
from copycatch.space.query import Query
from copycatch.usage.others import Others


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
        "vector_length": population.vector_length,
        "answered_ms": population.answered_ms,
        "votes": [[account, *shape, ms] for account, (shape, ms) in population.votes.by_account.items()],
        "rival": None if population.votes.rival is None else list(population.votes.rival),
        "rival_since_ms": population.votes.rival_since_ms,
        "built_queries": population.built_queries,
        "reference_set_built_h": population.reference_set_built_h,
        "calibrated_h": population.calibrated_h,
        "is_settled": population.is_settled,
        "epoch": population.epoch,
        "voters": asdict(population.voters),
        "label_counts": population.label_counts,
        "calibration": None if population.calibration is None else asdict(population.calibration),
        "tails": None if population.tails is None else _fields_of(population.tails),
        "space": None if space is None else _space_to_plain(space),
        "lexicon": None if population.lexicon is None else population.lexicon._asdict(),
        "pool": queries_to_plain([q for qs in population.pool.queries_by_account.values() for q in qs]),
        "waiting": queries_to_plain(list(population.pool.waiting)),
        "newcomers": asdict(population.pool.newcomers),
        "others": list(population.others),
        "others_made_h": population.others_made_h,
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
        return with_reference(plain, _reference_of(plain, n_features))
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        message = f"the snapshot's population lacks or garbles a part: {error!r}"
        raise StateError(message) from error


def with_reference(plain: dict[str, Any], reference: Reference) -> ModelPopulation:
    """The population that `to_plain` described, with this reference in place of its own.

    Raises
    ------
    StateError
        If a part is missing or garbled.
    """
    try:
        population = ModelPopulation(plain["born_ms"], reference.n_features, reference=reference)
        population.uses_inputs = plain["uses_inputs"]
        population.vector_length = plain["vector_length"]
        population.answered_ms = plain["answered_ms"]
        population.votes = _votes_of(plain)
        population.built_queries = plain["built_queries"]
        population.reference_set_built_h = plain["reference_set_built_h"]
        population.calibrated_h = plain["calibrated_h"]
        population.is_settled = plain["is_settled"]
        population.voters = Newcomers(**plain["voters"])
        population.label_counts = plain["label_counts"]
        if "others" in plain:  # a version before it had none
            population.others, population.others_made_h = Others(*plain["others"]), plain["others_made_h"]
        if plain["calibration"] is not None:
            population.calibration = Calibration(**plain["calibration"])
        if plain["tails"] is not None:
            population.tails = FamilyCalibration(**plain["tails"])
        if plain["lexicon"] is not None:
            population.lexicon = Lexicon(**plain["lexicon"])
        if plain["space"] is not None:
            population.space = _space_of(plain["space"], population.lexicon)
        if population.space is not None:
            population.epoch = plain.get("epoch") or epoch_of(population.space)
        population.pool = Pool(
            waiting=deque(queries_of(plain["waiting"])),
            newcomers=Newcomers(**plain["newcomers"]),
        )
        for query in queries_of(plain["pool"]):
            population.pool.queries_by_account.setdefault(query.account_hash, []).append(query)
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        message = f"the snapshot's population lacks or garbles a part: {error!r}"
        raise StateError(message) from error
    return population


def _votes_of(plain: dict[str, Any]) -> Votes:
    by_account = {account: (Shape(*shape), ms) for account, *shape, ms in plain["votes"]}
    rival = None if plain["rival"] is None else Shape(*plain["rival"])
    return Votes(by_account, rival, plain["rival_since_ms"])


def _fields_of(value: Any) -> dict[str, Any]:
    return {f.name: getattr(value, f.name) for f in fields(value)}


def _space_to_plain(space: ModelSpace) -> dict[str, Any]:
    """The lexicon is the population's own and goes with that."""
    plain = _fields_of(space) | {"lexicon": None}
    return plain | {
        "queries": _fields_of(space.queries),
        "inputs": None if space.inputs is None else _fields_of(space.inputs),
    }


def _space_of(plain: dict[str, Any], lexicon: Lexicon | None) -> ModelSpace:
    inputs = None if plain["inputs"] is None else Frame(**plain["inputs"])
    plain = {"coupling": float("nan")} | plain  # snapshots of before have none
    return ModelSpace(
        **(plain | {"queries": Frame(**plain["queries"]), "inputs": inputs, "lexicon": lexicon})
    )


def _reference_of(plain: dict[str, Any], n_features: int) -> Reference:
    reference = Reference(n_features)
    for stratum, accounts in enumerate(plain["reference_accounts"]):
        reference.put(stratum, accounts, plain["reference_values"][stratum])
    reference.next_index = plain["reference_next"]
    return reference


def queries_to_plain(queries: list[Query]) -> dict[str, Any]:
    """Columns; what differs in length lies end to end. `queries_of` gives equal ones."""
    return {
        "account_hash": np.array([q.account_hash for q in queries], dtype=np.int64),
        "time_ms": np.array([q.time_ms for q in queries], dtype=np.int64),
        "input_hash": np.array([q.input_hash for q in queries], dtype=np.uint64),
        "label": np.array([q.label for q in queries], dtype=np.int64),
        "margin": np.array([q.margin for q in queries]),
        "entropy": np.array([q.entropy for q in queries]),
        "vectors": _ragged_to_plain([q.vector for q in queries], np.float32),
        "input_vectors": _ragged_to_plain([q.input_vector for q in queries], np.float32),
        "words": _ragged_to_plain([q.words for q in queries], np.uint64),
    }


def _ragged_to_plain(parts: list[Any], dtype: Any) -> dict[str, Any]:
    flat = np.concatenate(parts).astype(dtype) if parts else np.empty(0, dtype=dtype)
    return {"lengths": np.array([len(part) for part in parts], dtype=np.int64), "flat": flat}


def _ragged_of(plain: dict[str, Any]) -> list[Any]:
    flat, stops = plain["flat"], np.cumsum(plain["lengths"]).tolist()
    return [flat[start:stop].copy() for start, stop in zip([0, *stops[:-1]], stops, strict=True)]


def queries_of(columns: dict[str, Any]) -> list[Query]:
    """The queries that `queries_to_plain` wrote."""
    if not len(columns["label"]):
        return []
    names = ("account_hash", "time_ms", "input_hash", "label", "margin", "entropy")
    scalars = zip(*(columns[name].tolist() for name in names), strict=True)
    ragged = (_ragged_of(columns[name]) for name in ("vectors", "input_vectors", "words"))
    return [Query(*row, *parts) for row, *parts in zip(scalars, *ragged, strict=True)]
