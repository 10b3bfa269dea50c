"""What a policy means, as text for a person."""

from collections.abc import Iterator

from copycatch.contracts.example_policy import key_of, value_text
from copycatch.decisions.alert_text import ACTION_TEXTS
from copycatch.decisions.explain import readable_duration, readable_number
from copycatch.decisions.recommend import RANK_LIMITED_MIN
from copycatch.records.policy import Exemption, ExtractionRule, Override, Policy
from copycatch.records.wire import ACTION_RANKS, SEVERITIES, Action
from copycatch.safe_text import printable
from copycatch.settings.policy_notes import match_text
from copycatch.units import format_rfc3339

LISTED_MAX = 20


def policy_lines(policy: Policy, now_ms: int = 0) -> list[str]:
    """The policy as an analyst would tell it to a colleague, one sentence a line.

    Entries that have expired at `now_ms` say so.

    Examples
    --------
    >>> for line in policy_lines(Policy())[:2]:
    ...     print(line)
    Mode enforce: enforcement points act on what is recommended.
    Of 1,000 normal accounts, about 2 a day may be alerted by mistake, and 0.2 get a recommendation that takes something.
    """  # noqa: E501
    alerts = policy.budget.alerts_per_1000_accounts_per_day * policy.sensitivity
    recommendations = policy.budget.recommendations_per_1000_accounts_per_day * policy.sensitivity
    mode = (
        "Mode enforce: enforcement points act on what is recommended."
        if policy.mode == "enforce"
        else "Mode shadow: everything is computed and sent, marked as such; nobody is held to it."
    )
    budget = (
        f"Of 1,000 normal accounts, about {readable_number(alerts)} a day may be alerted by mistake, "
        f"and {readable_number(recommendations)} get a recommendation that takes something."
    )
    lines = [mode, budget]
    if policy.extraction is None:
        lines.append("The extraction rule is OFF: only plain limits speak.")
    else:
        lines.extend(_extraction_lines(policy.extraction, policy))
    for limit in policy.limits:
        held = f" for {readable_duration(limit.when.for_s)}" if limit.when.for_s else ""
        lines.append(
            f"Limit {limit.name}: {limit.when.feature} above {readable_number(limit.when.above)}{held} is "
            f"{limit.severity}: {ACTION_TEXTS[limit.action]} ({limit.action})."
        )
    lines.append(
        f"Windows of {', '.join(readable_duration(s) for s in _lengths(policy))} of event time; "
        f"records may come {readable_duration(policy.windows.late_s_max)} late."
    )
    lines.extend(
        f"Override for {match_text(o.match)}: {_override_text(o)}." for o in policy.overrides[:LISTED_MAX]
    )
    for title, exemptions in (
        ("Allowed", policy.allow),
        ("Known attack", policy.attacks),
        ("Silenced", policy.silences),
    ):
        lines.extend(f"{title}: {_exemption_text(e, now_ms)}." for e in exemptions[:LISTED_MAX])
        if len(exemptions) > LISTED_MAX:
            lines.append(f"{title}: {len(exemptions) - LISTED_MAX} more.")
    return [*lines, *_changed_lines(policy)]


def _changed_lines(policy: Policy) -> Iterator[str]:
    """Every number of the sections that is not the default, with its description."""
    for section in ("budget", "windows", "enforcement"):
        given = getattr(policy, section)
        for name, field in type(given).model_fields.items():
            value = getattr(given, name)
            if value != field.default:
                shown = value_text(type(given), name, value)
                yield f"Changed: {section}.{key_of(name, field)} is {shown}. {field.description}"


def _extraction_lines(rule: ExtractionRule, policy: Policy) -> list[str]:
    budget = policy.budget.alerts_per_1000_accounts_per_day / 1000 * policy.sensitivity
    lines = [f"Rule extraction speaks from {rule.queries_min} queries of an account on."]
    for severity in SEVERITIES:
        if severity in rule.severity_shares:
            threshold = budget * rule.severity_shares[severity]
            action = rule.actions.get(severity, "observe")
            lines.append(
                f"  {severity}: rarer than one in {1 / threshold:,.0f} normal account-days: "
                f"{ACTION_TEXTS[action]} ({action}).{_held_to(action, threshold, policy)}"
            )
    lines.append(
        f"  Released after looking normal for {readable_duration(rule.clear_after_s)}; alerted again at most "
        f"every {readable_duration(rule.repeat_after_s)} unless it gets worse."
    )
    return lines


def _held_to(action: Action, threshold: float, policy: Policy) -> str:
    """What the smaller budget of restrictions leaves of an action."""
    least = policy.budget.recommendations_per_1000_accounts_per_day / 1000 * policy.sensitivity
    if ACTION_RANKS[action] < RANK_LIMITED_MIN or threshold <= least:
        return ""
    beyond = f"one in {1 / least:,.0f}"
    return f" That only beyond {beyond}; before it a milder action, by the budget of restrictions."


def _lengths(policy: Policy) -> tuple[float, ...]:
    return (policy.windows.short_s, policy.windows.long_s, policy.windows.memory_s)


def _override_text(override: Override) -> str:
    budget = override.budget
    changes = [
        ("alerts per 1,000 accounts and day", budget and budget.alerts_per_1000_accounts_per_day),
        ("restrictions", budget and budget.recommendations_per_1000_accounts_per_day),
        ("budget times", override.sensitivity and readable_number(override.sensitivity)),
        ("mode", override.mode),
        ("from queries", override.queries_min),
        ("severities", override.severity_shares and ", ".join(override.severity_shares)),
        ("actions", override.actions and ", ".join(f"{s} {a}" for s, a in override.actions.items())),
        ("cleared after", override.clear_after_s and readable_duration(override.clear_after_s)),
        ("repeated after", override.repeat_after_s and readable_duration(override.repeat_after_s)),
    ]
    return "; ".join(f"{name} {value}" for name, value in changes if value is not None)


def _exemption_text(exemption: Exemption, now_ms: int) -> str:
    until = "for ever" if exemption.expires_ms is None else f"until {format_rfc3339(exemption.expires_ms)}"
    if exemption.expires_ms is not None and exemption.expires_ms <= now_ms:
        until = f"EXPIRED at {format_rfc3339(exemption.expires_ms)}"
    owner = f", {printable(exemption.owner)}" if exemption.owner else ""
    return f"{match_text(exemption.match)} {until} ({printable(exemption.reason, 200)}{owner})"
