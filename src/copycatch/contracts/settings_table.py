"""Every setting in one table, derived from the models that the service reads its settings with."""

from collections.abc import Iterator
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from copycatch.records.policy_values import duration_text
from copycatch.settings.service import Duration, Input, Service, variable_of
from copycatch.sinks.secondary import Tls
from copycatch.sinks.syslog import SyslogSettings
from copycatch.sinks.webhook import WebhookSettings

FLAGS = {"policy": "`run --policy`", "log_level": "`run --log-level`", "inputs[].format": "`run --format`"}
HEAD = """\
# Settings

Written by `copycatch schemas` from the models that the service reads. `copycatch run --settings FILE`
reads the keys from a file; a variable of the environment wins over the file, and a flag over both. Lists
and maps are YAML in the environment, as `COPYCATCH_INPUTS='[{topic: inference-logs}]'`. Durations:
250ms, 30s, 15m, 1h. Secrets come from the environment or from files only. `copycatch check
settings.yaml` names every fault at once. `COPYCATCH_SETTINGS` names the file where `--settings` does
not; `NUMBA_CACHE_DIR` is where compiled code is kept.

| key | environment | flag | default | what |
|---|---|---|---|---|
"""


class Row(NamedTuple):
    """One setting; `variable` is empty where only a file can say it."""

    key: str
    variable: str
    flag: str
    default: str
    words: str


def rows() -> Iterator[Row]:
    """All settings, in the order of the models."""
    for name, field in Service.model_fields.items():
        if name == "inputs":
            yield Row("inputs", variable_of(("inputs",)), "", "the one below", "What is read: a list.")
            yield from _rows_of(Input, "inputs[].", None)
        elif name == "sinks":
            yield Row("sinks", variable_of(("sinks",)), "", "none", "Copies of alerts to others: a list.")
            yield from _rows_of(SyslogSettings, "sinks[].", None)
            of_all = set(SyslogSettings.model_fields) - {"type", "host", "port", "hostname"}
            yield from _rows_of(WebhookSettings, "sinks[].", None, of_all)
        elif _is_section(field):
            yield from _rows_of(field.annotation, f"{name}.", (name,))
        else:
            yield _row(name, field, (name,))


def _is_section(field: FieldInfo) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)


def _rows_of(
    model: Any, prefix: str, path: tuple[str, ...] | None, known: frozenset[str] | set[str] = frozenset()
) -> Iterator[Row]:
    for name, field in model.model_fields.items():
        if name in known:
            continue
        inner = None if path is None else (*path, name)
        if _is_section(field):
            yield from _rows_of(field.annotation, f"{prefix}{name}.", inner)
        elif Tls in get_args(field.annotation):
            yield from _rows_of(Tls, f"{prefix}{name}.", inner)
        else:
            yield _row(prefix + name, field, inner)


def _row(key: str, field: FieldInfo, path: tuple[str, ...] | None) -> Row:
    is_secret = SecretStr in get_args(field.annotation)
    words = field.description or ""
    if is_secret:
        words += " Secret: never in the file."
    variable = "" if path is None else variable_of(path)
    return Row(key, variable, FLAGS.get(key, ""), _default(field), words.strip())


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return "of the machine"
    default = field.default
    if default is PydanticUndefined:
        return "must be given"
    return "none" if default is None or default in ({}, []) else f"`{_shown(field, default)}`"


def _shown(field: FieldInfo, default: Any) -> str:
    """As it is written in a file."""
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, float) and _is_duration(field):
        return duration_text(default) if default >= 1 else f"{round(default * 1000)}ms"
    if isinstance(default, frozenset | list):
        return f"[{', '.join(sorted(map(str, default)))}]"
    return str(default)


def _is_duration(field: FieldInfo) -> bool:
    return any(each in get_args(Duration)[1:] for each in field.metadata)


def settings_table() -> str:
    """The page as it is committed: schemas/v1/settings.md."""
    lines = []
    for row in rows():
        variable = f"`{row.variable}`" if row.variable else ""
        lines.append(f"| `{row.key}` | {variable} | {row.flag} | {row.default} | {row.words} |\n")
    return HEAD + "".join(lines)
