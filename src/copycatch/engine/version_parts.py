"""A version as parts for workers: a head, members of campaigns, and of each model several.

What only the learner needs is left out. A part that has not changed is the same bytes, so that it need not be
sent or read again: of most ticks a few strata of the reference have changed, and what scorers came to.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from copycatch.engine.by_name import align_tails
from copycatch.engine.correlator import Correlator, standing_of, standing_to_plain
from copycatch.engine.learned import Learned
from copycatch.errors import StateError
from copycatch.features.catalog import NAMES
from copycatch.population.account_table import AccountTable
from copycatch.population.model import ModelPopulation
from copycatch.population.packed import to_plain, with_reference
from copycatch.population.pool import Pool
from copycatch.population.reference import Reference
from copycatch.population.shape import Votes
from copycatch.records.packing import aligned, pack, unpack
from copycatch.scoring.catalog import FAMILIES
from copycatch.scoring.ensemble import Ensemble

FORMAT: Final = 2
HEAD: Final = "head"
CAMPAIGNS: Final = "campaigns"
# Of a model; their names go on with "/" and the model's.
MODEL: Final = "model"
SPACE: Final = "space"
STRATUM: Final = "reference."
SCORER: Final = "scorer."
LARGE: Final = ("space", "lexicon", "others")  # of a population, made anew on few ticks


def version_parts(learned: Learned) -> dict[str, bytes]:
    """Every part by its name."""
    correlator = learned.correlator
    head = {
        "format": FORMAT,
        "version": learned.version,
        "tick_ms": learned.tick_ms,
        "sample_modulus": learned.sample_modulus,
        "models": sorted(learned.populations),
    }
    campaigns = {"searched_ms": correlator.searched_ms, "standing": standing_to_plain(correlator.standing)}
    parts = {HEAD: pack(head), CAMPAIGNS: pack(campaigns)}
    for model_id in sorted(learned.populations):
        own = _model_parts(learned, model_id)
        parts |= {f"{kind}/{model_id}": content for kind, content in own.items()}
    return parts


def _model_parts(learned: Learned, model_id: str) -> dict[str, bytes]:
    population, ensemble = learned.populations[model_id], learned.ensembles.get(model_id)
    plain = to_plain(_lean(population))
    values, accounts = plain.pop("reference_values"), plain.pop("reference_accounts")
    del plain["reference_next"]
    space = {name: plain.pop(name) for name in LARGE}
    head = {
        "features": list(NAMES),
        "families": list(FAMILIES),
        "population": plain,
        "line": list(population.line),
        "hash_limit": learned.table(model_id).hash_limit,
        "is_asked": ensemble is not None,
    }
    parts = {MODEL: pack(head), SPACE: pack(space)}
    for stratum in np.flatnonzero(accounts.any(axis=1)).tolist():
        parts[f"{STRATUM}{stratum}"] = pack({"accounts": accounts[stratum], "values": values[stratum]})
    for name, scorer in {} if ensemble is None else ensemble.scorers.items():
        parts[f"{SCORER}{name}"] = scorer.to_judge()
    return parts


def _lean(population: ModelPopulation) -> ModelPopulation:
    """Without queries and votes: workers judge by what was made of them."""
    names = [name for name in ModelPopulation.__slots__ if name not in {"pool", "votes"}]
    lean = ModelPopulation(population.born_ms, population.n_features, reference=population.reference)
    for name in names:
        setattr(lean, name, getattr(population, name))
    lean.pool, lean.votes = Pool(), Votes()
    return lean


class VersionReader:
    """Makes versions of parts; what has not changed since the version before is not made again.

    A version is good until the next one is read: they share what did not change.

    Examples
    --------
    >>> VersionReader().read(version_parts(Learned(version=7))).version
    7
    """

    def __init__(self) -> None:
        self._models: dict[str, _ModelReader] = {}

    def read(self, parts: Mapping[str, bytes]) -> Learned:
        """The version that `version_parts` described.

        Raises
        ------
        StateError
            If a part is missing or garbled, or of another format.
        """
        try:
            return self._read(parts)
        except StateError:
            self._models = {}
            raise
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            self._models = {}
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
        campaigns = unpack(parts[CAMPAIGNS])
        learned.correlator = Correlator(
            searched_ms=campaigns["searched_ms"], standing=standing_of(campaigns["standing"])
        )
        by_model: dict[str, dict[str, bytes]] = {model_id: {} for model_id in head["models"]}
        for name, content in parts.items():
            kind, slash, model_id = name.partition("/")
            if slash:
                by_model[model_id][kind] = content
        self._models = {model_id: self._models.get(model_id) or _ModelReader() for model_id in by_model}
        for model_id, own in by_model.items():
            self._models[model_id].read(own)
            self._models[model_id].add_to(learned, model_id)
        return learned


class _ModelReader:
    """One model's parts, and what was made of them."""

    def __init__(self) -> None:
        self._parts: Mapping[str, bytes] = {}
        self._head: dict[str, Any] = {}
        self._space: dict[str, Any] = {}
        self._reference = Reference(len(NAMES))
        self._ensemble = Ensemble()

    def read(self, parts: Mapping[str, bytes]) -> None:
        changed = [kind for kind, content in parts.items() if self._parts.get(kind) != content]
        if MODEL in changed:
            self._head = unpack(parts[MODEL])
            align_tails(self._head["population"], self._head["families"])
        if SPACE in changed:
            self._space = unpack(parts[SPACE])
        gone = self._parts.keys() - parts.keys()
        for stratum in range(len(self._reference.accounts)):
            kind = f"{STRATUM}{stratum}"
            if kind in changed:
                self._put(stratum, unpack(parts[kind]))
            elif kind in gone:
                none = np.full((len(self._reference.accounts[stratum]), len(NAMES)), np.nan)
                self._reference.put(stratum, np.zeros(len(none), dtype=np.int64), none)
        for name, scorer in self._ensemble.scorers.items():
            if f"{SCORER}{name}" in changed:
                scorer.restore(parts[f"{SCORER}{name}"])
        self._parts = dict(parts)

    def _put(self, stratum: int, plain: dict[str, Any]) -> None:
        values = aligned(plain["values"], self._head["features"], NAMES, np.nan)
        self._reference.put(stratum, plain["accounts"], values)

    def add_to(self, learned: Learned, model_id: str) -> None:
        head = self._head
        population = with_reference(head["population"] | self._space, self._reference)
        n_waiting, first_ms = head["line"]
        population.line_elsewhere = n_waiting, first_ms
        learned.populations[model_id] = population
        learned.accounts[model_id] = AccountTable(hash_limit=head["hash_limit"])
        if head["is_asked"]:
            learned.ensembles[model_id] = self._ensemble
