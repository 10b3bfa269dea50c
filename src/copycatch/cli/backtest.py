"""`copycatch backtest`: what another policy would have done to a log."""

import argparse
import sys
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from copycatch.cli.format_options import add_format_arguments
from copycatch.cli.options import policy_of
from copycatch.errors import ConfigError
from copycatch.safe_text import printable
from copycatch.units import format_rfc3339

DESCRIPTION = """\
Play a log once, judge it by two policies or more, and say whom each new one gains and loses: accounts and
campaigns alerted on, restrictions, alerts per 1,000 accounts and day, and how many accounts other budgets
would alert.
Verdicts of analysts (one JSON object a line: {"account_id": ..., "verdict": "attack" | "benign" | "unsure"})
stand beside the names and decide the exit code.

With --evaluations the log is not needed: it reads what `copycatch run` has kept (`evaluations` of the
settings), judged and scored by the service itself, in seconds.

Scores are learned under the old policy; what a policy flags is not learned, so that a far looser or stricter
one is judged approximately. Campaigns are found without a budget: all policies name them, but for whom they
exempt.
"""
EPILOG = """\
examples:
  copycatch backtest gateway.jsonl.gz --new policy.new.yaml                 # beside the built-in policy
  copycatch backtest --evaluations kept/ --old policy.yaml --new policy.new.yaml     # what `run` has kept
  copycatch backtest logs/ --old policy.yaml --new policy.new.yaml --verdicts verdicts.jsonl --json
  copycatch backtest logs/ --new stricter.yaml --new looser.yaml                     # several in one pass

exit codes: 0 compared; 1 a new policy loses an account whose verdict is attack, or gains one whose verdict
  is benign, or the log was not judged; 2 wrong options or policies; 3 a file cannot be read
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "backtest",
        help="compare two policies on a log: who is gained, who is lost",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", nargs="*", metavar="FILE", help="log files or folders; - is standard input")
    parser.add_argument(
        "--evaluations", type=Path, metavar="FOLDER", help="what `copycatch run` has kept, instead of a log"
    )
    parser.add_argument(
        "--new", type=Path, required=True, action="append", metavar="FILE",
        help="a policy to try; name several to compare each with the old one",
    )  # fmt: skip
    parser.add_argument(
        "--old", type=Path, metavar="FILE", help="the policy to compare with (default: the built-in one)"
    )
    parser.add_argument("--verdicts", type=Path, metavar="FILE", help="what analysts said of accounts")
    add_format_arguments(parser, default=None)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Compare; see EPILOG for the exit codes."""
    from copycatch.cli.format_options import decoders_of
    from copycatch.cli.progress import ReplayBar
    from copycatch.desk.backtest import AccountDays, PolicyTrial, compare
    from copycatch.desk.curve import BudgetCurve
    from copycatch.desk.verdicts import read_verdicts
    from copycatch.records.columns import Outcomes
    from copycatch.service.logs import logging_at
    from copycatch.service.replay import replay

    if bool(args.files) == (args.evaluations is not None):
        message = "name log files, or what `copycatch run` has kept with --evaluations"
        raise ConfigError(message)
    old_policy = policy_of(args.old)
    verdicts = {} if args.verdicts is None else read_verdicts(args.verdicts)
    old = PolicyTrial(old_policy, old_policy)
    trials = [PolicyTrial(policy_of(path), old_policy) for path in args.new]
    curve, days = BudgetCurve(old_policy), AccountDays()

    def take(outcomes: Outcomes) -> None:
        for trial in (old, *trials):
            trial.take(outcomes)
        days.take(outcomes)
        for evaluations, scores in outcomes.evaluations:
            curve.take(evaluations, scores)

    if args.evaluations is not None:
        is_judged, unjudged = _kept(args, old_policy, take)
    else:
        with logging_at("warning"), ReplayBar(is_quiet=args.quiet) as bar:
            summary = replay(args.files, old_policy, take, bar.update, make_decoder=decoders_of(args))
        is_judged, unjudged = summary.findings.is_judged, summary.unjudged
    news = [
        _New(str(path), trial, compare(old, trial, verdicts))
        for path, trial in zip(args.new, trials, strict=True)
    ]
    if args.json:
        print(msgspec.json.encode(_report(old, news, days, curve, verdicts)).decode())
    else:
        print("\n".join(_lines(old, news, days, curve, verdicts)))
    for sentence in unjudged:
        print(sentence, file=sys.stderr)
    return 0 if is_judged and not any(each.change.wrong for each in news) else 1


class _New(NamedTuple):
    """A policy to try, and what it changes."""

    file: str
    trial: Any
    change: Any


def _kept(args: argparse.Namespace, old_policy: Any, take: Any) -> tuple[bool, list[str]]:
    """Hand on what `run` has kept; whether anything of it has a score, and what is to be said."""
    from copycatch.adapters.evaluation_store import read_evaluations
    from copycatch.features.catalog import NAMES

    is_scored = False
    for outcomes, windows in read_evaluations(args.evaluations, NAMES):
        if windows != old_policy.windows:
            message = (
                f"{args.evaluations}: was judged with other windows than those of the old policy; name the "
                "policy that was in force with --old"
            )
            raise ConfigError(message)
        take(outcomes)
        is_scored = is_scored or any(bool(scores.is_warm.any()) for _, scores in outcomes.evaluations)
    return is_scored, [] if is_scored else ["NOT JUDGED: no evaluation that was kept has a score"]


def _lines(old: Any, news: list[_New], days: Any, curve: Any, verdicts: dict[str, Any]) -> list[str]:
    trials = [old, *(each.trial for each in news)]
    names = ["new"] if len(news) == 1 else [f"new {number}" for number in range(1, len(news) + 1)]
    rows = [
        ("", "old", *names),
        ("alerted on", *(f"{len(each.named)}" for each in trials)),
        ("restricted", *(f"{each.n_restricted}" for each in trials)),
        ("per 1,000 accounts and day", *(f"{days.rate(len(each.named)):.2f}" for each in trials)),
    ]
    lines = [f"{title:28}" + "".join(f"{value:>10}" for value in values) for title, *values in rows]
    for name, each in zip(names, news, strict=True):
        if len(news) > 1:
            lines.append(f"{name}: {printable(each.file, 200)}")
        for title, sign, keys, trial in (
            ("gained", "+", each.change.gained, each.trial),
            ("lost", "-", each.change.lost, old),
        ):
            lines.append(f"{title}: {len(keys)}")
            lines += [f"  {sign} {_named_text(key, trial.named[key], verdicts)}" for key in keys]
        if each.change.wrong:
            wrong = ", ".join(printable(key[2], 60) for key in each.change.wrong)
            lines.append(f"against verdicts: {wrong}")
    return [*lines, curve.sentence()]


def _named_text(key: Any, named: Any, verdicts: dict[str, Any]) -> str:
    tenant_id, kind, entity_id, model_id = key
    tenant = f" of {printable(tenant_id, 40)}" if tenant_id else ""
    verdict = f" (verdict: {verdicts[entity_id]})" if entity_id in verdicts else ""
    what = "" if kind == "account" else f"{kind} "
    restricted = ", restricted" if named.is_restricted else ""
    return (
        f"{what}{printable(entity_id, 60)}{tenant} on {printable(model_id, 60)}: {named.worst}{restricted}, "
        f"after {named.queries:,} queries at {format_rfc3339(named.first_ms)[:16]}Z{verdict}"
    )


def _report(old: Any, news: list[_New], days: Any, curve: Any, verdicts: dict[str, Any]) -> dict[str, Any]:
    def totals(trial: Any) -> dict[str, Any]:
        return {
            "policy_version": trial.policy.content_version,
            "alerted": len(trial.named),
            "restricted": trial.n_restricted,
            "per_1000_accounts_per_day": round(days.rate(len(trial.named)), 4),
        }

    def listed(keys: Any, trial: Any) -> list[dict[str, Any]]:
        return [
            {
                "tenant_id": key[0],
                "entity": {"kind": key[1], "id": key[2]},
                "model_id": key[3],
                "severity": trial.named[key].worst,
                "is_restricted": trial.named[key].is_restricted,
                "queries": trial.named[key].queries,
                "time": format_rfc3339(trial.named[key].first_ms),
                "verdict": verdicts.get(key[2]),
            }
            for key in keys
        ]

    return {
        "account_days": len(days.days),
        "old": totals(old),
        "new": [
            {
                "file": each.file,
                **totals(each.trial),
                "gained": listed(each.change.gained, each.trial),
                "lost": listed(each.change.lost, old),
                "against_verdicts": [key[2] for key in each.change.wrong],
            }
            for each in news
        ],
        "accounts_by_budget": {f"{budget:g}": n for budget, n in curve.counts().items()},
    }
