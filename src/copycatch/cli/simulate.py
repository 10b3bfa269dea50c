"""`copycatch simulate`: steal a model on purpose and write down what a gateway would have logged."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from copycatch.redteam.campaign import n_steps, simulate
from copycatch.redteam.presets import PRESETS
from copycatch.redteam.trace import write_campaign
from copycatch.redteam.victims import VICTIM_KINDS, build_victim


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command's options."""
    parser = subparsers.add_parser(
        "simulate", help="steal a model on purpose, to see when it would be caught"
    )
    parser.add_argument("--victim", choices=tuple(VICTIM_KINDS), default="digits")
    parser.add_argument("--preset", choices=tuple(PRESETS), default="trace")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--budget", type=int, default=1500, help="queries per attack")
    parser.add_argument("--out", type=Path, required=True, help="trace folder to write")


def run(args: argparse.Namespace) -> int:
    """Simulate and write the trace folder."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    plan = PRESETS[args.preset](args.victim, args.seed, args.budget)
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(f"train {args.victim}", total=n_steps(plan) + 1)
        victim = build_victim(args.victim, args.seed)

        def report(words: str) -> None:
            progress.update(task, advance=1, description=words)

        campaign = simulate(plan, victim, report)
        report("write")
        write_campaign(campaign, args.out)
    return 0


if __name__ == "__main__":  # until __main__ wires the command
    _parser = argparse.ArgumentParser()
    add_parser(_parser.add_subparsers(required=True))
    raise SystemExit(run(_parser.parse_args()))
