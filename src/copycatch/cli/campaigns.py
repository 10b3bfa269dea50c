"""What `simulate` and `demo` share: a campaign with a progress bar, and its verdicts in the terminal."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from copycatch.redteam.campaign import Campaign, CampaignPlan
    from copycatch.redteam.verdicts import Verdicts
    from copycatch.redteam.victims import Victim


def progress_bar(console: Console) -> Progress:
    """A bar that counts steps; nothing where the console is no terminal."""
    columns = (TextColumn("{task.description:<36}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, disable=console.quiet or not console.is_terminal)


def run_campaign(plan: "CampaignPlan", make_victim: Callable[[], "Victim"], console: Console) -> "Campaign":
    """Train the victim and simulate the campaign."""
    from copycatch.redteam.campaign import check_plan, n_steps, simulate

    with progress_bar(console) as bar:
        task = bar.add_task("train the victim", total=1 + n_steps(plan))
        victim = make_victim()
        check_plan(plan, victim)

        def report(step: str) -> None:
            bar.update(task, advance=1, description=step)

        campaign = simulate(plan, victim, report)
        bar.update(task, advance=1, description="attacks done")
    return campaign


def show_verdicts(verdicts: "Verdicts", console: Console, plot: Path, title: str) -> None:
    """Print who was caught when, and draw the plot."""
    from copycatch.redteam.verdict_views import attack_table, benign_table, summary_text, write_plot

    console.print(attack_table(verdicts))
    console.print(benign_table(verdicts))
    console.print(summary_text(verdicts), highlight=False)
    write_plot(verdicts, plot, title)
