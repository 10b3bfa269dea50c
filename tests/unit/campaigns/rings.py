"""Made-up traffic: honest accounts with work of their own, and groups that act as one."""

from dataclasses import dataclass, field

import numpy as np

from copycatch.campaigns.find import SEARCH_MS, search
from copycatch.campaigns.finding import Finding
from copycatch.campaigns.fold import CONTEXT, ISSUED_AT, SENT_AT, LinkEvents, fold
from copycatch.campaigns.layout import KINDS, PANE_MS, VECTOR
from copycatch.campaigns.state import CampaignState

START_MS = 1_772_409_600_000  # a midnight
DAY_MS = 86_400_000
TOPICS = 400


@dataclass
class Traffic:
    """Queries of accounts, row by row; `log()` puts them in the order of time."""

    seed: int = 1
    n_rows: int = 0
    queries: list[tuple[int, int, list[int], int, np.ndarray, list[int]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.topics = self.rng.normal(size=(TOPICS, VECTOR))

    def ask(
        self,
        row: int,
        time_ms: int,
        topic: int,
        attributes: dict[str, int],
        content: int = 0,
        context: tuple[int, int, int] = (0, 0, 0),
    ) -> None:
        """One query; `context`: conversation, block that is issued, block that is sent back."""
        vector = self.topics[topic] + 0.5 * self.rng.normal(size=VECTOR)
        if content:  # the same text gives the same vector
            vector = np.random.default_rng(content).normal(size=VECTOR)
        values = [attributes.get(kind, 0) for kind in KINDS]
        hash_ = content or int(self.rng.integers(1, 1 << 32))
        unit = (vector / np.linalg.norm(vector)).astype(np.float32)
        blocks = [0] * CONTEXT
        blocks[0], blocks[ISSUED_AT], blocks[SENT_AT] = context
        self.queries.append((time_ms, row, values, hash_, unit, blocks))

    def times(self, n: int, first_day: float, last_day: float) -> list[int]:
        return [int(START_MS + day * DAY_MS) for day in np.sort(self.rng.uniform(first_day, last_day, n))]

    def honest(self, n: int, days: float = 5.0, queries: int = 60) -> list[int]:
        """Accounts with a few topics, hours, networks, agents and parameters of their own."""
        rows = list(range(self.n_rows, self.n_rows + n))
        self.n_rows += n
        for row in rows:
            own = self.rng.integers(0, TOPICS, 4)
            shared = {
                "network": 1_000 + row,
                "agent": 1 + row % 7,
                "parameters": 20 + row % 5,
                "opening": 2_000 + row,
            }
            first = float(self.rng.uniform(0, days / 2)) if row % 2 else 0.0
            for time_ms in self.times(queries, first, days):
                self.ask(row, time_ms, int(self.rng.choice(own)), shared)
        return rows

    def fed(
        self,
        n: int,
        attributes: dict[str, int],
        first_day: float,
        last_day: float,
        per_account: int = 60,
        contents: int = 0,
        is_bursty: bool = True,
    ) -> list[int]:
        """Accounts fed from one queue of broad queries, in bursts; `contents` > 0: all ask the same few."""
        rows = list(range(self.n_rows, self.n_rows + n))
        self.n_rows += n
        bursts = self.rng.uniform(first_day, last_day, 12)
        for _ in range(n * per_account):
            day = float(self.rng.choice(bursts)) + float(self.rng.uniform(0, 0.02))
            if not is_bursty:
                day = float(self.rng.uniform(first_day, last_day))
            content = 7 + int(self.rng.integers(0, contents)) if contents else 0
            row, topic = int(self.rng.choice(rows)), int(self.rng.integers(0, TOPICS))
            shared = {"agent": 900 + row, "network": 5_000 + row} | attributes
            self.ask(row, int(START_MS + day * DAY_MS), topic, shared, content)
        return rows

    def log(self) -> LinkEvents:
        order = sorted(range(len(self.queries)), key=lambda index: self.queries[index][0])
        times, rows, values, contents, vectors, contexts = zip(
            *(self.queries[index] for index in order), strict=True
        )
        times_ms = np.array(times, dtype=np.int64)
        return LinkEvents(
            np.array(rows, dtype=np.int64),
            (times_ms // PANE_MS).astype(np.int32),
            times_ms,
            np.array(values, dtype=np.uint32),
            np.array(contents, dtype=np.uint32),
            np.array(vectors, dtype=np.float32),
            np.array(contexts, dtype=np.uint32),
        )


def some(events: LinkEvents, begin: int, end: int) -> LinkEvents:
    return LinkEvents._make(column[begin:end] for column in events)


def new_links(n_rows: int) -> CampaignState:
    state = CampaignState(log_start_ms=START_MS)
    state.grow(n_rows)
    state.links["account"][:n_rows] = np.arange(1, n_rows + 1)
    return state


def play(
    state: CampaignState, events: LinkEvents, cut: int = 1 << 30, from_ms: int = START_MS
) -> list[Finding]:
    """Fold in batches of `cut` records at most, and search each half hour."""
    found: list[Finding] = []
    at, now_ms = int(np.searchsorted(events.times_ms, from_ms)), from_ms
    while at < len(events.rows):
        now_ms += SEARCH_MS
        stop = int(np.searchsorted(events.times_ms, now_ms))
        while at < stop:
            end = min(at + cut, stop)
            fold(state.links, some(events, at, end))
            at = end
        found += search(state, now_ms)
    return found


def named(findings: list[Finding]) -> set[int]:
    return {row for each in findings for row in each.joined}
