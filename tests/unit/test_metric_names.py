"""Names and labels of metrics, as Prometheus advises: one prefix, base units, totals, nothing of who asks."""

import re

import pytest

from copycatch.adapters.prometheus import PrometheusMetrics
from copycatch.metric_names import METRICS, MetricSpec

# A unit that is no base unit, or a word for a part of one.
NO_BASE_UNITS = {
    *("ms", "millis", "milliseconds", "us", "minutes", "hours", "days"),
    *("kb", "kib", "mb", "mib", "gb", "gib", "percent", "pct"),
}
# What a number is of, at the end of its name where it has a unit.
UNITS = {"seconds", "bytes", "ratio", "share", "probability", "info"}
# Their values are words of ours, topics and models of the operator, or numbers, each bounded; never what a
# record says of its account.
LABELS = {
    *("outcome", "reason", "scored", "op", "severity", "action", "doing", "result", "version", "note"),
    *("sink", "why", "topic", "partition", "model", "field", "section", "holds", "verdict", "days", "kind"),
}
OF_ACCOUNTS = {
    *("account", "account_id", "tenant", "tenant_id", "user"),
    *("client_ip", "ip", "key", "api_key", "event_id"),
}
IDS = [spec.name for spec in METRICS]


@pytest.mark.parametrize("spec", METRICS, ids=IDS)
def test_the_name_tells_what_and_in_which_unit(spec: MetricSpec) -> None:
    assert re.fullmatch(r"copycatch_[a-z]+(_[a-z]+)*", spec.name)
    words = spec.name.split("_")
    assert not NO_BASE_UNITS & set(words)
    assert (words[-1] == "total") == (spec.kind == "counter"), "_total for counters, and for nothing else"
    unit = words[-2] if spec.kind == "counter" else words[-1]
    assert not UNITS & set(words[:-1]) - {unit, "version"}, "the unit stands at the end"
    if spec.kind == "histogram":
        assert words[-1] in UNITS, "a distribution is of something measured"
    assert spec.meaning
    assert spec.meaning[0].islower() or spec.meaning[0].isdigit()


@pytest.mark.parametrize("spec", METRICS, ids=IDS)
def test_no_label_is_of_an_account(spec: MetricSpec) -> None:
    assert not OF_ACCOUNTS & set(spec.labels)
    assert set(spec.labels) <= LABELS, "a new label: bound its values, then name it here"


def test_no_name_stands_twice_and_every_one_is_served() -> None:
    assert len(IDS) == len(set(IDS))
    metrics = PrometheusMetrics()
    for spec in METRICS:
        labels = dict.fromkeys(spec.labels, "x")
        if spec.kind == "counter":
            metrics.count(spec.name, 1.0, **labels)
        elif spec.kind == "gauge":
            metrics.set(spec.name, 1.0, **labels)
        else:
            metrics.observe(spec.name, 1.0, **labels)
    served = set(re.findall(r"^# TYPE (\S+) (\S+)$", metrics.text().decode(), flags=re.MULTILINE))
    assert {(spec.name, spec.kind) for spec in METRICS} <= served
