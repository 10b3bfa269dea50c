"""An alert laid out for reading: what was seen, what is normal, what to do."""

import shlex
from dataclasses import dataclass

from copycatch.alert_formats.text import technique_of
from copycatch.decisions.alert_text import ACTION_TEXTS, after_close_text
from copycatch.decisions.campaigns import ALL_MODELS
from copycatch.decisions.explain import readable_duration, readable_number
from copycatch.desk.overview import RARE
from copycatch.records.wire import Alert, Reason, Recommendation
from copycatch.safe_text import printable
from copycatch.settings.policy_edit import quoted

BAR_CHARS = 20
WORDS_CHARS_MAX = 2000
SAMPLES_SHOWN_MAX = 5
ALLOWED_SHOWN_MAX = 20  # a team's keys, whole
MODE_WORDS = {"enforce": "", "shadow": ", shadow mode: nobody acts on it"}
OP_WORDS = {"open": "opened", "update": "still open", "close": "closed", "reopen": "open again"}


def share_bar(share: float) -> str:
    """A share as a bar of fixed width.

    Examples
    --------
    >>> share_bar(0.5)
    '##########.......... 50 %'
    """
    n_filled = round(BAR_CHARS * min(max(share, 0.0), 1.0))
    return "#" * n_filled + "." * (BAR_CHARS - n_filled) + f" {100 * share:.0f} %"


@dataclass(frozen=True, slots=True)
class Exempting:
    """What stands in the way to exempt that is shown: who answers for it, until when, in which file."""

    owner: str
    expires: str
    policy: str = "policy.yaml"


def alert_text(
    alert: Alert, recommendation: Recommendation | None, exempting: Exempting, is_tty: bool = False
) -> str:
    """The whole explanation of one alert as lines of text.

    Ids and words in the alert come from strangers or from a file that anybody may have written: nothing in
    it reaches the terminal unescaped.
    """
    bold, plain = ("\x1b[1m", "\x1b[0m") if is_tty else ("", "")
    entity = printable(alert.entity.id)
    kind = f"{alert.entity.kind} {entity}"
    tenant = f" of tenant {printable(alert.tenant_id)}" if alert.tenant_id else ""
    head = f"{alert.severity.upper()} {kind}{tenant} on model {printable(alert.model_id)}"
    state = f"{OP_WORDS[alert.op]} {printable(alert.time)}{MODE_WORDS[alert.mode]}"
    amount = f"{readable_number(alert.queries)} queries in {readable_duration(alert.window_s)}"
    lines = [
        f"{bold}{head}{plain}",
        f"alert {printable(alert.uid)} of rule {printable(alert.rule)}, {state}",
        "",
        "What was seen",
        f"  {amount}, from {printable(alert.first_seen)} to {printable(alert.last_seen)}",
        f"  {_sentence(printable(alert.score.rank, 200))}",
    ]
    if alert.entity.accounts_total > 1:
        shown = ", ".join(printable(a) for a in alert.entity.accounts[:SAMPLES_SHOWN_MAX])
        lines.append(f"  {alert.entity.accounts_total} accounts, among them {shown}")
    lines += ["", "Why", *_reason_lines(alert.reasons), ""]
    lines += ["What to do", *_advice_lines(alert, recommendation), ""]
    lines += _allow_lines(alert, exempting)
    return "\n".join(lines)


def _reason_lines(reasons: list[Reason]) -> list[str]:
    if not reasons:
        return ["  (the alert carries no reasons)"]
    lines = []
    for reason in reasons:
        lines.append(f"  {share_bar(reason.share)}  {printable(reason.feature)}")
        lines.append(f"    {_sentence(printable(reason.words, 400))}")
    if all(reason.tail_prob is not None and reason.tail_prob >= RARE for reason in reasons):
        lines.append("  None of these is rare by itself: it is how they go together")
    return lines


def _advice_lines(alert: Alert, recommendation: Recommendation | None) -> list[str]:
    lines = []
    if alert.op == "close":
        lines.append(f"  {printable(alert.words, WORDS_CHARS_MAX)}")
        if alert.entity.kind != "model" and alert.part_of is None:
            lines.append(f"  {after_close_text(alert.queries)}")
    if alert.part_of is not None:
        lines.append(f"  It goes on in alert {printable(alert.part_of)}, which is about the whole campaign")
    if alert.looks_like:
        names = "; ".join(printable(name) for name in alert.looks_like)
        lines.append(f"  Ask the owner first: it also resembles {names}")
        lines.append("  That acquits nobody: most attacks resemble harmless use; look at the queries")
    if alert.sample_event_ids:
        shown = ", ".join(printable(e) for e in alert.sample_event_ids[:SAMPLES_SHOWN_MAX])
        lines.append(f"  Look at what it asked, for example at events {shown}")
        if alert.entity.kind == "account":
            who = printable(shlex.quote(alert.entity.id))
            lines.append(f"  Beside usual queries: copycatch explain --account {who} --log FILE, of the log")
    if alert.client_ips:
        shown = ", ".join(printable(ip) for ip in alert.client_ips[:SAMPLES_SHOWN_MAX])
        lines.append(f"  Look for other accounts from {shown}")
    if alert.op != "close":
        lines.append(f"  {_recommended(alert, recommendation)}")
    techniques = [_technique(printable(technique)) for technique in alert.techniques]
    if techniques:
        lines.append(f"  In MITRE ATLAS this is {', '.join(techniques)}")
    return lines


def _technique(technique_id: str) -> str:
    name = technique_of(technique_id).name
    return technique_id if name == technique_id else f"{technique_id} ({name})"


def _recommended(alert: Alert, recommendation: Recommendation | None) -> str:
    key = printable(alert.recommendation or "", 300)
    if recommendation is None:
        # The alert's own paragraph ends with the action; the parameters are in the recommendation.
        action = alert.words.rpartition("Recommended: ")[2] if "Recommended: " in alert.words else ""
        what = f"Recommended: {printable(action, 200)}" if action else "See the recommendation"
        return f"{what} Parameters are under decision key {key}" if key else what
    if recommendation.op == "revoke":
        return f"Nothing is in force any more: {key} was revoked at {printable(recommendation.issued_at)}"
    params = ", ".join(
        f"{printable(name)} {printable(str(value))}"
        for name, value in recommendation.action_params.items()
        if value is not None
    )
    until = f" until {printable(recommendation.expires_at)}" if recommendation.expires_at else ""
    person = " A person has to decide." if recommendation.requires_human else ""
    return (
        f"Recommended: {ACTION_TEXTS[recommendation.action]} ({recommendation.action}"
        f"{': ' + params if params else ''}){until}, revision {recommendation.revision} of {key}.{person}"
    )


def _allow_lines(alert: Alert, exempting: Exempting) -> list[str]:
    """What to paste as it stands: a command, or, of ids that no command line should hold, policy entries."""
    every = alert.entity.accounts or [alert.entity.id]
    accounts = every[:ALLOWED_SHOWN_MAX]
    reason = f"looked at alert {printable(alert.uid[:12])} and found it expected"
    named = [*accounts, alert.tenant_id or "", alert.model_id]
    if all(each == printable(each, len(each) + 1) and not each.startswith("-") for each in named):
        lines = [
            "If it is legitimate, exempt it for 30 days",
            *_command_lines(alert, accounts, reason, exempting),
        ]
    else:
        lines = ["If it is legitimate, put this into the policy"]
        lines += _entry_lines(alert, accounts, reason, exempting)
    n_left = alert.entity.accounts_total - len(accounts)
    if n_left > 0:
        lines.append(f"  # and {n_left} more accounts, each by itself: the alert names {len(every)} in all")
    return lines


def _command_lines(alert: Alert, accounts: list[str], reason: str, exempting: Exempting) -> list[str]:
    options = ["--policy", exempting.policy, "--for", "30d", "--reason", reason, "--owner", exempting.owner]
    if alert.tenant_id is not None:
        options += ["--tenant", alert.tenant_id]
    if alert.model_id != ALL_MODELS:  # an entry without a model holds for each, and for all together
        options += ["--model", alert.model_id]
    if len(accounts) == 1:
        return [f"  {shlex.join(['copycatch', 'allow', 'add', accounts[0], *options])}"]
    return [
        f"  for account in {shlex.join(accounts)}; do",
        f'    copycatch allow add "$account" {shlex.join(options)}',
        "  done",
    ]


def _entry_lines(alert: Alert, accounts: list[str], reason: str, exempting: Exempting) -> list[str]:
    match = {"tenant_id": alert.tenant_id}
    if alert.model_id != ALL_MODELS:
        match["model_id"] = alert.model_id
    lines = ["  allow:"]
    for account in accounts:
        named = {**match, "account_id": account}
        inner = ", ".join(f"{key}: {quoted(value)}" for key, value in named.items() if value is not None)
        lines += [
            f"    - match: {{{inner}}}",
            f"      reason: {quoted(reason)}",
            f"      owner: {quoted(exempting.owner)}",
            f"      expires: {quoted(exempting.expires)}",
        ]
    return lines


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
