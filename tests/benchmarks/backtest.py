"""A backtest of two policies beside one replay of the same log: both as their commands, in turns."""

import contextlib
import io
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from copycatch.__main__ import main
from tests.benchmarks.files import TRACES, write_log
from tests.benchmarks.measure import Figure, Part, Spent, Target, ratios, spend, take_turns
from tests.benchmarks.scale import Scale

POLICIES = {
    "old": "version: 1\n",
    "stricter": "version: 1\nbudget: {alerts_per_1000_accounts_per_day: 0.5}\n",
    "looser": "version: 1\nbudget: {alerts_per_1000_accounts_per_day: 5}\n",
}
NOT_JUDGED = 1  # exit code of a log too short to score: the same work


def command(arguments: Sequence[str]) -> None:
    """Run one; its words go nowhere."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as said:
        code = main(list(arguments))
    if code > NOT_JUDGED:
        msg = f"copycatch {' '.join(arguments)} ended with {code}: {said.getvalue()}"
        raise RuntimeError(msg)


def run(scale: Scale) -> Part:
    """Ratio of CPU time, backtest to replay; the replay writes its alerts and recommendations."""
    part = Part("backtest", "Backtest: two policies on one log, beside one replay of it")
    with tempfile.TemporaryDirectory(prefix="copycatch-bench-") as folder:
        small, log = Path(folder) / "small.jsonl", Path(folder) / "log.jsonl"
        write_log(small, min(2_000, scale.file_records))
        write_log(log, scale.file_records)
        for name, text in POLICIES.items():
            (Path(folder) / f"{name}.yaml").write_text(text)
        for spends in _commands(small, Path(folder)).values():
            spends()  # compiled code is loaded before anything is timed
        _add(part, "the log of `files`", log, Path(folder), scale.rounds)
        trace = TRACES / "letter" / "log.jsonl.gz"
        if scale.with_traces and trace.exists():
            _add(part, "trace letter", trace, Path(folder), min(scale.rounds, 3))
    return part


def _commands(log: Path, folder: Path) -> dict[str, partial[Spent]]:
    replayed = ["replay", str(log), "--policy", f"{folder}/old.yaml", "--quiet", "--force"]
    replayed += ["--alerts", f"{folder}/alerts.jsonl", "--recommendations", f"{folder}/rows.jsonl"]
    found = {"replay": partial(spend, partial(command, replayed), 1)}
    for name in list(POLICIES)[1:]:
        given = ["backtest", str(log), "--old", f"{folder}/old.yaml", "--new", f"{folder}/{name}.yaml"]
        found[name] = partial(spend, partial(command, [*given, "--quiet"]), 1)
    return found


def _add(part: Part, name: str, log: Path, folder: Path, rounds: int) -> None:
    spent = take_turns(_commands(log, folder), rounds)
    cpu = {key: [each.cpu_s for each in taken] for key, taken in spent.items()}
    for key, values in cpu.items():
        if key == "replay":
            part.figures.append(Figure(part.key, f"replay of {name}", "s of CPU", values))
            continue
        beside, target = ratios(values, cpu["replay"]), Target("at most", 1.3, "ratio")
        what = f"backtest of a {key} policy, {name}"
        part.figures.append(Figure(part.key, what, "s of CPU", values, "replay", beside, target))
