"""Logs of other formats through the whole engine, from files: nothing is lost on the way."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.formats.test_formats import LITELLM
from tests.unit.formats.test_joining import request, response

from copycatch.__main__ import main
from copycatch.records.columns import Outcomes
from copycatch.records.policy import Policy
from copycatch.records.wire import Rejected
from copycatch.service.replay import replay
from copycatch.settings.service import Input


def played(path: Path, format_name: str, **options: Any) -> tuple[Any, list[Rejected]]:
    rejects: list[Rejected] = []

    def take(outcomes: Outcomes) -> None:
        rejects.extend(outcomes.rejects)

    log = Input(topic="files", format=format_name, options=options or {})
    summary = replay([str(path)], Policy(), take, log=log)
    return summary.counts, rejects


def write(path: Path, *documents: Any) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in documents))
    return path


def test_halves_that_wait_at_the_end_of_the_file_are_given_up(tmp_path: Path) -> None:
    log = write(tmp_path / "log.jsonl", request("e1"), request("e2"), response("e1"), response("e3"))
    counts, rejects = played(log, "kserve", unpaired="reject")
    assert (counts.accepted, counts.rejected, counts.total) == (1, 2, 3)
    assert [(each.reason, each.offset) for each in rejects] == [("unjoined", 1), ("unjoined", 3)]
    counts, rejects = played(log, "kserve")
    assert (counts.accepted, counts.rejected) == (2, 1)


def test_a_log_of_halves_only_is_not_silent(tmp_path: Path) -> None:
    counts, rejects = played(write(tmp_path / "log.jsonl", response("e1")), "kserve")
    assert (counts.accepted, counts.rejected) == (0, 1)
    assert len(rejects) == 1


def test_options_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = write(tmp_path / "log.jsonl", {**LITELLM, "customer": {"no": 17}})
    letters = tmp_path / "letters.jsonl"
    command = ["replay", str(log), "--format", "litellm", "--dead-letters", str(letters), "--quiet"]
    assert main([*command, "--option", "account_pointer=/customer/no"]) == 1  # decoded, too few to judge
    assert letters.read_text() == ""
    assert main([*command, "--option", "acount_pointer=/x"]) == 2
    assert "did you mean account_pointer?" in capsys.readouterr().err
