"""Models that are answered but not judged, or whose vectors are often of another length: each is an alert.

Counted are answered records only: a name that no model answers to is nobody's concern. Counts fade by a
24th an hour, so that they stand for about the last day.
"""

from collections.abc import Iterator
from importlib.metadata import version

from copycatch.decisions.alert_text import model_text
from copycatch.decisions.case import Case
from copycatch.decisions.episodes import uid_of
from copycatch.engine.learned import MODELS_MAX, Learned, ModelWatch
from copycatch.records.policy import Policy
from copycatch.records.wire import Alert, Entity, Score
from copycatch.units import MS_PER_DAY, format_rfc3339

HOUR_MS = 3_600_000
RULE = "model_not_judged"
WATCHED_MAX = 4 * MODELS_MAX
RECORDS_MIN = 500  # answered in about a day: below that a model is not much to steal
ODD_SHARE = 0.05
WARM_UP_MS_MAX = 72 * HOUR_MS
UNANSWERED_MS = 7 * MS_PER_DAY  # after which a born population gives way
ROOM = 16  # places kept free for models to come


def make_room(learned: Learned, now_ms: int) -> None:
    """Let populations without answers give way, those that were never born first."""
    n_over = len(learned.populations) - (MODELS_MAX - ROOM)
    if n_over <= 0:
        return
    order = sorted(
        (population.is_born, population.answered_ms, model_id)
        for model_id, population in learned.populations.items()
        if not population.is_born or population.answered_ms < now_ms - UNANSWERED_MS
    )
    for _, _, model_id in order[:n_over]:
        learned.drop(model_id)
        learned.evicted += 1


def check_models(learned: Learned, now_ms: int, policy: Policy) -> Iterator[Alert]:
    """Alerts about models, once an hour of event time; each model opens one a day at most."""
    hour = now_ms // HOUR_MS
    if hour <= learned.watched_h:
        return
    kept = (1 - 1 / 24) ** min(hour - learned.watched_h, 240) if learned.watched_h >= 0 else 1.0
    learned.watched_h = hour
    for model_id, watch in list(learned.watches.items()):
        why = _why(learned, model_id, watch, now_ms)
        if watch.why and not why:
            yield _alert(model_id, watch, now_ms, policy, is_open=False)
            watch.why = ""
        elif why and not watch.why and now_ms - watch.opened_ms >= MS_PER_DAY:
            watch.why, watch.opened_ms = why, now_ms
            yield _alert(model_id, watch, now_ms, policy, is_open=True)
        watch.records *= kept
        watch.odd *= kept
        if watch.records < 1 and not watch.why:
            del learned.watches[model_id]


def _why(learned: Learned, model_id: str, watch: ModelWatch, now_ms: int) -> str:
    """What keeps a model's accounts from being judged; empty where nothing does."""
    if watch.records < RECORDS_MIN:
        return ""
    population = learned.populations.get(model_id)
    if population is None:
        return f"more than {MODELS_MAX} models are answered, and no more are learned"
    if watch.odd > ODD_SHARE * watch.records:
        share = 100 * watch.odd / watch.records
        return (
            f"{share:.0f} % of its answered records of about a day have vectors of another length than the "
            f"{population.vector_length} values of most accounts; those are not scored"
        )
    if population.is_settled or now_ms - watch.first_ms < WARM_UP_MS_MAX:
        return ""
    if not population.votes.by_account:
        return (
            "its records have neither numeric inputs nor embeddings nor texts, and too few accounts ask to "
            "compare how much and when they do"
        )
    return (
        f"its warm-up has lasted {(now_ms - watch.first_ms) // HOUR_MS} hours: too few accounts or queries "
        "have been answered"
    )


def _alert(model_id: str, watch: ModelWatch, now_ms: int, policy: Policy, *, is_open: bool) -> Alert:
    now, since = format_rfc3339(now_ms), format_rfc3339(watch.opened_ms)
    return Alert(
        uid=uid_of(RULE, Case(None, model_id, model_id), watch.opened_ms),
        op="open" if is_open else "close",
        time=now,
        first_seen=since,
        last_seen=now,
        severity="medium",
        mode=policy.mode,
        tenant_id=None,
        model_id=model_id,
        entity=Entity(kind="model", id=model_id, accounts=[], accounts_total=0),
        score=Score(tail_prob=None, rank="accounts of the model are not judged"),
        rule=RULE,
        policy_version=policy.content_version,
        detector_version=version("copycatch"),
        window_s=MS_PER_DAY / 1000,
        queries=round(watch.records),
        reasons=[],
        sample_event_ids=[],
        techniques=[],
        recommendation=None,
        words=model_text(model_id, watch.why, is_open=is_open),
    )
