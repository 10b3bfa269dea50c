"""The page of a pack: for who was not there, and knows neither the tool nor its words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from copycatch.decisions.alert_text import ACTION_TEXTS
from copycatch.desk.evidence.recipe import Recipe
from copycatch.desk.overview import is_restriction
from copycatch.records.wire import Alert, Recommendation
from copycatch.safe_text import printable

ACCOUNTS_SHOWN = 50
REVISIONS_SHOWN = 100
TEXT_CHARS_MAX = 2000

STYLE = (
    "body{font:16px/1.5 Georgia,serif;max-width:46em;margin:2em auto;padding:0 1em;color:#111}"
    "table{border-collapse:collapse;width:100%;font-size:.85em}td,th{border:1px solid #999;padding:.2em .5em;"
    "text-align:left;vertical-align:top;overflow-wrap:anywhere}code,pre{font-size:.85em;overflow-wrap:anywhere;"
    "white-space:pre-wrap}"
)
LIMITS = (
    (
        "The finding is statistical. It says how rarely an account that is used normally behaves like this; "
        "it does not show who sat at the account, what they intended, or what they made of the answers."
    ),
    (
        "The baseline is the other accounts of the same model in the same log. The pack holds the log's "
        "hashes, the log itself stays with its keeper and is needed to compute the finding once more."
    ),
    (
        "The signature shows that the files are as the holder of the key signed them. It does not show when, "
        "nor that the log was true when it was written."
    ),
)


@dataclass(frozen=True, slots=True)
class Incident:
    """What the page tells."""

    alerts: Sequence[Alert]  # every revision, as recomputed
    rows: Sequence[Recommendation]
    recipe: Recipe
    differs: Sequence[str] | None  # from what was announced; None: that was not given
    n_records: int
    is_hashed: bool
    made: str
    key_id: str


def incident_page(incident: Incident, hash_by_name: Mapping[str, str]) -> str:
    """One HTML page that loads nothing; whatever comes from a log is text in it."""
    last = incident.alerts[-1]
    who = f"{last.entity.kind} {printable(last.entity.id, 200)}"
    parts = [
        (
            "<!doctype html><html lang=en><meta charset=utf-8>"
            "<meta name=viewport content='width=device-width'>"
            f"<title>Incident {_text(last.uid)}</title><style>{STYLE}</style>"
        ),
        f"<h1>Incident {_text(last.uid)}</h1>",
        (
            f"<p>Written {_text(incident.made)} by copycatch {_text(incident.recipe.versions['copycatch'])}, "
            f"signed by the key with id <code>{_text(incident.key_id)}</code>.</p>"
        ),
        f"<h2>What happened</h2>{_happened(incident, who)}",
        f"<h2>What it rests on</h2>{_reasons(last)}",
        f"<h2>How it went</h2>{_revisions(incident.alerts)}",
        f"<h2>What was decided</h2>{_decided(incident.rows)}",
        f"<h2>The records</h2>{_records(incident)}",
        f"<h2>What this does not show</h2><ul>{''.join(f'<li>{_text(each)}</li>' for each in LIMITS)}</ul>",
        f"<h2>How to check it</h2>{_checks(incident)}",
        f"<h2>Files</h2>{_table(('file', 'SHA-256'), sorted(hash_by_name.items()))}",
    ]
    return "\n".join(parts) + "\n"


def _happened(incident: Incident, who: str) -> str:
    last = incident.alerts[-1]
    worst = min((a for a in incident.alerts if a.score.tail_prob is not None), key=_chance, default=None)
    model = "over several models" if last.model_id == "*" else f"the model {printable(last.model_id, 200)}"
    tenant = f" of tenant {printable(last.tenant_id, 200)}" if last.tenant_id else ""
    chance = (
        "It is past a limit that the policy sets."
        if worst is None
        else f"At its most anomalous it was {printable(worst.score.rank, 200)}."
    )
    accounts = ", ".join(printable(each, 200) for each in last.entity.accounts[:ACCOUNTS_SHOWN])
    members = (
        f"<p>It is made of {last.entity.accounts_total} accounts, among them {_text(accounts)}.</p>"
        if last.entity.kind == "campaign"
        else ""
    )
    return (
        f"<p>The {_text(who + tenant)} queried {_text(model)}: {last.queries:,} queries were seen from "
        f"{_text(last.first_seen)} to {_text(last.last_seen)}. {_text(chance)} Whoever sent them has the "
        f"answers to up to {last.queries:,} queries.</p>{members}"
        f"<p>The first alert says: {_text(incident.alerts[0].words)}</p>"
    )


def _chance(alert: Alert) -> float:
    return 1.0 if alert.score.tail_prob is None else alert.score.tail_prob


def _reasons(alert: Alert) -> str:
    if not alert.reasons:
        return "<p>The alert carries no single reasons; its text stands above.</p>"
    rows = [
        (reason.words, f"{100 * reason.share:.0f} %", _range(reason.normal_low, reason.normal_high))
        for reason in alert.reasons
    ]
    return _table(("what was observed", "part of the score", "usual for 5 to 95 % of other accounts"), rows)


def _range(low: float | None, high: float | None) -> str:
    return "not known" if low is None or high is None else f"{low:.4g} to {high:.4g}"


def _revisions(alerts: Sequence[Alert]) -> str:
    rows = [(a.time, a.op, a.severity, f"{a.queries:,}") for a in alerts[:REVISIONS_SHOWN]]
    more = len(alerts) - len(rows)
    left = f"<p>{more} more are in recomputed.jsonl.</p>" if more > 0 else ""
    return _table(("time", "what", "severity", "queries so far"), rows) + left


def _decided(rows: Sequence[Recommendation]) -> str:
    if not rows:
        return "<p>Nothing was recommended.</p>"
    lines = [
        (
            row.issued_at,
            "taken back" if row.op == "revoke" else f"{row.action}: {ACTION_TEXTS[row.action]}",
            "restriction" if is_restriction(row) else "no restriction",
            "not acted on (shadow mode)" if row.mode == "shadow" else f"until {row.expires_at or 'revoked'}",
        )
        for row in rows[:REVISIONS_SHOWN]
    ]
    return _table(("time", "what was recommended", "kind", "in force"), lines) + (
        "<p>These are recommendations. Whether the enforcement point carried them out is in its own log.</p>"
    )


def _records(incident: Incident) -> str:
    kind = (
        "keyed hashes only: with the log and the key file that lies beside the pack each can be compared"
        if incident.is_hashed
        else "whole, as read from the log"
    )
    files = [(each.name, f"{each.n_bytes:,}", each.sha256) for each in incident.recipe.log]
    return (
        f"<p>{incident.n_records:,} records of the log are in <code>records.jsonl</code> ({kind}). "
        f"The log:</p>{_table(('file', 'bytes', 'SHA-256'), files)}"
    )


def _checks(incident: Incident) -> str:
    if incident.differs is None:
        said = "Compared with nothing: no alert as it was announced was given."
    elif incident.differs:
        said = "The alert as announced and as computed from this log DIFFER: " + "; ".join(incident.differs)
    else:
        said = "The alert as announced and as computed from this log are the same, bit for bit."
    commands = (
        "copycatch evidence verify . --public-key operator.pub.pem\n"
        "copycatch evidence verify . --public-key operator.pub.pem --recompute --log LOG..."
    )
    versions = ", ".join(f"{name} {number}" for name, number in incident.recipe.versions.items())
    return (
        f"<p>{_text(said)}</p><p>In this folder, with a public key that came from the operator by another "
        f"way:</p><pre>{_text(commands)}</pre><p>The first names every file that was changed, is missing or "
        "was added. The second computes the alert once more from the log, which its keeper must provide. "
        "Without copycatch: <code>manifest.dsse.json</code> is a DSSE envelope around an in-toto statement "
        f"that lists the SHA-256 of each file.</p><p>Computed with {_text(versions)}.</p>"
    )


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{_text(title)}" for title in titles)
    body = "".join("<tr>" + "".join(f"<td>{_text(cell)}" for cell in row) for row in rows)
    return f"<table><tr>{head}{body}</table>"


def _text(text: str) -> str:
    return escape(printable(text, TEXT_CHARS_MAX))
