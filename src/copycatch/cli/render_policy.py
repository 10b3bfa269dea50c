"""What a policy means, as text for a person."""

from collections.abc import Iterator

from copycatch.contracts.example_policy import key_of, value_text
from copycatch.decisions.alert_text import ACTION_TEXTS
from copycatch.decisions.explain import readable_duration, readable_number
from copycatch.records.policy import Exemption, ExtractionRule, Match, Override, Policy
from copycatch.records.wire import SEVERITIES
from copycatch.safe_text import printable
from copycatch.units import MS_PER_DAY, format_rfc3339

EXPIRY_WARNED_MS = 14 * MS_PER_DAY
LISTED_MAX = 20


def policy_lines(policy: Policy) -> list[str]:
    """The policy as an analyst would tell it to a colleague, one sentence a line.

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
        f"Override for {_match_text(o.match)}: {_override_text(o)}." for o in policy.overrides[:LISTED_MAX]
    )
    for title, exemptions in (
        ("Allowed", policy.allow),
        ("Known attack", policy.attacks),
        ("Silenced", policy.silences),
    ):
        lines.extend(f"{title}: {_exemption_text(e)}." for e in exemptions[:LISTED_MAX])
        if len(exemptions) > LISTED_MAX:
            lines.append(f"{title}: {len(exemptions) - LISTED_MAX} more.")
    return [*lines, *_changed_lines(policy)]


def policy_warnings(policy: Policy, now_ms: int) -> list[str]:
    """What is allowed but probably not meant.

    Examples
    --------
    >>> from copycatch.records.policy import Allow
    >>> until = Allow(match=Match(account_id="ci"), reason="tests", owner="ops", expires_ms=1000)
    >>> policy_warnings(Policy(allow=[until]), 2000)
    ['allow for account ci expired at 1970-01-01T00:00:01.000Z; remove it or set a new date']
    """
    warnings = []
    for title, exemptions in (("allow", policy.allow), ("silence", policy.silences)):
        for exemption in exemptions:
            who = _match_text(exemption.match)
            if exemption.expires_ms is None:
                warnings.append(f"{title} for {who} never expires; set expires")
            elif exemption.expires_ms <= now_ms:
                expired = format_rfc3339(exemption.expires_ms)
                warnings.append(f"{title} for {who} expired at {expired}; remove it or set a new date")
            elif title == "allow" and exemption.expires_ms <= now_ms + EXPIRY_WARNED_MS:
                warnings.append(f"allow for {who} expires soon, at {format_rfc3339(exemption.expires_ms)}")
            if title == "allow" and exemption.match.account_id is None:
                warnings.append(
                    f"allow for {who} exempts every account there; name account_id to be narrower"
                )
    rule = policy.extraction
    if rule is None:
        warnings.append("extraction is off: model extraction will not be detected")
    elif "low" not in rule.severity_shares and rule.severity_shares.get("medium", 1.0) < 1.0:
        loosest = max(rule.severity_shares.values())
        warnings.append(f"the loosest severity uses {loosest:.0%} of the budget; the rest is never spent")
    if policy.extraction is not None and policy.extraction.queries_min > 50:
        warnings.append(
            f"queries_min is {policy.extraction.queries_min}: an attacker has half of what they will ever "
            "get after about 50 queries"
        )
    return warnings


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
            one_in = 1 / (budget * rule.severity_shares[severity])
            action = rule.actions.get(severity, "observe")
            lines.append(
                f"  {severity}: more anomalous than all but one in {one_in:,.0f} normal account-days: "
                f"{ACTION_TEXTS[action]} ({action})."
            )
    lines.append(
        f"  Released after looking normal for {readable_duration(rule.clear_after_s)}; alerted again at most "
        f"every {readable_duration(rule.repeat_after_s)} unless it gets worse."
    )
    return lines


def _lengths(policy: Policy) -> tuple[float, ...]:
    return (policy.windows.short_s, policy.windows.long_s, policy.windows.memory_s)


def _match_text(match: Match) -> str:
    parts = (("account", match.account_id), ("tenant", match.tenant_id), ("model", match.model_id))
    return (
        ", ".join(f"{kind} {printable(value)}" for kind, value in parts if value is not None) or "everybody"
    )


def _override_text(override: Override) -> str:
    changes = [
        ("budget times", override.sensitivity and readable_number(override.sensitivity)),
        ("mode", override.mode),
        ("from queries", override.queries_min),
        ("severities", override.severity_shares and ", ".join(override.severity_shares)),
        ("actions", override.actions and ", ".join(f"{s} {a}" for s, a in override.actions.items())),
        ("cleared after", override.clear_after_s and readable_duration(override.clear_after_s)),
        ("repeated after", override.repeat_after_s and readable_duration(override.repeat_after_s)),
    ]
    return "; ".join(f"{name} {value}" for name, value in changes if value is not None)


def _exemption_text(exemption: Exemption) -> str:
    until = "for ever" if exemption.expires_ms is None else f"until {format_rfc3339(exemption.expires_ms)}"
    owner = f", {printable(exemption.owner)}" if exemption.owner else ""
    return f"{_match_text(exemption.match)} {until} ({printable(exemption.reason, 200)}{owner})"
