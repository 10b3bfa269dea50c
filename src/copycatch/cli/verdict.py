"""`copycatch verdict`: what a person found out about an alert, and what follows from it."""

import argparse
import sys
from pathlib import Path
from typing import Any

import msgspec

from copycatch.cli.allow import expiry_after
from copycatch.cli.options import (
    add_kafka_arguments,
    add_token_argument,
    desk_token,
    kafka_of,
    tell_faults,
)
from copycatch.errors import ConfigError
from copycatch.units import UnixMs, format_rfc3339

DESCRIPTION = """\
Say what an alert was about. The verdict is added to a file (one JSON object a line; backtest and alerts read
it), and the policy file gets what follows from it:

  benign   an entry in `allow`, for 30 days: what holds is released at once, and the account is quiet,
           unless it gets ten times rarer than it was (where a limit found it: unless the score does)
  attack   an entry in `attacks`: whatever the account sends, it is never taken for normal
  unsure   nothing

Verdicts are bounded, so that nobody blinds the detector by calling everybody benign: of each kind 20 a day
and 100 at a time hold; benign ones end within 31 days. Beyond that the verdict is noted and the policy stays
as it is. For longer, or for more, use `copycatch allow add`. Name the verdicts' file in the settings
(`verdicts`) for the metric copycatch_alert_precision: attacks among the alerts that were judged; what nobody
judged counts neither way.

With --to the verdict goes to the topic that the service's settings name (`feedback`): the service does the
same to the policy in force, within the same bounds, and to its metrics; no file changes.
"""
EPILOG = """\
examples:
  copycatch verdict 3f2a91 benign --alerts alerts.jsonl --policy policy.yaml --reason "load test" --by kim
  copycatch verdict 3f2a91 attack --alerts copycatch.alerts --kafka broker:9092 --policy policy.yaml ...
  copycatch verdict 3f2a91 benign --alerts copycatch.alerts --kafka broker:9092 --to copycatch.feedback ...

exit codes: 0 noted; 1 no such alert, or more than one, or beyond the bounds;
  2 wrong options or policy; 3 a file cannot be written
"""
VERDICTS = Path("verdicts.jsonl")
KEPT_FOR = {"benign": "30d", "attack": "366d"}


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "verdict",
        help="say what an alert was about: benign, attack or unsure",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("uid", help="the alert; the first characters are enough")
    parser.add_argument("verdict", choices=("benign", "attack", "unsure"), help="what it was")
    parser.add_argument(
        "--alerts", required=True, dest="sources", action="append", metavar="SOURCE",
        help="file, -, topic or live pages that hold the alert",
    )  # fmt: skip
    add_token_argument(parser)
    add_kafka_arguments(parser, "--alerts is a topic")
    parser.add_argument("--policy", type=Path, metavar="FILE", help="policy file to change (not for unsure)")
    parser.add_argument(
        "--verdicts", type=Path, metavar="FILE",
        help=f"file to add the verdict to (default: {VERDICTS}; with --to none)",
    )  # fmt: skip
    parser.add_argument(
        "--to", metavar="TOPIC", help="send it to the service's topic of verdicts (`feedback`) instead"
    )
    parser.add_argument("--reason", required=True, help="what was found out")
    parser.add_argument("--by", required=True, help="who found it out")
    parser.add_argument(
        "--for", dest="duration", metavar="TIME", help="how long it holds (benign: 30d, attack: 366d)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Look the alert up, change the policy, note the verdict; see EPILOG for the exit codes."""
    from copycatch.adapters.clock import SystemClock
    from copycatch.decisions.verdicts import VERDICTS_A_DAY_MAX, VERDICTS_MAX, held
    from copycatch.desk.policy_changes import entry_of, with_entry, write_policy
    from copycatch.desk.reading import read_announced

    if args.to is None and args.verdict != "unsure" and args.policy is None:
        msg = (
            f"a verdict of {args.verdict} changes the policy: name it with --policy, or the service's topic "
            "of verdicts with --to"
        )
        raise ConfigError(msg)
    if args.to is not None:
        _check_topic(args)
    now_ms = SystemClock().now_ms()
    expires = expiry_after("--for", args.duration or KEPT_FOR.get(args.verdict, "30d"), now_ms)
    token = desk_token(args, args.sources)
    found = read_announced(args.sources, kafka_of(args), wants="alert", token=token)
    tell_faults(found.faults, found.n_faults)
    alerts = [alert for alert in found.alerts if alert.uid.startswith(args.uid)]
    uids = sorted({alert.uid for alert in alerts})
    if len(uids) != 1:
        what = "no alert has that uid" if not uids else f"{len(uids)} alerts begin so; write more of it"
        print(f"{args.uid}: {what}", file=sys.stderr)
        return 1
    alert = alerts[-1]
    tail_prob = min((a.score.tail_prob for a in alerts if a.score.tail_prob is not None), default=None)
    if args.to is not None:
        return _send(args, _line(args, alert, tail_prob, format_rfc3339(now_ms)), now_ms)
    text, is_held = "", True
    if args.verdict != "unsure":
        match = {
            "account_id": alert.entity.id,
            "tenant_id": alert.tenant_id,
            "model_id": None if alert.model_id == "*" else alert.model_id,
        }
        entry = entry_of(match, args.reason, args.by, expires) | {"given": format_rfc3339(now_ms)}
        if args.verdict == "benign":
            entry["unless_below"] = _unless_below(args.policy, alert, tail_prob)
        section = "allow" if args.verdict == "benign" else "attacks"
        policy, text, diff = with_entry(args.policy, section, entry)
        is_held = not any(each.given_ms == now_ms for each in held(getattr(policy, section))[1])
        print(diff if is_held else "", end="")
    _note(args.verdicts or VERDICTS, _line(args, alert, tail_prob, format_rfc3339(now_ms)))
    if not is_held:
        print(
            f"{args.policy}: left as it is: the verdict is noted, but beyond what verdicts may do "
            f"({VERDICTS_A_DAY_MAX} a day, {VERDICTS_MAX} at a time, benign for 31 days); use `copycatch "
            "allow add` if it is right",
            file=sys.stderr,
        )
        return 1
    if text:
        write_policy(args.policy, text)
        print(f"{args.policy}: written, version {policy.content_version}", file=sys.stderr)
    return 0


def _check_topic(args: argparse.Namespace) -> None:
    from copycatch.desk.policy_changes import require_said

    require_said("--reason", args.reason)
    require_said("--by", args.by)
    if kafka_of(args) is None:
        msg = f"--to {args.to}: is a topic; name its broker with --kafka or --settings"
        raise ConfigError(msg)
    if args.policy is not None or args.duration is not None:
        msg = "--to: the service itself does what follows, benign for 30 days; leave out --policy and --for"
        raise ConfigError(msg)


def _send(args: argparse.Namespace, line: dict[str, Any], now_ms: UnixMs) -> int:
    from copycatch.adapters.kafka.publish import publish
    from copycatch.ports import Message

    kafka = kafka_of(args)
    assert kafka is not None
    publish(kafka, args.to, [Message(line["uid"].encode(), msgspec.json.encode(line), now_ms)])
    if args.verdicts is not None:
        _note(args.verdicts, line)
    print(
        f"{args.to}: {args.verdict} on {line['uid']} sent; the service takes it in seconds", file=sys.stderr
    )
    return 0


def _unless_below(path: Path, alert: Any, tail_prob: float | None) -> float:
    """From where on it speaks again: ten times rarer, or, of a limit, as soon as the score alerts."""
    from copycatch.cli.options import policy_of
    from copycatch.decisions.plan import make_plan
    from copycatch.decisions.verdicts import unless_below

    model_id = "" if alert.model_id == "*" else alert.model_id
    settings = make_plan(policy_of(path), []).settings_for((alert.tenant_id, alert.entity.id, model_id))
    return unless_below(tail_prob, settings.alert_threshold)


def _line(args: argparse.Namespace, alert: Any, tail_prob: float | None, time: str) -> dict[str, Any]:
    return {
        "time": time,
        "uid": alert.uid,
        "account_id": alert.entity.id,
        "entity_kind": alert.entity.kind,
        "tenant_id": alert.tenant_id,
        "model_id": alert.model_id,
        "verdict": args.verdict,
        "reason": args.reason,
        "by": args.by,
        "tail_prob": tail_prob,
        "severity": alert.severity,
    }


def _note(path: Path, line: dict[str, Any]) -> None:
    from copycatch.adapters.outputs import OutputFile

    output = OutputFile(str(path), "append")
    try:
        output.begin()
        output.write(msgspec.json.encode(line) + b"\n")
    finally:
        output.close()
