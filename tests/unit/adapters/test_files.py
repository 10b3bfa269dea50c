"""Log files as a source, files as a sink: what breaks, and what then stands."""

import bz2
import gzip
import io
import lzma
import os
import tarfile
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from copycatch.adapters.file_names import find_files
from copycatch.adapters.file_sink import FileSink
from copycatch.adapters.file_values import LINE_BYTES_MAX
from copycatch.adapters.files import FileSource
from copycatch.adapters.messages import NATIVE
from copycatch.errors import ConfigError, RecoverableError, StateError, TransportError
from copycatch.ports import Delivery, Shard
from copycatch.records.columns import Outcomes
from copycatch.records.wire import RECORD_BYTES_MAX
from tests.contracts.listening import Recorder
from tests.support.counting import alert


def read(source: FileSource) -> list[tuple[int, bytes]]:
    source.start(Recorder(source))
    found = []
    try:
        while not source.is_exhausted:
            for batch in source.poll(1000, 0.05):
                found += list(zip(batch.positions, batch.values, strict=True))
    finally:
        source.close()
    return found


def test_positions_are_line_numbers_and_blank_lines_count(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"one\n\n   \nfour\r\nfive")
    assert read(FileSource([str(tmp_path / "a.jsonl")])) == [(0, b"one"), (3, b"four\r"), (4, b"five")]


def test_a_line_without_end_does_not_fill_the_memory(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"x" * (3 * LINE_BYTES_MAX) + b"\nnext\n")
    (_, long), rest = read(FileSource([str(tmp_path / "a.jsonl")]))
    assert RECORD_BYTES_MAX < len(long) <= LINE_BYTES_MAX + (1 << 20)
    assert rest == (1, b"next")


def test_a_compressed_file_that_breaks_off_is_told(tmp_path: Path) -> None:
    whole = gzip.compress(b"line\n" * 100_000)
    (tmp_path / "a.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(TransportError, match=r"a.jsonl.gz: cannot be read on"):
        read(FileSource([str(tmp_path / "a.jsonl.gz")]))


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
@pytest.mark.parametrize("n", [300, 200_000])
def test_what_stands_before_a_file_breaks_off_is_read(
    pack: Callable[[bytes], bytes], n: int, tmp_path: Path
) -> None:
    lines = [f'{{"a": {number * 7919 % 1_000_003}}}'.encode() for number in range(n)]
    whole = pack(b"\n".join(lines))
    broken, after = tmp_path / "a.jsonl.gz", tmp_path / "b.jsonl"
    broken.write_bytes(whole[:-9] if n < 1_000 else whole[: len(whole) * 3 // 4])
    after.write_bytes(b"next")
    source = FileSource([str(broken), str(after)], goes_on=True)
    found = [value for _, value in read(source)]
    found.remove(b"next")  # the next file is read, in turn
    assert found == lines[: len(found)]
    assert len(found) >= (n // 2 if pack is gzip.compress else 0)
    [fault] = source.faults
    assert "a.jsonl.gz: cannot be read on" in fault


def test_xz_is_unpacked_and_archives_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.1.xz").write_bytes(lzma.compress(b"one\ntwo\n"))
    assert read(FileSource([str(tmp_path)])) == [(0, b"one"), (1, b"two")]
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("a.jsonl", "one\n")
    with tarfile.open(tmp_path / "c.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "b.zip")
    for name, kind in (("b.zip", "zip"), ("c.tar.gz", "tar")):
        with pytest.raises(TransportError, match=f"{name}: cannot be read on: it is a {kind} archive"):
            read(FileSource([str(tmp_path / name)]))


def test_places_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        find_files([str(tmp_path / "none.jsonl")])
    with pytest.raises(ConfigError, match="holds no file"):
        find_files([str(tmp_path)])


def test_standard_input_is_read_as_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `tail -f` writes it: a line now, half a line, then the rest."""
    reading, writing = os.pipe()

    class Stdin:
        buffer = os.fdopen(reading, "rb", buffering=0)

    monkeypatch.setattr("sys.stdin", Stdin)
    source = FileSource(["-"])
    source.start(Recorder(source))
    assert source.poll(10, 0.01) == []
    os.write(writing, b"one\ntw")
    assert [batch.values for batch in source.poll(10, 1.0)] == [[b"one"]]
    assert source.poll(10, 0.01) == []
    os.write(writing, b"o\n")
    assert [batch.values for batch in source.poll(10, 1.0)] == [[b"two"]]
    closer = threading.Timer(0.05, os.close, [writing])
    closer.start()
    while not source.is_exhausted:
        source.poll(10, 0.2)
    closer.join()
    Stdin.buffer.close()


def sink_in(folder: Path) -> FileSink:
    targets = {"alert": str(folder / "alerts"), "dead_letter": str(folder / "dead")}
    return FileSink(targets, NATIVE, folder / "ledger.json")  # type: ignore[arg-type]


def unit(n: int) -> Delivery:
    return Delivery(Outcomes(alerts=[alert("a", n)]), {Shard("log", 0): n}, n, "run")


def test_what_a_crash_left_behind_the_ledger_is_cut_off(tmp_path: Path) -> None:
    sink = sink_in(tmp_path)
    sink.deliver(unit(1))
    sink.close()
    with (tmp_path / "alerts").open("ab") as file:
        file.write(b'{"uid": "half a li')
    again = sink_in(tmp_path)
    again.deliver(unit(2))
    again.close()
    lines = (tmp_path / "alerts").read_bytes().splitlines()
    assert len(lines) == 2
    assert all(line.startswith(b"{") and line.endswith(b"}") for line in lines)
    assert [each.read_bytes() for each in tmp_path.glob("alerts.cut-at-*")] == [b'{"uid": "half a li']


def test_a_file_that_is_there_is_added_to(tmp_path: Path) -> None:
    (tmp_path / "alerts").write_bytes(b"of somebody else\n")
    for ledger in (None, tmp_path / "ledger.json"):
        sink = FileSink({"alert": str(tmp_path / "alerts")}, NATIVE, ledger)
        sink.deliver(unit(1))
        sink.close()
    lines = (tmp_path / "alerts").read_bytes().splitlines()
    assert (lines[0], len(lines)) == (b"of somebody else", 3)


def test_an_output_shorter_than_the_ledger_is_refused(tmp_path: Path) -> None:
    sink = sink_in(tmp_path)
    sink.deliver(unit(1))
    sink.close()
    (tmp_path / "alerts").write_bytes(b"")
    with pytest.raises(StateError, match="is shorter than"):
        sink_in(tmp_path)


def test_a_full_disk_is_tried_again_and_nothing_stands_half() -> None:
    sink = FileSink({"alert": "/dev/full"}, NATIVE)
    with pytest.raises(RecoverableError, match="No space left"):
        sink.deliver(unit(1))
    sink.close()


def test_a_reader_who_has_left_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)

    class Stdout:
        buffer: io.RawIOBase = os.fdopen(writing, "wb", buffering=0)

    monkeypatch.setattr("sys.stdout", Stdout)
    sink = FileSink({"alert": "-"}, NATIVE)
    with pytest.raises(TransportError, match="reader"):
        sink.deliver(unit(1))
    Stdout.buffer.close()
