"""What broke today shows in the last hour, whatever a month before it came to."""

from collections import Counter

from copycatch.adapters.prometheus import PrometheusMetrics
from copycatch.records.columns import Counts, Outcomes
from copycatch.service.findings import Findings, Learning
from copycatch.service.health import Health
from copycatch.service.recent import SAMPLE_EVERY_S, WINDOW_S, RecentWindow
from copycatch.units import UnixMs

DAY_MS = 86_400_000
NOW_MS = UnixMs(1_784_000_000_000)


def test_a_month_does_not_hide_an_hour() -> None:
    window, health, metrics = RecentWindow(), Health(), PrometheusMetrics()
    findings = Findings(counts=Counts(accepted=10_000_000), messages=10_000_000)
    findings.evaluated, findings.scored = Counter({"m": 1000}), Counter({"m": 1000})
    learning = Learning(
        warm_until_ms={"m": UnixMs(NOW_MS - DAY_MS), "new": UnixMs(NOW_MS + DAY_MS)}, newest_ms=NOW_MS
    )
    window.tell(health, metrics, findings, learning, 0.0)
    assert health.unjudged == []
    for minute in range(1, 31):
        findings.counts.add(Counts(rejected=100))
        findings.evaluated["new"] += 2
        window.tell(health, metrics, findings, learning, 60.0 * minute)
    value = metrics.registry.get_sample_value
    assert findings.counts.rejected / findings.counts.total < 0.001
    assert value("copycatch_recent_unjudged_share") == 1.0
    assert value("copycatch_recent_unscored_share") == 1.0
    assert value("copycatch_models_warming_up") == 1
    assert value("copycatch_warm_up_ends_seconds") == (NOW_MS + DAY_MS) / 1000
    assert health.recent["records"] == 3000
    assert health.unjudged[0] == "NOT JUDGED: 100.0% of the 3,000 records of the last 30 min."
    assert list(health.warming_up) == ["new"]
    window.tell(health, metrics, findings, learning, 1800.0 + 2 * WINDOW_S)
    assert value("copycatch_recent_unjudged_share") == 0.0
    assert not any("last" in sentence for sentence in health.unjudged)


def test_what_may_be_a_query_and_was_not_judged_shows() -> None:
    window, health, metrics = RecentWindow(), Health(), PrometheusMetrics()
    findings = Findings()
    window.tell(health, metrics, findings, Learning(), 0.0)
    assert health.unjudged == [], "nothing has come"
    findings.messages += 50
    findings.take(Outcomes(notes=Counter(unknown=30, skipped=20)))
    window.tell(health, metrics, findings, Learning(), 60.0)
    assert metrics.registry.get_sample_value("copycatch_recent_unjudged_share") == 1.0
    assert health.unjudged[0] == "NOT JUDGED: 100.0% of the 30 records of the last 1 min."
    assert health.unjudged[1].startswith(
        "NOT JUDGED: 30 messages or parts of them may hold one, but name neither"
    )
    assert not findings.is_judged
    findings.counts.add(Counts(accepted=10_000))
    findings.scored["m"] += 1
    assert findings.is_judged, "no notable share"


def test_the_window_is_bounded_and_slides() -> None:
    window, findings = RecentWindow(), Findings()
    for second in range(0, 4 * int(WINDOW_S), 10):
        findings.counts.add(Counts(accepted=1))
        recent = window.now(findings, float(second))
    assert len(window._samples) <= WINDOW_S / SAMPLE_EVERY_S + 2
    assert 360 <= recent.records <= 367, "a record every ten seconds, and what a sample a minute leaves open"
