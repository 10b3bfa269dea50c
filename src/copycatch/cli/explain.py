"""`copycatch explain`: an alert in plain words, for whoever has to act on it."""

import argparse
import getpass
import sys
from pathlib import Path

from copycatch.cli.format_options import add_format_arguments
from copycatch.cli.options import (
    add_kafka_arguments,
    add_token_argument,
    desk_token,
    kafka_of,
    tell_faults,
    tell_left_out,
)
from copycatch.cli.render_alert import Exempting, alert_text
from copycatch.errors import ConfigError

DESCRIPTION = """\
Tell in plain words what an alert says: who and what was seen, what would be normal, which feature carries
how much of the score, what is recommended and what that does, what to check before acting, and how to
put the account on the allow-list if it is legitimate.

ALERT is a file of native alerts (what `run --sink -` writes will do, too), - for standard input, a topic, or
the address of a running service's live pages.
Without --uid, --account or --model every alert is shown, newest state of each only.

With --account and --log the log is played once more, and the account is told whether it was alerted on or
not: why (not), each evaluation with the features that weigh most beside other accounts', and its five
queries farthest from what others ask beside five usual ones. Queries come from that log only.

  copycatch explain alerts.jsonl --uid 3f2a            (the first characters of a uid are enough)
  kafka-console-consumer ... | copycatch explain - --last 1
  copycatch explain http://127.0.0.1:9465 --token-file copycatch-state/desk.token --account acct-7f3a
  copycatch explain --account acct-7f3a --log gateway.jsonl.gz
  copycatch explain --feature flat_share

exit codes: 0 shown; 1 no such alert or account, or lines that are no alerts; 2 wrong usage; 3 a file cannot
  be read
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "explain",
        help="tell an alert in plain words: what was seen, what is normal, what to do",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("alert", nargs="?", metavar="ALERT", help="file, -, topic or live pages")
    add_token_argument(parser)
    add_kafka_arguments(parser, "ALERT is a topic")
    parser.add_argument("--uid", help="only this alert; the first characters are enough")
    parser.add_argument("--account", metavar="ID", help="only this account or campaign, and those it is in")
    parser.add_argument("--model", metavar="ID", help="only on this model")
    parser.add_argument("--last", type=int, metavar="N", help="only the newest N alerts")
    parser.add_argument(
        "--recommendations", metavar="FILE",
        help="file (or topic) of recommendations: tells what is in force now, with its parameters",
    )  # fmt: skip
    parser.add_argument(
        "--log", metavar="FILE", action="append", default=[],
        help="with --account: the log to play once more; file or folder, repeatable",
    )  # fmt: skip
    parser.add_argument(
        "--policy",
        type=Path,
        metavar="FILE",
        help="to judge --log by; else: named in the command that exempts",
    )
    parser.add_argument("--feature", metavar="NAME", help="tell what a feature is, and end")
    add_format_arguments(parser, default=None)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Read, choose, tell; see DESCRIPTION for the exit codes."""
    if args.feature is not None:
        return _tell_feature(args.feature)
    if args.log:
        if args.account is None:
            msg = "--log FILE: name the account to explain with --account"
            raise ConfigError(msg)
        from copycatch.cli.explain_account import explain_account

        return explain_account(args)
    if args.alert is None:
        msg = "explain: name a file of alerts, or --account and --log, or --feature"
        raise ConfigError(msg)
    if args.last is not None and args.last < 1:
        msg = f"--last {args.last}: at least 1"
        raise ConfigError(msg)
    return _tell_alerts(args)


def _tell_alerts(args: argparse.Namespace) -> int:
    from copycatch.adapters.clock import SystemClock
    from copycatch.cli.allow import expiry_after
    from copycatch.desk.reading import read_announced

    kafka = kafka_of(args)
    token = desk_token(args, [args.alert, args.recommendations or ""])
    found = read_announced([args.alert], kafka, wants="alert", token=token)
    tell_left_out(found.n_left_out)
    if args.recommendations is not None:
        others = read_announced([args.recommendations], kafka, token=token)
        found.rows |= others.rows
        found.faults += others.faults
        found.n_faults += others.n_faults
    tell_faults(found.faults, found.n_faults)
    alerts = [
        alert
        for alert in found.newest()
        if (not args.uid or alert.uid.startswith(args.uid))
        and (args.account is None or args.account in {alert.entity.id, *alert.entity.accounts})
        and (args.model is None or args.model == alert.model_id)
    ]
    if args.last:
        alerts = sorted(alerts, key=lambda alert: alert.time)[-args.last :]
    if not alerts:
        given = (("uid", args.uid), ("account", args.account), ("model", args.model))
        wanted = "".join(f"with {name} {value!r} " for name, value in given if value)
        print(
            f"{args.alert}: no alert {wanted}found; native alerts carry uid, entity and reasons",
            file=sys.stderr,
        )
        return 1
    is_tty = sys.stdout.isatty()
    exempting = Exempting(_user(), expiry_after("30d", "30d", SystemClock().now_ms()), _policy_name(args))
    texts = (alert_text(a, found.rows.get(a.recommendation or ""), exempting, is_tty) for a in alerts)
    print("\n\n".join(texts))
    return 1 if found.n_faults else 0


def _policy_name(args: argparse.Namespace) -> str:
    return "policy.yaml" if args.policy is None else str(args.policy)


def _user() -> str:
    """Who looks at the alert, and so answers for what they exempt."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # no such user here, as in a container
        return "the analyst on duty"


def _tell_feature(name: str) -> int:
    from copycatch.decisions.explain import readable_number
    from copycatch.errors import nearest
    from copycatch.features.catalog import FEATURE_INDEX, FEATURES

    if name not in FEATURE_INDEX:
        near = nearest(name, list(FEATURE_INDEX))
        hint = f"did you mean {near}?" if near else f"there are {', '.join(sorted(FEATURE_INDEX))}"
        msg = f"--feature {name}: no such feature; {hint}"
        raise ConfigError(msg)
    feature = FEATURES[FEATURE_INDEX[name]]
    spec = feature.spec
    windows = "lifetime and recent window" if feature.in_recent else "lifetime"
    scored = "not part of the score; usable in limits"
    if feature.scored is not None:
        way = {1: "high values are anomalous", -1: "low values are anomalous", 0: "both ends are anomalous"}
        scored = f"scored in family {feature.scored.family}: {way[feature.scored.sign]}"
    elif spec.family == "usage":
        scored = "scored with all of family usage, by a forest"
    print(
        f"{spec.name} ({spec.family}): {spec.sentence}\n"
        f"  unit {spec.unit}, from {readable_number(spec.low)} to {readable_number(spec.high)}; "
        f"over {windows}\n"
        f"  needs {', '.join(spec.needs) or 'nothing beside time and account'}\n"
        f"  {scored}"
    )
    return 0
