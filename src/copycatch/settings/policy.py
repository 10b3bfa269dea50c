"""The analysts' policy: from YAML to the values that the core judges by.

Layers: what the file leaves out has the default; a rule list without `extraction` keeps the default one
(turn it off with `enabled: false`), so that adding a limit never switches detection off.
"""

import hashlib
from collections.abc import Collection
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import msgspec
from pydantic import BaseModel

from copycatch.records.policy import (
    Enforcement,
    Exemption,
    ExtractionRule,
    LimitRule,
    Match,
    Override,
    Policy,
    WindowLengths,
)
from copycatch.records.wire import Action
from copycatch.settings.faults import Fault, FaultsError
from copycatch.settings.load import check_document, read_file
from copycatch.settings.policy_model import ExtractionRuleModel, LimitRuleModel, MatchModel, PolicyModel
from copycatch.settings.yaml_document import Document, read_document

VERSION_CHARS = 16


def load_policy(path: Path, known_features: Collection[str] | None = None) -> Policy:
    """Read a policy file, whole or not at all.

    Parameters
    ----------
    known_features : collection of str, optional
        Names that limit rules may use; None checks none.

    Raises
    ------
    ConfigError
        If the file cannot be read; as `FaultsError` with all faults if it is wrong.
    """
    return parse_policy(read_file(path), str(path), known_features)


def parse_policy(text: str | bytes, file: str, known_features: Collection[str] | None = None) -> Policy:
    r"""The policy that a text says.

    Raises
    ------
    FaultsError
        With every fault of the text, in the order of its lines.

    Examples
    --------
    >>> policy = parse_policy("version: 1\nsensitivity: low\n", "policy.yaml")
    >>> policy.sensitivity_factor, len(policy.version)
    (0.25, 16)
    """
    policy, faults = check_policy(text, file, known_features)
    if policy is None:
        raise FaultsError(faults)
    return policy


def check_policy(
    text: str | bytes, file: str, known_features: Collection[str] | None = None
) -> tuple[Policy | None, list[Fault]]:
    """The policy, or None and all faults, sorted by line."""
    document = read_document(text, file)
    context = {
        "known_features": None if known_features is None else frozenset(known_features),
        "is_perturb_allowed": _says_perturb(document),
    }
    model = check_document(PolicyModel, document, context)
    faults = sorted({*document.faults, *_rule_name_faults(document)})
    if model is None or faults:
        return None, faults
    return to_policy(model), []


def to_policy(model: PolicyModel) -> Policy:
    r"""The checked file as the core reads it.

    Its version is the hash of what it means, not of how it is written.

    Examples
    --------
    >>> one = parse_policy("version: 1\nwindows: {short: 15m}\n", "a.yaml")
    >>> two = parse_policy("# the same\nversion: 1\nwindows:\n  short: 900s\n", "b.yaml")
    >>> one.version == two.version
    True
    """
    enforcement = Enforcement()
    policy = Policy(
        mode=model.mode,
        alerts_per_1000_accounts_per_day=model.budget.alerts_per_1000_accounts_per_day,
        recommendations_per_1000_accounts_per_day=model.budget.recommendations_per_1000_accounts_per_day,
        sensitivity_factor=model.sensitivity,
        alerts_per_minute_max=model.budget.alerts_per_minute_max,
        windows=WindowLengths(**_values(model.windows)),
        enforcement=Enforcement(
            ttl_s=enforcement.ttl_s | dict[Action, float](model.enforcement.ttl.items()),
            is_perturb_allowed=model.enforcement.perturb,
            **_values(model.enforcement, without={"ttl", "perturb"}),
        ),
        extraction=_extraction(model),
        limits=tuple(_limit(rule) for rule in model.rules if isinstance(rule, LimitRuleModel)),
        overrides=tuple(
            Override(
                match=_match(o.match),
                sensitivity_factor=o.sensitivity,
                mode=o.mode,
                queries_min=o.queries_min,
                severity_shares=o.severity_shares,
                actions=o.actions,
                clear_after_s=o.clear_after_s,
                repeat_after_s=o.repeat_after_s,
            )
            for o in model.overrides
        ),
        allow=tuple(Exemption(_match(a.match), a.reason, a.owner, a.expires) for a in model.allow),
        silences=tuple(Exemption(_match(s.match), s.reason, s.owner, s.expires) for s in model.silences),
    )
    return replace(policy, version=content_hash(policy))


def content_hash(policy: Policy) -> str:
    """What goes on everything sent as `policy_version`."""
    content = {name: value for name, value in asdict(policy).items() if name != "version"}
    encoded = msgspec.json.encode(content, order="deterministic")
    return hashlib.sha256(encoded).hexdigest()[:VERSION_CHARS]


def _extraction(model: PolicyModel) -> ExtractionRule | None:
    for rule in model.rules:
        if isinstance(rule, ExtractionRuleModel):
            values = _values(rule, without={"enabled"})
            if "severity_shares" in rule.model_fields_set and "actions" not in rule.model_fields_set:
                values["actions"] = {s: a for s, a in rule.actions.items() if s in rule.severity_shares}
            return ExtractionRule(**values) if rule.enabled else None
    return ExtractionRule()


def _limit(rule: LimitRuleModel) -> LimitRule:
    return LimitRule(
        name=rule.name,
        feature=rule.when.feature,
        above=rule.when.above,
        for_s=rule.when.for_s,
        severity=rule.severity,
        action=rule.action,
        clear_after_s=rule.clear_after_s,
        repeat_after_s=rule.repeat_after_s,
    )


def _match(match: MatchModel) -> Match:
    return Match(match.tenant_id, match.model_id, match.account_id)


def _values(model: BaseModel, without: Collection[str] = ()) -> dict[str, Any]:
    return {name: getattr(model, name) for name in type(model).model_fields if name not in without}


def _says_perturb(document: Document) -> bool:
    """Validators of rules need to know it, wherever in the file it stands."""
    data = document.data
    enforcement = data.get("enforcement") if isinstance(data, dict) else None
    return isinstance(enforcement, dict) and enforcement.get("perturb") is True


def _rule_name_faults(document: Document) -> list[Fault]:
    """Two rules of one name would share their episodes. Looks at raw rules: other faults must hide none."""
    data = document.data
    rules = data.get("rules") if isinstance(data, dict) else None
    faults, line_by_name = [], dict[str, int]()
    for index, rule in enumerate(rules if isinstance(rules, list) else []):
        name = rule.get("name") if isinstance(rule, dict) else None
        if not isinstance(name, str):
            continue
        path = ("rules", index, "name")
        if name in line_by_name:
            message = f"a second rule is named {name!r}"
            faults.append(document.fault(path, message, f"first on line {line_by_name[name]}; rename one"))
        line_by_name.setdefault(name, document.place(path)[0])
    return faults
