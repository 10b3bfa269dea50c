"""Changes of a policy file that a command makes for an analyst: checked whole, then written whole."""

import difflib
from collections.abc import Mapping
from pathlib import Path

from copycatch.errors import ConfigError, TransportError
from copycatch.features.catalog import NAMES
from copycatch.records.policy import Policy
from copycatch.settings.faults import FaultsError
from copycatch.settings.load import read_file
from copycatch.settings.policy import check_policy
from copycatch.settings.policy_edit import add_entry
from copycatch.whole_files import write_whole


def with_entry(path: Path, section: str, entry: Mapping[str, object]) -> tuple[Policy, str, str]:
    """The policy with one entry more: checked policy, new text, and what changes as a unified diff.

    Raises
    ------
    ConfigError
        If the file cannot be read, is wrong as it is, or would be wrong.
    """
    raw = read_file(path)
    policy, faults = check_policy(raw, str(path), NAMES)
    if policy is None:
        raise FaultsError(faults)
    before = raw.decode("utf-8-sig")
    after = add_entry(before, section, entry, str(path))
    policy, faults = check_policy(after, str(path), NAMES)
    if policy is None:
        raise FaultsError(faults)
    diff = "".join(
        difflib.unified_diff(
            before.splitlines(keepends=True), after.splitlines(keepends=True), str(path), f"{path} (new)", n=2
        )
    )
    return policy, after, diff


def write_policy(path: Path, text: str) -> None:
    """Put the new text in place of the old: a service that watches the file sees one or the other.

    Raises
    ------
    TransportError
        If it cannot be written.
    """
    try:
        write_whole(path, text.encode(), path.stat().st_mode & 0o777)
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror}; the policy is as it was"
        raise TransportError(message) from error


def require_said(option: str, text: str) -> None:
    """Refuse a reason or a name that is nothing but a placeholder.

    Raises
    ------
    ConfigError
        If it is.
    """
    if not text.strip(". …"):
        message = f"{option} {text!r}: says nothing; write it for whoever reads it next"
        raise ConfigError(message)


def entry_of(match: Mapping[str, str | None], reason: str, owner: str, expires: str) -> dict[str, object]:
    """An entry of `allow`, `attacks` or `silences`.

    Raises
    ------
    ConfigError
        If reason or owner is nothing but a placeholder.
    """
    require_said("--reason", reason)
    require_said("--owner", owner)
    given = {key: value for key, value in match.items() if value is not None}
    return {"match": given, "reason": reason, "owner": owner, "expires": expires}
