"""`copycatch`: the command line's entry point."""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

# Small matrices only: a second BLAS thread costs more than it brings (70 times slower was seen), and other
# processes need the core. Read by the library when it loads, so set before anything imports numpy.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

COMMANDS = (
    "run", "learn", "replay", "inspect", "check", "alerts", "explain", "verdict", "allow", "forget", "policy",
    "backtest", "test", "drill", "decisions", "report", "top", "evidence", "simulate", "demo", "schemas",
    "enforce", "warm",
)  # fmt: skip

DESCRIPTION = """\
copycatch catches model extraction (model stealing, distillation) from inference logs while it happens.

Start with `copycatch demo`: it plays honest users and real extraction attacks against a small model.
Then `copycatch inspect FILE` on your gateway's log, and `copycatch replay FILE --alerts alerts.jsonl`.
"""
EPILOG = """\
exit codes, of every command: 0 fine; 1 the command found faults; 2 wrong options, settings or policy;
3 a broker, a file or the state cannot be used; 130 interrupted.
"""


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    from copycatch import __version__

    parser = argparse.ArgumentParser(
        prog="copycatch",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"copycatch {__version__}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        import_module(f"copycatch.cli.{command}").add_parser(subparsers)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code."""
    from copycatch.errors import ConfigError, CopycatchError

    args = make_parser().parse_args(arguments)
    try:
        code: int = args.run(args)
    except ConfigError as error:
        print(f"copycatch: {error}", file=sys.stderr)
        return 2
    except CopycatchError as error:
        print(f"copycatch: {error}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print("copycatch: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has gone: no fault of ours
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


if __name__ == "__main__":
    sys.exit(main())
