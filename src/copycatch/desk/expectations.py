"""What a policy must find in a log and what it must leave alone, as files beside the policy.

log: ../logs/week-9.jsonl.gz   # from the file's own folder
alerted: [acct-7f3a]           # must be alerted on
restricted: [acct-7f3a]        # must get a recommendation that takes something
quiet: [nightly-eval]          # must not be alerted on
others: any                    # or none: nobody else may be alerted on
"""

import xml.etree.ElementTree as ET
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from copycatch.desk.backtest import PolicyTrial
from copycatch.errors import ConfigError
from copycatch.settings.faults import FaultsError
from copycatch.settings.load import check_text, read_file

SUFFIXES = (".yaml", ".yml")


class Expectations(BaseModel):
    """One file of expectations."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    log: str = Field(description="Log file or folder, from this file's folder.")
    format: str | None = Field(default=None, description="Its format; recognised when left out.")
    alerted: list[str] = Field(default=[], description="Accounts or campaigns that must be alerted on.")
    restricted: list[str] = Field(default=[], description="Those that must be restricted.")
    quiet: list[str] = Field(default=[], description="Those that must not be alerted on.")
    others: Literal["any", "none"] = Field(
        default="any", description="none: whoever is not listed must not be alerted on."
    )
    reason: str | None = Field(default=None, description="Why, for whoever reads it later.")


@dataclass(frozen=True, slots=True)
class PolicyCase:
    """Expectations and where they stand."""

    path: Path
    expected: Expectations

    @property
    def log(self) -> str:
        return str((self.path.parent / self.expected.log).resolve())


@dataclass(slots=True)
class Result:
    """What came of one case: nothing in `failures` is a pass."""

    case: PolicyCase
    failures: list[str] = field(default_factory=list)


def read_cases(folder: Path) -> list[PolicyCase]:
    """Every file of expectations below a folder, or the one file, by name.

    Raises
    ------
    ConfigError
        With every fault of every file; also if there are none, or a log is not there.
    """
    files = [folder] if folder.is_file() else sorted(p for p in folder.rglob("*") if p.suffix in SUFFIXES)
    if not files:
        message = f"{folder}: holds no .yaml file with expectations"
        raise ConfigError(message)
    cases, faults = [], []
    for path in files:
        expected, document = check_text(Expectations, read_file(path), str(path))
        faults += document.faults
        if expected is None:
            continue
        case = PolicyCase(path, expected)
        if not Path(case.log).exists():
            faults.append(
                document.fault(("log",), f"{expected.log!r} is not there", "name it from this folder")
            )
        cases.append(case)
    if faults:
        raise FaultsError(faults)
    return cases


def check_case(case: PolicyCase, trial: PolicyTrial, unjudged: Collection[str]) -> Result:
    """Hold what a policy said against what was expected.

    Parameters
    ----------
    unjudged : collection of str
        Why the log was not judged, where it was not: then nothing that was to be found counts as looked for.
    """
    result, expected = Result(case), case.expected
    named = {key[2] for key in trial.named}
    restricted = {key[2] for key, each in trial.named.items() if each.is_restricted}
    result.failures += [f"{name} was not alerted on" for name in expected.alerted if name not in named]
    result.failures += [
        f"{name} was not restricted" for name in expected.restricted if name not in restricted
    ]
    result.failures += [f"{name} was alerted on" for name in expected.quiet if name in named]
    if expected.others == "none":
        listed = {*expected.alerted, *expected.restricted, *expected.quiet}
        result.failures += [f"{name} was alerted on and is not listed" for name in sorted(named - listed)]
    if unjudged and not (expected.alerted or expected.restricted):
        result.failures += [f"silence proves nothing: {sentence.strip()}" for sentence in unjudged]
    return result


def junit_xml(results: Sequence[Result]) -> bytes:
    """The results as CI systems read them."""
    failed = sum(bool(result.failures) for result in results)
    suite = ET.Element("testsuite", name="copycatch", tests=str(len(results)), failures=str(failed))
    for result in results:
        case = ET.SubElement(suite, "testcase", classname="copycatch", name=_xml_text(str(result.case.path)))
        if result.failures:
            failure = ET.SubElement(case, "failure", message=_xml_text(result.failures[0]))
            failure.text = _xml_text("\n".join(result.failures))
    text: bytes = ET.tostring(suite, encoding="utf-8", xml_declaration=True)
    return text


def _xml_text(text: str) -> str:
    """Without what XML cannot hold: ids come from strangers."""
    return "".join(each if each.isprintable() or each == "\n" else f"\\x{ord(each):02x}" for each in text)
