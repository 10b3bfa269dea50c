"""Campaigns: what linking costs a record, and a search an account, as accounts and the largest group grow."""

from functools import partial
from typing import Any

import numpy as np

from copycatch.campaigns.find import SEARCH_MS, search
from copycatch.campaigns.fold import CONTEXT, LinkEvents, fold
from copycatch.campaigns.layout import BYTES_PER_ACCOUNT, KINDS, PANE_MS, VECTOR
from copycatch.campaigns.state import CampaignState
from tests.benchmarks.isolated import MeasurementFailed, run_isolated
from tests.benchmarks.measure import Figure, Part, Target, spend
from tests.benchmarks.scale import Scale

START_MS = 1_772_409_600_000
US = 1e6
QUERIES_EACH = 24  # of an account, over three days
SEARCHES = 6
GROUPS = (10, 100, 400)
ACCOUNTS_MAX = 100_000


def _events(accounts: int, largest: int) -> LinkEvents:
    """Three days of accounts with work of their own; so many of them share a network."""
    rng = np.random.default_rng(accounts + largest)
    n = accounts * QUERIES_EACH
    rows = rng.integers(0, accounts, n)
    times_ms = np.sort(START_MS + rng.integers(0, 3 * 86_400_000, n))
    attributes = np.zeros((n, len(KINDS)), dtype=np.uint32)
    attributes[:, KINDS.index("network")] = np.where(rows < largest, 1, 10 + rows // 3)
    attributes[:, KINDS.index("agent")] = 1 + rows % 40
    attributes[:, KINDS.index("parameters")] = 1 + rows % 97
    attributes[:, KINDS.index("opening")] = rng.integers(1, 1 << 32, n)
    attributes[:, KINDS.index("ending")] = rng.integers(1, 1 << 32, n)
    topics = rng.normal(size=(2_000, VECTOR))
    vectors = topics[(rows * 7 + rng.integers(0, 3, n)) % 2_000] + 0.7 * rng.normal(size=(n, VECTOR))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    contents = rng.integers(1, 1 << 32, n).astype(np.uint32)
    panes = (times_ms // PANE_MS).astype(np.int32)
    contexts = rng.integers(1, 1 << 32, (n, CONTEXT)).astype(np.uint32)  # every record has some: the worst
    units = vectors.astype(np.float32)
    return LinkEvents(rows, panes, times_ms, attributes, contents, units, contexts)


def measure(accounts: int, largest: int) -> dict[str, Any]:
    """Microseconds a record of the fold, and a search's an account; runs in a child."""
    small = CampaignState(log_start_ms=START_MS)
    small.grow(64)
    fold(small.links, _events(64, 8))  # compiles
    search(small, START_MS + 4 * 86_400_000)
    state, events = CampaignState(log_start_ms=START_MS), _events(accounts, largest)
    state.grow(accounts)
    state.links["account"][:accounts] = np.arange(1, accounts + 1)
    folded = spend(lambda: fold(state.links, events), len(events.rows))
    now_ms = START_MS + 3 * 86_400_000
    first = spend(lambda: search(state, now_ms), accounts)
    later = []
    for index in range(SEARCHES):  # half an hour's records, then a search: most groups are not due again
        n = accounts // 10
        late = LinkEvents._make(column[-n:] for column in events)
        moved = late.times_ms + (index + 1) * SEARCH_MS
        fold(state.links, late._replace(times_ms=moved, panes=(moved // PANE_MS).astype(np.int32)))
        later.append(spend(partial(search, state, now_ms + (index + 1) * SEARCH_MS), accounts).cpu_s * US)
    return {"fold_us": folded.cpu_s * US, "first_us": first.cpu_s * US, "later_us": later}


def run(scale: Scale) -> Part:
    least = Target("at most", 1.0)
    part = Part("campaigns", "Campaigns: links of accounts, and the search", axis="accounts")
    sizes = [each for each in scale.accounts if each <= ACCOUNTS_MAX]
    for accounts in sizes:
        for largest in GROUPS if accounts == sizes[-1] else GROUPS[:1]:
            try:
                arguments = {"accounts": accounts, "largest": largest}
                found = run_isolated("tests.benchmarks.campaigns:measure", arguments)
            except MeasurementFailed as failure:
                part.skipped.append(f"{accounts:,} accounts, group of {largest}: {failure}")
                continue
            name = f"{accounts:,} accounts, largest group {largest}"
            part.figures += [
                Figure("campaigns", f"fold, {name}", "us a record", [found["fold_us"]], target=least),
                Figure("campaigns", f"first search, {name}", "us an account", [found["first_us"]]),
                Figure("campaigns", f"search, {name}", "us an account", found["later_us"], at=accounts),
            ]
    bound = Target("at most", 1_200)
    part.figures.append(Figure("campaigns", "state", "bytes an account", [BYTES_PER_ACCOUNT], target=bound))
    return part
