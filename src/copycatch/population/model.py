"""All that is learned of one model's traffic."""

import zlib
from collections import Counter, deque
from dataclasses import dataclass, field, replace

import numpy as np

from copycatch.layout.row import LABEL_BINS
from copycatch.population.calibration import (
    SCORE_SCALE_MIN,
    Calibration,
    FamilyCalibration,
    calibrate,
    calibrate_families,
)
from copycatch.population.newcomers import Newcomers
from copycatch.population.pool import DELAY_MS, PER_ACCOUNT_MAX, Pool
from copycatch.population.reference import Reference
from copycatch.population.shape import SEVERAL, Shape, Votes
from copycatch.records.columns import FloatArray
from copycatch.space.fit import (
    ACCOUNTS_MIN,
    QUERIES_MIN,
    REFERENCE_SET_ROWS,
    build_space,
    rebuild_reference_set,
)
from copycatch.space.lexicon import empty_lexicon, forget_voter, learn_tokens
from copycatch.space.model import FOURIER, Lexicon, ModelSpace, without_account
from copycatch.space.query import NO_VECTOR, Query
from copycatch.units import UNIX_MS_MIN
from copycatch.usage.others import NO_OTHERS, OTHERS_MAX, Others, others_of

HOUR_MS = 3_600_000
# The geometry is rebuilt whenever the pool has grown threefold, until it holds enough queries or a day has
# passed; then it is settled and kept, because sketches and sums of different geometries do not compare.
GROWTH = 3.0
SETTLED_QUERIES = 2_400
SETTLED_ACCOUNTS = 100
SETTLED_AGE_H = 24
REFERENCE_SET_EVERY_H = 3
OTHERS_EVERY_H = 24
UNMADE_H = -OTHERS_EVERY_H
WARM_UP_MS = 48 * HOUR_MS  # all who come so early enter the reference
BIRTH_MS = HOUR_MS  # a lone early account starts the warm-up no longer before the several that make a model


NO_REFERENCE = Reference(0)


def epoch_of(space: ModelSpace) -> int:
    """A number for a geometry that is the same wherever it is; never 0."""
    of_basis = zlib.crc32(np.ascontiguousarray(space.queries.basis).tobytes())
    return zlib.crc32(np.ascontiguousarray(space.queries.means).tobytes(), of_basis) << 16 | space.version


@dataclass(slots=True)
class ModelPopulation:
    """What is normal for one model.

    It is born when several accounts have had answers; `born_ms` is the event time of the first answered
    record, but no more than `BIRTH_MS` before that. While it is younger than `DELAY_MS` queries enter the
    pool at once, afterwards only when they are `DELAY_MS` old and their account is not flagged.
    `vector_length` is None until it is born; `answered_ms` is the time of the latest answer that was sampled.
    """

    born_ms: int
    n_features: int
    pool: Pool = field(default_factory=Pool)
    reference: Reference = field(default_factory=lambda: NO_REFERENCE)
    space: ModelSpace | None = None
    uses_inputs: bool | None = None
    vector_length: int | None = None
    votes: Votes = field(default_factory=Votes)
    answered_ms: int = UNIX_MS_MIN
    lexicon: Lexicon | None = None
    calibration: Calibration | None = None
    tails: FamilyCalibration | None = None
    label_counts: FloatArray = field(default_factory=lambda: np.zeros(LABEL_BINS))
    built_queries: int = 0
    reference_set_built_h: int = -1
    calibrated_h: int = -1
    is_settled: bool = False
    epoch: int = 0  # names the geometry; 0 before there is one
    line_elsewhere: tuple[int, int | None] | None = None  # of a learner in another process
    voters: Newcomers = field(default_factory=Newcomers)
    others: Others = NO_OTHERS  # what others ask a language model
    others_made_h: int = UNMADE_H

    def __post_init__(self) -> None:
        if self.reference is NO_REFERENCE:
            self.reference = Reference(self.n_features)

    @property
    def is_born(self) -> bool:
        return self.vector_length is not None

    @property
    def line(self) -> tuple[int, int | None]:
        """How many queries wait, and when the first of them was asked."""
        return self.line_elsewhere or (len(self.pool.waiting), self.pool.first_ms)

    @property
    def label_shares(self) -> FloatArray:
        total = self.label_counts.sum()
        shares: FloatArray = self.label_counts / total if total else np.full(LABEL_BINS, np.nan)
        return shares

    @property
    def fourier_mean(self) -> FloatArray:
        return np.full(FOURIER, np.nan) if self.space is None else self.space.fourier_mean

    def age_h(self, now_ms: int) -> int:
        return (now_ms - self.born_ms) // HOUR_MS

    @property
    def free_until_ms(self) -> int:
        """Learning steps before this time leave the space, the lexicon and the shares of labels as they are.

        Examples
        --------
        >>> ModelPopulation(born_ms=0, n_features=1).free_until_ms < 0  # new: every step may build a space
        True
        """
        if not self.is_settled or self.lexicon is not None:
            return UNIX_MS_MIN
        due_h = min(self.calibrated_h + 1, self.reference_set_built_h + REFERENCE_SET_EVERY_H)
        return self.born_ms + due_h * HOUR_MS

    def tick(self, now_ms: int, flagged: frozenset[int]) -> bool:
        """Learn what has waited long enough; True when the geometry is new (old sums must be forgotten)."""
        if not self.is_born:
            return False
        age_ms = now_ms - self.born_ms
        delay_ms = 0 if age_ms < DELAY_MS else DELAY_MS
        # What waits was asked a day ago: the last queries of the warm-up come in a day after its end.
        is_warming_up = age_ms < WARM_UP_MS + DELAY_MS
        admitted = self.pool.admit(now_ms, delay_ms, flagged, is_warming_up=is_warming_up)
        for query in admitted:
            if len(query.words):
                if self.lexicon is None:
                    self.lexicon = empty_lexicon()
                learn_tokens(self.lexicon, query.words, query.account_hash)
        self._drop_odd_inputs(admitted)
        for account_hash in flagged & self.pool.queries_by_account.keys():
            self.pool.drop(account_hash)
        return self._refresh_space(self.age_h(now_ms))

    def forget_account(self, account_hash: int) -> int:
        """Take an account's queries, features and votes out; gives how many of these there were.

        Sums over accounts stay: the geometry, the calibration, the counts of words.
        """
        pool = self.pool
        waiting = [query for query in pool.waiting if query.account_hash == account_hash]
        n = len(pool.queries_by_account.get(account_hash, ())) + len(waiting)
        n += self.reference.knows(account_hash) + (account_hash in self.votes.by_account)
        pool.drop(account_hash)
        pool.waiting = deque(query for query in pool.waiting if query.account_hash != account_hash)
        self.reference.forget(account_hash)
        self.votes.by_account.pop(account_hash, None)
        if self.space is not None:
            self.space = without_account(self.space, account_hash)
        is_own = self.others.owners == account_hash
        if is_own.any():
            self.others = Others(self.others.vectors[~is_own], self.others.owners[~is_own])
        if self.lexicon is not None:
            forget_voter(self.lexicon, account_hash)
        return n

    def settle_unmeasured(self, first_ms: int) -> None:
        """Go without a geometry: no account's queries could be measured since `first_ms`."""
        self.born_ms, self.is_settled = first_ms, True

    def agree(self, now_ms: int, n_judged: int = 0) -> "ModelPopulation":
        """Be born, or start afresh, where most accounts' answered queries say so; gives what is in force.

        A model that settled without a geometry starts afresh when half of its `n_judged` accounts are
        measured.
        """
        if self.vector_length is not None:
            own = Shape(bool(self.uses_inputs), self.vector_length)
            if not self.votes.is_ousted(own, now_ms, is_settled=self.is_settled):
                return self
            afresh = ModelPopulation(now_ms, self.n_features, votes=self.votes)
            afresh.answered_ms = self.answered_ms
            return afresh.agree(now_ms)
        if self.is_settled:
            leader, n_accounts, _ = self.votes.leader(now_ms)
            if leader is None or n_accounts < SEVERAL or 2 * n_accounts < n_judged:
                return self
            return ModelPopulation(now_ms, self.n_features, votes=self.votes).agree(now_ms)
        self.born_ms = max(self.born_ms, now_ms - BIRTH_MS)
        leader, n_accounts, _ = self.votes.leader(now_ms)
        if leader is None or n_accounts < SEVERAL:
            return self
        if self.uses_inputs != leader.uses_inputs:
            self.pool = Pool()
        self.uses_inputs, self.vector_length = leader
        self.pool.waiting = deque(q for q in self.pool.waiting if len(q.vector) == leader.length)
        return self

    def _drop_odd_inputs(self, admitted: list[Query]) -> None:
        """Leave out inputs beside embeddings that differ in length from those of most accounts."""
        if self.uses_inputs or not any(len(query.input_vector) for query in admitted):
            return
        if self.space is not None and self.space.inputs is not None:
            usual, queries = len(self.space.inputs.means), admitted
        else:
            queries = list(self.pool.queries())
            voters = {(q.account_hash, len(q.input_vector)) for q in queries if len(q.input_vector)}
            usual = Counter(length for _, length in sorted(voters)).most_common(1)[0][0]
        for query in queries:
            if len(query.input_vector) != usual:
                query.input_vector = NO_VECTOR

    def may_vote(self, account_hash: int, now_ms: int) -> bool:
        """Whether an account may move the reference: it has a vote, or one of today is left.

        Examples
        --------
        >>> population = ModelPopulation(born_ms=0, n_features=1)
        >>> sum(population.may_vote(account, 50 * HOUR_MS) for account in range(1, 1000))
        16
        >>> population.may_vote(1, 72 * HOUR_MS)
        True
        """
        if not self._is_warmed_up(now_ms) or self.reference.knows(account_hash):
            return True
        return self.voters.let_in(now_ms)

    def calibrate(
        self,
        now_ms: int,
        maxima: FloatArray,
        lived_days: FloatArray,
        family_maxima: FloatArray,
        family_scale_mins: FloatArray,
        score_scale_min: float = SCORE_SCALE_MIN,
    ) -> None:
        """Fit the tails anew, once an hour; keep the old ones where there are too few accounts."""
        age_h = self.age_h(now_ms)
        passed_h, self.calibrated_h = age_h - self.calibrated_h, age_h
        self.tails = calibrate_families(family_maxima, family_scale_mins) or self.tails
        fitted = calibrate(maxima, lived_days, score_scale_min)
        if fitted is not None:
            # The first fits rest on a few young accounts: they may not bound what all of them give later.
            before = self.calibration if self._is_warmed_up(now_ms) else None
            self.calibration = fitted if before is None else fitted.held_to(before, passed_h)

    def _is_warmed_up(self, now_ms: int) -> bool:
        return now_ms - self.born_ms >= WARM_UP_MS

    def _remake_others(self, age_h: int) -> None:
        """Sample anew what is asked: hourly while the model is new, later once a day."""
        if self.is_settled and age_h < self.others_made_h + OTHERS_EVERY_H:
            return
        queries = [] if self.uses_inputs else self.pool.sample(OTHERS_MAX)
        self.others = others_of([q.vector for q in queries], [q.account_hash for q in queries])
        self.others_made_h = age_h

    def _refresh_space(self, age_h: int) -> bool:
        is_reference_set_due = age_h >= self.reference_set_built_h + (
            REFERENCE_SET_EVERY_H if self.is_settled else 1
        )
        if not is_reference_set_due or self.pool.n_accounts < ACCOUNTS_MIN:
            return False
        rows = self.pool.sample(self.pool.n_accounts * PER_ACCOUNT_MAX)
        if len(rows) < QUERIES_MIN:
            return False
        self.reference_set_built_h = age_h
        self._remake_others(age_h)
        reference_set = self.pool.sample(REFERENCE_SET_ROWS)
        is_last = age_h >= SETTLED_AGE_H or (
            len(rows) >= SETTLED_QUERIES and self.pool.n_accounts >= SETTLED_ACCOUNTS
        )
        if self.space is None or (
            not self.is_settled and (is_last or len(rows) >= GROWTH * self.built_queries)
        ):
            version = 1 if self.space is None else self.space.version + 1
            self.space = build_space(rows, reference_set, uses_inputs=bool(self.uses_inputs), version=version,
                                     lexicon=self.lexicon)  # fmt: skip
            self.built_queries, self.is_settled = len(rows), is_last
            self.reference = Reference(self.n_features)
            self.epoch = epoch_of(self.space)
            return True
        self.space = rebuild_reference_set(replace(self.space, lexicon=self.lexicon), reference_set)
        return False
