"""What commands share that serve until they are stopped: options, settings, exit codes of failures."""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from copycatch.errors import ConfigError, CopycatchError

if TYPE_CHECKING:
    from copycatch.service.findings import Summary
    from copycatch.settings.service import Service


def add_settings_argument(parser: argparse.ArgumentParser, what: str) -> None:
    """`--settings`, where `what` is said of the file."""
    parser.add_argument(
        "--settings",
        type=Path,
        metavar="FILE",
        default=os.environ.get("COPYCATCH_SETTINGS"),
        help=f"{what}; YAML (default: COPYCATCH_SETTINGS)",
    )


def add_log_level_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--log-level",
        choices=["debug", "info", "warning", "error"],
        help="log_level of the settings instead (default: info)",
    )


def serve(args: argparse.Namespace, play: "Callable[[Service], Summary]") -> "Summary | int":
    """Run `play` with the settings that the options name; the exit code where it could not end well."""
    from copycatch.service.logs import set_up_logging
    from copycatch.settings.service import load_service

    set_up_logging(args.log_level or "info")
    log = structlog.get_logger("copycatch")
    try:
        settings = load_service(args.settings)
        if args.log_level is not None:
            settings = settings.model_copy(update={"log_level": args.log_level})
        set_up_logging(settings.log_level)
        return play(settings)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except CopycatchError as error:
        log.critical("stopped", kind=type(error).__name__, reason=str(error))
        return 3
    except Exception:  # whatever it is: the supervisor gets an exit code, the log the reason
        log.critical("stopped by an error in copycatch; please report it", exc_info=True)
        return 3
