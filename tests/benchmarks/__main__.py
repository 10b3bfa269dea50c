"""`make bench`: all parts, or those that are named.

python -m tests.benchmarks                      everything
python -m tests.benchmarks engine files --scale quick
"""

import argparse
import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from tests.benchmarks import (
    backtest,
    campaigns,
    engine,
    files,
    formats,
    kafka_loop,
    latency,
    spark,
    start,
    state,
    text,
    workers,
    worst,
)
from tests.benchmarks.machine import machine_words
from tests.benchmarks.measure import Part
from tests.benchmarks.peers import compare
from tests.benchmarks.report import as_text, write_report
from tests.benchmarks.scale import SCALES, Scale

PARTS: dict[str, Callable[[Scale], Part]] = {
    "engine": engine.run,
    "peers": compare.run,
    "files": files.run,
    "backtest": backtest.run,
    "formats": formats.run,
    "kafka": kafka_loop.run,
    "latency": latency.run,
    "state": state.run,
    "start": start.run,
    "growth": engine.run_growth,
    "text": text.run,
    "worst": worst.run,
    "campaigns": campaigns.run,
    "workers": workers.run,
    "spark": spark.run,
}


def run_parts(names: list[str], scale: Scale, folder: Path) -> list[Part]:
    """Run, tell on stderr what is going on, and write the report after each part."""
    machine = machine_words()
    parts: list[Part] = []
    for name in names:
        began_s = time.monotonic()
        print(f"{name} ...", end=" ", flush=True, file=sys.stderr)
        parts.append(PARTS[name](scale))
        print(f"{time.monotonic() - began_s:.0f} s", file=sys.stderr)
        write_report(parts, machine, folder)
    print(as_text(parts, machine))
    return parts


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="make bench", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="part", help=f"of {', '.join(PARTS)}; all when left out")
    parser.add_argument("--scale", choices=sorted(SCALES), default="whole")
    parser.add_argument("--out", type=Path, default=Path("bench-out"), help="folder for tables and plots")
    args = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    unknown = set(args.parts) - set(PARTS)
    if unknown:
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    parts = run_parts(args.parts or list(PARTS), SCALES[args.scale], args.out)
    print(f"tables and plots: {args.out}/")
    return 0 if all(part.figures for part in parts) else 1


if __name__ == "__main__":
    sys.exit(main())
