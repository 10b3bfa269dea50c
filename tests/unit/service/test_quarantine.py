"""Records that kill the process, twice, are set aside; the shard goes on. The crashes are real."""

import os
import signal
from pathlib import Path

from copycatch.adapters.memory import MemoryMetrics
from copycatch.ports import Shard
from copycatch.service.quarantine import PIECE, Quarantine
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


def test_an_error_that_ends_nothing_is_no_death(tmp_path: Path) -> None:
    for _ in range(3):
        quarantine, raw = Quarantine(tmp_path, MemoryMetrics()), raw_batch([record(0)])
        next(iter(quarantine.pieces(raw)))
        quarantine.survived(Shard(raw.topic, raw.partition))
    assert aside_of(tmp_path, MemoryMetrics()) == []
