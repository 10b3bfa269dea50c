"""What was delivered, as metrics: of real traffic, and of drills apart."""

from copycatch.ports import Metrics
from copycatch.records.columns import Outcomes


def count_outcomes(metrics: Metrics, outcomes: Outcomes) -> None:
    """Count one unit that has become a fact."""
    counts = outcomes.counts
    metrics.count("copycatch_units_total")
    for name, n in (
        ("accepted", counts.accepted),
        ("duplicate", counts.duplicates),
        ("late", counts.late),
        ("rejected", counts.rejected),
    ):
        if n:
            metrics.count("copycatch_records_total", n, outcome=name)
    for _, scores in outcomes.evaluations:
        for name, n in (("yes", int(scores.is_warm.sum())), ("no", int((~scores.is_warm).sum()))):
            if n:
                metrics.count("copycatch_evaluations_total", n, scored=name)
        for tail_prob in scores.tail_probs[scores.is_warm].tolist():
            metrics.observe("copycatch_tail_probability", tail_prob)
    for reject in outcomes.rejects:
        metrics.count("copycatch_rejects_total", reason=reject.reason)
    _count_announced(metrics, outcomes)


def _count_announced(metrics: Metrics, outcomes: Outcomes) -> None:
    for alert in outcomes.alerts:
        if alert.drill is True:
            metrics.count("copycatch_drill_messages_total", kind="alert")
        else:
            metrics.count("copycatch_alerts_total", op=alert.op, severity=alert.severity)
    for each in outcomes.recommendations:
        if each.drill is True:
            metrics.count("copycatch_drill_messages_total", kind="recommendation")
        else:
            metrics.count("copycatch_recommendations_total", op=each.op, action=each.action)
    if outcomes.counts.drills:
        metrics.count("copycatch_drill_messages_total", outcomes.counts.drills, kind="record")
