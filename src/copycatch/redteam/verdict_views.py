"""Verdicts for people: a table in the terminal, a plot, a page."""

from __future__ import annotations

import html
import io
from pathlib import Path
from typing import Any

from rich.table import Table

from copycatch.redteam.extras import require
from copycatch.redteam.verdicts import Catch, GroupResult, Verdicts

PANELS_PER_ROW = 3
CURVE_COLOUR, ALERT_COLOUR, RECOMMENDATION_COLOUR = "#33658a", "#d1495b", "#edae49"


def _when(catch: Catch) -> str:
    if not catch.is_hit:
        return "no"
    return "after all" if catch.queries is None else f"{catch.queries}"


def attack_table(verdicts: Verdicts) -> Table:
    """Per attack: caught or not, at which query, how much of the model was gone."""
    table = Table(title="Attacks", title_justify="left")
    table.add_column("attack", no_wrap=True)
    for heading in ("accts", "queries", "alert at", "got by then", "cut off at", "got by then"):
        table.add_column(heading, justify="right")
    for group in sorted(verdicts.groups, key=lambda g: g.kind):
        table.add_row(
            group.kind,
            str(group.accounts),
            str(group.queries),
            _when(group.alert),
            f"{group.alert.fidelity_share:.0%}",
            _when(group.recommendation),
            f"{group.recommendation.fidelity_share:.0%}",
        )
    return table


def benign_table(verdicts: Verdicts) -> Table:
    """What the same detector would have cost honest users."""
    table = Table(title="Honest users", title_justify="left")
    table.add_column("kind")
    for heading in ("accounts", "alerted", "cut off", "queries hindered"):
        table.add_column(heading, justify="right")
    for kind, row in verdicts.benign.items():
        share = row.queries_hindered / max(row.queries, 1)
        table.add_row(kind, str(row.accounts), str(row.alerted), str(row.recommended), f"{share:.1%}")
    return table


def summary_text(verdicts: Verdicts) -> str:
    """The verdicts in one sentence each."""
    s = verdicts.summary
    return (
        f"{s['recall_alert_without_indomain']:.0%} of the attacks that can be found were alerted on; "
        f"the thieves had {s['fidelity_share_at_alert_without_indomain']:.0%} of what they would have got.\n"
        f"{s['benign_alerted']:.1%} of {s['benign_accounts']:.0f} honest accounts were alerted on "
        f"({s['benign_alerts_per_1000_account_days']:.1f} per 1,000 account-days), "
        f"{s['benign_recommended']:.1%} were cut off."
    )


def draw_curves(verdicts: Verdicts, title: str) -> Any:
    """A figure: fidelity against queries, one panel per attack, with the alert drawn in."""
    figures = require("matplotlib.figure")
    groups = sorted(verdicts.groups, key=lambda g: g.kind)
    n_columns = min(PANELS_PER_ROW, max(len(groups), 1))
    n_rows = max(1, -(-len(groups) // n_columns))
    figure = figures.Figure(figsize=(4.2 * n_columns, 2.9 * n_rows), layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots(n_rows, n_columns, squeeze=False)
    for panel in axes.flat[len(groups) :]:
        panel.set_visible(False)
    for panel, group in zip(axes.flat, groups, strict=False):
        _draw_group(panel, group)
    for panel in axes[:, 0]:
        panel.set_ylabel("agreement with the victim")
    for panel in axes[-1, :]:
        panel.set_xlabel("attack queries")
    return figure


def _draw_group(panel: Any, group: GroupResult) -> None:
    counts = [0.0, *(point[0] for point in group.curve)]
    fidelities = [0.0, *(point[1] for point in group.curve)]
    panel.plot(counts, fidelities, color=CURVE_COLOUR, linewidth=1.8)
    panel.set_title(group.kind, fontsize=10)
    panel.set_ylim(0, 1)
    panel.set_xlim(0, counts[-1])
    panel.grid(alpha=0.25)
    marks = (
        (group.alert, ALERT_COLOUR, "-", "alert"),
        # Dashed and drawn last: it often falls on the alert's line.
        (group.recommendation, RECOMMENDATION_COLOUR, (0, (4, 4)), "cut off"),
    )
    for catch, colour, dashes, name in marks:
        if catch.is_hit and catch.queries is not None:
            at = catch.queries * group.attack_share
            panel.axvline(
                at,
                color=colour,
                linestyle=dashes,
                linewidth=1.8,
                label=f"{name}: query {catch.queries}, {catch.fidelity_share:.0%}",
            )
    if panel.get_legend_handles_labels()[0]:
        panel.legend(loc="lower right", fontsize=8)
    else:
        panel.text(
            0.97, 0.05, "not caught", transform=panel.transAxes, ha="right", fontsize=8, color=ALERT_COLOUR
        )


def write_plot(verdicts: Verdicts, path: Path, title: str) -> None:
    """Write the figure; the suffix says how: .png, .svg, .pdf, or .html for a page with the tables."""
    figure = draw_curves(verdicts, title)
    if path.suffix != ".html":
        figure.savefig(path, dpi=110)
        return
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg")
    svg = drawn.getvalue()
    rows = "".join(
        f"<tr><td>{html.escape(g.kind)}</td><td>{g.accounts}</td><td>{g.queries}</td><td>{_when(g.alert)}</td>"
        f"<td>{g.alert.fidelity_share:.0%}</td><td>{_when(g.recommendation)}</td></tr>"
        for g in sorted(verdicts.groups, key=lambda g: g.kind)
    )
    path.write_text(
        "<!doctype html><meta charset='utf-8'><title>copycatch simulate</title>"
        "<style>body{font:15px system-ui;margin:2em}td,th{padding:.2em 1em;text-align:right}"
        "td:first-child{text-align:left}</style>"
        f"<h1>{html.escape(title)}</h1><p>{html.escape(summary_text(verdicts))}</p>"
        "<table><tr><th>attack</th><th>accounts</th><th>queries</th><th>alert at query</th>"
        f"<th>had by then</th><th>cut off at query</th></tr>{rows}</table>{svg[svg.index('<svg') :]}"
    )
