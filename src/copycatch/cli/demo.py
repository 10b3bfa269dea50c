"""`copycatch demo`: real extraction attacks on a small real model, caught live in the terminal."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from copycatch.adapters.clock import SystemClock
from copycatch.cli.campaigns import run_campaign, show_verdicts
from copycatch.cli.live import LiveView
from copycatch.errors import TransportError
from copycatch.records.policy import Policy

if TYPE_CHECKING:
    from copycatch.redteam.verdicts import Verdicts
    from copycatch.service.replay import Progress

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
    console = Console()
    _simulate(args, console)
    verdicts = _judge(args.out, console, is_slowed=not args.fast and console.is_terminal)
    plot = args.out / "fidelity.png"
    title = f"{args.victim}: how much of the model was gone when copycatch alerted"
    show_verdicts(verdicts, console, plot, title)
    alerts = args.out / "alerts.jsonl"
    console.print(
        f"\nlog and labels   {args.out}/log.jsonl.gz, labels.csv, fidelity.json\n"
        f"alerts           {alerts}   (try: copycatch explain {alerts})\n"
        f"recommendations  {args.out / 'recommendations.jsonl'}\n"
        f"picture          {plot}",
        highlight=False,
    )
    return 0


def _simulate(args: argparse.Namespace, console: Console) -> None:
    from copycatch.redteam.presets import PRESETS
    from copycatch.redteam.trace import write_campaign
    from copycatch.redteam.victims import build_victim

    plan = PRESETS["demo"].make(args.victim, args.seed, PRESETS["demo"].budget)
    campaign = run_campaign(plan, lambda: build_victim(args.victim, args.seed), console)
    try:
        with console.status("writing the log"):
            write_campaign(campaign, args.out)
    except OSError as error:
        message = f"{args.out} cannot be written: {error.strerror}; choose another folder with --out"
        raise TransportError(message) from error


def _judge(folder: Path, console: Console, *, is_slowed: bool) -> "Verdicts":
    from copycatch.redteam.judging import judge_log

    clock = SystemClock()
    with LiveView(console) as view:
        started_s = clock.monotonic_s()

        def show(progress: "Progress") -> None:
            share = progress.bytes_read / max(progress.bytes_total, 1)
            view.progress(share, progress.records)
            if is_slowed:
                clock.sleep(max(0.0, min(share * VIEW_S - (clock.monotonic_s() - started_s), 0.5)))

        verdicts = judge_log(folder, Policy(), view.add, show, records_max=250 if is_slowed else 5000)
    sys.stdout.flush()
    return verdicts
