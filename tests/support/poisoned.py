"""`copycatch run`, killed or failed by marked records: `python -m tests.support.poisoned run ...`."""

import argparse
import os
import signal
import sys
from collections.abc import Iterator, Sequence

from copycatch.cli import run
from copycatch.intake.read import Intake, Read
from copycatch.records.columns import RawBatch

KILLS, FAILS = b"poison: kills", b"poison: fails"
whole = Intake.read_in_pieces


def read_in_pieces(self: Intake, raw: RawBatch, now_ms: int) -> Iterator[Read]:
    """As a kernel with a wrong index does it, or one with a broken invariant: no cleaning up."""
    if any(KILLS in value for value in raw.values):
        os.kill(os.getpid(), signal.SIGKILL)
    assert not any(FAILS in value for value in raw.values), "a broken invariant"
    return whole(self, raw, now_ms)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser()
    run.add_parser(parser.add_subparsers())
    Intake.read_in_pieces = read_in_pieces  # type: ignore[method-assign]
    return run.run(parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
