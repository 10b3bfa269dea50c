"""`copycatch run`: the service, from Kafka to Kafka, or from files and pipes to files and pipes."""

import argparse
import sys
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from copycatch.cli.format_options import add_format_arguments, given_by
from copycatch.cli.serving import add_log_level_argument, add_settings_argument, serve

if TYPE_CHECKING:
    from copycatch.service.bootstrap import Instance
    from copycatch.service.findings import Summary
    from copycatch.settings.service import Service

DESCRIPTION = """\
Judge inference records as they come, and write alerts and recommendations.

Without --source it reads the input topics of Apache Kafka and writes the output topics; alerts,
recommendations and offsets are one transaction. It runs until SIGTERM, then finishes the batch at hand,
commits, writes its state and leaves the group.

With --source it reads files, folders or standard input to their end, and writes to --sink; the next start
goes on where this one ended. A last line that is still being written is kept back until then:
  tail -F gateway.log | copycatch run --source - --sink - | jq 'select(.kind == "alert")'
"""
EPILOG = """\
settings: a YAML file (--settings), overridden by the environment, as COPYCATCH_KAFKA__BOOTSTRAP_SERVERS=
  kafka-1:9093,kafka-2:9093 COPYCATCH_KAFKA__SECURITY__PASSWORD=... Secrets never stand in the file.
policy: --policy, or `policy:` in the settings; read again when it changes or on SIGHUP, and refused as a
  whole when something in it is wrong (the one before stays in force).
log: SIGUSR1 switches the running service to debug, SIGUSR2 back.
http: /live, /ready, /status and /metrics on 127.0.0.1:9464 by default.
desk: with desk.is_on (COPYCATCH_DESK__IS_ON=true) the pages of `copycatch report`, live, on 127.0.0.1:9465,
  for who has the token (desk.token in the state folder unless you set it); `copycatch top` shows the same.

exit codes: 0 drained and done; 1 with --source: done, but not judged, or not all of it (it says why);
  2 wrong settings, policy or options; 3 the broker, a file or the state
  cannot be used and trying again would not help; nothing that was read is lost, the next start goes on.
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "run",
        help="judge records as they come, from Kafka or a pipe",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_settings_argument(parser, "what operators set")
    parser.add_argument(
        "--policy", type=Path, metavar="FILE", help="what analysts set; YAML (see copycatch check)"
    )
    parser.add_argument(
        "--source",
        action="append",
        default=[],
        metavar="PLACE",
        help="file, folder or - instead of Kafka; may repeat",
    )
    parser.add_argument(
        "--sink", metavar="PLACE", help="file, folder/ or - (the default with --source) instead of Kafka"
    )
    add_format_arguments(parser, default=None)
    add_log_level_argument(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run until stopped; see EPILOG for the exit codes."""
    summary = serve(args, partial(_play, args))
    if isinstance(summary, int):
        return summary
    log = structlog.get_logger("copycatch")
    counts = summary.counts
    log.info(
        "done",
        accepted=counts.accepted,
        duplicates=counts.duplicates,
        late=counts.late,
        rejected=counts.rejected,
        alerts=summary.alerts,
        recommendations=summary.recommendations,
    )
    for sentence in summary.unjudged if args.source else ():
        print(sentence, file=sys.stderr)
    return 1 if args.source and not summary.findings.is_judged else 0


def _play(args: argparse.Namespace, settings: "Service") -> "Summary":
    from copycatch.service.bootstrap import Endpoints, Instance, files_kept

    if args.policy is not None:
        settings = settings.model_copy(update={"policy": args.policy})
    if args.source:
        # A pipe beside the service on the same machine must not fail because the port is taken.
        settings = settings.model_copy(update={"http": settings.http.model_copy(update={"is_on": False})})
    endpoints = Endpoints(tuple(args.source), args.sink, args.format, given_by(args.option))
    with files_kept(settings, endpoints):
        instance = Instance(settings, endpoints)
        with _desk(settings, instance):
            return instance.run()


def _desk(settings: "Service", instance: "Instance") -> AbstractContextManager[object]:
    """The live pages, where they are on."""
    if not settings.desk.is_on:
        return nullcontext()
    from copycatch.desk.live import LiveDesk

    desk = LiveDesk(
        settings.desk.bind,
        settings.desk.port,
        instance.desk_token(),
        instance.clock,
        lambda: instance.policy_watch.policy,
        instance.health.status,
        instance.shown,
    )
    instance.runner.on_delivered = desk.take
    structlog.get_logger("copycatch").info("desk is up", bind=settings.desk.bind, port=desk.port)
    return desk
