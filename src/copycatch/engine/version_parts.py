"""A version as parts for workers: a head, and each model's own, without what only the learner needs.

A part that has not changed is the same bytes, so that it need not be sent again.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from copycatch.engine.by_name import align_population
from copycatch.engine.correlator import Correlator
from copycatch.engine.learned import Learned
from copycatch.errors import StateError
from copycatch.features.catalog import NAMES
from copycatch.population.account_table import AccountTable
from copycatch.population.model import ModelPopulation
from copycatch.population.packed import from_plain, to_plain
from copycatch.population.pool import Pool
from copycatch.population.shape import Votes
from copycatch.records.campaign import CampaignSighting
from copycatch.records.packing import pack, unpack
from copycatch.scoring.catalog import FAMILIES
from copycatch.scoring.ensemble import Ensemble

FORMAT: Final = 1
HEAD: Final = ""  # name of the part of all models together; no model is called so
_Sightings = list[tuple[str, CampaignSighting]]
_Model = tuple[ModelPopulation, Ensemble | None, AccountTable]


def version_parts(learned: Learned) -> dict[str, bytes]:
    """The head and every model's part, by model."""
    head = {
        "format": FORMAT,
        "version": learned.version,
        "tick_ms": learned.tick_ms,
        "sample_modulus": learned.sample_modulus,
        "models": sorted(learned.populations),
        "sightings": msgspec.msgpack.encode(learned.correlator.sightings),
    }
    return {HEAD: pack(head)} | {name: _model_part(learned, name) for name in sorted(learned.populations)}


def _model_part(learned: Learned, model_id: str) -> bytes:
    population, ensemble = learned.populations[model_id], learned.ensembles.get(model_id)
    lean = _lean(population)
    scorers: dict[str, Any] | None = None
    if ensemble is not None:
        scorers = Ensemble(ensemble.scorers, {}).snapshot()
    return pack(
        {
            "features": list(NAMES),
            "families": list(FAMILIES),
            "population": to_plain(lean),
            "line": list(population.line),
            "ensemble": scorers,
            "hash_limit": learned.table(model_id).hash_limit,
        }
    )


def _lean(population: ModelPopulation) -> ModelPopulation:
    """Without queries and votes: workers judge by what was made of them."""
    names = [name for name in ModelPopulation.__slots__ if name not in {"reference", "pool", "votes"}]
    lean = ModelPopulation(population.born_ms, population.n_features)
    for name in names:
        setattr(lean, name, getattr(population, name))
    lean.reference, lean.pool, lean.votes = population.reference, Pool(), Votes()
    return lean


class VersionReader:
    """Makes versions of parts; models whose part has not changed are not made again.

    Examples
    --------
    >>> VersionReader().read(version_parts(Learned(version=7))).version
    7
    """

    def __init__(self) -> None:
        self._models: dict[str, tuple[bytes, _Model]] = {}

    def read(self, parts: Mapping[str, bytes]) -> Learned:
        """The version that `version_parts` described.

        Raises
        ------
        StateError
            If a part is missing or garbled, or of another format.
        """
        try:
            return self._read(parts)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, msgspec.DecodeError) as error:
            message = f"a version lacks or garbles a part: {error!r}"
            raise StateError(message) from error

    def _read(self, parts: Mapping[str, bytes]) -> Learned:
        head = unpack(parts[HEAD])
        if head["format"] != FORMAT:
            message = f"the version has format {head['format']}, this release of copycatch reads {FORMAT}"
            raise StateError(message)
        learned = Learned(
            sample_modulus=head["sample_modulus"], version=head["version"], tick_ms=head["tick_ms"]
        )
        learned.correlator = Correlator(sightings=msgspec.msgpack.decode(head["sightings"], type=_Sightings))
        kept = {}
        for model_id in head["models"]:
            part, known = parts[model_id], self._models.get(model_id)
            kept[model_id] = known if known is not None and known[0] == part else (part, _model_of(part))
            population, ensemble, table = kept[model_id][1]
            learned.populations[model_id], learned.accounts[model_id] = population, table
            if ensemble is not None:
                learned.ensembles[model_id] = ensemble
        self._models = kept
        return learned


def _model_of(part: bytes) -> _Model:
    plain = unpack(part)
    align_population(plain["population"], plain["features"], plain["families"])
    population = from_plain(plain["population"], len(NAMES))
    n_waiting, first_ms = plain["line"]
    population.line_elsewhere = n_waiting, first_ms
    ensemble = None
    if plain["ensemble"] is not None:
        ensemble = Ensemble()
        ensemble.restore(plain["ensemble"])
    return population, ensemble, AccountTable(hash_limit=plain["hash_limit"])
