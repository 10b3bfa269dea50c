"""A child that was forked says why it failed, and ends with its parent or its time."""

import os
import signal
import subprocess
import sys

import pytest

SCRIPT = """
import os, sys, time
from copycatch.adapters.forked import die_with
parent, (told, tells) = os.getpid(), os.pipe()
child = os.fork()
if not child:
    die_with(parent)
    os.write(tells, b"x")
    time.sleep(30)
    print("still here", flush=True)
    os._exit(0)
os.read(told, 1)
print(child, flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills a child with its parent")
def test_a_killed_parent_takes_its_child_along() -> None:
    with subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert int(parent.stdout.readline()) > 0
        os.kill(parent.pid, signal.SIGKILL)
        # The child holds the other end of the pipe: it closes when the child ends.
        assert parent.stdout.read() == b""


HANGS = """
import sys, time
from copycatch.adapters.forked import Forked
def fail():
    raise OSError(28, "No space left on device")
def hang():
    while True:
        time.sleep(600)
for action, seconds in ((lambda: None, 60.0), (fail, 60.0), (hang, 0.2), (lambda: 1 / 0, 60.0)):
    print(repr(Forked(action, seconds).failure(is_waiting=True)), flush=True)
"""


def test_a_child_says_how_it_ended() -> None:
    """In a process of its own: there are no threads of other tests in it."""
    done = subprocess.run(
        [sys.executable, "-c", HANGS], capture_output=True, text=True, timeout=300, check=True
    )
    assert done.stdout.splitlines() == [
        "''",
        "'[Errno 28] No space left on device'",
        f"'the writer ended with {-signal.SIGALRM}'",
        "'the writer ended with 1'",
    ]
    assert "ZeroDivisionError" in done.stderr
