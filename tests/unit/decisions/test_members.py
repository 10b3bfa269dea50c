"""Once a campaign is announced its members have no alerts of their own, and nothing they did is lost."""

import json

from tests.support.evaluations import CATALOG, Seen, columns
from tests.unit.decisions.test_campaigns import FOUR, HALF_HOUR_MS, NOW_MS, sighting

from copycatch.alert_formats.catalog import ALERT_FORMATS
from copycatch.cli.render_alert import Exempting, alert_text
from copycatch.decisions.campaigns import judge_campaigns
from copycatch.decisions.judge import Verdicts, judge
from copycatch.decisions.members import fold_members, own_findings, standing_campaigns
from copycatch.decisions.plan import EntityKey
from copycatch.decisions.state import DecisionState
from copycatch.records.policy import Match, Policy, Silence

EXEMPTING = Exempting("kim", "2026-12-31T00:00:00Z")

KEYS: list[EntityKey] = [(None, name, "m") for name in FOUR]


def looked_at(state: DecisionState, account_id: str, tail_prob: float, time_ms: int = NOW_MS) -> Verdicts:
    return judge(*columns([Seen(account_id, time_ms, tail_prob)]), Policy(), CATALOG, state)


def folded(state: DecisionState, time_ms: int = NOW_MS) -> Verdicts:
    uids = standing_campaigns(state)
    return fold_members(state, {key: uids["c0ffee"] for key in KEYS if "c0ffee" in uids}, Policy(), time_ms)


def test_an_open_alert_of_a_member_closes_with_a_reference_to_the_campaigns() -> None:
    state = DecisionState()
    (own,) = looked_at(state, "a1", 1e-4).alerts
    (campaign,) = judge_campaigns([sighting()], Policy(), state).alerts
    verdicts = folded(state)
    (closed,) = verdicts.alerts
    assert (closed.op, closed.uid, closed.part_of) == ("close", own.uid, campaign.uid)
    assert [(each.op, each.value) for each in verdicts.recommendations] == [("revoke", "a1")]
    assert folded(state).alerts == []


def test_every_alert_format_and_explain_carry_the_reference() -> None:
    state = DecisionState()
    looked_at(state, "a1", 1e-4)
    (campaign,) = judge_campaigns([sighting()], Policy(), state).alerts
    (closed,) = folded(state).alerts
    for alert_format in ALERT_FORMATS.values():
        assert campaign.uid.encode() in alert_format.encode(closed)
    ocsf = json.loads(ALERT_FORMATS["ocsf"].encode(closed))
    assert ocsf["finding_info"]["related_events"] == [{"uid": campaign.uid, "type_uid": 200401}]
    assert f"It goes on in alert {campaign.uid}" in alert_text(closed, None, EXEMPTING)


def test_members_have_no_alerts_of_their_own_and_others_do() -> None:
    state = DecisionState()
    judge_campaigns([sighting()], Policy(), state)
    folded(state)
    assert not looked_at(state, "a2", 1e-6).alerts
    assert looked_at(state, "b9", 1e-6).alerts
    assert looked_at(state, "a2", 1e-6).is_over.all()  # it teaches nothing, folded or not


def test_what_a_member_does_makes_the_campaign_graver() -> None:
    state = DecisionState()
    judge_campaigns([sighting(weight=1.0)], Policy(), state)
    folded(state)
    looked_at(state, "a2", 1e-6)
    own = own_findings(state, KEYS)
    assert (own.severity, own.action) == ("critical", "block")
    later = sighting(
        weight=1.0,
        time_ms=NOW_MS + HALF_HOUR_MS,
        is_changed=False,
        own_severity=own.severity,
        own_action=own.action,
    )
    verdicts = judge_campaigns([later], Policy(), state)
    assert [(each.op, each.severity) for each in verdicts.alerts] == [("update", "critical")]
    assert [each.action for each in verdicts.recommendations] == ["block"]


def test_a_campaign_that_nobody_was_told_of_silences_nobody() -> None:
    quiet = Silence(
        match=Match(account_id="c0ffee"), reason="known", owner="us", expires_ms=NOW_MS + HALF_HOUR_MS
    )
    state = DecisionState()
    judge_campaigns([sighting()], Policy(silences=[quiet]), state)
    assert standing_campaigns(state) == {}
    folded(state)
    assert looked_at(state, "a1", 1e-6).alerts


def test_when_the_campaign_has_ended_members_are_judged_alone_again() -> None:
    state = DecisionState()
    judge_campaigns([sighting()], Policy(), state)
    folded(state)
    assert not looked_at(state, "a1", 1e-6).alerts
    later_ms = NOW_MS + HALF_HOUR_MS
    judge_campaigns([sighting([], time_ms=later_ms, is_ended=True)], Policy(), state)
    folded(state, later_ms)
    (alert,) = looked_at(state, "a1", 1e-6, later_ms).alerts
    assert (alert.op, alert.part_of) == ("open", None)


def test_a_snapshot_between_changes_nothing() -> None:
    state = DecisionState()
    judge_campaigns([sighting()], Policy(), state)
    folded(state)
    looked_at(state, "a2", 1e-6)
    after = DecisionState.restore(state.snapshot())
    assert after.table.memberships == state.table.memberships
    assert not looked_at(after, "a2", 1e-6).alerts
