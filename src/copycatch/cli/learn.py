"""`copycatch learn`: the learner for several workers, from Kafka to Kafka."""

import argparse
import os
import sys
from pathlib import Path

import structlog

from copycatch.errors import ConfigError, CopycatchError

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
    parser.add_argument(
        "--settings",
        type=Path,
        metavar="FILE",
        default=os.environ.get("COPYCATCH_SETTINGS"),
        help="those of the workers; YAML (default: COPYCATCH_SETTINGS)",
    )
    parser.add_argument(
        "--log-level",
        choices=["debug", "info", "warning", "error"],
        help="log_level of the settings instead (default: info)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run until stopped; see EPILOG for the exit codes."""
    from copycatch.service.bootstrap import Endpoints, Instance
    from copycatch.service.logs import set_up_logging
    from copycatch.settings.service import load_service

    set_up_logging(args.log_level or "info")
    log = structlog.get_logger("copycatch")
    try:
        settings = load_service(args.settings)
        if args.log_level is not None:
            settings = settings.model_copy(update={"log_level": args.log_level})
        set_up_logging(settings.log_level)
        summary = Instance(settings, Endpoints(), is_learner=True).run()
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except CopycatchError as error:
        log.critical("stopped", kind=type(error).__name__, reason=str(error))
        return 3
    except Exception:  # whatever it is: the supervisor gets an exit code, the log the reason
        log.critical("stopped by an error in copycatch; please report it", exc_info=True)
        return 3
    log.info("done", messages=summary.counts.accepted, refused=summary.counts.rejected)
    return 0
