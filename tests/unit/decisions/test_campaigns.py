"""A campaign is one episode and one recommendation for all its accounts."""

from typing import Any

import pytest

from copycatch.alert_formats.catalog import ALERT_FORMATS
from copycatch.cli.render_alert import Exempting, alert_text
from copycatch.decisions.campaigns import ACCOUNTS_NAMED_MAX, ALL_MODELS, hand_over_campaigns, judge_campaigns
from copycatch.decisions.judge import advance
from copycatch.decisions.state import DecisionState
from copycatch.records.campaign import CampaignSighting
from copycatch.records.policy import Allow, Match, Policy
from copycatch.records.policy_rules import ExtractionRule
from copycatch.records.wire import Reason

EXEMPTING = Exempting("kim", "2026-12-31T00:00:00Z")

NOW_MS = 1_772_409_600_000
HALF_HOUR_MS = 1_800_000
FOUR = ["a1", "a2", "a3", "a4"]
REASON = Reason(
    feature="campaign_together",
    value=19.0,
    normal_low=None,
    normal_high=6.5,
    tail_prob=None,
    share=1.0,
    words="so",
)


def sighting(accounts: list[str] | None = None, **fields: Any) -> CampaignSighting:
    names = FOUR if accounts is None else accounts
    whole: dict[str, Any] = {
        "id": "c0ffee", "time_ms": NOW_MS, "is_ended": False, "is_changed": True,
        "accounts": tuple((None, name, "m") for name in names), "first_ms": NOW_MS - HALF_HOUR_MS,
        "last_ms": NOW_MS, "queries": 100, "weight": 1.5, "reasons": (REASON,),
        "words": "4 accounts act as one",
    } | fields  # fmt: skip
    return CampaignSighting(**whole)


def test_one_alert_and_one_recommendation_name_all_accounts() -> None:
    verdicts = judge_campaigns([sighting()], Policy(), DecisionState())
    (alert,), (recommendation,) = verdicts.alerts, verdicts.recommendations
    assert (alert.entity.kind, alert.entity.id, alert.entity.accounts) == (
        "campaign",
        "c0ffee",
        ["a1", "a2", "a3", "a4"],
    )
    assert (alert.op, alert.rule, alert.severity, alert.words) == (
        "open",
        "campaign",
        "high",
        "4 accounts act as one",
    )
    assert (recommendation.scope, recommendation.value) == ("campaign", "c0ffee")
    assert recommendation.accounts == alert.entity.accounts
    assert recommendation.decision_key == alert.recommendation == "|campaign|c0ffee|m"
    assert recommendation.alert_uids == [alert.uid]
    assert alert.techniques == ["AML.T0024.002"]


@pytest.mark.parametrize(("weight", "severity"), [(1.0, "medium"), (1.3, "high"), (3.5, "critical")])
def test_severity_rises_with_the_evidence(weight: float, severity: str) -> None:
    (alert,) = judge_campaigns([sighting(weight=weight)], Policy(), DecisionState()).alerts
    assert alert.severity == severity


def test_a_new_member_is_told_at_once_and_what_is_known_is_not_repeated() -> None:
    state, policy = DecisionState(), Policy()
    first = judge_campaigns([sighting()], policy, state)
    same = judge_campaigns([sighting(time_ms=NOW_MS + HALF_HOUR_MS, is_changed=False)], policy, state)
    assert not same.alerts
    assert not same.recommendations
    more = judge_campaigns(
        [sighting(["a1", "a2", "a3", "a4", "a5"], time_ms=NOW_MS + 2 * HALF_HOUR_MS)], policy, state
    )
    (alert,), (recommendation,) = more.alerts, more.recommendations
    assert (alert.op, alert.uid) == ("update", first.alerts[0].uid)
    assert alert.entity.accounts_total == 5
    assert recommendation.accounts[-1] == "a5"
    assert recommendation.revision == first.recommendations[0].revision + 1


def test_who_is_allowed_is_left_out_and_a_campaign_of_them_is_nobodys_alert() -> None:
    one = Allow(match=Match(account_id="a1"), reason="our job", owner="us", expires_ms=None)
    (alert,) = judge_campaigns([sighting()], Policy(allow=[one]), DecisionState()).alerts
    assert alert.entity.accounts == ["a2", "a3", "a4"]
    all_of_model = Allow(match=Match(model_id="m"), reason="our model", owner="us", expires_ms=None)
    state = DecisionState()
    assert not judge_campaigns([sighting()], Policy(allow=[all_of_model]), state).alerts
    assert state.tally.exempted == 1
    by_id = Allow(match=Match(account_id="c0ffee"), reason="nightly job", owner="us", expires_ms=None)
    assert not judge_campaigns([sighting()], Policy(allow=[by_id]), DecisionState()).alerts


def test_a_campaign_that_ends_is_closed_and_its_recommendation_revoked() -> None:
    state, policy = DecisionState(), Policy()
    judge_campaigns([sighting()], policy, state)
    over = judge_campaigns(
        [sighting([], time_ms=NOW_MS + HALF_HOUR_MS, is_ended=True, words="they fell silent")], policy, state
    )
    assert [alert.op for alert in over.alerts] == ["close"]
    assert [each.op for each in over.recommendations] == ["revoke"]
    assert "they fell silent" in over.alerts[0].words


def test_over_models_and_tenants_it_holds_for_all() -> None:
    accounts = (("t", "a1", "m"), ("t", "a2", "n"), ("t", "a3", "n"))
    (recommendation,) = judge_campaigns([sighting()], Policy(), DecisionState()).recommendations
    assert recommendation.model_id == "m"
    wide = CampaignSighting("c", NOW_MS, False, True, accounts, NOW_MS, NOW_MS, 9, 1.5, (REASON,), "w")
    (recommendation,) = judge_campaigns([wide], Policy(), DecisionState()).recommendations
    assert (recommendation.tenant_id, recommendation.model_id) == ("t", ALL_MODELS)


def test_a_scope_that_widens_closes_the_narrow_one() -> None:
    state, policy = DecisionState(), Policy()
    judge_campaigns([sighting()], policy, state)
    accounts = (*sighting().accounts, (None, "a9", "other"))
    wide = CampaignSighting(
        "c0ffee", NOW_MS + HALF_HOUR_MS, False, True, accounts, NOW_MS, NOW_MS, 9, 1.5, (REASON,), "w"
    )
    verdicts = judge_campaigns([wide], policy, state)
    assert [alert.op for alert in verdicts.alerts] == ["close", "open"]
    assert [each.op for each in verdicts.recommendations] == ["revoke", "upsert"]


def test_names_are_bounded_and_counted() -> None:
    names = [f"a{index:05d}" for index in range(ACCOUNTS_NAMED_MAX + 7)]
    (alert,) = judge_campaigns([sighting(names)], Policy(), DecisionState()).alerts
    assert (len(alert.entity.accounts), alert.entity.accounts_total) == (ACCOUNTS_NAMED_MAX, len(names))


def test_a_snapshot_between_changes_nothing() -> None:
    policy, straight, before = Policy(), DecisionState(), DecisionState()
    later = sighting(["a1", "a2", "a3", "a4", "a5"], time_ms=NOW_MS + HALF_HOUR_MS)
    judge_campaigns([sighting()], policy, straight)
    judge_campaigns([sighting()], policy, before)
    after = DecisionState.restore(before.snapshot())
    assert judge_campaigns([later], policy, straight).alerts == judge_campaigns([later], policy, after).alerts
    end_ms = NOW_MS + 30 * 86_400_000
    assert advance(straight, end_ms, policy).alerts == advance(after, end_ms, policy).alerts


def test_without_a_rule_for_extraction_there_are_no_campaigns() -> None:
    assert not judge_campaigns(
        [sighting()], Policy(rules=[ExtractionRule(enabled=False)]), DecisionState()
    ).alerts


def test_every_alert_format_and_explain_can_say_it() -> None:
    (alert,) = judge_campaigns([sighting()], Policy(), DecisionState()).alerts
    for alert_format in ALERT_FORMATS.values():
        assert b"c0ffee" in alert_format.encode(alert)
    assert "4 accounts" in alert_text(alert, None, EXEMPTING)


def test_a_learner_takes_over_what_a_worker_had_announced() -> None:
    """The worker closes it once; whoever judges over all workers opens it anew under its own uid."""
    state, policy = DecisionState(), Policy()
    (opened,) = judge_campaigns([sighting()], policy, state).alerts
    handed = hand_over_campaigns(state, policy, NOW_MS + HALF_HOUR_MS)
    assert [(alert.uid, alert.op) for alert in handed.alerts] == [(opened.uid, "close")]
    assert [each.op for each in handed.recommendations] == ["revoke"]
    assert not hand_over_campaigns(state, policy, NOW_MS + 2 * HALF_HOUR_MS).alerts
