"""All that a report shows: a board of one replay, and what more readings of its log add to each case."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from copycatch import __version__
from copycatch.decisions.campaigns import ALL_MODELS
from copycatch.desk.board import Board
from copycatch.desk.curve import BudgetCurve
from copycatch.desk.links import Shared, graph_of, ties_of
from copycatch.desk.log_reading import Group, GroupLog, read_groups
from copycatch.desk.maps import topic_map
from copycatch.desk.overview import Case
from copycatch.desk.samples import choose_samples, measured
from copycatch.embedding.embedder import TextEmbedder
from copycatch.records.columns import Outcomes
from copycatch.records.decoding import Decoder
from copycatch.records.policy import Policy
from copycatch.records.wire import InferenceRecord
from copycatch.units import MS_PER_HOUR

MEMBERS_MIN = 2  # of a campaign that has links
MEMBERS_DRAWN = 60  # the busiest
STEPS_MAX = 240  # of the time axis


class ReportBuilder:
    """Takes the outcomes of a replay, then gives the report's data."""

    def __init__(self, policy: Policy) -> None:
        self._board, self._curve = Board(policy), BudgetCurve(policy)

    def take(self, outcomes: Outcomes) -> None:
        """Add what one batch brought."""
        self._board.take(outcomes)
        for evaluations, scores in outcomes.evaluations:
            self._curve.take(evaluations, scores)

    def data(
        self,
        about: Mapping[str, Any],
        paths: Sequence[str],
        make_decoder: Callable[[], Decoder],
        verdicts: Mapping[str, str],
    ) -> dict[str, Any]:
        """What the page is made of, as values that JSON can hold.

        Parameters
        ----------
        about : mapping
            Made when, of which files and how many records, and what was not judged.
        paths, make_decoder
            The log, to be read once more for the queries that are shown, and again for what the members of
            campaigns share, where there are campaigns.
        verdicts : mapping of str to str
            By account or campaign id.

        Raises
        ------
        TransportError
            If a file breaks off.
        """
        cases = self._board.cases()
        overview = self._board.overview(cases)
        curve = {f"{each:g}": n for each, n in self._curve.counts().items()}
        overview["about"] |= {**about, "version": __version__, "curve": curve, "is_live": False}
        added = self._from_log(cases, paths, make_decoder)
        shown = [self._board.case(case, verdicts) | more for case, more in zip(cases, added, strict=True)]
        return overview | {"cases": shown}

    def _from_log(
        self, cases: Sequence[Case], paths: Sequence[str], make_decoder: Callable[[], Decoder]
    ) -> list[dict[str, Any]]:
        groups = {str(at): group for at, case in enumerate(cases) if (group := _group_of(case)) is not None}
        shared = {
            name: Shared(group.accounts)
            for name, group in groups.items()
            if len(group.accounts) >= MEMBERS_MIN
        }
        span_ms = max(self._board.span_ms, MS_PER_HOUR)
        step_ms = MS_PER_HOUR * max(1, -(-span_ms // (STEPS_MAX * MS_PER_HOUR)))

        def note(record: InferenceRecord) -> None:
            for each in shared.values():
                each.take(record)

        logs = read_groups(paths, make_decoder, groups, self._board.suspects(), step_ms, note)
        ties = ties_of(paths, make_decoder, shared)
        embedder = TextEmbedder()
        found = []
        for at in range(len(cases)):
            name = str(at)
            log = logs.get(name, GroupLog())
            vectors = measured(log, embedder)
            samples = choose_samples(vectors, log.n_own)
            found.append(
                {
                    "telling": [asdict(sample) for sample in samples.telling],
                    "usual": [asdict(sample) for sample in samples.usual],
                    "map": asdict(topic_map(vectors)),
                    "activity": _activity(log.activity, step_ms),
                    "links": graph_of(shared[name].members, ties[name]) if name in shared else None,
                }
            )
        return found


def _group_of(case: Case) -> Group | None:
    """Whose queries the case's page shows; None of a model that is not judged."""
    model_id = None if case.model_id == ALL_MODELS else case.model_id
    if case.kind == "account":
        return Group(frozenset([case.entity_id]), model_id)
    members = frozenset(name for alert in case.newest for name in alert.entity.accounts)
    return Group(members, model_id) if case.kind == "campaign" and members else None


def _activity(counts: Counter[tuple[str, int]], step_ms: int) -> dict[str, Any]:
    """Queries by account and step of time, the accounts in the order in which they began."""
    totals: Counter[str] = Counter()
    for (account_id, _), n in counts.items():
        totals[account_id] += n
    busiest = {account_id for account_id, _ in totals.most_common(MEMBERS_DRAWN)}
    rows: dict[str, list[tuple[int, int]]] = {}
    for (account_id, step), n in sorted(counts.items(), key=lambda item: item[0][1]):
        if account_id in busiest and step > 0:
            rows.setdefault(account_id, []).append((step, n))
    return {"step_ms": step_ms, "accounts": list(rows), "counts": list(rows.values())}
