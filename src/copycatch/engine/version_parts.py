"""A version as parts for workers: a head, members of campaigns, and of each model several.

What only the learner needs is left out. A part that has not changed is the same bytes, so that it need not be
sent or read again: on most ticks some counts have changed, a few blocks of the reference, and what scorers
came to.
"""

from collections.abc import Mapping
from itertools import product
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
from copycatch.population.reference import ACCOUNTS_MAX, STRATA, Reference
from copycatch.population.shape import Votes
from copycatch.records.packing import aligned, pack, unpack
from copycatch.scoring.catalog import FAMILIES
from copycatch.scoring.ensemble import Ensemble

FORMAT: Final = 3
HEAD: Final = "head"
CAMPAIGNS: Final = "campaigns"
# Of a model; their names go on with "/" and the model's.
MODEL: Final = "model"
COUNTS: Final = "counts"
SPACE: Final = "space"
REFERENCE: Final = "reference."
SCORER: Final = "scorer."
COUNTED: Final = ("answered_ms", "label_counts")  # of a population, other on most ticks
LARGE: Final = ("space", "lexicon", "others")  # made anew on few ticks
BLOCK: Final = 32  # accounts of a stratum in one part: few of them change between two ticks


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
    counts = {name: plain.pop(name) for name in COUNTED} | {"line": list(population.line)}
    head = {
        "features": list(NAMES),
        "families": list(FAMILIES),
        "population": plain,
        "hash_limit": learned.table(model_id).hash_limit,
        "is_asked": ensemble is not None,
    }
    parts = {MODEL: pack(head), SPACE: pack(space), COUNTS: pack(counts)}
    for stratum, block in product(range(len(STRATA)), range(ACCOUNTS_MAX // BLOCK)):
        rows = slice(block * BLOCK, (block + 1) * BLOCK)
        if accounts[stratum, rows].any():
            part = {"accounts": accounts[stratum, rows], "values": values[stratum, rows]}
            parts[f"{REFERENCE}{stratum}.{block}"] = pack(part)
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
        self._parts: Mapping[str, bytes] = {}  # of the version before
        self._models: dict[str, _ModelReader] = {}
        self._correlator = Correlator()

    def read(self, parts: Mapping[str, bytes]) -> Learned:
        """The version that `version_parts` described.

        Raises
        ------
        StateError
            If a part is missing or garbled, or of another format.
        """
        try:
            learned = self._read(parts)
        except StateError:
            self._parts, self._models = {}, {}
            raise
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            self._parts, self._models = {}, {}
            message = f"a version lacks or garbles a part: {error!r}"
            raise StateError(message) from error
        self._parts = dict(parts)
        return learned

    def _read(self, parts: Mapping[str, bytes]) -> Learned:
        head = unpack(parts[HEAD])
        if head["format"] != FORMAT:
            message = f"the version has format {head['format']}, this release of copycatch reads {FORMAT}"
            raise StateError(message)
        before = self._parts
        changed = {name: content for name, content in parts.items() if before.get(name) != content}
        if CAMPAIGNS in changed or not before:
            campaigns = unpack(parts[CAMPAIGNS])
            self._correlator = Correlator(
                searched_ms=campaigns["searched_ms"], standing=standing_of(campaigns["standing"])
            )
        learned = Learned(
            sample_modulus=head["sample_modulus"], version=head["version"], tick_ms=head["tick_ms"],
            correlator=self._correlator,
        )  # fmt: skip
        self._models = {model_id: self._models.get(model_id) or _ModelReader() for model_id in head["models"]}
        by_model: dict[str, dict[str, bytes | None]] = {model_id: {} for model_id in self._models}
        for name in before.keys() - parts.keys():
            kind, _, model_id = name.partition("/")
            if model_id in by_model:
                by_model[model_id][kind] = None
        for name, content in changed.items():
            kind, slash, model_id = name.partition("/")
            if slash:
                by_model[model_id][kind] = content
        for model_id, own in by_model.items():
            self._models[model_id].read(own)
            self._models[model_id].add_to(learned, model_id)
        return learned


class _ModelReader:
    """What was made of one model's parts."""

    def __init__(self) -> None:
        self._head: dict[str, Any] = {}
        self._space: dict[str, Any] = {}
        self._counts: dict[str, Any] = {}
        self._reference = Reference(len(NAMES))
        self._ensemble = Ensemble()
        self._population: ModelPopulation | None = None

    def read(self, changed: Mapping[str, bytes | None]) -> None:
        """Parts that are other than in the version before; None where there is none any more."""
        plain = {kind: unpack(changed[kind] or b"") for kind in (MODEL, SPACE, COUNTS) if kind in changed}
        if MODEL in plain:
            self._head = plain[MODEL]
            align_tails(self._head["population"], self._head["families"])
        self._space = plain.get(SPACE, self._space)
        self._counts = plain.get(COUNTS, self._counts)
        for kind, content in changed.items():
            if kind.startswith(REFERENCE):
                self._put(kind, content)
        for name, scorer in self._ensemble.scorers.items():
            if content := changed.get(f"{SCORER}{name}"):
                scorer.restore(content)
        counted = {name: self._counts[name] for name in COUNTED}
        if self._population is None or plain.keys() & {MODEL, SPACE}:
            self._population = with_reference(
                self._head["population"] | self._space | counted, self._reference
            )
        for name, value in counted.items():
            setattr(self._population, name, value)
        n_waiting, first_ms = self._counts["line"]
        self._population.line_elsewhere = n_waiting, first_ms

    def _put(self, kind: str, content: bytes | None) -> None:
        stratum, block = (int(each) for each in kind.removeprefix(REFERENCE).split("."))
        if not (0 <= stratum < len(STRATA) and 0 <= block * BLOCK < ACCOUNTS_MAX):
            message = f"a version has a part {kind}, which no reference has"
            raise StateError(message)
        if content is None:
            accounts, values = np.zeros(BLOCK, dtype=np.int64), np.full((BLOCK, len(NAMES)), np.nan)
        else:
            plain = unpack(content)
            accounts = plain["accounts"]
            values = aligned(plain["values"], self._head["features"], NAMES, np.nan)
        self._reference.put(stratum, accounts, values, block * BLOCK)

    def add_to(self, learned: Learned, model_id: str) -> None:
        assert self._population is not None
        learned.populations[model_id] = self._population
        learned.accounts[model_id] = AccountTable(hash_limit=self._head["hash_limit"])
        if self._head["is_asked"]:
            learned.ensembles[model_id] = self._ensemble
