"""The figures as a table for the terminal, a page of Markdown, plots and JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.benchmarks.measure import Figure, Part

HEADINGS = ("figure", "median", "range", "beside", "ratio", "target", "")


def number(value: float) -> str:
    """Three digits that count.

    Examples
    --------
    >>> number(1234567.0), number(12.345), number(0.01234)
    ('1,234,567', '12.3', '0.0123')
    """
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def row(figure: Figure) -> tuple[str, ...]:
    met = {None: "", True: "met", False: "NOT MET"}[figure.is_met]
    return (
        figure.name,
        f"{number(figure.value)} {figure.unit}",
        f"{number(min(figure.values))} - {number(max(figure.values))}" if len(figure.values) > 1 else "",
        figure.beside,
        "" if figure.ratio is None else f"{number(figure.ratio)}x",
        "" if figure.target is None else figure.target.words,
        met,
    )


def as_text(parts: Sequence[Part], machine: str) -> str:
    lines = [machine, ""]
    for part in parts:
        rows = [HEADINGS, *(row(each) for each in part.figures)]
        widths = [max(len(cells[index]) for cells in rows) for index in range(len(HEADINGS))]
        lines.append(part.title)
        if part.figures:
            lines += ["  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
                      for cells in rows]  # fmt: skip
        lines += [f"not measured: {words}" for words in part.skipped]
        lines.append("")
    return "\n".join(lines)


def as_markdown(parts: Sequence[Part], machine: str) -> str:
    lines = ["# Benchmark", "", machine, ""]
    for part in parts:
        lines += [f"## {part.title}", ""]
        if part.figures:
            lines += ["| " + " | ".join((*HEADINGS, "note")) + " |", "|---" * (len(HEADINGS) + 1) + "|"]
            lines += ["| " + " | ".join((*row(each), each.note)) + " |" for each in part.figures]
        lines += ["", *(f"- not measured: {words}" for words in part.skipped), ""]
        if part.axis and part.figures:
            lines += [f"![{part.title}]({part.key}.png)", ""]
    return "\n".join(lines)


def write_report(parts: Sequence[Part], machine: str, folder: Path) -> None:
    """bench.md, bench.json and one plot a part that has an axis."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bench.md").write_text(as_markdown(parts, machine))
    plain: dict[str, Any] = {"machine": machine, "parts": [asdict(part) for part in parts]}
    (folder / "bench.json").write_text(json.dumps(plain, indent=1))
    for part in parts:
        if part.figures:
            draw(part, folder / f"{part.key}.png")


def draw(part: Part, path: Path) -> None:
    """Lines over the part's axis, or bars where it has none."""
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(7.5, 4.2), layout="constrained")
    axes = canvas.subplots()
    axes.set_title(part.title, fontsize=11)
    placed = [each for each in part.figures if each.at is not None]
    if part.axis and placed:
        for line in dict.fromkeys(each.line for each in placed):
            points = [each for each in placed if each.line == line]
            places = [each.at or 0.0 for each in points]
            axes.plot(places, [each.value for each in points], marker="o", label=line)
            axes.fill_between(
                places, [min(p.values) for p in points], [max(p.values) for p in points], alpha=0.15
            )
        axes.set_xscale("log" if part.is_log else "linear")
        axes.set_xlabel(part.axis)
        axes.set_ylabel(placed[0].unit)
        axes.set_ylim(bottom=0)
        axes.legend()
    else:
        shown = [each for each in part.figures if each.ratio is not None] or part.figures
        values = [each.ratio if each.ratio is not None else each.value for each in shown]
        names = [f"{each.name}\n/ {each.beside}" if each.beside else each.name for each in shown]
        bars = axes.barh(names, values)
        axes.bar_label(bars, [number(value) for value in values], padding=3, fontsize=8)
        axes.invert_yaxis()
        axes.tick_params(axis="y", labelsize=8)
        axes.set_xlabel("ratio")
        if min(values) > 0 and max(values) / min(values) > 100:
            axes.set_xscale("log")
    axes.grid(alpha=0.25)
    canvas.savefig(path, dpi=120)
