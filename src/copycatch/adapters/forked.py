"""Work in a forked child, which sees memory as it was at the fork, while its parent goes on.

Judging waits 20 ms for the fork at 100,000 accounts. A thread would need a copy of all rows first (.25 s),
and serialising them (1.4 s) would hold the interpreter meanwhile. From 3.12 on Python warns of a fork beside
threads: a lock that one of them holds then is never released in the child, whose time is therefore bounded.

No child outlives its parent: what an orphan wrote would stand beside what the next process writes. None
outlives its time either: one that hangs would keep all later ones from being started.
"""

import ctypes
import gc
import os
import signal
import sys
import traceback
from collections.abc import Callable

PR_SET_PDEATHSIG = 1
REPORT_BYTES_MAX = 4096  # a pipe takes as much at once, so that a child never waits for a reader
# Where cores are scarce the parent goes first: the child may take its time.
CHILD_NICE = 10
# Looked up before any fork: the loader's lock may be in another thread's hand when a child comes to be.
_PRCTL = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


def die_with(parent_pid: int) -> None:
    """Called in a forked child: the kernel kills it when its parent dies, however that dies.

    Only Linux can; elsewhere a child of a killed parent finishes what it does.
    """
    if _PRCTL is not None:
        _PRCTL(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # it was quicker
        os._exit(1)


def end_within(seconds: float) -> None:
    """Called in a forked child: the kernel ends it then, whatever it hangs in.

    Signals that ask a service to drain are for its parent, which waits for the child.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # a handler of Python's would wait for what hangs
    signal.setitimer(signal.ITIMER_REAL, seconds)


class Forked:
    """An action in a child of its own, from when it is made.

    Parameters
    ----------
    action : callable
        What it raises as OSError is reported to the parent; anything else it prints.
    seconds_max : float
        The child is ended after them.

    Raises
    ------
    OSError
        If there is no memory or no process to be had now.
    """

    def __init__(self, action: Callable[[], object], seconds_max: float) -> None:
        parent = os.getpid()
        self._reports, report = os.pipe()
        # Frozen objects are not touched by the child's collector, so their pages stay shared.
        gc.freeze()
        try:
            self._child = os.fork()
        except OSError:
            os.close(self._reports)
            os.close(report)
            gc.unfreeze()
            raise
        if self._child:
            gc.unfreeze()
            os.close(report)
            return
        status = 1
        try:
            die_with(parent)
            end_within(seconds_max)
            os.nice(CHILD_NICE)
            action()
            status = 0
        except OSError as error:
            os.write(report, str(error).encode(errors="replace")[:REPORT_BYTES_MAX])
        except BaseException:  # noqa: BLE001 (the parent cannot see it, and the child must not go on as a second service)
            traceback.print_exc()
        finally:
            # No clean-up of the parent's: its sockets, locks and buffers are not ours.
            os._exit(status)

    def failure(self, *, is_waiting: bool) -> str | None:
        """None while it works, "" once it has done it, else why not; not to be asked again after an end."""
        child, status = os.waitpid(self._child, 0 if is_waiting else os.WNOHANG)
        if child == 0:
            return None
        text = os.read(self._reports, REPORT_BYTES_MAX)
        os.close(self._reports)
        code = os.waitstatus_to_exitcode(status)
        if code == 0:
            return ""
        return text.decode(errors="replace") or f"the writer ended with {code}"
