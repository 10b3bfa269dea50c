"""A snapshot of the version before is taken over: accounts, what is normal, and what was announced."""

from pathlib import Path

import zstandard
from tests.support.traffic import NOW_MS, batches, traffic

from copycatch.engine import EngineState, new_state, restore, step
from copycatch.engine.snapshot import FORMAT, FORMATS_READ
from copycatch.records.policy import Policy
from copycatch.units import UnixMs

N_BEFORE = 600
# Written by the version whose format was 8, after the first `N_BEFORE` of these records.
BEFORE = Path(__file__).parent / "format8.snapshot.zst"
RECORDS = traffic(seed=5, n_accounts=12, n_records=900, hours=36)


def rest(state: EngineState) -> list[tuple[str, int, int]]:
    """Evaluations of the later records: account, queries so far, answered so far."""
    _, after = batches(RECORDS, [N_BEFORE, len(RECORDS) - N_BEFORE])
    found = step(state, after, UnixMs(NOW_MS), Policy()).evaluations
    return [
        each
        for evaluations, _ in found
        for each in zip(
            evaluations.account_ids, evaluations.queries.tolist(), evaluations.answered.tolist(), strict=True
        )
    ]


def test_the_format_before_is_read_and_goes_on() -> None:
    whole = new_state(Policy())
    step(whole, next(batches(RECORDS, [N_BEFORE, len(RECORDS)])), UnixMs(NOW_MS), Policy())
    upgraded = new_state(Policy())
    assert restore(upgraded, "logs:0", zstandard.ZstdDecompressor().decompress(BEFORE.read_bytes())) == []
    assert FORMATS_READ == (8, FORMAT), "another format: write its snapshot with the release before"
    assert upgraded.slots.n_rows == whole.slots.n_rows > 0
    assert upgraded.populations["m1"].vector_length == whole.populations["m1"].vector_length
    expected = rest(whole)
    assert rest(upgraded) == expected
    assert len(expected) > 20
