"""The catalogue of policy mistakes: each with the line, column, path and remedy that must be said.

`policy_faults/*.yaml` hold one faulty policy each; a comment `#! [COLUMN] PATH | MESSAGE | REMEDY` at the
end of a line says which fault is expected there. Several may stand on a line. Nothing else may be reported.
"""

import itertools
import re
from pathlib import Path

import pytest

from copycatch.settings.policy import check_policy
from copycatch.settings.yaml_document import DOCUMENT_BYTES_MAX

FOLDER = Path(__file__).parent / "policy_faults"
FILES = sorted(FOLDER.glob("*.yaml"))
FEATURES = ("queries_per_s", "queries_per_s_long", "low_margin_share")
EXPECTED = re.compile(r"#! \[(\d+)\] ([^|]*) \| ([^|#]*) \| ([^|#]*?)\s*(?=#!|$)")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_fault_at_once_in_its_place(path: Path) -> None:
    text = path.read_text("utf-8")
    expected = [
        (number, int(column), where, message, remedy)
        for number, line in enumerate(text.splitlines(), start=1)
        for column, where, message, remedy in EXPECTED.findall(line)
    ]
    assert len(expected) == text.count("#!"), "an expectation in the file is not readable"
    policy, faults = check_policy(text, "p.yaml", FEATURES)
    assert policy is None
    found = [(f.line, f.column, f.path or "-", f.message, f.remedy) for f in faults]
    assert found == sorted(expected)


def test_there_is_a_catalogue() -> None:
    assert len(FILES) >= 8


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("", "p.yaml:1:1", "the file is empty"),
        ("version: 1\nx: [", "p.yaml:3:1", "not YAML"),
        ("version: 1\n\tmode: shadow", "p.yaml:2:1", "not YAML"),
        ("mode: a: b", "p.yaml:1:8", "mapping values are not allowed"),
        ("version: 1\n---\nversion: 1", "p.yaml:2:1", "a second document"),
        ("- version: 1", "p.yaml:1:1", "should be a valid dictionary"),
        ("version: 1\nmode: *nowhere", "p.yaml:2:7", "undefined alias"),
        ("version: 1\n? [a, b]\n: x", "p.yaml:2:3", "a key must be a plain word"),
        ("[" * 100_000, "p.yaml:1:33", "nested deeper than 32"),
        ("a: &a [*a]", "p.yaml:1:4", "once aliases are written out"),
        ("#" * (DOCUMENT_BYTES_MAX + 1), "p.yaml:1:1", "bytes, more than"),
        (b"version: 1\nmode: \xff", "p.yaml:2:1", "byte 0xff is no UTF-8"),
        ("version: 1\nmode: \x00", "p.yaml:2:1", "not YAML"),
        ("version: !!python/object/apply:os.system [id]", "p.yaml:1:10", "the tag"),
        ("version: 1\nwindows: {<<: 7}", "p.yaml:2:15", "merges mappings only"),
    ],
)
def test_what_is_no_policy_at_all(text: str | bytes, place: str, words: str) -> None:
    policy, faults = check_policy(text, "p.yaml", FEATURES)
    assert policy is None
    assert any(str(f).startswith(place + ":") and words in f.message for f in faults), faults


def test_billion_laughs_cost_nothing() -> None:
    names = "abcdefghijkl"
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"{n}: &{n} [{', '.join([f'*{p}'] * 10)}]" for p, n in itertools.pairwise(names)]
    policy, faults = check_policy("\n".join(lines), "p.yaml", FEATURES)
    assert policy is None
    assert any("more than 100,000 values" in fault.message for fault in faults)


def test_what_stands_in_a_file_cannot_reach_the_terminal() -> None:
    _, faults = check_policy('version: 1\n"\\e[2Jx": 1\nmode: "\\e[2J"\n', "p.yaml", FEATURES)
    assert len(faults) == 2
    assert all(str(fault).isprintable() for fault in faults)
