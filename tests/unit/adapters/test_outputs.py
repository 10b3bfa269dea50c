"""Outputs: none that is read, none twice, nothing of somebody else's lost; a real full disk."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from copycatch.adapters.outputs import OutputFile, check_outputs, lock_folder
from copycatch.errors import ConfigError, TransportError


def test_an_output_that_is_read_is_refused_by_whatever_name(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_bytes(b"line\n")
    (tmp_path / "hard").hardlink_to(log)
    (tmp_path / "soft").symlink_to(log)
    for name in ("log.jsonl", "hard", "soft", "../" + tmp_path.name + "/log.jsonl"):
        with pytest.raises(ConfigError, match="is read as a log"):
            check_outputs({"--alerts": str(tmp_path / name)}, [str(log)])
    with pytest.raises(ConfigError, match="is read as a log"):
        check_outputs({"--alerts": str(tmp_path / "new" / "alerts.jsonl")}, [str(tmp_path)])
    check_outputs({"--alerts": str(tmp_path / "alerts.jsonl"), "--features": "-"}, [str(log), "-"])


def test_two_outputs_in_one_file_are_refused_and_devices_are_not(tmp_path: Path) -> None:
    both = str(tmp_path / "both")
    for target in (both, "-"):
        with pytest.raises(ConfigError, match="--alerts is written there already"):
            check_outputs({"--alerts": target, "--recommendations": target}, [])
    check_outputs({"--alerts": "/dev/null", "--recommendations": "/dev/null"}, ["/dev"])


def test_what_is_there_is_refused_added_to_or_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old\n")
    with pytest.raises(ConfigError, match="--append adds to it, --force"):
        OutputFile(str(path), "refuse")
    for existing, content in (("append", b"old\nnew\n"), ("replace", b"new\n")):
        output = OutputFile(str(path), existing)  # type: ignore[arg-type]
        output.begin()
        output.write(b"new\n")
        output.close()
        assert path.read_bytes() == content


def test_opening_alone_empties_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old\n")
    OutputFile(str(tmp_path / "a"), "replace").close()
    assert (tmp_path / "a").read_bytes() == b"old\n"


def test_a_second_process_is_kept_off(tmp_path: Path) -> None:
    held = OutputFile(str(tmp_path / "a"), "append")
    with pytest.raises(ConfigError, match="another process writes it"):
        OutputFile(str(tmp_path / "a"), "append")
    held.close()
    OutputFile(str(tmp_path / "a"), "append").close()
    folder = lock_folder(tmp_path / "state")
    tried = (
        "from copycatch.adapters.outputs import lock_folder; import sys, pathlib; "
        "lock_folder(pathlib.Path(sys.argv[1]))"
    )
    command = [sys.executable, "-c", tried, str(tmp_path / "state")]
    refused = subprocess.run(command, check=False, capture_output=True)
    assert b"another copycatch keeps its state there" in refused.stderr
    folder.close()
    assert subprocess.run(command, check=False).returncode == 0


def test_a_full_disk_leaves_whole_lines(tmp_path: Path) -> None:
    """The size limit of the process stands for the disk: the kernel writes a part, then refuses."""
    path = tmp_path / "a"
    code = (
        "import resource, signal, sys\n"
        "from copycatch.adapters.outputs import OutputFile\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "output = OutputFile(sys.argv[1], 'refuse')\n"
        "output.begin()\n"
        "output.write(b'x' * 600 + b'\\n')\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "output.write(b'y' * 600 + b'\\n')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], check=False, capture_output=True, text=True
    )
    assert "cannot be written: File too large; make room and start again" in done.stderr
    assert path.read_bytes() == b"x" * 600 + b"\n"


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(TransportError, match="name another file"):
        OutputFile(str(tmp_path / "none" / "a"), "refuse")
    full = OutputFile("/dev/full", "refuse")
    with pytest.raises(TransportError, match=os.strerror(28)):
        full.write(b"x\n")
    full.close()
