"""A simulation's verdicts say from when on there was a judge at all."""

from tests.support.traffic import NOW_MS, batches, traffic

from copycatch.engine import new_state, step
from copycatch.records.policy import Policy
from copycatch.redteam.judging import WarmUp
from copycatch.units import UnixMs, format_rfc3339


def warm_up_of(n_accounts: int, hours: int) -> tuple[WarmUp, list[tuple[int, bool]]]:
    """What it counts, and time and warmth of every evaluation."""
    state, found = new_state(Policy()), WarmUp()
    seen: list[tuple[int, bool]] = []
    for batch in batches(traffic(seed=5, n_accounts=n_accounts, n_records=5_000, hours=hours), [700]):
        outcomes = step(state, batch, UnixMs(NOW_MS), Policy())
        found.add(outcomes)
        for evaluations, scores in outcomes.evaluations:
            seen += zip(evaluations.event_times_ms.tolist(), scores.is_warm.tolist(), strict=True)
    return found, seen


def test_it_says_when_the_first_account_was_scored() -> None:
    found, seen = warm_up_of(n_accounts=40, hours=60)
    first = next(index for index, (_, is_warm) in enumerate(seen) if is_warm)
    assert found.waiting == first > 0
    assert found.scored == sum(is_warm for _, is_warm in seen) > 0
    assert f"warming up until {format_rfc3339(UnixMs(seen[first][0]))}" in found.words()
    assert f"the first {first} evaluations" in found.words()


def test_a_judge_that_never_warmed_up_is_no_all_clear() -> None:
    found, seen = warm_up_of(n_accounts=5, hours=10)
    assert found.waiting == len(seen) > 0
    assert "WARMING UP throughout" in found.words()
