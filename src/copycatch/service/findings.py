"""What a run did not judge, and why: no alert means nothing where nothing was judged."""

from collections import Counter
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from copycatch.features.catalog import SCORED_NEEDS
from copycatch.population.calibration import ACCOUNTS_MIN
from copycatch.ports import Shard
from copycatch.records.columns import Counts, Outcomes
from copycatch.records.wire import Rejected
from copycatch.safe_text import printable
from copycatch.units import UnixMs, format_rfc3339

NOTABLE_SHARE = 0.01
WORDS_BY_NOTE = {
    "skipped": "about no inference (other spans, other routes): skipped",
    "unknown": "spans of language models that name neither model nor operation: NOT judged, add one of them",
    "sampled": "from a source that logs only a share of its traffic: counts per account are too low",
    "unread": "parts of records that could not be read and are missing; the queries count",
    "unpaired": "requests taken without their response",
}
GROUPS_MAX = 200  # of rejects; fields are named by whoever wrote the record
REASONS_SHOWN = 3
MODELS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Learning:
    """What a judge can go by: fields that some record had, when each model's warm-up ends, of which models
    no query can be measured, and whether a learner elsewhere is to be looked after.
    """

    fields: frozenset[str] = frozenset()
    warm_until_ms: Mapping[str, UnixMs] = field(default_factory=dict)
    newest_ms: UnixMs | None = None
    learned_ms: UnixMs | None = None  # event time of what is known to be normal; None before any is
    unmeasured: frozenset[str] = frozenset()
    warning: str = ""


@dataclass(slots=True)
class Findings:
    """Adds up what came of each unit."""

    position_name: Literal["line", "offset"] = "line"
    counts: Counts = field(default_factory=Counts)
    messages: int = 0
    resumed: dict[Shard, int] = field(default_factory=dict)
    """Positions that an earlier run had come to."""
    n_rejects: Counter[tuple[str, str | None]] = field(default_factory=Counter)
    first_reject: dict[tuple[str, str | None], Rejected] = field(default_factory=dict)
    evaluated: Counter[str] = field(default_factory=Counter)  # by model
    scored: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)  # of the decoders

    def take(self, unit: Outcomes) -> None:
        """Add one delivered unit."""
        self.counts.add(unit.counts)
        self.notes += unit.notes
        for reject in unit.rejects:
            key = (reject.reason, reject.field)
            if key not in self.first_reject:
                if len(self.first_reject) >= GROUPS_MAX:
                    key = (reject.reason, None)
                self.first_reject.setdefault(key, reject)
            self.n_rejects[key] += 1
        for evaluations, scores in unit.evaluations:
            is_scored = ~np.isnan(scores.tail_probs)
            self.evaluated.update(evaluations.model_ids)
            self.scored.update(evaluations.model_ids[row] for row in np.flatnonzero(is_scored))

    @property
    def is_judged(self) -> bool:
        """Whether something was scored, and no notable share of the records was left out."""
        return self.scored.total() > 0 and not self._is_notable(self.n_unjudged)

    @property
    def n_unjudged(self) -> int:
        """Records that were not judged, with what may be one."""
        return self.counts.rejected + self.counts.late + self.notes["unknown"]

    @property
    def n_seen(self) -> int:
        """Records, with what may be one."""
        return self.counts.total + self.notes["unknown"]

    def _is_notable(self, n: int) -> bool:
        return n > 0 and n >= NOTABLE_SHARE * self.n_seen

    def last_sentences(self, learning: Learning) -> list[str]:
        """The same at the end, with what was left out or is missing, however little."""
        noted = [f"NOTED: {n:,} {words}" for note, words in WORDS_BY_NOTE.items() if (n := self.notes[note])]
        return [*self.sentences(learning), *noted]

    def sentences(self, learning: Learning) -> list[str]:
        """What was not judged, why, and what helps; one sentence or more each, the weightiest first."""
        lines = self._record_sentences()
        if self.counts.accepted:
            lines += self._score_sentences(learning)
        return lines

    def _record_sentences(self) -> list[str]:
        counts = self.counts
        lines = []
        if not counts.total:
            lines.append(self._nothing_read())
        elif not counts.accepted:
            lines.append(
                f"NOT JUDGED: none of {counts.total:,} records was accepted; `copycatch inspect` says what "
                "the log is, and drafts a mapping where it is of no format that is known."
            )
        elif self._is_notable(self.n_unjudged):
            share = self.n_unjudged / self.n_seen
            lines.append(f"NOT JUDGED: {share:.1%} of the records ({self.n_unjudged:,} of {self.n_seen:,}).")
        if counts.duplicates == counts.total > 0:
            lines.append("  Every event id had come before: is this the same log once more?")
        if self._is_notable(counts.late):
            lines.append(
                f"  {counts.late:,} x late: older than what was judged before; play logs oldest first."
            )
        for key, n in self.n_rejects.most_common(REASONS_SHOWN):
            first = self.first_reject[key]
            lines.append(f"  {n:,} x {key[0]}, first at {self._place(first)}: {first.message}")
        if len(self.n_rejects) > REASONS_SHOWN:
            lines.append(f"  and {len(self.n_rejects) - REASONS_SHOWN} more reasons")
        return lines

    def _place(self, reject: Rejected) -> str:
        topic = printable(reject.topic, 200)
        if self.position_name == "offset":
            return f"{topic}, partition {reject.partition}, offset {reject.offset}"
        return f"{topic}, line {reject.offset + 1}"

    def _nothing_read(self) -> str:
        if self.messages:
            n = self.notes["unknown"]
            hold = "may hold one, but name neither model nor operation" if n else "hold no inference"
            return (
                f"NOT JUDGED: {n or self.messages:,} messages or parts of them {hold}; "
                "`copycatch inspect` says what it makes of them."
            )
        done = ", ".join(
            f"{printable(shard.topic, 200)} up to line {position}"
            for shard, position in list(self.resumed.items())[:MODELS_SHOWN]
        )
        if done:
            return (
                f"NOT JUDGED: nothing new. Already read: {done}. To judge it again, name another state "
                "folder (COPYCATCH_SNAPSHOTS__DIRECTORY) or use copycatch replay."
            )
        return "NOT JUDGED: no record was read; is the log empty?"

    def _score_sentences(self, learning: Learning) -> list[str]:
        n_evaluated, n_scored = self.evaluated.total(), self.scored.total()
        if not n_evaluated:
            return ["NOT JUDGED: no account sent enough queries to be evaluated."]
        lines = []
        if not n_scored:
            lines.append(f"NOT JUDGED: none of {n_evaluated:,} evaluations has a score; only limits count.")
        unscored = [model for model in self.evaluated if not self.scored[model]]
        if unscored and not any(learning.fields.issuperset(needs) for needs in SCORED_NEEDS):
            needs = ", ".join(sorted({each for needs in SCORED_NEEDS for each in needs} - learning.fields))
            lines.append(f"  Scores are made of fields that this log does not give: {needs}.")
            lines.append(
                f"  Without them accounts are compared by how much and when they ask, once {ACCOUNTS_MIN} of "
                "them have been seen for a day."
            )
            return lines
        lines += [f"  {_model_sentence(model, learning)}" for model in unscored[:MODELS_SHOWN]]
        lines += _in_part(self.scored.keys() & learning.unmeasured)
        if len(unscored) > MODELS_SHOWN:
            lines.append(f"  and {len(unscored) - MODELS_SHOWN} more models without a score")
        return lines


def _in_part(models: Set[str]) -> list[str]:
    if not models:
        return []
    names = ", ".join(printable(model, 80) for model in sorted(models)[:MODELS_SHOWN])
    more = f" and {len(models) - MODELS_SHOWN} more" if len(models) > MODELS_SHOWN else ""
    what = (
        "without input or embedding accounts are compared by how much and when they ask, and by nothing else"
    )
    return [f"JUDGED IN PART: {names}{more}: {what}"]


def _model_sentence(model_id: str, learning: Learning) -> str:
    name = f"model {printable(model_id, 80)}"
    until_ms, newest_ms = learning.warm_until_ms.get(model_id), learning.newest_ms
    if until_ms is not None and newest_ms is not None and newest_ms < until_ms:
        return (
            f"{name} is still warming up until {format_rfc3339(until_ms)}; "
            f"the newest record is of {format_rfc3339(newest_ms)}."
        )
    return f"{name} has no score: fewer than {ACCOUNTS_MIN} accounts were seen long enough to compare with."


def unended_sentences(paths: list[str]) -> list[str]:
    """What is said of files whose last line is still being written."""
    return [
        f"NOT YET JUDGED: the last line of {printable(path, 200)} has no end yet; the next start reads it."
        for path in paths
    ]


@dataclass(slots=True)
class Summary:
    """What a run has done."""

    findings: Findings = field(default_factory=Findings)
    alerts: int = 0
    recommendations: int = 0
    replayed: int = 0
    unjudged: list[str] = field(default_factory=list)
    """At the end: what was not judged and why, in sentences."""

    @property
    def counts(self) -> Counts:
        return self.findings.counts
