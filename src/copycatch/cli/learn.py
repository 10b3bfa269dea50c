"""`copycatch learn`: the learner for several workers, from Kafka to Kafka."""

import argparse

import structlog

from copycatch.cli.serving import add_log_level_argument, add_settings_argument, serve

DESCRIPTION = """\
Learn what is normal for all workers of `copycatch run`, and publish it to them.

Workers with `learner.inputs` and `learner.versions` in their settings learn nothing by themselves: they
tell what their accounts teach, and judge by the versions that this process publishes. It takes the same
settings as they do, and runs in a group of its own: a second one stands by and takes over. Without one,
workers judge on by the last version, and say how old it is.
"""
EPILOG = """\
exit codes: 0 drained and done; 2 wrong settings; 3 the broker or the state cannot be used and trying again
  would not help.
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "learn",
        help="learn what is normal for several workers",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_settings_argument(parser, "those of the workers")
    add_log_level_argument(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run until stopped; see EPILOG for the exit codes."""
    from copycatch.service.bootstrap import Endpoints, Instance

    summary = serve(args, lambda settings: Instance(settings, Endpoints(), is_learner=True).run())
    if isinstance(summary, int):
        return summary
    log = structlog.get_logger("copycatch")
    log.info("done", messages=summary.counts.accepted, refused=summary.counts.rejected)
    return 0
