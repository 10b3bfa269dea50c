"""`copycatch demo`: real extraction attacks on a small real model, caught live in the terminal."""

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from rich.console import Console

from copycatch.adapters.clock import SystemClock
from copycatch.cli.live import LiveView
from copycatch.errors import TransportError
from copycatch.records.columns import Outcomes
from copycatch.records.policy import Policy
from copycatch.records.wire import ENCODER

DESCRIPTION = """\
Train a small model, play honest users and real extraction attacks against it, and watch the engine judge
their queries in accelerated time. Everything runs on this machine: no broker, no network.
"""
EPILOG = """\
The victim, the attacks and the substitutes that they train are real, only small. Another --seed gives other
users, attackers and noise. The log, alerts, recommendations and labels stay in --out.
"""
VIEW_S = 30.0  # the live part is stretched to about this long, so that a person can follow it


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command's options."""
    from copycatch.redteam.victims import VICTIM_KINDS

    parser = subparsers.add_parser(
        "demo",
        help="see it work: simulated attacks on a small model, judged live",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--out", type=Path, default=Path("demo-out"), help="folder for what comes out (default: demo-out)"
    )
    parser.add_argument("--victim", choices=tuple(VICTIM_KINDS), default="digits", help="the model to steal")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--fast", action="store_true", help="do not slow the live view down for people")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Simulate, judge, name the attackers."""
    from copycatch.redteam.verdict_views import attack_table, benign_table, summary_words, write_plot
    from copycatch.redteam.verdicts import judge_trace

    console = Console()
    _simulate(args, console)
    alerts, recommendations = args.out / "alerts.jsonl", args.out / "recommendations.jsonl"
    _judge(
        args.out / "log.jsonl.gz",
        alerts,
        recommendations,
        console,
        is_slowed=not args.fast and console.is_terminal,
    )
    verdicts = judge_trace(args.out, alerts, recommendations)
    console.print(attack_table(verdicts))
    console.print(benign_table(verdicts))
    console.print(summary_words(verdicts))
    plot = args.out / "fidelity.png"
    write_plot(verdicts, plot, f"{args.victim}: how much of the model was gone when copycatch spoke")
    console.print(
        f"\nlog and labels   {args.out}/log.jsonl.gz, labels.csv, fidelity.json\n"
        f"alerts           {alerts}   (try: copycatch explain {alerts})\n"
        f"recommendations  {recommendations}\n"
        f"picture          {plot}",
        highlight=False,
    )
    return 0


def _simulate(args: argparse.Namespace, console: Console) -> None:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from copycatch.redteam.campaign import n_steps, simulate
    from copycatch.redteam.presets import PRESETS
    from copycatch.redteam.trace import write_campaign
    from copycatch.redteam.victims import build_victim

    plan = PRESETS["demo"].make(args.victim, args.seed, PRESETS["demo"].budget)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(f"training the victim ({args.victim})", total=n_steps(plan) + 2)
        victim = build_victim(args.victim, args.seed)

        def report(words: str) -> None:
            progress.update(task, advance=1, description=words)

        campaign = simulate(plan, victim, report)
        report("writing the log")
        try:
            write_campaign(campaign, args.out)
        except OSError as error:
            message = f"{args.out} cannot be written: {error.strerror}; choose another folder with --out"
            raise TransportError(message) from error
        report("done")


def _judge(log: Path, alerts: Path, recommendations: Path, console: Console, *, is_slowed: bool) -> None:
    from copycatch.service.logs import logging_at
    from copycatch.service.replay import Progress, replay

    with ExitStack() as stack:
        stack.enter_context(logging_at("warning"))
        alert_file = stack.enter_context(alerts.open("wb"))
        recommendation_file = stack.enter_context(recommendations.open("wb"))
        view = stack.enter_context(LiveView(console))
        clock = SystemClock()
        started_s = clock.monotonic_s()

        def take(outcomes: Outcomes) -> None:
            _write(alert_file, outcomes.alerts)
            _write(recommendation_file, outcomes.recommendations)
            view.add(outcomes)

        def pace(progress: Progress) -> None:
            share = progress.bytes_read / max(progress.bytes_total, 1)
            view.progress(share, progress.records)
            if is_slowed:
                clock.sleep(max(0.0, min(share * VIEW_S - (clock.monotonic_s() - started_s), 0.5)))

        replay([str(log)], Policy(), take, pace, records_max=250 if is_slowed else 5000)
    sys.stdout.flush()


def _write(file: IO[bytes], items: Sequence[object]) -> None:
    file.writelines(ENCODER.encode(item) + b"\n" for item in items)
