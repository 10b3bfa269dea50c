"""What a policy allows but probably does not mean: notes, and faults where somebody asks for strictness."""

import re
from collections import Counter
from collections.abc import Iterator

from copycatch.decisions.plan import EntityKey, alerts_per_1000, make_plan
from copycatch.decisions.verdicts import VERDICTS_A_DAY_MAX, VERDICTS_MAX, held
from copycatch.features.catalog import SPECS
from copycatch.records.policy import Exemption, Match, Policy
from copycatch.records.policy_rules import BUILT_IN_LIMITS
from copycatch.safe_text import printable
from copycatch.units import MS_PER_DAY, format_rfc3339

EXPIRY_WARNED_MS = 14 * MS_PER_DAY
BUDGET_MEASURED = (0.5, 5.0)
"""Alerts per 1,000 accounts and day between which the calibration was measured."""
QUERIES_MIN_WARNED = 50
_NO_WORDS = frozenset(
    (
        "todo",
        "tbd",
        "fixme",
        "xxx",
        "n/a",
        "reason",
        "owner",
        "why",
        "who",
        "placeholder",
        "changeme",
        "change me",
    )
)
_BRACKETED = re.compile(r"[<{\[].*[>}\]]")


def is_placeholder(text: str) -> bool:
    """Whether a text stands for one that somebody has still to write.

    Examples
    --------
    >>> [is_placeholder(text) for text in ("...", "TODO", "<who?>", "reason: ...", "load test", "QA")]
    [True, True, True, True, False, False]
    """
    bare = text.strip(" .…-?_:*")
    head, _, rest = bare.rpartition(":")
    is_empty_answer = head.strip().casefold() in _NO_WORDS and not rest.strip(" .…")
    return (
        not bare
        or bare.casefold() in _NO_WORDS
        or is_empty_answer
        or bool(_BRACKETED.fullmatch(text.strip()))
    )


def policy_warnings(policy: Policy, now_ms: int) -> list[str]:
    """One sentence each, with its remedy.

    Examples
    --------
    >>> from copycatch.records.policy import Allow
    >>> until = Allow(match=Match(account_id="ci"), reason="tests", owner="ops", expires_ms=1000)
    >>> policy_warnings(Policy(allow=[until]), 2000)
    ['allow for account ci expired at 1970-01-01T00:00:01.000Z; remove it or set a new date']
    """
    return [
        *_of_exemptions(policy, now_ms),
        *_of_extraction(policy),
        *_of_budgets(policy),
        *_of_limits(policy),
        *_of_overrides(policy),
    ]


def match_text(match: Match) -> str:
    """Whom a part of a policy is about."""
    parts = (("account", match.account_id), ("tenant", match.tenant_id), ("model", match.model_id))
    return (
        ", ".join(f"{kind} {printable(value)}" for kind, value in parts if value is not None) or "everybody"
    )


def _of_exemptions(policy: Policy, now_ms: int) -> Iterator[str]:
    sections: tuple[tuple[str, list[Exemption]], ...] = (
        ("allow", list(policy.allow)), ("silence", list(policy.silences)), ("attack", list(policy.attacks)),
    )  # fmt: skip
    for title, exemptions in sections:
        for exemption in exemptions:
            yield from _of_exemption(title, exemption, now_ms)
    for title, beyond in (("allow", held(policy.allow)[1]), ("attacks", held(policy.attacks)[1])):
        if beyond:
            yield (
                f"{len(beyond)} entries of {title} do not hold, the first for {match_text(beyond[0].match)}: "
                f"verdicts are bounded ({VERDICTS_A_DAY_MAX} a day, {VERDICTS_MAX} at a time; benign ones "
                "need account_id, unless_below and an end within 31 days); look who gave them, and remove "
                "`given` from what is right"
            )
    attacks = {entry.match for entry in policy.attacks}
    for entry in policy.allow:
        who = match_text(entry.match)
        if entry.match in attacks:
            yield f"{who} is in allow and in attacks; remove one of the two"
        settings = make_plan(policy, []).settings_for(
            (entry.match.tenant_id, entry.match.account_id or "", entry.match.model_id or "")
        )
        if entry.unless_below is not None and entry.unless_below > settings.alert_threshold > 0:
            yield (
                f"allow for {who} exempts nothing: unless_below {entry.unless_below:g} lies above "
                f"{settings.alert_threshold:g}, where alerts begin; lower it"
            )


def _of_exemption(title: str, exemption: Exemption, now_ms: int) -> Iterator[str]:
    who = match_text(exemption.match)
    if exemption.expires_ms is None:
        if title != "attack":
            yield f"{title} for {who} never expires; set expires"
    elif exemption.expires_ms <= now_ms:
        expired = format_rfc3339(exemption.expires_ms)
        yield f"{title} for {who} expired at {expired}; remove it or set a new date"
    elif title == "allow" and exemption.expires_ms <= now_ms + EXPIRY_WARNED_MS:
        yield f"allow for {who} expires soon, at {format_rfc3339(exemption.expires_ms)}"
    if title == "allow" and exemption.match.account_id is None:
        yield f"allow for {who} exempts every account there; name account_id to be narrower"
    for key, text in (("reason", exemption.reason), ("owner", exemption.owner)):
        if text is not None and is_placeholder(text):
            yield f"{title} for {who}: {key} {printable(text, 40)!r} says nothing; write who or why"
    ids = (exemption.match.account_id, exemption.match.tenant_id, exemption.match.model_id)
    if any(each is not None and is_placeholder(each) for each in ids):
        yield f"{title} for {who}: an id that is a placeholder; write the real one"


def _of_extraction(policy: Policy) -> Iterator[str]:
    rule = policy.extraction
    if rule is None:
        yield "extraction is off: model extraction will not be detected"
        return
    if "low" not in rule.severity_shares and rule.severity_shares.get("medium", 1.0) < 1.0:
        loosest = max(rule.severity_shares.values())
        yield f"the loosest severity uses {loosest:.0%} of the budget; the rest is never spent"
    if rule.queries_min > QUERIES_MIN_WARNED:
        yield (
            f"queries_min is {rule.queries_min}: an attacker has half of what they will ever "
            "get after about 50 queries"
        )


def _of_budgets(policy: Policy) -> Iterator[str]:
    """Budgets that nobody has tried: what is flagged is not learned, so that large ones feed themselves."""
    least, most = BUDGET_MEASURED
    places: list[tuple[str, EntityKey]] = [("the budget", (None, "", ""))]
    places += [
        (
            f"the budget for {match_text(each.match)}",
            (each.match.tenant_id, each.match.account_id or "", each.match.model_id or ""),
        )
        for each in policy.overrides
        if each.budget is not None or each.sensitivity is not None
    ]
    for what, key in places:
        alerts = alerts_per_1000(policy, key)
        if not least <= alerts <= most:
            yield (
                f"{what} comes to {alerts:g} alerts per 1,000 accounts a day, outside {least:g} to {most:g},"
                " where it was measured; what it gives there is not known"
            )


def _of_limits(policy: Policy) -> Iterator[str]:
    spec_by_name = {spec.name: spec for spec in SPECS}
    built_in = {rule.name for rule in BUILT_IN_LIMITS}
    for rule in policy.limits:
        spec = spec_by_name.get(rule.when.feature)
        if spec is None:
            continue
        if rule.when.above >= spec.high and rule.name not in built_in:  # of a built-in one it is the switch
            yield (
                f"rule {printable(rule.name)} can never speak: {spec.name} is never above {spec.high:g}; "
                "lower when.above, or remove the rule"
            )
        elif rule.when.above < spec.low:
            yield (
                f"rule {printable(rule.name)} speaks of everybody: {spec.name} is never below {spec.low:g}; "
                "raise when.above"
            )


def _of_overrides(policy: Policy) -> Iterator[str]:
    for match, n in Counter(each.match for each in policy.overrides).items():
        if n > 1:
            yield f"{n} overrides are for {match_text(match)}; the last one wins; make them one"
