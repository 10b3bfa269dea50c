"""What a person found out: benign is quiet until it gets worse, an attack is never taken for normal."""

from tests.support.evaluations import CATALOG, DAY_MS, MINUTE_MS, Seen, columns

from copycatch.decisions.judge import Verdicts, advance, judge
from copycatch.decisions.state import DecisionState
from copycatch.records.policy import Allow, KnownAttack, Match, Policy

BENIGN = Policy(
    allow=[
        Allow(
            match=Match(account_id="a"),
            reason="a load test",
            owner="kim",
            unless_below=1e-7,
            expires_ms=9 * DAY_MS,
        )
    ]
)


def _judge(
    state: DecisionState, policy: Policy, minute: int, tail_prob: float, account: str = "a"
) -> Verdicts:
    seen = [Seen(account, DAY_MS + minute * MINUTE_MS, tail_prob)]
    return judge(*columns(seen), policy, CATALOG, state)


def test_a_benign_verdict_releases_at_once_and_stays_quiet_until_it_gets_worse() -> None:
    state = DecisionState()
    first = _judge(state, Policy(), 0, 1e-6)
    assert [row.action for row in first.recommendations] == ["block"]
    released = advance(state, DAY_MS + 2 * MINUTE_MS, BENIGN)
    assert [alert.op for alert in released.alerts] == ["close"]
    assert [row.op for row in released.recommendations] == ["revoke"]
    quiet = _judge(state, BENIGN, 5, 2e-7)
    assert (quiet.alerts, quiet.recommendations) == ([], [])
    assert quiet.is_over.tolist() == [True], "what is exempt is not learned either"
    worse = _judge(state, BENIGN, 10, 1e-9)
    assert [alert.severity for alert in worse.alerts] == ["critical"]
    assert [row.op for row in worse.recommendations] == ["upsert"]


def test_a_verdict_that_comes_when_it_is_already_worse_releases_nothing() -> None:
    state = DecisionState()
    _judge(state, Policy(), 0, 1e-9)
    after = advance(state, DAY_MS + 2 * MINUTE_MS, BENIGN)
    assert (after.alerts, after.recommendations) == ([], [])


def test_it_ends_by_itself_and_is_for_that_account_alone() -> None:
    state = DecisionState()
    assert _judge(state, BENIGN, 0, 1e-6, "b").alerts
    assert _judge(state, BENIGN, 9 * 24 * 60, 1e-6).alerts


def test_a_known_attack_is_not_learned_from_whatever_its_score() -> None:
    attacks = [KnownAttack(match=Match(account_id="a"), reason="found", owner="kim", expires_ms=2 * DAY_MS)]
    policy = Policy(attacks=attacks)
    state = DecisionState()
    harmless = _judge(state, policy, 0, 0.5)
    assert harmless.is_over.tolist() == [True]
    assert harmless.alerts == []
    assert _judge(state, policy, 0, 0.5, "b").is_over.tolist() == [False]
    assert _judge(state, policy, 24 * 60, 0.5).is_over.tolist() == [False], "until it expires"
