"""Every metric as one table: name, type, labels, meaning."""

from typing import Literal, NamedTuple


class MetricSpec(NamedTuple):
    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    meaning: str
    buckets: tuple[float, ...] = ()  # of a histogram that is no duration


METRICS: tuple[MetricSpec, ...] = (
    MetricSpec(
        "copycatch_records_total",
        "counter",
        ("outcome",),
        "input records: accepted, duplicate, late or rejected",
    ),
    MetricSpec("copycatch_rejects_total", "counter", ("reason",), "records that went to the dead letters"),
    MetricSpec(
        "copycatch_evaluations_total",
        "counter",
        ("scored",),
        "evaluations of accounts, with a score or without: warming up, or fields that are missing",
    ),
    MetricSpec(
        "copycatch_tail_probability",
        "histogram",
        (),
        "scores: the chance per day that a normal account is ever so anomalous; one an evaluation",
        (1e-5, 1e-4, 2e-4, 1e-3, 2e-3, 0.01, 0.03, 0.1, 0.3, 0.6, 1.0),
    ),
    MetricSpec(
        "copycatch_replayed_records_total", "counter", (), "records judged again silently after a start"
    ),
    MetricSpec(
        "copycatch_identities_of_one_account",
        "gauge",
        ("field",),
        "most tenants, models, addresses or keys of one account in the first 500 records of a poll; many "
        "where clients choose them",
    ),
    MetricSpec("copycatch_alerts_total", "counter", ("op", "severity"), "alerts delivered"),
    MetricSpec("copycatch_recommendations_total", "counter", ("op", "action"), "recommendations delivered"),
    MetricSpec("copycatch_units_total", "counter", (), "units of outcomes and positions that were committed"),
    MetricSpec("copycatch_step_seconds", "histogram", (), "time to decode and judge one batch"),
    MetricSpec("copycatch_deliver_seconds", "histogram", (), "time to deliver and commit one unit"),
    MetricSpec(
        "copycatch_event_age_seconds", "gauge", (), "age of the newest record judged, by its event time"
    ),
    MetricSpec(
        "copycatch_population_age_seconds",
        "gauge",
        (),
        "event time since what is normal was last learned; minutes, where learning keeps up",
    ),
    MetricSpec("copycatch_lag_records", "gauge", ("topic", "partition"), "records not yet judged"),
    MetricSpec(
        "copycatch_shards_not_waited_for_total",
        "counter",
        (),
        "times a partition with records to come gave none for five seconds, so that others went on ahead",
    ),
    MetricSpec("copycatch_shards", "gauge", (), "partitions or files that this worker has"),
    MetricSpec(
        "copycatch_failures_total",
        "counter",
        ("doing",),
        "failures that were tried again: poll, deliver, reopen",
    ),
    MetricSpec(
        "copycatch_rebuilds_total", "counter", (), "times that state was rebuilt from what is committed"
    ),
    MetricSpec("copycatch_gaps_total", "counter", (), "times that records were gone before they were read"),
    MetricSpec("copycatch_records_lost_total", "counter", (), "records that were gone before they were read"),
    MetricSpec(
        "copycatch_records_beyond_accounts_total",
        "counter",
        (),
        "records of new accounts that were not judged: accounts_max was reached",
    ),
    MetricSpec(
        "copycatch_accounts_evicted_total", "counter", (), "accounts forgotten to make room for new ones"
    ),
    MetricSpec(
        "copycatch_records_beyond_models_total",
        "counter",
        (),
        "records judged by limits only: more models than are learned",
    ),
    MetricSpec(
        "copycatch_populations_evicted_total",
        "counter",
        (),
        "models forgotten to make room: never answered to several accounts, or not for a week",
    ),
    MetricSpec(
        "copycatch_populations_restarted_total",
        "counter",
        (),
        "models learned afresh, as most accounts' vectors became others",
    ),
    MetricSpec(
        "copycatch_vectors_left_out_total",
        "counter",
        (),
        "vectors not scored: of another length than those of most accounts; their records count",
    ),
    MetricSpec(
        "copycatch_link_groups_dropped_total",
        "counter",
        (),
        "groups of accounts that share something and were not weighed: too large, or too many in a search",
    ),
    MetricSpec(
        "copycatch_campaigns_dropped_total", "counter", (), "campaigns found and not kept: too many are open"
    ),
    MetricSpec(
        "copycatch_campaign_members_dropped_total",
        "counter",
        (),
        "accounts found to be of a campaign and not named: it has too many",
    ),
    MetricSpec(
        "copycatch_campaign_joiners_skipped_total",
        "counter",
        (),
        "accounts that ask what a campaign asks and were not looked at in a search: there were too many",
    ),
    MetricSpec("copycatch_campaigns_open", "gauge", (), "campaigns whose accounts act as one now"),
    MetricSpec(
        "copycatch_recent_unjudged_share",
        "gauge",
        (),
        "of the records of the last hour, the share that was rejected or late; 0 where none came",
    ),
    MetricSpec(
        "copycatch_recent_unscored_share",
        "gauge",
        (),
        "of the evaluations of the last hour, the share without a score: warming up, or fields are missing",
    ),
    MetricSpec("copycatch_models_warming_up", "gauge", (), "models whose accounts have no score yet"),
    MetricSpec(
        "copycatch_warm_up_ends_seconds",
        "gauge",
        (),
        "event time in epoch seconds at which the last model has warmed up; 0 where all have",
    ),
    MetricSpec(
        "copycatch_models_not_judged",
        "gauge",
        (),
        "models with an open alert: no room, too long a warm-up, or too many vectors of another length",
    ),
    MetricSpec(
        "copycatch_records_set_aside_total",
        "counter",
        (),
        "records not read again: the process died twice while it judged them",
    ),
    MetricSpec(
        "copycatch_snapshot_pause_seconds", "histogram", (), "how long judging stood still for a snapshot"
    ),
    MetricSpec("copycatch_snapshot_bytes", "gauge", (), "size of the newest snapshots of all shards"),
    MetricSpec("copycatch_snapshots_total", "counter", ("result",), "snapshots written, failed or refused"),
    MetricSpec(
        "copycatch_snapshot_time_seconds", "gauge", (), "when the newest snapshot was complete, Unix time"
    ),
    MetricSpec(
        "copycatch_policy_reloads_total",
        "counter",
        ("result",),
        "policy files taken or refused while running",
    ),
    MetricSpec(
        "copycatch_accounts_watched", "gauge", (), "accounts with an open finding or a limit that counts"
    ),
    MetricSpec(
        "copycatch_cases", "gauge", (), "accounts of which findings or recommendations are remembered"
    ),
    MetricSpec(
        "copycatch_findings_withheld",
        "gauge",
        ("why",),
        "findings not sent so far: silenced, flood_cap, allowed, evicted",
    ),
    MetricSpec(
        "copycatch_alert_budget_ratio",
        "gauge",
        ("model",),
        "alerts opened over alerts budgeted, yesterday and today; far above 1 is an attack or a misfit",
    ),
    MetricSpec(
        "copycatch_version_lag_seconds",
        "gauge",
        (),
        "event time that the newest version of what is learned is behind the newest record",
    ),
    MetricSpec("copycatch_version", "gauge", (), "version of what is learned: taken, or made by the learner"),
    MetricSpec(
        "copycatch_learning_messages_total",
        "counter",
        ("outcome",),
        "messages between workers and learner: told, taken, refused (damaged, foreign) or lost (never sent)",
    ),
    MetricSpec(
        "copycatch_ticks_without_version_total",
        "counter",
        (),
        "five-minute ticks whose version had not come in time: judged by the one before",
    ),
    MetricSpec(
        "copycatch_policy_verdicts",
        "gauge",
        ("section", "holds"),
        "entries of the policy that follow from verdicts; what is beyond the bounds does not hold",
    ),
    MetricSpec(
        "copycatch_verdicts",
        "gauge",
        ("verdict", "days"),
        "alerts by their latest verdict, of the last days; alerts without one are in none",
    ),
    MetricSpec(
        "copycatch_alert_precision",
        "gauge",
        ("days",),
        "attacks among the alerts of the last days that were judged attack or benign; NaN where none was",
    ),
    MetricSpec(
        "copycatch_spans_total", "counter", ("outcome",), "spans for a collector: sent, or failed to be"
    ),
    MetricSpec("copycatch_policy_info", "gauge", ("version",), "1 for the policy in force"),
    MetricSpec(
        "copycatch_notes_total", "counter", ("note",), "messages that formats skipped, held, joined or split"
    ),
    MetricSpec(
        "copycatch_evaluations_kept_bytes", "gauge", (), "size of the files of evaluations when a day began"
    ),
    MetricSpec(
        "copycatch_evaluations_lost_total", "counter", (), "units whose evaluations could not be kept"
    ),
    MetricSpec(
        "copycatch_drill_messages_total",
        "counter",
        ("kind",),
        "of drills: record (taken), alert and recommendation (delivered); they are in no other metric",
    ),
    MetricSpec(
        "copycatch_drill_sink_messages_total",
        "counter",
        ("sink", "outcome"),
        "the same as copycatch_sink_messages_total, of drills",
    ),
    MetricSpec(
        "copycatch_sink_messages_total",
        "counter",
        ("sink", "outcome"),
        "messages for further sinks: sent, refused by one, or left_out while one was down or refused all",
    ),
)
