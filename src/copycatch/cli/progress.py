"""A progress bar over the bytes of log files, with rate and time left."""

import sys
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from copycatch.service.replay import Progress as ReplayProgress


class ReplayBar:
    """A bar on standard error while a replay runs; silent when asked to be, or when nobody watches."""

    def __init__(self, *, is_quiet: bool) -> None:
        self._bar = Progress(
            TextColumn("replay"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[counts]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=is_quiet or not sys.stderr.isatty(),
        )
        self._task = self._bar.add_task("replay", total=None, counts="")

    def __enter__(self) -> "ReplayBar":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def update(self, progress: ReplayProgress) -> None:
        elapsed_s = self._bar.tasks[0].elapsed or 0.0
        rate = progress.records / elapsed_s if elapsed_s else 0.0
        self._bar.update(
            self._task,
            total=progress.bytes_total or None,
            completed=progress.bytes_read,
            counts=f"{progress.records:,} records, {rate:,.0f}/s, {progress.alerts} alerts",
        )
