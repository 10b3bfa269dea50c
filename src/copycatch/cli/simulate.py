"""`copycatch simulate`: steal a model on purpose, and see when the detector would have spoken."""

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from copycatch.cli.campaigns import progress_bar, run_campaign, show_verdicts
from copycatch.cli.options import policy_of
from copycatch.errors import ConfigError, TransportError

if TYPE_CHECKING:
    from rich.console import Console

    from copycatch.redteam.campaign import Campaign, CampaignPlan
    from copycatch.redteam.endpoints import HttpVictim
    from copycatch.redteam.victims import Victim

DESCRIPTION = """\
Run real extraction attacks on a small real model, or on your own, among simulated honest users; write
what a gateway would have logged, who was who, and how much of the model each thief had after how many
queries. With --judge, let the detector read that log and say who would have been caught when.
"""
EPILOG = """\
examples:
  copycatch simulate --list
  copycatch simulate --victim digits --preset demo --out trace --judge
  copycatch simulate --victim intents --attack jbda+ring10=1000 --attack uniform+adaptive --out trace --judge
  copycatch simulate --victim tabular --preset small --out - | copycatch run --source - --sink -
  copycatch simulate --victim digits --out kafka://localhost:9092/inference-logs --truth trace
  copycatch simulate --callable shop.model:predict_proba --samples inputs.npy --out trace --judge
  copycatch simulate --endpoint http://host/v2/models/m/infer --samples inputs.npy --query-budget 2000 \\
      --rate 5 --attack jbda=500 --out trace

An endpoint is asked for every sample once and for every attack query; honest users are answered by a
stand-in. Nothing is sent beyond --query-budget, and never faster than --rate.

Kafka: records are keyed by account_id and go out as fast as the broker takes them, to a topic that exists;
--settings (and COPYCATCH_KAFKA__... in the environment) says how to reach the brokers, as in copycatch run.
Let a running service judge them, and hold its alerts against the labels in --truth.

exit codes: 0 done; 2 wrong options; 3 a file cannot be written, or the broker or the endpoint refuses.
"""
VICTIM_NAME = "own"
SCHEME = "kafka://"


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command's options."""
    parser = subparsers.add_parser(
        "simulate",
        help="steal a model on purpose, and see when it would be noticed",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--list", action="store_true", help="name the victims, attacks, disguises and presets"
    )
    parser.add_argument(
        "--out",
        metavar="PLACE",
        help="trace folder to write; - for standard output; kafka://HOST:PORT[,...]/TOPIC for a topic",
    )
    parser.add_argument(
        "--truth",
        type=Path,
        metavar="DIR",
        help="labels, fidelity and times, where --out is - or a topic (a trace folder has them anyway)",
    )
    parser.add_argument(
        "--settings",
        type=Path,
        metavar="FILE",
        default=os.environ.get("COPYCATCH_SETTINGS"),
        help="Kafka: TLS, login, compression, as for copycatch run (default: COPYCATCH_SETTINGS)",
    )
    parser.add_argument("--seed", type=int, default=1, help="everything follows from it (default: 1)")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    _add_victim(parser.add_argument_group("victim"))
    _add_campaign(parser.add_argument_group("campaign"))
    judged = parser.add_argument_group("verdict")
    judged.add_argument("--judge", action="store_true", help="let the detector read the log")
    judged.add_argument(
        "--policy", type=Path, metavar="FILE", help="policy to judge by (default: the built-in one)"
    )
    judged.add_argument(
        "--plot", type=Path, metavar="FILE", help=".png, .svg or .html (default: DIR/fidelity.png)"
    )
    parser.set_defaults(run=run)


def _add_victim(victim: "argparse._ArgumentGroup") -> None:
    victim.add_argument(
        "--victim", default="digits", metavar="NAME", help="a built-in model (default: digits)"
    )
    victim.add_argument(
        "--callable", metavar="MODULE:FUNCTION", help="your model: inputs to class probabilities"
    )
    victim.add_argument("--onnx", type=Path, metavar="FILE", help="your model as an ONNX file")
    victim.add_argument("--endpoint", metavar="URL", help="your model behind HTTP")
    victim.add_argument("--dialect", choices=("oip", "openai"), default="oip", help="the endpoint's protocol")
    victim.add_argument("--labels", metavar="A,B,...", help="what an OpenAI-style endpoint may answer")
    victim.add_argument(
        "--model", default="", metavar="NAME", help="the model's name at an OpenAI-style endpoint"
    )
    victim.add_argument(
        "--header", action="append", default=[], metavar="NAME:VALUE", help="sent to the endpoint"
    )
    victim.add_argument(
        "--query-budget", type=int, metavar="N", help="queries to the endpoint in all, at most"
    )
    victim.add_argument(
        "--rate", type=float, default=5.0, metavar="PER_S", help="queries per second, at most"
    )
    victim.add_argument("--samples", type=Path, metavar="FILE", help="natural inputs of your model")


def _add_campaign(attacks: "argparse._ArgumentGroup") -> None:
    attacks.add_argument(
        "--preset", default="trace", metavar="NAME", help="a campaign by name (default: trace)"
    )
    attacks.add_argument(
        "--attack",
        action="append",
        metavar="NAME[+DISGUISE][=QUERIES]",
        help="attacks instead of the preset's",
    )
    attacks.add_argument("--budget", type=int, metavar="N", help="queries per attack (default: the preset's)")
    attacks.add_argument("--benign", type=int, metavar="N", help="honest accounts (default: the preset's)")
    attacks.add_argument("--days", type=float, metavar="N", help="simulated days (default: the preset's)")


def run(args: argparse.Namespace) -> int:
    """Simulate; see EPILOG for the exit codes."""
    if args.list:
        _print_lists()
        return 0
    if args.out is None:
        raise ConfigError("--out DIR is needed: where the trace goes")
    is_stream = args.out == "-" or args.out.startswith(SCHEME)
    if args.judge and is_stream:
        message = f"--judge needs a folder in --out, not {args.out}"
        raise ConfigError(message)
    if args.out.startswith(SCHEME):
        from copycatch.redteam.topic import parse_topic_url

        parse_topic_url(args.out)  # before minutes of attacks
    from rich.console import Console

    console = Console(stderr=True, quiet=args.quiet)
    plan = _plan(args)
    campaign = run_campaign(plan, lambda: _victim(args, plan), console)
    try:
        if is_stream:
            _stream(args, campaign, console)
        else:
            _write(args, campaign, Path(args.out), console)
        if args.judge:
            _judge(args, campaign, Path(args.out), console)
    except BrokenPipeError:  # the reader of our output has gone
        raise
    except OSError as error:
        path = error.filename or args.out
        message = f"{path} cannot be written: {error.strerror}; choose another with --out"
        raise TransportError(message) from error
    return 0


def _print_lists() -> None:
    from copycatch.redteam.attacks.catalog import ATTACKS
    from copycatch.redteam.benign import BENIGN_KINDS
    from copycatch.redteam.disguises import DISGUISES
    from copycatch.redteam.presets import PRESETS
    from copycatch.redteam.victims import VICTIM_KINDS

    tables = {
        "victims": {name: row.description for name, row in VICTIM_KINDS.items()},
        "attacks": {name: row.description for name, row in ATTACKS.items()},
        "disguises": {name: row.description for name, row in DISGUISES.items()},
        "honest users": {name: row.description for name, row in BENIGN_KINDS.items()},
        "presets": {name: row.description for name, row in PRESETS.items()},
    }
    for title, rows in tables.items():
        print(title)
        for name, description in rows.items():
            print(f"  {name:24s} {description}")


def _plan(args: argparse.Namespace) -> "CampaignPlan":
    from copycatch.redteam.presets import PRESETS, parse_attack

    if args.preset not in PRESETS:
        message = f"--preset {args.preset}: there is no such campaign; there are {', '.join(PRESETS)}"
        raise ConfigError(message)
    preset = PRESETS[args.preset]
    budget = preset.budget if args.budget is None else args.budget
    is_own = args.callable or args.onnx or args.endpoint
    plan = preset.make(VICTIM_NAME if is_own else args.victim, args.seed, budget)
    if args.attack:
        plan = replace(plan, attacks=tuple(parse_attack(text, budget) for text in args.attack))
    if args.benign is not None:
        plan = replace(plan, n_benign=args.benign)
    if args.days is not None:
        plan = replace(plan, days=args.days, warmup_days=min(plan.warmup_days, args.days / 2))
    return plan


def _victim(args: argparse.Namespace, plan: "CampaignPlan") -> "Victim":
    from copycatch.redteam.campaign import queries_of
    from copycatch.redteam.endpoints import callable_victim, onnx_victim
    from copycatch.redteam.own_victim import own_victim, read_samples
    from copycatch.redteam.victims import build_victim

    given = [name for name in ("callable", "onnx", "endpoint") if getattr(args, name)]
    if not given:
        return build_victim(args.victim, args.seed)
    if len(given) > 1:
        message = f"--{given[0]} and --{given[1]} name two victims; give one"
        raise ConfigError(message)
    if args.samples is None:
        message = f"--{given[0]} needs --samples FILE: natural inputs of that model"
        raise ConfigError(message)
    samples = read_samples(args.samples)
    if args.callable:
        sys.path.insert(0, str(Path.cwd()))
        return own_victim(VICTIM_NAME, callable_victim(args.callable), samples, args.seed, is_costly=False)
    if args.onnx:
        return own_victim(VICTIM_NAME, onnx_victim(args.onnx), samples, args.seed, is_costly=False)
    classify = _endpoint(args, len(samples) + queries_of(plan))
    return own_victim(VICTIM_NAME, classify, samples, args.seed, is_costly=True)


def _endpoint(args: argparse.Namespace, queries_needed: int) -> "HttpVictim":
    from copycatch.adapters.clock import SystemClock
    from copycatch.redteam.endpoints import HttpVictim

    if args.query_budget is None:
        raise ConfigError("--endpoint needs --query-budget N: how many queries it may cost at most")
    if queries_needed > args.query_budget:
        message = (
            f"samples and attacks need {queries_needed} queries, the budget is {args.query_budget}; "
            "give fewer samples, or smaller attacks with --attack NAME=QUERIES"
        )
        raise ConfigError(message)
    headers = {name.strip(): value.strip() for name, _, value in (h.partition(":") for h in args.header)}
    return HttpVictim(
        args.endpoint,
        args.dialect,
        SystemClock(),
        queries_max=args.query_budget,
        queries_per_s_max=args.rate,
        labels=[label.strip() for label in (args.labels or "").split(",") if label.strip()],
        model=args.model,
        headers=headers,
    )


def _stream(args: argparse.Namespace, campaign: "Campaign", console: "Console") -> None:
    from copycatch.redteam.playback import Playback
    from copycatch.redteam.topic import send_records
    from copycatch.redteam.trace import write_records, write_side_files

    playback = Playback(campaign)
    if args.out == "-":
        sent = write_records(playback, sys.stdout.buffer)
    else:
        with progress_bar(console) as bar:
            task = bar.add_task("send the log", total=sum(len(schedule) for schedule in campaign.schedules))
            sent = send_records(playback, args.out, args.settings, lambda: bar.update(task, advance=1))
        console.print(f"{sent} records of {len(playback.sent_by_account)} accounts in {args.out}")
    if args.truth is not None:
        args.truth.mkdir(parents=True, exist_ok=True)
        write_side_files(campaign, playback, args.truth, sent)


def _write(args: argparse.Namespace, campaign: "Campaign", folder: Path, console: "Console") -> None:
    from copycatch.redteam.judging import live_judge
    from copycatch.redteam.trace import write_campaign

    is_watched = args.judge and any(schedule.is_adaptive for schedule in campaign.schedules)
    with progress_bar(console) as bar:
        task = bar.add_task("write the log", total=sum(len(schedule) for schedule in campaign.schedules))
        playback = write_campaign(
            campaign,
            folder,
            lambda: bar.update(task, advance=1),
            live_judge(policy_of(args.policy)) if is_watched else None,
        )
    console.print(f"{playback.sent} records of {len(playback.sent_by_account)} accounts in {folder}")


def _judge(args: argparse.Namespace, campaign: "Campaign", folder: Path, console: "Console") -> None:
    from rich.console import Console

    from copycatch.cli.progress import ReplayBar
    from copycatch.redteam.judging import WarmUp, judge_log

    warm_up = WarmUp()
    with ReplayBar(is_quiet=args.quiet) as bar:
        verdicts = judge_log(folder, policy_of(args.policy), warm_up.add, bar.update)
    plot = args.plot or folder / "fidelity.png"
    title = f"Stealing {campaign.plan.victim}: what the thief has, and when it was noticed"
    show_verdicts(verdicts, Console(), plot, title)
    console.print(warm_up.words())
    console.print(f"alerts, recommendations and labels in {folder}, plot in {plot}")
