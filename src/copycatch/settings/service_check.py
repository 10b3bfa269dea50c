"""All that is wrong with a settings file, found at once, and what to look at though it is right."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from copycatch.errors import ConfigError
from copycatch.records.policy import Policy
from copycatch.settings.faults import Fault, PathParts
from copycatch.settings.formats import format_options
from copycatch.settings.load import read_file
from copycatch.settings.policy import check_policy
from copycatch.settings.policy_notes import is_placeholder, policy_warnings
from copycatch.settings.service import Service, read_service
from copycatch.settings.yaml_document import Document, read_document

Kind = Literal["policy", "settings"]
SHARED_KEYS = {"version"}


class Checked(NamedTuple):
    """What came of it; `settings` is None where there are faults."""

    settings: Service | None
    faults: list[Fault]
    notes: list[str]


def kind_of(text: bytes) -> Kind:
    """Whether a file is a policy or settings, by the keys at its top; a policy where it cannot be told.

    Examples
    --------
    >>> kind_of(b"version: 1"), kind_of(b"kafka: {}"), kind_of(b"mode: shadow")
    ('policy', 'settings', 'policy')
    """
    data = read_document(text, "").data
    keys = set(data) - SHARED_KEYS if isinstance(data, dict) else set()
    of_settings = len(keys & set(Service.model_fields))
    return "settings" if of_settings > len(keys & set(Policy.model_fields)) else "policy"


def check_service(
    path: Path, environment: Mapping[str, str], known_features: tuple[str, ...], now_ms: int
) -> Checked:
    """Read settings as the service would, with the environment over them, and look at what they name.

    `now_ms` is for what has expired in the policy that they name.

    Raises
    ------
    ConfigError
        If the file cannot be read.
    """
    settings, document = read_service(path, environment)
    faults = [*document.faults, *_format_faults(document, path.parent)]
    notes: list[str] = []
    if settings is not None:
        policy, policy_faults = _policy_of(settings, document, known_features)
        faults += policy_faults
        notes = _notes(settings)
        if policy is not None:
            notes += [f"{settings.policy}: {note}" for note in policy_warnings(policy, now_ms)]
    return Checked(None if faults else settings, sorted(set(faults)), notes)


def _format_faults(document: Document, folder: Path) -> list[Fault]:
    """Formats and their options; looks at raw data, so that other faults hide none."""
    inputs = document.data.get("inputs") if isinstance(document.data, dict) else None
    faults = []
    for index, each in enumerate(inputs if isinstance(inputs, list) else []):
        options = each.get("options", {}) if isinstance(each, dict) else None
        name = each.get("format", "native") if isinstance(each, dict) else None
        if not isinstance(options, dict) or not isinstance(name, str):
            continue  # told already
        path: PathParts = ("inputs", index, "options" if options else "format")
        try:
            format_options(name, options, folder, str(name))
        except ConfigError as error:
            faults += [document.fault(path, line, "") for line in str(error).splitlines()]
    return faults


def _policy_of(
    settings: Service, document: Document, known_features: tuple[str, ...]
) -> tuple[Policy | None, list[Fault]]:
    if settings.policy is None:
        return None, []
    try:
        return check_policy(read_file(settings.policy), str(settings.policy), known_features)
    except ConfigError as error:
        return None, [document.fault(("policy",), str(error), "")]


def _notes(settings: Service) -> list[str]:
    """What may be meant so."""
    notes = [f"{name}: there is no file {path} on this machine" for name, path in _files(settings, "")
             if not path.is_file() and name != "policy"]  # fmt: skip
    if settings.policy is None:
        notes.append("policy: none is named; the built-in one decides, in shadow mode")
    notes += [f"{key}: {text!r} is a placeholder" for key, text in _texts(settings.model_dump(), "")
              if is_placeholder(text)]  # fmt: skip
    if settings.kafka.instance_id is None:
        notes.append("kafka.instance_id: none; each restart moves the partitions")
    security = settings.kafka.security
    if not security.protocol.endswith("_SSL") and security.protocol != "SSL":
        notes.append(f"kafka.security.protocol: {security.protocol} sends records in clear text")
    elif not security.check_hostname:
        notes.append("kafka.security.check_hostname: false takes any broker's certificate for the right one")
    if settings.delivery == "at_least_once":
        notes.append("delivery: at_least_once repeats outcomes after a crash, with the same keys")
    http = settings.http
    if http.is_on and http.bind not in ("127.0.0.1", "::1", "localhost"):
        notes.append(f"http.bind: {http.bind} is reached from other machines, and asks nobody who they are")
    return notes


def _texts(value: Any, key: str) -> list[tuple[str, str]]:
    """Every text of the settings, with its key; secrets are none."""
    if isinstance(value, str):
        return [(key, value)] if value else []
    if isinstance(value, dict):
        return [found for name, each in value.items() for found in _texts(each, f"{key}.{name}".lstrip("."))]
    if isinstance(value, list):
        return [found for index, each in enumerate(value) for found in _texts(each, f"{key}[{index}]")]
    return []


def _files(model: Any, prefix: str) -> list[tuple[str, Path]]:
    """Every path that the settings name, with its key."""
    found = []
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, Path):
            found.append((prefix + name, value))
        elif hasattr(type(value), "model_fields"):
            found += _files(value, f"{prefix}{name}.")
        elif isinstance(value, list):
            for index, each in enumerate(value):
                if hasattr(type(each), "model_fields"):
                    found += _files(each, f"{prefix}{name}[{index}].")
    return found
