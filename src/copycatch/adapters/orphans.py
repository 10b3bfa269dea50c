"""No child outlives its parent: what an orphan wrote would stand beside what the next process writes."""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def die_with(parent_pid: int) -> None:
    """Called in a forked child: the kernel kills it when its parent dies, however that dies.

    Only Linux can; elsewhere a child of a killed parent finishes what it does.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # it was quicker
        os._exit(1)
