"""Everything that outlives a batch."""

from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from copycatch.campaigns.attributes import Attributes
from copycatch.campaigns.layout import LINKS
from copycatch.campaigns.state import CampaignState
from copycatch.decisions.state import DecisionState
from copycatch.engine.inputs import LearningInputs, hash_of
from copycatch.engine.learned import MODELS_MAX, Learned
from copycatch.layout.structs import Rows, grown, row_dtype
from copycatch.population.model import ModelPopulation
from copycatch.records.columns import Float32Array, FloatArray, IntArray
from copycatch.records.policy import Policy
from copycatch.scoring.catalog import FAMILIES
from copycatch.scoring.ensemble import Ensemble
from copycatch.scoring.switches import Switches
from copycatch.units import UNIX_MS_MIN
from copycatch.usage.layout import BYTES_PER_ACCOUNT as USAGE_BYTES_PER_ACCOUNT
from copycatch.usage.state import UsageRows
from copycatch.windows.admission import Shard
from copycatch.windows.slots import Slots
from copycatch.windows.state import BYTES_PER_ROW as WINDOW_BYTES_PER_ROW
from copycatch.windows.state import WindowRows

ACCOUNTS_MAX = 1_000_000


JUDGED: Final = row_dtype(
    {
        "account_hashes": (np.int64, ()),
        "tick_ids": (np.int32, ()),  # tick in which the account was last sampled
        "tick_counts": (np.uint8, ()),  # its records in that tick so far, as far as they are counted
        "score_max": (np.float32, ()),  # highest of its lifetime; -inf before the first
        "level": (np.float64, ()),  # of its score over its evaluations; NaN before the first
        "flagged_ms": (np.int64, ()),  # event time of the last verdict over a threshold; 0 for never
        "judged_ms": (np.int64, ()),  # event time of its first evaluation; 0 before
        "family_max": (np.float32, (len(FAMILIES),)),  # highest value of each; -inf before the first
    }
)
BYTES_PER_ACCOUNT: Final = WINDOW_BYTES_PER_ROW + JUDGED.itemsize + LINKS.itemsize
BYTES_PER_TEXT_ACCOUNT: Final = BYTES_PER_ACCOUNT + USAGE_BYTES_PER_ACCOUNT


@dataclass(slots=True)
class JudgedRows:
    """What the judge keeps per account beside its windows; one row an account."""

    table: Rows = field(default_factory=lambda: np.zeros(0, dtype=JUDGED))

    @property
    def account_hashes(self) -> IntArray:
        return self.table["account_hashes"]

    @property
    def score_max(self) -> Float32Array:
        return self.table["score_max"]

    @property
    def level(self) -> FloatArray:
        return self.table["level"]

    @property
    def family_max(self) -> Float32Array:
        return self.table["family_max"]

    @property
    def flagged_ms(self) -> IntArray:
        return self.table["flagged_ms"]

    @property
    def judged_ms(self) -> IntArray:
        return self.table["judged_ms"]

    def grow(self, n_rows: int) -> None:
        """Make room for at least `n_rows` rows, which are to be cleared before they are used."""
        if n_rows > len(self.table):
            self.table = grown(self.table, n_rows)

    def clear(self, rows: IntArray) -> None:
        """Forget these accounts."""
        fresh = np.zeros(1, dtype=JUDGED)
        fresh["score_max"] = fresh["family_max"] = -np.inf
        fresh["level"] = np.nan
        self.table[rows] = fresh


@dataclass(slots=True)
class EngineState:
    """Accounts, and the version of what is learned that they are judged by.

    `shard_numbers` names the shards ever seen; rows remember which of them they came from. `clock_ms` is the
    latest event time of all shards. Judging reads `learned` and never changes it; what accounts teach is put
    aside in `inputs`.
    """

    slots: Slots
    windows: WindowRows = field(default_factory=WindowRows)
    rows: JudgedRows = field(default_factory=JudgedRows)
    usage: UsageRows = field(default_factory=UsageRows)
    shard_numbers: dict[str, int] = field(default_factory=dict)
    shards: dict[str, Shard] = field(default_factory=dict)
    decisions: dict[str, DecisionState] = field(default_factory=dict)
    learned: Learned = field(default_factory=Learned)
    is_remote: bool = False  # the learner is another process: `learned` is the version taken from it last
    inputs: dict[str, LearningInputs] = field(default_factory=dict)  # by shard, since the last tick
    changed: set[int] = field(default_factory=set)  # rows whose maxima or flags the learner does not know
    epochs: dict[str, int] = field(default_factory=dict)  # of the spaces that rows were measured in, by model
    hash_limits: dict[str, int] = field(default_factory=dict)  # of the accounts told of, by model
    switches: Switches = field(default_factory=Switches)
    clock_ms: int = UNIX_MS_MIN
    tick_records: int = 0  # records since the last tick
    vectors_left_out: int = 0  # of another length than those of most accounts
    records_beyond_models: int = 0  # of models that have no population, as there are too many
    links: CampaignState = field(default_factory=CampaignState)  # of accounts with others, and campaigns
    attributes: Attributes = field(default_factory=lambda: Attributes(0))
    links_told: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))  # queries, by row
    sighted_ms: int = UNIX_MS_MIN  # of the learner's last search that was followed
    campaign_homes: dict[str, str] = field(default_factory=dict)  # campaign id -> shard it belongs to
    heads: dict[str, str] = field(default_factory=dict)  # model -> the one that stands for its like
    heads_h: int = -1  # hour of event time in which they were last decided
    over: "EngineState | None" = None  # rows of accounts over several models; shares what is learned

    def shard(self, name: str) -> Shard:
        return self.shards.setdefault(name, Shard())

    def shard_number(self, name: str) -> int:
        return self.shard_numbers.setdefault(name, len(self.shard_numbers))

    def decision(self, name: str) -> DecisionState:
        return self.decisions.setdefault(name, DecisionState())

    @property
    def populations(self) -> dict[str, ModelPopulation]:
        return self.learned.populations

    @property
    def ensembles(self) -> dict[str, Ensemble]:
        return self.learned.ensembles

    def epoch(self, model_id: str) -> int:
        """Of the space that a model's rows are measured in; 0 where there is none."""
        return self.epochs.get(model_id, 0)

    @property
    def born_ms_by_model(self) -> dict[str, int]:
        """When each model got its first answer, those too that are learned from the next tick on."""
        waiting = {
            model_id: first_ms for each in self.inputs.values() for model_id, first_ms in each.births.items()
        }
        return waiting | {model_id: each.born_ms for model_id, each in self.populations.items()}

    @property
    def unmeasured_models(self) -> frozenset[str]:
        """Models whose queries nobody can measure: judged by how much and when accounts ask."""
        return frozenset(
            model_id for model_id, each in self.populations.items() if each.is_settled and not each.is_born
        )

    def inputs_of(self, shard: str) -> LearningInputs:
        """What the shard has put aside since the last tick."""
        known = self.inputs.get(shard)
        if known is None:
            known = self.inputs[shard] = LearningInputs(shard)
        return known

    def admits_model(self, model_id: str, shard: str, first_ms: int) -> bool:
        """Whether the model is learned or will be; one that is new is told of with its first answer."""
        births = self.inputs_of(shard).births
        if model_id in self.populations or model_id in births:
            return True
        if len(self.populations) + len(births) >= MODELS_MAX:
            return False
        births[model_id] = first_ms
        return True

    def name_new_rows(self) -> None:
        """Give accounts that got a row just now their row in the arrays, and their hash."""
        if self.slots.n_rows > self.windows.n_rows:
            self.windows.grow(self.slots.n_rows)
            self.rows.grow(self.windows.n_rows)
            if self.over is not None:
                self.links.grow(self.windows.n_rows)
        if not self.slots.new_rows:
            return
        self.rows.clear(np.array(self.slots.new_rows, dtype=np.int64))
        for row in self.slots.new_rows:
            key = self.slots.key_of(row)
            self.rows.account_hashes[row] = hash_of(key)
            if self.over is None:
                continue  # over models nobody is linked: that is done model by model
            self.links.links["account"][row] = hash_of((key[0], key[1], ""))
        self.slots.new_rows.clear()


def new_state(
    policy: Policy,
    accounts_max: int = ACCOUNTS_MAX,
    off: frozenset[str] = frozenset(),
    link_key: int = 0,
) -> EngineState:
    """A state that has seen nothing.

    Parameters
    ----------
    policy : Policy
        Its window lengths; they may change later, the panes then start afresh.
    accounts_max : int
        Bound on accounts (per model and tenant) that are kept.
    off : frozenset of str
        Components or families of `scoring.catalog` to do without, for studies.
    link_key : int
        Secret of the hashes by which accounts are linked; the same over restarts and workers.

    Examples
    --------
    >>> new_state(Policy()).clock_ms < 0
    True
    """
    assert accounts_max > 0
    assert policy.windows.short_s > 0
    slots, switches = Slots(accounts_max), Switches(off)
    state = EngineState(slots=slots, switches=switches, attributes=Attributes(link_key))
    slots, windows, rows, usage = Slots(accounts_max), WindowRows(), JudgedRows(), UsageRows()
    state.over = replace(state, slots=slots, windows=windows, rows=rows, usage=usage, changed=set())
    return state
