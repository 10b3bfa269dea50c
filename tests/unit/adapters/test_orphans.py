"""A writer that was forked ends with the process that forked it."""

import os
import signal
import subprocess
import sys

import pytest

SCRIPT = """
import os, sys, time
from copycatch.adapters.orphans import die_with
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
