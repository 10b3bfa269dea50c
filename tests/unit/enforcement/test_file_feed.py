"""Recommendations from a file: read to the end, followed, and read anew where the file was replaced."""

import time
from collections.abc import Callable
from pathlib import Path

from copycatch.enforcement.file_feed import FileFeed
from copycatch.enforcement.table import DecisionTable, Subject
from copycatch.records.wire import ENCODER
from tests.unit.enforcement.front_ends import NOW_MS, recommend


def within(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    for _ in range(int(seconds / 0.05)):
        if condition():
            return True
        time.sleep(0.05)
    return False


def test_a_file_is_followed_and_read_anew_when_it_is_replaced(tmp_path: Path) -> None:
    path, table = tmp_path / "recommendations.jsonl", DecisionTable()
    feed = FileFeed(path, table, lambda: NOW_MS)

    def is_refused() -> bool:
        return table.verdict(Subject("a1", model_id="m"), NOW_MS).is_refused

    feed.start()
    try:
        assert not feed.wait_ready(0.6), "there is no file yet"
        path.write_bytes(ENCODER.encode(recommend("block")) + b"\n{broken\n")
        assert feed.wait_ready(20)
        assert is_refused()
        assert table.counts.unreadable == 1
        line = ENCODER.encode(recommend("block", revision=2, op="revoke"))
        with path.open("ab") as file:  # half a line is none yet
            file.write(line[:40])
            file.flush()
            time.sleep(1.2)
            assert is_refused()
            file.write(line[40:] + b"\n")
        assert within(lambda: not is_refused())
        other = tmp_path / "other"
        other.write_bytes(ENCODER.encode(recommend("block", revision=3)) + b"\n")
        other.replace(path)
        assert within(is_refused)
    finally:
        feed.stop()
