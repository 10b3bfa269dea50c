"""What is learned: per model, of the inputs of all shards, and read by every shard.

A *version* of it is what one tick left. The version of a tick judges the records that come after the tick;
between two ticks nothing of it changes.
"""

from dataclasses import dataclass, field
from typing import Final

from copycatch.engine.correlator import Correlator
from copycatch.features.catalog import SPECS
from copycatch.population.account_table import AccountTable
from copycatch.population.model import ModelPopulation
from copycatch.scoring.ensemble import Ensemble
from copycatch.space.model import ModelSpace
from copycatch.units import MS_PER_DAY, UNIX_MS_MIN

MODELS_MAX: Final = 256  # populations are a few MB each; further models are counted and judged by limits only
TICK_MS: Final = 300_000  # five minutes: learning is never older than that, and its cost is shared by many
SAMPLED_ACCOUNTS: Final = 500  # per tick, about: enough to follow traffic, few enough not to cost
SOURCES_MAX: Final = 4_096
SOURCE_MS: Final = MS_PER_DAY  # so long a shard's number of accounts counts after it was last heard


@dataclass(slots=True)
class ModelWatch:
    """How far a model's answered records are judged; counts fade over a day. `why` is open as an alert."""

    first_ms: int
    records: float = 0.0
    odd: float = 0.0  # of them with a vector of another length
    why: str = ""
    opened_ms: int = UNIX_MS_MIN


@dataclass(slots=True)
class Learned:
    """All models. `version` counts ticks, and `tick_ms` is the event time of the last one.

    An *epoch* names the space that a model's queries are measured in; what was measured in another one does
    not compare. It comes from the space itself, so that it is the same wherever the space is.
    """

    populations: dict[str, ModelPopulation] = field(default_factory=dict)
    ensembles: dict[str, Ensemble] = field(default_factory=dict)  # by model that has a population
    accounts: dict[str, AccountTable] = field(default_factory=dict)
    watches: dict[str, ModelWatch] = field(default_factory=dict)
    watched_h: int = -1  # hour of event time in which they were last checked
    accounts_by_source: dict[str, tuple[int, int]] = field(default_factory=dict)  # how many, and when told
    sample_modulus: int = 1  # one in so many accounts is sampled for the pool per tick
    correlator: Correlator = field(default_factory=Correlator)  # campaigns, where shards tell of links
    version: int = 0
    tick_ms: int = UNIX_MS_MIN
    restarted: int = 0  # populations, as most accounts' vectors are others by now
    evicted: int = 0  # populations that gave way to others
    inputs_outdated: int = 0  # evaluations and maxima measured in a space that was no more

    def population(self, model_id: str, born_ms: int) -> ModelPopulation | None:
        """The model's population; None for a model beyond `MODELS_MAX`."""
        known = self.populations.get(model_id)
        if known is None and len(self.populations) < MODELS_MAX:
            known = self.populations[model_id] = ModelPopulation(born_ms, len(SPECS))
        return known

    def ensemble(self, model_id: str) -> Ensemble:
        """The scorers of a model; bounded as populations are, since only models that have one are judged."""
        known = self.ensembles.get(model_id)
        if known is None:
            known = self.ensembles[model_id] = Ensemble()
        return known

    def table(self, model_id: str) -> AccountTable:
        """The accounts of a model that has a population."""
        return self.accounts.setdefault(model_id, AccountTable())

    def spaces(self) -> dict[str, ModelSpace]:
        return {
            m: population.space for m, population in self.populations.items() if population.space is not None
        }

    def epoch(self, model_id: str) -> int:
        """Of a model's space; 0 where it has none."""
        population = self.populations.get(model_id)
        return 0 if population is None else population.epoch

    def count_accounts(self, source: str, n_accounts: int, now_ms: int) -> None:
        """A shard tells how many accounts it knows."""
        self.accounts_by_source[source] = n_accounts, now_ms
        if len(self.accounts_by_source) > SOURCES_MAX:
            oldest = min(self.accounts_by_source, key=lambda each: (self.accounts_by_source[each][1], each))
            del self.accounts_by_source[oldest]

    def sample_again(self, now_ms: int) -> None:
        """How thinly accounts are sampled from here on, by how many there are."""
        known = self.accounts_by_source
        self.accounts_by_source = {s: told for s, told in known.items() if told[1] > now_ms - SOURCE_MS}
        n_accounts = sum(n for n, _ in self.accounts_by_source.values())
        self.sample_modulus = max(1, n_accounts // SAMPLED_ACCOUNTS)

    def drop(self, model_id: str) -> None:
        """Forget a model."""
        del self.populations[model_id]
        self.ensembles.pop(model_id, None)
        self.accounts.pop(model_id, None)
