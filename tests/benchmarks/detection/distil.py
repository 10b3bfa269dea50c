"""`make teach-use`: composes campaigns from the honest accounts of development logs, and trains the
forest of the scorer `distillation` to tell them from these accounts; writes `distillation_forest.msgpack`.

python -m tests.benchmarks.detection.distil FOLDERS [--out FILE]

Labels of the logs are read to leave the attackers out of both sides.
"""

import argparse
import csv
import gzip
import hashlib
import itertools
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.ensemble import RandomForestClassifier

import copycatch.scoring
from copycatch.embedding.embedder import TextEmbedder
from copycatch.formats.catalog import make_decoder
from copycatch.formats.shared.format import FormatOptions
from copycatch.intake.columns import ColumnBuilder
from copycatch.population.pool import Pool
from copycatch.records.columns import FloatArray, IntArray
from copycatch.redteam.distillation import HonestUse, compose
from copycatch.redteam.trace import LOG_NAME
from copycatch.scoring.distillation import FILE
from copycatch.scoring.forest import LEAF, Forest, Nodes
from copycatch.space.lexicon import hash_tokens
from copycatch.space.query import Query
from copycatch.usage.events import UNIT, UsageEvents, events_of, joined, picked
from copycatch.usage.measures import MEASURES
from copycatch.usage.others import OTHERS_MAX, Others, compared, others_of
from copycatch.usage.state import UsageRows
from copycatch.usage.words import Said
from tests.benchmarks.traffic import raw_batches

HTTP_ERROR = 400
NO_ACCOUNT = 10_000  # rows from here on are no account's of the log
WARM_UP_MS = 36 * 3_600_000
CAMPAIGNS_PER_LOG = 300
FOLDS = 5
CHECKPOINTS = np.array([12, 14, 16, 20, 24, 32, 40, 48, 64, 80, 96, 128, 192, 256, 384, 512, 768, 1024, 1536])
TREES, DEPTH_MAX, LEAF_MIN, FEATURES_SHARE = 80, 12, 4, 0.2
SEED = 7
NORMAL_75 = 0.6745  # quantile of the standard normal


class Measured(NamedTuple):
    """Measures at checkpoints: (n, n_measures), the checkpoint and the account of each."""

    values: FloatArray
    queries: IntArray
    accounts: IntArray


def read_use(folder: Path, *, honest_only: bool) -> tuple[list[str], HonestUse]:
    """Names of a trace's accounts, and what they ask, account by account."""
    with (folder / "labels.csv").open(newline="") as rows:
        is_attack = {row["account_id"]: row["is_attack"] == "1" for row in csv.DictReader(rows)}
    wanted = [name for name, attacks in is_attack.items() if not (attacks and honest_only)]
    number = {name: index for index, name in enumerate(wanted)}
    builder, decoder = (
        ColumnBuilder(b"teaching, no secret", TextEmbedder()),
        make_decoder("native", FormatOptions()),
    )
    parts: list[UsageEvents] = []
    with gzip.open(folder / LOG_NAME, "rb") as lines:
        for raw in raw_batches(iter(lines)):
            batch, _ = builder.build(raw, decoder.decode(raw))
            accounts = np.array([number.get(name, -1) for name in batch.account_ids], dtype=np.int64)
            said = Said(*hash_tokens(batch.texts))
            events = events_of(batch, accounts, batch.statuses < HTTP_ERROR, said)
            if events is not None:
                parts.append(picked(events, np.flatnonzero(events.is_counted)))
    every = joined(parts)
    events = picked(every, np.argsort(every.rows, kind="stable"))
    starts = np.searchsorted(events.rows, np.arange(len(wanted) + 1))
    members = [np.arange(first, stop) for first, stop in itertools.pairwise(starts)]
    return wanted, HonestUse(events, members)


def first_asked(use: HonestUse, accounts: list[int]) -> Others:
    """What these accounts asked in the log's first days, as a model's population samples it."""
    events, pool = use.events, Pool()
    until_ms = events.times_ms.min() + WARM_UP_MS
    for account in accounts:
        for at in use.members[account][events.times_ms[use.members[account]] < until_ms].tolist():
            vector = (events.vectors[at] / UNIT).astype(np.float32)
            prompt = int(events.prompts[at])
            pool.add(Query(account, int(events.times_ms[at]), prompt, -1, np.nan, np.nan, vector))
    sample = pool.sample(OTHERS_MAX)
    return others_of([query.vector for query in sample], [query.account_hash for query in sample])


def measure_at_checkpoints(events: UsageEvents, others: Others) -> Measured:
    """Events must come account by account; who owns any of `others` goes by the number of its row."""
    _, firsts = np.unique(events.rows, return_index=True)
    counts = np.diff([*firsts, len(events.rows)])
    due = np.concatenate(
        [first + CHECKPOINTS[count >= CHECKPOINTS] - 1 for first, count in zip(firsts, counts, strict=True)]
    )
    to = compared([others], np.zeros(len(due), dtype=np.int64), events.rows[due])
    values = UsageRows().add(events, events.rows, due, to)
    order = np.concatenate([CHECKPOINTS[count >= CHECKPOINTS] for count in counts])
    return Measured(values, order, events.rows[due])


def campaigns_of(use: HonestUse, seed: int, n: int = CAMPAIGNS_PER_LOG) -> Measured:
    """Campaigns composed from most of the accounts, compared with what the others ask, in turn."""
    order = np.random.default_rng(seed).permutation(len(use.members))
    parts = []
    for fold in range(FOLDS):
        is_other = np.arange(len(order)) % FOLDS == fold
        others, own = order[is_other].tolist(), order[~is_other].tolist()
        campaigns = compose(HonestUse(use.events, [use.members[at] for at in own]), n // FOLDS, seed + fold)
        rows = range(NO_ACCOUNT, NO_ACCOUNT + len(campaigns))
        found = [
            each.events._replace(rows=np.full(len(each.events.rows), row))
            for row, each in zip(rows, campaigns, strict=True)
        ]
        parts.append(measure_at_checkpoints(joined(found), first_asked(use, others)))
    values, queries, accounts = zip(*parts, strict=True)
    return Measured(np.concatenate(values), np.concatenate(queries), np.concatenate(accounts))


def fit(
    honest: list[Measured], attacks: list[Measured], columns: IntArray | None = None
) -> RandomForestClassifier:
    values = np.concatenate([each.values for each in honest + attacks])
    if columns is not None:
        values = values[:, columns]
    queries = np.concatenate([each.queries for each in honest + attacks])
    is_attack = np.repeat([0, 1], [sum(len(each.values) for each in part) for part in (honest, attacks)])
    # Both kinds weigh the same at each number of queries, so that this says nothing by itself.
    weights = np.zeros(len(values))
    for checkpoint in CHECKPOINTS:
        for kind in (0, 1):
            own = (queries == checkpoint) & (is_attack == kind)
            weights[own] = 1000 / max(own.sum(), 1)
    forest = RandomForestClassifier(
        TREES, max_depth=DEPTH_MAX, min_samples_leaf=LEAF_MIN, max_features=FEATURES_SHARE, random_state=SEED
    )
    return forest.fit(values, is_attack, sample_weight=weights)


def as_forest(trained: RandomForestClassifier, trained_on: list[str], digest: str) -> Forest:
    """Flat arrays of scikit-learn's trees, which lie in depth-first order."""
    parts: dict[str, list[np.ndarray]] = {name: [] for name in Nodes._fields}
    start = 0
    for each in trained.estimators_:
        tree = each.tree_
        is_leaf = tree.children_left == -1
        assert (tree.children_left[~is_leaf] == np.flatnonzero(~is_leaf) + 1).all()
        weights = tree.weighted_n_node_samples
        heavier = weights[tree.children_left] >= weights[tree.children_right]
        parts["roots"].append(np.array([start]))
        parts["features"].append(np.where(is_leaf, LEAF, tree.feature))
        parts["thresholds"].append(np.where(is_leaf, 0, tree.threshold))
        parts["rights"].append(np.where(is_leaf, 0, tree.children_right + start))
        parts["probs"].append(tree.value[:, 0, 1] / tree.value[:, 0].sum(axis=1))
        parts["missing_left"].append(heavier & ~is_leaf)
        start += tree.node_count
    types = {"roots": np.int64, "features": np.int16, "thresholds": np.float32, "rights": np.int32,
             "probs": np.float32, "missing_left": np.bool_}  # fmt: skip
    nodes = Nodes(**{name: np.concatenate(columns).astype(types[name]) for name, columns in parts.items()})
    forest = Forest(list(MEASURES), nodes, trained_on, digest)
    forest.check()
    return forest


def honest_maxima(honest: list[Measured], attacks: list[Measured]) -> FloatArray:
    """Highest log odds of each honest account, by forests that its log was left out of."""
    found = []
    for left_out, measured in enumerate(honest):
        others = [index for index in range(len(honest)) if index != left_out]
        trained = fit([honest[index] for index in others], [attacks[index] for index in others])
        odds = as_forest(trained, [], "").log_odds(measured.values)
        highest = np.full(measured.accounts.max() + 1, -np.inf)
        np.maximum.at(highest, measured.accounts, odds)
        found.append(highest[np.isfinite(highest)])
    return np.concatenate(found)


def whole_forest(honest: list[Measured], attacks: list[Measured], names: list[str]) -> Forest:
    """Trained on all, with how honest accounts fare by forests that have not seen their log."""
    median, upper = np.quantile(honest_maxima(honest, attacks), [0.5, 0.75]).tolist()
    digest = hashlib.sha256()
    for part in (*honest, *attacks):
        digest.update(np.nan_to_num(part.values).round(4).tobytes())
    forest = as_forest(fit(honest, attacks), names, digest.hexdigest()[:16])
    return replace(forest, honest_median=median, honest_spread=(upper - median) / NORMAL_75)


def train(folders: list[Path]) -> Forest:
    """A forest that knows the honest accounts of these logs, and campaigns composed from what they ask."""
    honest, attacks = [], []
    for index, folder in enumerate(folders):
        _, use = read_use(folder, honest_only=True)
        others = first_asked(use, list(range(len(use.members))))
        honest.append(measure_at_checkpoints(use.events, others))
        attacks.append(campaigns_of(use, SEED + index))
    return whole_forest(honest, attacks, [folder.name for folder in folders])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, default=Path(copycatch.scoring.__path__[0]) / FILE)
    args = parser.parse_args()
    forest = train(args.folders)
    args.out.write_bytes(forest.to_bytes())
    print(f"{args.out}: {len(forest.nodes.features)} nodes, trained on {', '.join(forest.trained_on)}")


if __name__ == "__main__":
    main()
