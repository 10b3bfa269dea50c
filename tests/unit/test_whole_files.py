"""What is written whole: after a fault or a kill there is what was before, and nothing half."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

import pytest

from copycatch.whole_files import replacing, write_whole
from tests.support.service import PYTHONPATH


def test_it_takes_the_place_of_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    write_whole(path, b"one")
    write_whole(path, b"two", 0o640)
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [path]


def write_half(path: Path, full: BinaryIO) -> None:
    with replacing(path) as file:
        file.write(b"half of what")
        full.write(b"and the rest")


def test_a_fault_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    write_whole(path, b"before")
    with Path("/dev/full").open("wb", buffering=0) as full, pytest.raises(OSError, match="space"):
        write_half(path, full)
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_kill_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    write_whole(path, b"before")
    code = (
        "import os, signal, sys; from pathlib import Path; from copycatch.whole_files import replacing\n"
        "with replacing(Path(sys.argv[1])) as file:\n"
        "    file.write(b'half'); file.flush(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    environment = os.environ | {"PYTHONPATH": PYTHONPATH}
    done = subprocess.run([sys.executable, "-c", code, str(path)], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"before"
