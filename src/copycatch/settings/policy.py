"""The analysts' policy file: read, checked, every fault with its line and a remedy.

Layers: what the file leaves out has the default; a rule list without `extraction` keeps the default one
(turn it off with `enabled: false`), so that adding a limit never switches detection off.
"""

from collections.abc import Collection
from pathlib import Path

from pydantic import ValidationError

from copycatch.records.policy import Policy
from copycatch.settings.faults import Fault, FaultsError
from copycatch.settings.load import add_faults, read_file
from copycatch.settings.yaml_document import Document, read_document


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
    >>> policy.sensitivity, len(policy.content_version)
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
    policy = None
    if document.data is not None or not document.faults:
        try:
            policy = Policy.read(document.data, context)
        except ValidationError as error:
            add_faults(Policy, error, document)
    faults = sorted({*document.faults, *_rule_name_faults(document)})
    return (None, faults) if faults else (policy, [])


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
        line_by_name.setdefault(name, document.position(path)[0])
    return faults
