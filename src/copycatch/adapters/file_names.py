"""Which files of the places that a user names are logs, and in which order they were written."""

import re
from collections.abc import Iterable, Set
from pathlib import Path

import structlog

from copycatch.errors import ConfigError

log = structlog.get_logger(__name__)

STDIN = "-"
COMPRESSED = (".gz", ".zst", ".bz2", ".xz")
SUFFIXES = (".jsonl", ".ndjson", ".json", ".log", ".csv", ".tsv", ".parquet", *COMPRESSED)
_BEGINNINGS = (b"{", b"[", b"PAR1", b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zX")
_HEAD_BYTES = 64
# What rotation appends: a number that grows with age (app.log.2), or a date (app.log-20260701).
_ROTATED = re.compile(
    r"(?P<base>.+?\.[a-z]+)[.-](?:(?P<number>\d{1,3})|(?P<old>old|prev|bak)|(?P<date>\d{4}[\dT:_.-]*))",
    re.IGNORECASE,
)
# Others put the number before the ending: app.2.log beside app.log.
_NUMBERED = re.compile(r"(?P<stem>.+?)[._-](?P<number>\d{1,3})(?P<ending>\.[a-z]+)", re.IGNORECASE)


def base_name(name: str) -> str:
    """A file's name without what compression and rotation have appended.

    Examples
    --------
    >>> base_name("app.log.2.gz"), base_name("rows.csv.gz"), base_name("app.log-20260701")
    ('app.log', 'rows.csv', 'app.log')
    """
    return str(_age(name)[0])


def _age(name: str, neighbours: Set[str] = frozenset()) -> tuple[str, int, int, str]:
    """Sorts the files of one log oldest first: dates, then numbers downwards, then the one being written.

    A number before the ending is an age only where the log itself is among the `neighbours`: parts of an
    export are numbered, too, and read upwards.
    """
    plain = _unpacked(name)
    found = _ROTATED.fullmatch(plain)
    if found is None:
        numbered = _NUMBERED.fullmatch(plain)
        if numbered is not None and f"{numbered['stem']}{numbered['ending']}" in neighbours:
            return f"{numbered['stem']}{numbered['ending']}", 1, -int(numbered["number"]), name
        return plain, 2, 0, name
    if found["date"]:
        return found["base"], 0, 0, name
    return found["base"], 1, 0 if found["old"] else -int(found["number"]), name


def _unpacked(name: str) -> str:
    for suffix in COMPRESSED:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name


def find_files(places: Iterable[str]) -> list[str]:
    """Files in reading order; `-` is standard input.

    A folder gives the log files in it and below it, by the order of their folders' paths, and the files of
    one rotated log oldest first. Hidden files are left out; of others that are no logs the number is logged.

    Raises
    ------
    ConfigError
        If a place does not exist, or a folder holds no log file.
    """
    found: list[str] = []
    for place in places:
        path = Path(place)
        if place == STDIN or (path.exists() and not path.is_dir()):
            found.append(place)
        elif path.is_dir():
            found += _files_below(path)
        else:
            msg = f"{place}: no such file or folder"
            raise ConfigError(msg)
    return found


def _files_below(folder: Path) -> list[str]:
    files = [
        each
        for each in folder.rglob("*")
        if each.is_file() and not any(part.startswith((".", "_")) for part in each.relative_to(folder).parts)
    ]
    logs = [each for each in files if _is_log(each.name)]
    if not logs:  # sinks of object stores name theirs part-0000, or by time and id
        logs = [each for each in files if _begins_as_log(each)]
    if not logs:
        endings = ", ".join(SUFFIXES)
        msg = f"{folder}: the folder holds no file that ends in {endings}, or begins as one; name its files"
        raise ConfigError(msg)
    if len(logs) < len(files):
        others = sorted(str(each) for each in set(files) - set(logs))
        log.warning("files that are no logs are left out", folder=str(folder), n=len(others), first=others[0])
    names: dict[Path, set[str]] = {}
    for each in logs:
        names.setdefault(each.parent, set()).add(_unpacked(each.name))
    ordered = sorted(logs, key=lambda each: (each.parent.parts, _age(each.name, names[each.parent])))
    return [str(each) for each in ordered]


def _begins_as_log(path: Path) -> bool:
    """Whether a file whose name says nothing begins with JSON, Parquet, or as something packed."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        return False
    return head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(_BEGINNINGS)


def _is_log(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) or base_name(name).lower().endswith(SUFFIXES)
