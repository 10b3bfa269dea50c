"""`copycatch warm`: compile everything ahead, so that no start has to."""

import argparse

DESCRIPTION = """\
Compile all machine code ahead and keep it in the cache: in NUMBA_CACHE_DIR, or in the user's cache folder.
The first start on a machine does the same by itself, in 47 s of CPU; images and init containers can do it
before.

exit codes: 0 compiled, or found in the cache
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "warm",
        help="compile ahead, for images and init containers",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)


def run(_args: argparse.Namespace) -> int:
    """Compile, and say where the code lies."""
    from copycatch.adapters.clock import SystemClock
    from copycatch.compiled import cache_folder
    from copycatch.engine import compile_ahead

    clock = SystemClock()
    began_s = clock.monotonic_s()
    compile_ahead()
    print(f"ready in {clock.monotonic_s() - began_s:.1f} s; compiled code is in {cache_folder()}")
    return 0
