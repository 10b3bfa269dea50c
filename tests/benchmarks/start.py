"""Starts: the first one on a machine compiles everything, the next ones find it in the cache."""

import os
import subprocess
import sys
import tempfile
import time

from tests.benchmarks.isolated import ROOT, MeasurementFailed
from tests.benchmarks.measure import Figure, Part, ratios
from tests.benchmarks.scale import Scale

# What `copycatch run` does before its first poll. The peak is of this program alone: wait4 counts the
# one that started it, too.
PROGRAM = """
from pathlib import Path
from copycatch.__main__ import main
code = main(["warm"])
status = Path("/proc/self/status").read_text()
print(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
raise SystemExit(code)
"""
KIB_PER_MIB = 1024


def start(cache: str) -> dict[str, float]:
    """Seconds, seconds of CPU and peak memory of one start with that cache.

    Raises
    ------
    MeasurementFailed
        If it does not come through.
    """
    environment = os.environ | {
        "NUMBA_CACHE_DIR": cache,
        "PYTHONPATH": str(ROOT / "src"),
        "OMP_NUM_THREADS": "1",
    }
    began_s = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert child.stdout is not None
    with child.stdout:
        text = child.stdout.read().decode(errors="replace")
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        msg = f"`copycatch warm` ended with {child.returncode}: {text[-600:]}"
        raise MeasurementFailed(msg)
    return {
        "wall_s": time.perf_counter() - began_s,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_mib": int(text.splitlines()[-1]) / KIB_PER_MIB,
    }


def run(scale: Scale) -> Part:
    """Part (h)."""
    part = Part("start", "Start: everything imported and compiled, before the first poll")
    found: dict[str, list[dict[str, float]]] = {"first start, no cache": [], "second start": []}
    try:
        for _ in range(min(scale.rounds, 3)):  # minutes of compiling each
            with tempfile.TemporaryDirectory(prefix="copycatch-bench-") as cache:
                for rounds in found.values():
                    rounds.append(start(cache))
    except MeasurementFailed as error:
        part.skipped.append(str(error))
        return part
    first, second = found.values()
    for key, unit in (("wall_s", "s"), ("cpu_s", "s of CPU"), ("peak_mib", "MiB at the peak")):
        values = [each[key] for each in first]
        beside = [each[key] for each in second]
        part.figures += [
            Figure(part.key, "first start, no cache", unit, values, "second start", ratios(values, beside)),
            Figure(part.key, "second start", unit, beside),
        ]
    return part
