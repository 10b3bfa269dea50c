"""`copycatch run` with the judge that counts: `python -m tests.support.entry run ...`."""

import argparse
import sys

from copycatch.cli import run
from copycatch.service import bootstrap
from tests.support.counting import CountingJudge


def main() -> int:
    parser = argparse.ArgumentParser()
    run.add_parser(parser.add_subparsers())
    args = parser.parse_args()
    bootstrap.make_judge = lambda *_arguments, **_options: CountingJudge()  # type: ignore[assignment]
    return run.run(args)


if __name__ == "__main__":
    sys.exit(main())
