"""What is learned as plain values for a snapshot or a topic, model by model, and back."""

from dataclasses import asdict
from typing import Any

import numpy as np

from copycatch.engine.by_name import align_population
from copycatch.engine.correlator import correlator_of
from copycatch.engine.learned import Learned, ModelWatch
from copycatch.features.catalog import NAMES
from copycatch.population.account_table import AccountMaxima, AccountTable
from copycatch.population.packed import from_plain, to_plain
from copycatch.records.packing import aligned
from copycatch.scoring.catalog import FAMILIES
from copycatch.scoring.ensemble import Ensemble

HEAD = ("watched_h", "sample_modulus", "version", "tick_ms", "restarted", "evicted", "inputs_outdated")


def learned_to_plain(learned: Learned) -> dict[str, Any]:
    """Dicts, lists, numbers and arrays only; `learned_from_plain` gives an equal one.

    Examples
    --------
    >>> learned_from_plain(learned_to_plain(Learned(version=5)))[0].version
    5
    """
    return {
        "head": {name: getattr(learned, name) for name in HEAD},
        "features": list(NAMES),
        "families": list(FAMILIES),
        "watches": {model_id: asdict(watch) for model_id, watch in learned.watches.items()},
        "sources": [[source, *told] for source, told in learned.accounts_by_source.items()],
        "correlator": learned.correlator.to_plain(),
        "models": {model_id: _model_to_plain(learned, model_id) for model_id in learned.populations},
    }


def learned_from_plain(plain: dict[str, Any] | None) -> tuple[Learned | None, list[str]]:
    """What `learned_to_plain` described, and sentences about scorers that warm up again.

    Raises
    ------
    KeyError, TypeError, ValueError, StateError
        If a part is missing or garbled.
    """
    if plain is None:
        return None, []
    learned, warnings = Learned(**plain["head"]), []
    learned.watches = {model_id: ModelWatch(**each) for model_id, each in plain["watches"].items()}
    learned.accounts_by_source = {source: (n, ms) for source, n, ms in plain["sources"]}
    if "decisions" in plain.get("correlator", {}):  # none in snapshots from before
        learned.correlator = correlator_of(plain["correlator"])
    features, families = plain["features"], plain["families"]
    for model_id, each in plain["models"].items():
        align_population(each["population"], features, families)
        learned.populations[model_id] = from_plain(each["population"], len(NAMES))
        learned.accounts[model_id] = _table_of(each["accounts"], families)
        if each["ensemble"] is not None:
            ensemble = learned.ensemble(model_id)
            warnings += [f"{model_id}: {warning}" for warning in ensemble.restore(each["ensemble"])]
    return learned, warnings


def _model_to_plain(learned: Learned, model_id: str) -> dict[str, Any]:
    ensemble: Ensemble | None = learned.ensembles.get(model_id)
    return {
        "population": to_plain(learned.populations[model_id]),
        "ensemble": None if ensemble is None else ensemble.snapshot(),
        "accounts": _table_to_plain(learned.table(model_id)),
    }


def _table_to_plain(table: AccountTable) -> dict[str, Any]:
    rows = list(table.rows.values())
    return {
        "numbers": np.array([row[:4] for row in rows], dtype=np.int64).reshape(-1, 4),
        "score_max": np.array([row.score_max for row in rows], dtype=np.float32),
        "family_max": np.array([row.family_max for row in rows], dtype=np.float32).reshape(-1, len(FAMILIES)),
        "flagged": np.array(list(table.flagged_ms.items()), dtype=np.int64).reshape(-1, 2),
        "hash_limit": table.hash_limit,
        "flags_dropped": table.flags_dropped,
    }


def _table_of(plain: dict[str, Any], families: list[str]) -> AccountTable:
    family_max = aligned(plain["family_max"], families, FAMILIES, -np.inf)
    rows = {
        numbers[0]: AccountMaxima._make((*numbers, score_max, family_max[at].copy()))
        for at, (numbers, score_max) in enumerate(
            zip(plain["numbers"].tolist(), plain["score_max"].tolist(), strict=True)
        )
    }
    flagged = dict(plain["flagged"].tolist())
    return AccountTable(rows, flagged, plain["hash_limit"], plain["flags_dropped"])
