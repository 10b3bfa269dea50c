"""What a shard tells the learner: all that is learned rests on these, and on nothing else of an account.

A shard fills one `LearningInputs` between two ticks. The learner takes those of all shards in order of event
time, then account, so that it does not matter how accounts are spread over shards. CONTRIBUTING.md ("Accounts
and what is normal") has the rules and the bounds.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from copycatch.campaigns.layout import SLOTS_BY_KIND
from copycatch.decisions.members import OwnFinding
from copycatch.features.catalog import NAMES
from copycatch.layout.structs import Columns
from copycatch.population.account_table import AccountMaxima
from copycatch.population.packed import queries_of, queries_to_plain
from copycatch.population.shape import VOTERS_MAX, Shape
from copycatch.records.columns import FloatArray
from copycatch.scoring.catalog import FAMILIES, INPUT_NAMES
from copycatch.scoring.protocol import Inputs
from copycatch.space.query import Query
from copycatch.windows.slots import Key
from copycatch.windows.state import SAMPLE_ID_BYTES

EVALUATIONS_MAX: Final = 2_048  # of one shard in a tick; the reference needs each account's latest only
SAMPLES_MAX: Final = 20_000  # of one shard in a tick, all models together
MODELS_TOLD_MAX: Final = 1_024  # models of which one shard tells in a tick
SAMPLE_ID: Final = np.dtype(f"S{SAMPLE_ID_BYTES}")
SampleIds = npt.NDArray[np.bytes_]
_COLUMNS: Final[dict[str, list[str]]] = {"features": list(NAMES), "families": list(FAMILIES)} | {
    takes: list(names) for takes, names in INPUT_NAMES.items()
}
_COLUMNS["link_kinds"] = [f"{name}/{slots}" for name, slots in SLOTS_BY_KIND.items()]
# In place of the names, which would be most of a quiet tick.
COLUMNS_DIGEST: Final = hashlib.blake2b(msgspec.json.encode(_COLUMNS), digest_size=16).digest()


class Evaluated(NamedTuple):
    """An evaluation that may become part of what is normal."""

    account_hash: int
    time_ms: int
    n_effective: int
    recent_n_effective: int
    lifetime: FloatArray  # (n_features,)
    recent: FloatArray  # (n_features,)
    inputs: Inputs  # of the scorers; one row


@dataclass(slots=True)
class ModelInputs:
    """What one shard saw of one model.

    A sample has the embedding as its `vector` and numeric inputs as its `input_vector`, as far as the log has
    them: which of the two a model goes by is for the learner to say.
    """

    epoch: int = 0  # of the space that its evaluations and maxima were measured in; 0 for none
    first_ms: int = 0  # of its first answered record
    answered: int = 0
    odd: int = 0  # of them with a vector of another length
    answered_ms: int = 0  # of its last sampled answer
    votes: dict[int, tuple[Shape, int]] = field(default_factory=dict)  # newest of each account
    samples: list[Query] = field(default_factory=list)
    evaluations: list[Evaluated] = field(default_factory=list)
    accounts: list[AccountMaxima] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)  # accounts that the shard has forgotten

    def cast(self, account_hash: int, shape: Shape, time_ms: int) -> None:
        """Keep an account's newest vote, and those of the accounts that voted last."""
        self.votes.pop(account_hash, None)
        self.votes[account_hash] = shape, time_ms
        if len(self.votes) > VOTERS_MAX:
            del self.votes[next(iter(self.votes))]


@dataclass(slots=True)
class LearningInputs:
    """Of one shard, between the tick before `tick_ms` and that one."""

    source: str
    tick_ms: int = 0
    version: int = 0  # that the shard judged with
    n_accounts: int = 0  # that it knows at the end
    births: dict[str, int] = field(default_factory=dict)  # models it had not heard of: first answer
    models: dict[str, ModelInputs] = field(default_factory=dict)
    link_keys: list[Key] = field(default_factory=list)  # accounts whose links have changed
    links: Columns = field(default_factory=dict)  # their link rows, a column a field
    link_samples: SampleIds = field(default_factory=lambda: np.zeros(0, dtype=SAMPLE_ID))  # newest of each
    findings: list[OwnFinding] | None = None  # all that stand of its accounts; None where not told
    links_gone: list[Key] = field(default_factory=list)  # accounts that the shard has forgotten
    log_start_ms: int = 0  # of its first record
    n_samples: int = 0
    n_evaluations: int = 0

    def of(self, model_id: str, epoch: int) -> ModelInputs | None:
        """The model's part; None beyond `MODELS_TOLD_MAX` of them."""
        known = self.models.get(model_id)
        if known is None and len(self.models) < MODELS_TOLD_MAX:
            known = self.models[model_id] = ModelInputs(epoch)
        return known


def hash_of(key: Key) -> int:
    """A number for an account that is the same in every process, never 0.

    Examples
    --------
    >>> hash_of((None, "a", "m")) == hash_of((None, "a", "m"))
    True
    >>> hash_of((None, "a", "m")) == hash_of(("a", "", "m"))
    False
    """
    text = "\x1f".join(("" if key[0] is None else "t" + key[0], key[1], key[2]))
    digest = hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest()
    return (int.from_bytes(digest, "little") >> 1) | 1


def inputs_to_plain(inputs: LearningInputs) -> dict[str, Any]:
    """Dicts, lists, numbers and arrays only; `inputs_from_plain` gives equal ones.

    Examples
    --------
    >>> inputs_from_plain(inputs_to_plain(LearningInputs("logs:0", tick_ms=5))).tick_ms
    5
    """
    return {
        "source": inputs.source,
        "tick_ms": inputs.tick_ms,
        "version": inputs.version,
        "n_accounts": inputs.n_accounts,
        "births": inputs.births,
        "columns": COLUMNS_DIGEST,
        "link_keys": [list(key) for key in inputs.link_keys],
        "links": dict(inputs.links),
        "link_samples": inputs.link_samples,
        "findings": None if inputs.findings is None else [[list(key), *own] for key, *own in inputs.findings],
        "links_gone": [list(key) for key in inputs.links_gone],
        "log_start_ms": inputs.log_start_ms,
        "models": {model_id: _model_to_plain(each) for model_id, each in inputs.models.items()},
    }


def inputs_from_plain(plain: dict[str, Any]) -> LearningInputs:
    """What `inputs_to_plain` described.

    Raises
    ------
    KeyError, TypeError, ValueError, IndexError
        If a part is missing or garbled.
    """
    models = {model_id: _model_of(each) for model_id, each in plain["models"].items()}
    findings = plain["findings"]
    return LearningInputs(
        plain["source"],
        plain["tick_ms"],
        plain["version"],
        plain["n_accounts"],
        dict(plain["births"]),
        models,
        link_keys=[_key_of(each) for each in plain["link_keys"]],
        links=plain["links"],
        link_samples=plain["link_samples"],
        findings=None if findings is None else [(_key_of(key), *own) for key, *own in findings],
        links_gone=[_key_of(each) for each in plain["links_gone"]],
        log_start_ms=plain["log_start_ms"],
        n_samples=sum(len(each.samples) for each in models.values()),
        n_evaluations=sum(len(each.evaluations) for each in models.values()),
    )


def _key_of(plain: list[Any]) -> Key:
    tenant_id, account_id, model_id = plain
    return tenant_id, account_id, model_id


def has_same_columns(plain: dict[str, Any]) -> bool:
    """Whether inputs were written by a version with the same features, families and scorers."""
    return bool(plain["columns"] == COLUMNS_DIGEST)


def _model_to_plain(inputs: ModelInputs) -> dict[str, Any]:
    evaluations, accounts = inputs.evaluations, inputs.accounts
    return {
        "counts": [inputs.epoch, inputs.first_ms, inputs.answered, inputs.odd, inputs.answered_ms],
        "votes": [[account, *shape, ms] for account, (shape, ms) in inputs.votes.items()],
        "samples": queries_to_plain(inputs.samples),
        "evaluated": np.array([each[:4] for each in evaluations], dtype=np.int64).reshape(-1, 4),
        "lifetime": np.array([each.lifetime for each in evaluations]).reshape(-1, len(NAMES)),
        "recent": np.array([each.recent for each in evaluations]).reshape(-1, len(NAMES)),
        "inputs": {
            takes: np.array([each.inputs.named(takes)[0] for each in evaluations]).reshape(-1, len(names))
            for takes, names in INPUT_NAMES.items()
        },
        "accounts": np.array([each[:4] for each in accounts], dtype=np.int64).reshape(-1, 4),
        "score_max": np.array([each.score_max for each in accounts], dtype=np.float32),
        "family_max": np.array([each.family_max for each in accounts], dtype=np.float32).reshape(
            -1, len(FAMILIES)
        ),
        "gone": np.array(inputs.gone, dtype=np.int64),
    }


def _model_of(plain: dict[str, Any]) -> ModelInputs:
    named = plain["inputs"]
    evaluations = [
        Evaluated._make(
            (
                *numbers,
                plain["lifetime"][row].copy(),
                plain["recent"][row].copy(),
                Inputs(**{takes: named[takes][row : row + 1].copy() for takes in INPUT_NAMES}),
            )
        )
        for row, numbers in enumerate(plain["evaluated"].tolist())
    ]
    accounts = [
        AccountMaxima._make((*numbers, float(plain["score_max"][row]), plain["family_max"][row].copy()))
        for row, numbers in enumerate(plain["accounts"].tolist())
    ]
    epoch, first_ms, answered, odd, answered_ms = plain["counts"]
    votes = {account: (Shape(*shape), ms) for account, *shape, ms in plain["votes"]}
    samples, gone = queries_of(plain["samples"]), plain["gone"].tolist()
    return ModelInputs(
        epoch, first_ms, answered, odd, answered_ms, votes, samples, evaluations, accounts, gone
    )
