"""What a person found out: benign is quiet until it gets worse, an attack is never taken for normal."""

import json
import math
from pathlib import Path

import pytest
from tests.support.evaluations import CATALOG, DAY_MS, MINUTE_MS, Seen, columns

from copycatch.adapters.clock import ManualClock
from copycatch.adapters.kafka.follower import Followed
from copycatch.adapters.memory import MemoryMetrics
from copycatch.decisions.judge import Verdicts, advance, judge
from copycatch.decisions.state import DecisionState
from copycatch.decisions.verdicts import VERDICTS_A_DAY_MAX, VERDICTS_MAX, held
from copycatch.records.policy import Allow, Budget, KnownAttack, Match, Policy
from copycatch.service.feedback import Feedback
from copycatch.service.policy_watch import PolicyWatch
from copycatch.service.verdict_watch import VerdictWatch
from copycatch.settings.policy_notes import policy_warnings
from copycatch.units import UnixMs, format_rfc3339

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


def _benign(account: str, given_ms: int, days: int = 30) -> Allow:
    return Allow(
        match=Match(account_id=account), reason="fine, I say", owner="mallory",
        unless_below=1e-9, given_ms=given_ms, expires_ms=given_ms + days * DAY_MS,
    )  # fmt: skip


def test_who_calls_everybody_benign_blinds_nobody() -> None:
    """An insider, or a stolen token, with 400 thieves to hide."""
    policy = Policy(allow=[_benign(f"t{n}", DAY_MS + n) for n in range(400)])
    seen = [Seen(f"t{n}", DAY_MS + 10 * MINUTE_MS, 1e-6) for n in range(400)]
    state = DecisionState()
    loud = Policy(allow=policy.allow, budget=Budget(alerts_per_minute_max=1000))
    alerted = {alert.entity.id for alert in judge(*columns(seen), loud, CATALOG, state).alerts}
    assert alerted == {f"t{n}" for n in range(VERDICTS_A_DAY_MAX, 400)}
    # What is hushed speaks once it gets ten times worse, and after a month whatever it does.
    worse = [Seen("t0", DAY_MS + 20 * MINUTE_MS, 1e-10)]
    assert judge(*columns(worse), loud, CATALOG, state).alerts
    later = [Seen("t1", 32 * DAY_MS, 1e-6)]
    assert judge(*columns(later), loud, CATALOG, state).alerts


def test_patience_does_not_lift_the_bounds() -> None:
    slow = [_benign(f"t{day}-{n}", day * DAY_MS + n) for day in range(1, 60) for n in range(50)]
    kept, beyond = held(slow)
    assert len(kept) + len(beyond) == len(slow)
    for day in range(1, 60):
        today = [each for each in kept if (each.given_ms or 0) // DAY_MS == day]
        in_force = [
            each for each in kept if (each.given_ms or 0) < (day + 1) * DAY_MS <= (each.expires_ms or 0)
        ]
        assert len(today) <= VERDICTS_A_DAY_MAX
        assert len(in_force) <= VERDICTS_MAX


def test_a_verdict_that_would_hush_for_good_does_not_hold() -> None:
    given = _benign("a", 0)
    for wrong in (
        given.model_copy(update={"unless_below": None}),
        given.model_copy(update={"expires_ms": None}),
        given.model_copy(update={"expires_ms": 60 * DAY_MS}),
        given.model_copy(update={"match": Match(model_id="m")}),
    ):
        assert held([wrong]) == ([], [wrong])
    own = given.model_copy(update={"given_ms": None, "expires_ms": None})
    assert held([own]) == ([own], []), "the policy's own entries are what its owners made them"


def test_who_calls_everybody_an_attack_starves_nothing() -> None:
    attacks = [
        KnownAttack(match=Match(account_id=f"a{n}"), reason="r", owner="mallory", given_ms=n)
        for n in range(90)
    ]
    seen = [Seen(f"a{n}", DAY_MS, 0.5) for n in range(90)]
    judged = judge(*columns(seen), Policy(attacks=attacks), CATALOG, DecisionState())
    assert judged.is_over.sum() == VERDICTS_A_DAY_MAX


def test_the_service_says_when_verdicts_do_not_hold(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = (
        "{{match: {{account_id: t{n}}}, reason: r, owner: m, unless_below: 0.0001, "
        "given: 2026-11-01T00:00:00Z, expires: 2026-11-30T00:00:00Z}}"
    )
    lines = [entry.format(n=n) for n in range(25)]
    path, metrics = tmp_path / "policy.yaml", MemoryMetrics()
    path.write_text("version: 1\nallow:\n" + "".join(f"  - {line}\n" for line in lines))
    watch = PolicyWatch(path, ManualClock(UnixMs(0)), metrics)
    assert metrics.get("copycatch_policy_verdicts", section="allow", holds="no") == 5
    assert metrics.get("copycatch_policy_verdicts", section="allow", holds="yes") == 20
    assert "verdicts beyond their bounds do not hold" in capsys.readouterr().out
    assert any("5 entries of allow do not hold" in note for note in policy_warnings(watch.policy, 0))


def test_precision_is_of_what_was_judged(tmp_path: Path) -> None:
    clock, metrics, path = ManualClock(UnixMs(40 * DAY_MS)), MemoryMetrics(), tmp_path / "verdicts.jsonl"
    watch = VerdictWatch(path, clock, metrics, interval_s=0.0)
    watch.look()
    assert math.isnan(metrics.get("copycatch_alert_precision", days="7"))
    lines = [
        ("u1", "attack", 39), ("u2", "attack", 39), ("u3", "benign", 39), ("u4", "unsure", 39),
        ("u5", "benign", 20), ("u6", "benign", 39), ("u6", "attack", 39),
    ]  # fmt: skip

    def at(day: int) -> str:
        return format_rfc3339(day * DAY_MS)

    path.write_text(
        "".join(
            json.dumps(
                {"account_id": "a", "uid": uid, "verdict": verdict, "time": format_rfc3339(day * DAY_MS)}
            )
            + "\n"
            for uid, verdict, day in lines
        )
    )
    watch.look()
    # Unsure and unjudged alerts are neither right nor false; the latest verdict on an alert counts.
    assert metrics.get("copycatch_alert_precision", days="7") == 0.75
    assert metrics.get("copycatch_alert_precision", days="30") == 0.6
    assert metrics.get("copycatch_verdicts", verdict="unsure", days="7") == 1
    path.write_text("no verdict\n")
    watch.look()
    assert metrics.get("copycatch_alert_precision", days="7") == 0.75


class _Topic:
    """What a topic gives: messages as (partition, broker's time, value)."""

    def __init__(self) -> None:
        self.waiting: list[Followed] = []

    def take(self) -> list[Followed]:
        taken, self.waiting = self.waiting, []
        return taken

    def add(self, time_ms: int, **fields: object) -> None:
        line = {"uid": "u", "account_id": "a", "verdict": "benign", "reason": "r", "by": "m", **fields}
        self.waiting.append(Followed(0, time_ms, json.dumps(line).encode()))


def test_verdicts_of_a_topic_change_the_policy_in_force(tmp_path: Path) -> None:
    clock, topic, path = ManualClock(UnixMs(5 * DAY_MS)), _Topic(), tmp_path / "policy.yaml"
    path.write_text("version: 1\n")
    feedback = Feedback(topic, clock)
    watch = PolicyWatch(path, clock, MemoryMetrics(), 0.0, feedback=feedback)
    first = watch.policy
    assert watch.next_policy() is None
    topic.add(5 * DAY_MS, tail_prob=1e-6)
    policy = watch.next_policy()
    assert policy is not None
    assert policy.content_version != first.content_version
    assert (policy.allow[0].unless_below, policy.allow[0].expires_ms) == (1e-7, 35 * DAY_MS)
    state = DecisionState()
    assert not _judge(state, policy, 6 * 24 * 60, 5e-7).alerts
    assert _judge(state, policy, 6 * 24 * 60, 1e-8).alerts, "it got worse"
    topic.add(5 * DAY_MS, verdict="attack")
    changed = watch.next_policy()
    assert changed is not None
    assert changed.allow == []
    assert changed.attacks[0].match.account_id == "a", "the latest verdict on an alert counts"
    path.write_text("version: 1\nmode: shadow\n")
    both = watch.next_policy()
    assert both is not None
    assert (both.mode, len(both.attacks)) == ("shadow", 1)
    topic.add(5 * DAY_MS, verdict="unsure")
    none_left = watch.next_policy()
    assert none_left is not None
    assert (none_left.allow, none_left.attacks) == ([], [])
    assert [line.verdict for line in feedback.lines] == ["unsure"]


def test_who_writes_the_topic_blinds_nobody_whatever_time_they_claim(
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock, topic = ManualClock(UnixMs(90 * DAY_MS)), _Topic()
    feedback = Feedback(topic, clock)
    topic.add(90 * DAY_MS - 1, uid="honest", account_id="tester", tail_prob=1e-6)
    for n in range(6_000):  # thieves, as if found benign over the last month, or in days to come
        claimed_ms = (60 + n % 60) * DAY_MS
        topic.add(claimed_ms, uid=f"u{n}", account_id=f"t{n}", tail_prob=1e-300)
    for wrong in (b"{", b"\xff", b'{"account_id": "a", "verdict": "benign"}', b'{"verdict": "benign"}'):
        topic.waiting.append(Followed(0, 0, wrong))
    topic.add(90 * DAY_MS, reason="r" * 5_000)
    topic.add(90 * DAY_MS, tail_prob=-1e300)
    assert feedback.look()
    policy = feedback.added_to(Policy(budget=Budget(alerts_per_minute_max=10_000)))
    seen = [Seen(f"t{n}", 90 * DAY_MS + MINUTE_MS, 1e-6) for n in range(400)]
    alerted = judge(*columns(seen), policy, CATALOG, DecisionState()).alerts
    assert len(alerted) >= 400 - VERDICTS_A_DAY_MAX
    kept, _ = held(policy.allow)
    assert len(kept) == VERDICTS_A_DAY_MAX
    assert kept[0].match.account_id == "tester", "who came first holds"
    assert min(each.unless_below or 0.0 for each in policy.allow) == 1e-12
    assert "verdicts on the topic cannot be taken" in capsys.readouterr().out
