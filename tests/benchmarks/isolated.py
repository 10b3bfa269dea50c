"""One measurement in a process of its own: its memory is its own, and a crash is one missing line.

python -m tests.benchmarks.isolated tests.benchmarks.engine:measure '{"accounts": 1000}'
"""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 900.0


class MeasurementFailed(Exception):  # noqa: N818 (says what happened)
    """The child's last words."""


def run_isolated(function: str, arguments: dict[str, Any], timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
    """Call `module:function` with keyword arguments in a child with one thread; its result is JSON.

    Raises
    ------
    MeasurementFailed
        If the child fails or takes too long.
    """
    command = [sys.executable, "-m", "tests.benchmarks.isolated", function, json.dumps(arguments)]
    one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=os.environ | one_thread, capture_output=True, text=True, check=False,
            timeout=timeout_s,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        msg = f"{function} took longer than {timeout_s:.0f} s"
        raise MeasurementFailed(msg) from error
    if done.returncode != 0:
        msg = (
            f"{function}: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else done.returncode}"
        )
        raise MeasurementFailed(msg)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def compile_ahead() -> None:
    """Let numba fill its cache, so that no service under test spends its first minute on that.

    Raises
    ------
    MeasurementFailed
        If the engine does not run at all.
    """
    run_isolated(
        "tests.benchmarks.engine:measure",
        {"accounts": 30, "traffic": "uniform", "records": 200, "rounds": 1, "warm_records": 600, "size": 200},
    )


def _main() -> None:
    module, _, name = sys.argv[1].partition(":")
    result = getattr(importlib.import_module(module), name)(**json.loads(sys.argv[2]))
    print(json.dumps(result))


if __name__ == "__main__":
    _main()
