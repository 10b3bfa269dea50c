"""Records that kill the process, twice, are set aside; the shard goes on. The crashes are real."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from copycatch.adapters.memory import MemoryMetrics
from copycatch.ports import Shard
from copycatch.service.quarantine import PIECE, RULE, Quarantine
from tests.support import poisoned
from tests.support.records import traffic
from tests.support.service import PYTHONPATH, ROOT
from tests.support.traffic import raw_batch, record


def die_at(folder: Path, poison: int) -> None:
    """Judge 300 records in a process of its own, which is killed at one of them."""
    child = os.fork()
    if child == 0:
        raw = raw_batch([record(i) for i in range(300)])
        for part, is_aside in Quarantine(folder, MemoryMetrics()).pieces(raw):
            if poison in part.positions and not is_aside:
                os.kill(os.getpid(), signal.SIGKILL)
        os._exit(0)
    os.waitpid(child, 0)


def aside_of(folder: Path, metrics: MemoryMetrics) -> list[int]:
    parts = list(Quarantine(folder, metrics).pieces(raw_batch([record(i) for i in range(300)])))
    assert [p for part, _ in parts for p in part.positions] == list(range(300)), "in order, each once"
    return [p for part, is_aside in parts if is_aside for p in part.positions]


def test_one_death_sets_nothing_aside(tmp_path: Path) -> None:
    die_at(tmp_path, 150)
    assert aside_of(tmp_path, MemoryMetrics()) == []


def test_two_deaths_set_one_piece_aside_for_good(tmp_path: Path) -> None:
    metrics = MemoryMetrics()
    for _ in range(2):
        die_at(tmp_path, 150)
    for _ in range(2):
        aside = aside_of(tmp_path, metrics)
        assert 150 in aside
        assert len(aside) == PIECE


def test_two_poisons_cost_a_piece_each(tmp_path: Path) -> None:
    for poison in (20, 20, 250, 250):
        die_at(tmp_path, poison)
    aside = aside_of(tmp_path, MemoryMetrics())
    assert {20, 250} <= set(aside)
    assert len(aside) <= 2 * PIECE


def test_what_is_no_fault_of_the_records_is_no_death(tmp_path: Path) -> None:
    for _ in range(3):
        quarantine, raw = Quarantine(tmp_path, MemoryMetrics()), raw_batch([record(0)])
        next(iter(quarantine.pieces(raw)))
        quarantine.spare(Shard(raw.topic, raw.partition))
    assert aside_of(tmp_path, MemoryMetrics()) == []


def judged(folder: Path, source: Path) -> int:
    """`copycatch run` over a file, in a process of its own; the exit code."""
    (folder / "settings.yaml").write_text(f"version: 1\nsnapshots: {{directory: {folder / 'state'}}}\n")
    command = [sys.executable, "-m", poisoned.__name__, "run", "--settings", str(folder / "settings.yaml")]
    done = subprocess.run(
        [*command, "--source", str(source), "--sink", f"{folder / 'out'}/"],
        env=os.environ | {"PYTHONPATH": PYTHONPATH}, cwd=ROOT, capture_output=True, check=False,
    )  # fmt: skip
    return done.returncode


@pytest.mark.parametrize(("poison", "exit_code"), [(poisoned.KILLS, -signal.SIGKILL), (poisoned.FAILS, 3)])
def test_the_service_goes_on_past_a_record_that_ends_it(
    tmp_path: Path, poison: bytes, exit_code: int
) -> None:
    lines = [line for _, line in traffic(400)]
    lines[150] = json.dumps(json.loads(lines[150]) | {"event_id": poison.decode()}).encode()
    source = tmp_path / "log.jsonl"
    source.write_bytes(b"\n".join(lines) + b"\n")
    assert [judged(tmp_path, source) for _ in range(2)] == [exit_code, exit_code]
    assert judged(tmp_path, source) in (0, 1)
    letters = [json.loads(line) for line in (tmp_path / "out/dead-letters.jsonl").read_text().splitlines()]
    aside = [each for each in letters if each["reason"] == "set_aside"]
    assert len(aside) == len(letters) == PIECE, "all other records are judged"
    alerts = [json.loads(line) for line in (tmp_path / "out/alerts.jsonl").read_text().splitlines()]
    (said,) = [each for each in alerts if each["rule"] == RULE]
    assert said["queries"] == PIECE
