"""Known vulnerabilities of pinned versions, told from a folder of advisories; the network is not asked.

`make audit ADVISORIES=<folder>` runs it where neither of the services that pip-audit asks can be reached. The
folder holds advisories in the OSV format, as YAML or JSON files: a checkout of the Python Packaging Advisory
Database, of GitHub's, or OSV's export for PyPI. pip-audit has no such mode. It could be pointed at a server
of our own, but there the server decides which versions an advisory means, so the matching below would be
needed all the same; and an advisory that pip-audit cannot read it passes over with a warning, while here that
is an error. An audit has three ends: nothing found (0), something found (1), and not audited (2), which must
never look like the first.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

DATABASE = "github.com/pypa/advisory-database"
ECOSYSTEM = "PyPI"
SUFFIXES = {".json", ".yaml", ".yml"}
# Where the two public databases keep their advisories: beside them lie files that are none.
SHELVES = ("vulns", "advisories")
# BaseLoader leaves every scalar a string: a version 1.10 without quotes stays 1.10 and is not the number 1.1.
YAML_LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
NOTHINGS = {"", "null", "Null", "NULL", "~"}


class AuditError(Exception):
    """Nothing was audited; the words say which file is at fault and what to do."""


@dataclass(frozen=True)
class Pin:
    """One line of the constraints."""

    name: str  # normalised (PEP 503)
    version: Version


@dataclass(frozen=True)
class Affected:
    """What an advisory says of one package."""

    name: str  # normalised (PEP 503)
    versions: tuple[str, ...]
    ranges: tuple[tuple[tuple[str, str], ...], ...]  # each a sequence of (event, version)

    def includes(self, version: Version) -> bool:
        """Whether it means this version, by the evaluation that the OSV schema prescribes.

        >>> listed = Affected("pkg", versions=("1.0", "1.10"), ranges=())
        >>> listed.includes(Version("1.10.0")), listed.includes(Version("1.1"))
        (True, False)
        >>> ranged = Affected("pkg", (), ranges=((("introduced", "0"), ("fixed", "1.9")),))
        >>> ranged.includes(Version("1.9rc1")), ranged.includes(Version("1.10"))
        (True, False)
        """
        if not self.versions and not self.ranges:
            return True  # which versions it means it does not say: somebody has to read it
        return any(_equal(each, version) for each in self.versions) or any(
            _in_range(events, version) for events in self.ranges
        )

    @property
    def fixed(self) -> list[str]:
        return [version for events in self.ranges for event, version in events if event == "fixed"]


@dataclass(frozen=True)
class Advisory:
    """One file of the folder, as far as it concerns packages of PyPI."""

    id: str
    aliases: tuple[str, ...]
    path: Path
    dated: datetime  # when it was last changed or published
    is_withdrawn: bool
    affected: tuple[Affected, ...]


def _equal(listed: str, version: Version) -> bool:
    try:
        return Version(listed) == version
    except InvalidVersion:
        return False  # a version from before PEP 440, which no pin can have


def _in_range(events: Sequence[tuple[str, str]], version: Version) -> bool:
    limits = [at for event, at in events if event == "limit" and at != "*"]
    if limits and not any(version < Version(at) for at in limits):
        return False
    # "0" stands before every version, also before 0.dev0.
    turns = sorted(
        (at != "0", Version(at), event)
        for event, at in events
        if event in {"introduced", "fixed", "last_affected"}
    )
    is_inside = False
    for is_numbered, at, event in turns:
        if event == "introduced" and (not is_numbered or version >= at):
            is_inside = True
        elif (event == "fixed" and version >= at) or (event == "last_affected" and version > at):
            is_inside = False
    return is_inside


def read_pins(path: Path) -> list[Pin]:
    """Every line of a constraints file; one that is not an exact pin could not be audited and is an error."""
    pins = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
        words = re.sub(r"(^|\s)#.*", "", line).strip()
        if not words:
            continue
        try:
            wanted = Requirement(words)
            (only,) = wanted.specifier
            version = Version(only.version)
        except (InvalidRequirement, InvalidVersion, ValueError):
            only = None
        if only is None or only.operator != "==":
            msg = f"{path}:{number}: {words!r} is not a pin that can be audited; write name==version"
            raise AuditError(msg)
        pins.append(Pin(canonicalize_name(wanted.name), Version(version.public)))
    if not pins:
        msg = f"{path} has no pins"
        raise AuditError(msg)
    return pins


def read_advisories(folder: Path) -> list[Advisory]:
    """What the folder knows of packages on PyPI, withdrawn ones too."""
    remedy = f"give a checkout of an advisory database in the OSV format, such as {DATABASE}"
    if not folder.is_dir():
        msg = f"{folder} is not a folder; {remedy}"
        raise AuditError(msg)
    roots = [folder / shelf for shelf in SHELVES if (folder / shelf).is_dir()] or [folder]
    paths = sorted(path for root in roots for path in _files(root))
    advisories = [advisory for path in paths if (advisory := read_advisory(path)).affected]
    if not any(not each.is_withdrawn for each in advisories):
        msg = f"{folder} holds no advisory on a package of {ECOSYSTEM} ({len(paths)} files read); {remedy}"
        raise AuditError(msg)
    return advisories


def _files(root: Path) -> Iterator[Path]:
    for path in root.rglob("*"):
        is_hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
        if path.suffix in SUFFIXES and not is_hidden and path.is_file():
            yield path


def read_advisory(path: Path) -> Advisory:
    """One file; what cannot be understood is an error that names it, for it may be the one that matters."""
    try:
        text = path.read_text("utf-8")
        entry = json.loads(text) if path.suffix == ".json" else yaml.load(text, YAML_LOADER)
        return _advisory(entry, path)
    except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError) as error:
        words = f"has no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise _broken(path, words) from error


def _broken(path: Path, words: str) -> AuditError:
    return AuditError(
        f"{path} is no advisory in the OSV format: {words}; mend or remove it, or take a fresh checkout"
    )


def _advisory(entry: Any, path: Path) -> Advisory:
    entry = _mapping(entry, "the file")
    schema = str(entry.get("schema_version", "1"))
    if schema.split(".", maxsplit=1)[0] != "1":
        msg = f"schema_version {schema} is not known here"
        raise ValueError(msg)
    dates = [_date(entry[key]) for key in ("modified", "published") if _is_given(entry, key)]
    withdrawn = [_date(entry["withdrawn"])] if _is_given(entry, "withdrawn") else []
    if not dates:
        raise KeyError("modified")
    affected = [_affected(each) for each in _list(entry, "affected")]
    return Advisory(
        id=str(entry["id"]),
        aliases=tuple(str(each) for each in _list(entry, "aliases")),
        path=path,
        dated=max(dates),
        is_withdrawn=bool(withdrawn),
        affected=tuple(each for each in affected if each is not None),
    )


def _affected(entry: Any) -> Affected | None:
    entry = _mapping(entry, "affected")
    if "package" not in entry:
        return None  # it tells commits of a repository
    package = _mapping(entry["package"], "package")
    if str(package["ecosystem"]).split(":", maxsplit=1)[0] != ECOSYSTEM:
        return None
    ranges = [_mapping(each, "ranges") for each in _list(entry, "ranges")]
    return Affected(
        name=canonicalize_name(str(package["name"])),
        versions=tuple(str(each) for each in _list(entry, "versions")),
        ranges=tuple(_events(each) for each in ranges if each["type"] != "GIT"),
    )


def _events(entry: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    events = tuple(
        (event, str(at)) for each in _list(entry, "events") for event, at in _mapping(each, "events").items()
    )
    if not any(event == "introduced" for event, _ in events):
        msg = "a range has no event 'introduced'"
        raise ValueError(msg)
    for event, _ in events:
        if event not in {"introduced", "fixed", "last_affected", "limit"}:
            msg = f"a range has an event {event!r}"
            raise ValueError(msg)
    return events


def _mapping(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        msg = f"{what} holds {type(value).__name__} where a mapping belongs"
        raise TypeError(msg)
    return value


def _list(entry: Mapping[str, Any], key: str) -> list[Any]:
    if not _is_given(entry, key):
        return []
    if not isinstance(entry[key], list):
        msg = f"{key} is {type(entry[key]).__name__} where a list belongs"
        raise TypeError(msg)
    found: list[Any] = entry[key]
    return found


def _is_given(entry: Mapping[str, Any], key: str) -> bool:
    value = entry.get(key)
    return value is not None and not (isinstance(value, str) and value in NOTHINGS)


def _date(value: Any) -> datetime:
    when = datetime.fromisoformat(str(value))
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def find(pins: Sequence[Pin], advisories: Sequence[Advisory]) -> Iterator[tuple[Pin, Advisory, Affected]]:
    """Every pin that an advisory means."""
    for pin in pins:
        for advisory in advisories:
            if advisory.is_withdrawn:
                continue
            try:
                hits = [
                    each for each in advisory.affected if each.name == pin.name and each.includes(pin.version)
                ]
            except InvalidVersion as error:
                raise _broken(advisory.path, f"a range on {pin.name}: {error}") from error
            if hits:
                yield pin, advisory, hits[0]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="pinned versions against a folder of advisories")
    parser.add_argument("constraints", type=Path, help="a file of name==version lines")
    parser.add_argument("advisories", type=Path, help="a folder with advisories in the OSV format")
    args = parser.parse_args(argv)
    try:
        pins = read_pins(args.constraints)
        advisories = read_advisories(args.advisories)
        found = list(find(pins, advisories))
    except (AuditError, OSError) as error:
        print(f"audit: NOTHING was audited: {error}", file=sys.stderr)
        return 2
    counted = [each for each in advisories if not each.is_withdrawn]
    names = {pin.name for pin in pins}
    on_pins = sum(any(each.name in names for each in advisory.affected) for advisory in counted)
    for pin, advisory, affected in found:
        fixed = ", ".join(affected.fixed) or "no version that is named"
        ids = " ".join((advisory.id, *advisory.aliases))
        print(f"{pin.name} {pin.version}: {ids}; fixed in {fixed} ({advisory.path})")
    newest = max(each.dated for each in advisories)
    print(
        f"audit: {len(pins)} pins of {args.constraints} against {len(counted)} advisories, {on_pins} of them"
        f" on a pinned package. Vulnerable pins: {len({pin for pin, _, _ in found})}. The newest advisory is"
        f" of {newest:%Y-%m-%d}; what was found since then is not in this folder."
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
