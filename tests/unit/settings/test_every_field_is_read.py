"""No setting without effect: each field of the settings and of the policy is read where it acts.

A field counts as read where an expression `owner.field` stands in the product's code, with an owner that is
called as the owners of its class are called there. What only checks, describes or converts does not count.
"""

import ast
import dataclasses
from pathlib import Path

import pytest
from pydantic import BaseModel

from copycatch.records import policy as core
from copycatch.records import policy_rules
from copycatch.settings import service
from copycatch.settings.formats import OptionsModel
from copycatch.sinks import secondary, syslog, webhook

SOURCE = Path(service.__file__).parents[1]
IDLE = ("settings/service.py", "settings/policy.py", "records/policy", "cli/render_policy.py")

# What the code calls the values of a class.
OWNERS: dict[type, set[str]] = {
    service.Service: {"settings", "_settings"},
    service.Kafka: {"kafka", "_kafka", "settings"},
    service.Security: {"security"},
    service.Input: {"each", "settings"},
    service.Outputs: {"outputs"},
    service.Snapshots: {"snapshots"},
    service.Http: {"http"},
    service.Desk: {"desk"},
    service.Otel: {"settings", "otel"},
    service.Learner: {"learner"},
    syslog.SyslogSettings: {"settings", "self", "sink"},
    webhook.WebhookSettings: {"settings", "self", "sink"},
    secondary.Tls: {"tls"},
    OptionsModel: {"options", "_options", "checked"},
    core.Match: {"match"},
    core.Windows: {"windows"},
    core.Budget: {"budget"},
    core.When: {"when"},
    core.ExtractionRule: {"rule", "extraction", "values"},
    core.LimitRule: {"limit", "rule"},
    core.Override: {"layer", "o", "override", "values", "each"},
    service.KeptEvaluations: {"kept"},
    policy_rules.OverrideBudget: {"budget"},
    core.Exemption: {"exemption", "e"},
    core.Judged: {"exemption", "e", "each"},
    core.Allow: {"exemption", "e", "entry", "each"},
    core.KnownAttack: {"exemption", "e", "each"},
    core.Silence: {"exemption", "e"},
    core.Enforcement: {"enforcement"},
    core.Policy: {"policy", "_policy"},
}
UNREAD = {
    (service.Service, "version"),  # of the file's format: refused or taken when it is read
    (syslog.SyslogSettings, "type"),  # chooses the class
    (webhook.WebhookSettings, "type"),
    (core.Policy, "version"),
    (core.Policy, "rules"),  # by its parts, `Policy.extraction` and `Policy.limits`
    (core.ExtractionRule, "enabled"),  # `Policy.extraction` gives no rule where it is false
    *(
        (cls, name)
        for cls in (core.Exemption, core.Allow, core.KnownAttack, core.Silence)
        for name in ("reason", "owner")
    ),  # people's
}


def reads() -> set[tuple[str, str]]:
    """`owner.field` or `owner["field"]` of all that the product loads."""
    found = set()
    for path in sorted(SOURCE.rglob("*.py")):
        if path.relative_to(SOURCE).as_posix().startswith(IDLE):
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                owner = node.value
                name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
                found.add((name, node.attr))
            if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
                found.add((getattr(node.value, "id", ""), str(node.slice.value)))
    return found


def fields_of(cls: type) -> list[str]:
    if issubclass(cls, BaseModel):
        return list(cls.model_fields)
    return list(cls.__annotations__)


READS = reads()


@pytest.mark.parametrize("cls", OWNERS, ids=lambda cls: cls.__name__)
def test_every_field_is_read(cls: type) -> None:
    unread = [
        name
        for name in fields_of(cls)
        if (cls, name) not in UNREAD and not any((owner, name) in READS for owner in OWNERS[cls])
    ]
    assert unread == [], "nothing reads these: make them work or drop them"


def test_no_class_of_settings_is_forgotten() -> None:
    known = {cls.__name__ for cls in OWNERS}
    found = {
        cls.__name__
        for module in (service, syslog, webhook, core, policy_rules)
        for cls in vars(module).values()
        if isinstance(cls, type)
        and cls.__module__ == module.__name__
        and not cls.__name__.startswith(("_", "Strict"))
        and (dataclasses.is_dataclass(cls) or issubclass(cls, BaseModel))
    }
    assert found <= known
