"""`copycatch simulate`: steal a model on purpose, and see when the detector would have spoken."""

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from copycatch.cli.record_topic import SCHEME, parse_place, send_records
from copycatch.errors import ConfigError, TransportError
from copycatch.units import MS_PER_DAY

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from copycatch.records.policy import Policy
    from copycatch.redteam.campaign import Campaign, CampaignPlan
    from copycatch.redteam.endpoints import HttpVictim
    from copycatch.redteam.trace import Listen
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
        parse_place(args.out)  # before minutes of attacks
    from rich.console import Console

    console = Console(stderr=True, quiet=args.quiet)
    plan = _plan(args)
    campaign = _simulated(args, plan, console)
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
        message = f"{error.filename or args.out} cannot be written: {error.strerror}; choose another place"
        raise TransportError(message) from error
    return 0


def _print_lists() -> None:
    from copycatch.redteam.attacks.catalog import ATTACKS
    from copycatch.redteam.benign import BENIGN_KINDS
    from copycatch.redteam.disguises import DISGUISES
    from copycatch.redteam.presets import PRESETS
    from copycatch.redteam.victims import VICTIM_KINDS

    tables = {
        "victims": {name: row.words for name, row in VICTIM_KINDS.items()},
        "attacks": {name: row.words for name, row in ATTACKS.items()},
        "disguises": {name: row.words for name, row in DISGUISES.items()},
        "honest users": {name: row.words for name, row in BENIGN_KINDS.items()},
        "presets": {name: row.words for name, row in PRESETS.items()},
    }
    for title, rows in tables.items():
        print(title)
        for name, words in rows.items():
            print(f"  {name:24s} {words}")


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


def _bar(console: "Console") -> "Progress":
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:<36}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, disable=console.quiet or not console.is_terminal)


def _simulated(args: argparse.Namespace, plan: "CampaignPlan", console: "Console") -> "Campaign":
    from copycatch.redteam.campaign import check_plan, n_steps, simulate

    with _bar(console) as bar:
        task = bar.add_task("train the victim", total=1 + n_steps(plan))
        victim = _victim(args, plan)
        check_plan(plan, victim)

        def report(words: str) -> None:
            bar.update(task, advance=1, description=words)

        campaign = simulate(plan, victim, report)
        bar.update(task, advance=1, description="attacks done")
    return campaign


def _stream(args: argparse.Namespace, campaign: "Campaign", console: "Console") -> None:
    from copycatch.redteam.playback import Playback
    from copycatch.redteam.trace import write_records, write_side_files

    playback = Playback(campaign)
    if args.out == "-":
        sent = write_records(playback, sys.stdout.buffer)
    else:
        with _bar(console) as bar:
            task = bar.add_task("send the log", total=sum(len(lane) for lane in campaign.lanes))
            sent = send_records(playback, args.out, args.settings, lambda: bar.update(task, advance=1))
        console.print(f"{sent} records of {len(playback.sent_by_account)} accounts in {args.out}")
    if args.truth is not None:
        args.truth.mkdir(parents=True, exist_ok=True)
        write_side_files(campaign, playback, args.truth, sent)


def _write(args: argparse.Namespace, campaign: "Campaign", folder: Path, console: "Console") -> None:
    from copycatch.redteam.trace import write_campaign

    is_watched = args.judge and any(lane.is_adaptive for lane in campaign.lanes)
    with _bar(console) as bar:
        task = bar.add_task("write the log", total=sum(len(lane) for lane in campaign.lanes))
        playback = write_campaign(
            campaign,
            folder,
            lambda: bar.update(task, advance=1),
            live_judge(_policy(args)) if is_watched else None,
        )
    console.print(f"{playback.sent} records of {len(playback.sent_by_account)} accounts in {folder}")


def _policy(args: argparse.Namespace) -> "Policy":
    from copycatch.features.catalog import NAMES
    from copycatch.records.policy import Policy
    from copycatch.settings.policy import load_policy

    return Policy() if args.policy is None else load_policy(args.policy, NAMES)


def live_judge(policy: "Policy") -> "Listen":
    """The engine as an adaptive attacker meets it: told of each stretch, it names whom it alerts on."""
    from copycatch.adapters.memory import MemoryMetrics
    from copycatch.records.columns import RawBatch
    from copycatch.service.bootstrap import decoder_maker, make_judge
    from copycatch.service.replay import REPLAY_KEY
    from copycatch.settings.service import Input
    from copycatch.units import UnixMs, parse_rfc3339

    decoders = {"*": decoder_maker(Input(topic="files", format="native"))}
    judge = make_judge(policy, 1_000_000, REPLAY_KEY, decoders, MemoryMetrics())
    position = 0

    def listen(lines: list[bytes]) -> list[tuple[str, int]]:
        nonlocal position
        positions = list(range(position, position + len(lines)))
        position += len(lines)
        # Simulated records lie in the past or the future of this machine; their own time is the present.
        now_ms = UnixMs((judge.newest_event_ms or 0) + 30 * MS_PER_DAY)
        outcomes = judge.step(RawBatch("files", 0, positions, lines), now_ms)
        return [
            (account, parse_rfc3339(alert.time))
            for alert in outcomes.alerts
            if alert.op != "close"
            for account in (alert.entity.accounts or [alert.entity.id])
        ]

    return listen


def judge_log(log: Path, policy: "Policy", folder: Path, *, is_quiet: bool) -> tuple[Path, Path]:
    """Let the detector read a log; where its alerts and recommendations were written."""
    from copycatch.cli.progress import ReplayBar
    from copycatch.records.columns import Outcomes
    from copycatch.records.wire import ENCODER
    from copycatch.service.logs import logging_at
    from copycatch.service.replay import replay

    alerts, recommendations = folder / "alerts.jsonl", folder / "recommendations.jsonl"
    with (
        alerts.open("wb") as to_alerts,
        recommendations.open("wb") as to_made,
        logging_at("warning"),
        ReplayBar(is_quiet=is_quiet) as bar,
    ):

        def keep(outcomes: Outcomes) -> None:
            to_alerts.writelines(ENCODER.encode(item) + b"\n" for item in outcomes.alerts)
            to_made.writelines(ENCODER.encode(item) + b"\n" for item in outcomes.recommendations)

        replay([str(log)], policy, keep, bar.update)
    return alerts, recommendations


def _judge(args: argparse.Namespace, campaign: "Campaign", folder: Path, console: "Console") -> None:
    from rich.console import Console

    from copycatch.redteam.trace import LOG_NAME
    from copycatch.redteam.verdict_views import attack_table, benign_table, summary_words, write_plot
    from copycatch.redteam.verdicts import judge_trace

    alerts, recommendations = judge_log(folder / LOG_NAME, _policy(args), folder, is_quiet=args.quiet)
    verdicts = judge_trace(folder, alerts, recommendations)
    told = Console()
    told.print(attack_table(verdicts))
    told.print(benign_table(verdicts))
    told.print(summary_words(verdicts), highlight=False)
    plot = args.plot or folder / "fidelity.png"
    write_plot(
        verdicts, plot, f"Stealing {campaign.plan.victim}: what the thief has, and when it was noticed"
    )
    console.print(f"alerts, recommendations and labels in {folder}, plot in {plot}")
