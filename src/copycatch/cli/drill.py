"""`copycatch drill`: a marked fake extraction, from the input topic to enforcement and back."""

import argparse
import secrets
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from copycatch.cli.format_options import given_by
from copycatch.cli.options import duration_of
from copycatch.cli.serving import add_settings_argument
from copycatch.errors import ConfigError
from copycatch.safe_text import printable

if TYPE_CHECKING:
    from copycatch.desk.drill import Around, Stage
    from copycatch.desk.drill_ends import DrillEnds
    from copycatch.settings.service import Input, Service

DESCRIPTION = """\
Send a marked fake extraction through everything: input topic, service, alert, recommendation, sinks,
acknowledgement, enforcement point, and back. Says at which stage it was lost.

The records are signed with hmac_key of the settings (or the key in the snapshots' folder), so that the
service knows them: they are judged by nothing, learned from by nothing, and in no metric of real traffic.
Alert and recommendation are real, carry `drill: true`, and name the drill's own account only, so that nobody
is blocked. At the end the service takes them back; should that be lost, they run out after ten minutes.

Whoever has the key can make a drill, and no more: a mark holds for accounts named copycatch-drill-... alone,
for ten minutes. A wrong or old mark is a record like any other, and counted
(copycatch_notes_total, drill_forged and drill_stale).
"""
EPILOG = """\
examples:
  copycatch drill --settings settings.yaml --model fraud-v3
  copycatch drill --settings settings.yaml --enforce http://127.0.0.1:9191 --json
  tail -F gateway.jsonl | copycatch run --source - --sink out.jsonl &
  copycatch drill --log gateway.jsonl --outcomes out.jsonl

For a topic of another format than native name one message of it (--template), with $event_id, $event_time (or
$epoch_s, $epoch_ms), $account_id, $model_id and $text in their places; it is read as the service would before
anything is sent.

exit codes: 0 it came through (what could not be checked is named); 1 lost, and the stage is named;
  2 wrong options or settings, or a template whose mark does not come through; 3 a broker or file cannot be
  used
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "drill",
        help="send a marked fake extraction through everything, and say where it is lost",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_settings_argument(parser, "settings of the service: broker, topics, sinks, key")
    parser.add_argument("--topic", help="input topic (default: the first of the settings)")
    parser.add_argument(
        "--acks-topic", default="copycatch.acks", help="empty reads none (default: %(default)s)"
    )
    parser.add_argument("--log", type=Path, metavar="FILE", help="add the records to this log instead")
    parser.add_argument(
        "--outcomes", type=Path, action="append", default=[], metavar="FILE",
        help="with --log: file that `copycatch run --sink` writes; may repeat",
    )  # fmt: skip
    parser.add_argument("--format", default="native", help="with --log: its format (default: %(default)s)")
    parser.add_argument("--option", action="append", default=[], metavar="KEY=VALUE", help="of the format")
    parser.add_argument("--template", type=Path, metavar="FILE", help="one message of the format")
    parser.add_argument("--model", default="copycatch-drill", metavar="ID", help="(default: %(default)s)")
    parser.add_argument(
        "--metrics", action="append", metavar="URL",
        help="/metrics of the service; may repeat (default: http of the settings)",
    )  # fmt: skip
    parser.add_argument(
        "--enforce", metavar="URL", help="address of copycatch enforce, to ask what it answers"
    )
    parser.add_argument(
        "--account-header", default="x-account-id", help="that it goes by (default: %(default)s)"
    )
    parser.add_argument("--wait", default="60s", metavar="TIME", help="for each stage (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="one JSON object at the end")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run one drill; see EPILOG for the exit codes."""
    from copycatch.adapters.clock import SystemClock
    from copycatch.desk.drill import DrillRun
    from copycatch.desk.drill_records import Drill, check_record, template_of
    from copycatch.intake.drill_marks import DrillMarks
    from copycatch.settings.service import load_service

    settings, clock = load_service(args.settings), SystemClock()
    wait_s, log = duration_of("--wait", args.wait), _input_of(args, settings)
    key = _key_of(settings)
    template = template_of(args.template, log.format)
    drill = Drill(secrets.token_hex(6), args.model, template, DrillMarks(key))
    now_ms = clock.now_ms()
    check_record(drill.record(1, now_ms), log, Path(), key, now_ms)
    tell: Callable[[Stage], None] = (lambda _stage: None) if args.json else _tell
    with ExitStack() as stack:
        ends = _ends_of(args, settings, log, stack)
        run = DrillRun(drill, ends, _around_of(args, settings), clock, wait_s, tell)
        if not args.json:
            print(f"drill {drill.drill_id}: account {drill.account_id} on model {printable(drill.model_id)}")
        stages = run.run()
    lost = next((stage.name for stage in stages if stage.result == "lost"), None)
    if args.json:
        whole = {
            "drill": drill.drill_id,
            "account_id": drill.account_id,
            "uid": run.uid,
            "lost_at": lost,
            "stages": stages,
        }
        print(msgspec.json.encode(whole).decode())
    elif lost is None:
        print("the drill came through")
    else:
        print(f"the drill was lost at: {lost}", file=sys.stderr)
    return 0 if lost is None else 1


def _tell(stage: "Stage") -> None:
    result = "LOST" if stage.result == "lost" else stage.result
    print(f"  {stage.name:24} {result:12} {stage.seconds:7.2f} s  {printable(stage.what, 500)}", flush=True)


def _input_of(args: argparse.Namespace, settings: "Service") -> "Input":
    from copycatch.settings.service import Input

    if args.log is not None:
        if args.topic is not None or not args.outcomes:
            msg = "--log goes with --outcomes FILE, which `copycatch run --sink` writes, and not with --topic"
            raise ConfigError(msg)
        return Input(topic="files", format=args.format, options=given_by(args.option))
    if args.outcomes:
        msg = "--outcomes goes with --log: from Kafka, outcomes are read from their topics"
        raise ConfigError(msg)
    found = [each for each in settings.inputs if args.topic in (None, each.topic)]
    if not found:
        names = ", ".join(each.topic for each in settings.inputs)
        msg = f"--topic {args.topic}: is not among the inputs of the settings ({names})"
        raise ConfigError(msg)
    return found[0]


def _key_of(settings: "Service") -> bytes:
    """The key that the service has; none is made here."""
    from copycatch.adapters.remote_snapshots import is_url
    from copycatch.adapters.snapshots import kept_key
    from copycatch.secret_files import read_secret

    given = read_secret(settings.hmac_key, settings.hmac_key_file, "hmac_key_file")
    folder = settings.snapshots.directory
    if given is None and (is_url(folder) or not (Path(folder) / "hmac.key").exists()):
        msg = (
            "the service knows drills by its hmac_key: give hmac_key_file in the settings, or run this where "
            f"its state folder is ({folder}/hmac.key, made at its first start)"
        )
        raise ConfigError(msg)
    return kept_key(Path(folder), "hmac.key", given, "hmac_key")


def _ends_of(args: argparse.Namespace, settings: "Service", log: "Input", stack: ExitStack) -> "DrillEnds":
    from copycatch.adapters.clock import SystemClock
    from copycatch.desk.drill_ends import FileEnds, Outcome, TopicEnds

    if args.log is not None:
        return stack.enter_context(FileEnds(args.log, args.outcomes, SystemClock().sleep))
    topics: dict[Outcome, str] = {
        "alert": settings.outputs.alerts,
        "recommendation": settings.outputs.recommendations,
    }
    if args.acks_topic:
        topics["ack"] = args.acks_topic
    return stack.enter_context(TopicEnds(settings.kafka, log.topic, topics))


def _around_of(args: argparse.Namespace, settings: "Service") -> "Around":
    from copycatch.desk.drill import Around
    from copycatch.desk.figures import read_figures

    http = settings.http
    addresses: Sequence[str] = args.metrics or ()
    if not addresses and args.log is None and http.is_on and http.port:
        host = "127.0.0.1" if http.bind in ("0.0.0.0", "::") else http.bind  # noqa: S104
        addresses = (f"http://{host}:{http.port}/metrics",)
    sinks = [sink.name for sink in settings.sinks if "alert" in sink.kinds]
    return Around(
        figures=(lambda: read_figures(addresses)) if addresses else None,
        status_of=None if args.enforce is None else _asker(args.enforce, args.account_header),
        sinks=sinks,
    )


def _asker(address: str, header: str) -> Callable[[str], int]:
    import urllib3

    from copycatch.errors import TransportError

    def status_of(account_id: str) -> int:
        try:
            answer = urllib3.request(
                "GET", address, headers={header: account_id}, timeout=urllib3.Timeout(5.0), retries=False
            )
        except urllib3.exceptions.HTTPError as error:
            msg = f"--enforce {address}: cannot be asked: {error}"
            raise TransportError(msg) from error
        return answer.status

    return status_of
