"""Figures as ratios within one run: what is compared takes turns, so that noise meets both alike."""

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

Direction = Literal["at least", "at most"]


@dataclass(frozen=True)
class Target:
    """What a figure has to reach; `of` says whether the value or the ratio is meant."""

    direction: Direction
    limit: float
    of: Literal["value", "ratio"] = "value"

    def is_met(self, figure: "Figure") -> bool | None:
        """None where the figure has no such number."""
        number = figure.value if self.of == "value" else figure.ratio
        if number is None:
            return None
        return number >= self.limit if self.direction == "at least" else number <= self.limit

    @property
    def words(self) -> str:
        return f"{self.direction} {self.limit:g}" + ("x" if self.of == "ratio" else "")


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    `values` has one entry a round; `ratios` divides each by what stood beside it in the same round.
    """

    part: str
    name: str
    unit: str
    values: Sequence[float]
    beside: str = ""
    ratios: Sequence[float] = ()
    target: Target | None = None
    note: str = ""
    at: float | None = None  # place on the part's axis, where it has one
    line: str = ""  # which line of the plot it belongs to

    @property
    def value(self) -> float:
        return statistics.median(self.values)

    @property
    def ratio(self) -> float | None:
        return statistics.median(self.ratios) if self.ratios else None

    @property
    def is_met(self) -> bool | None:
        return None if self.target is None else self.target.is_met(self)


@dataclass
class Part:
    """What one part of the benchmark found; `skipped` says why there is nothing, or what is missing."""

    key: str
    title: str
    figures: list[Figure] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    axis: str = ""  # of the plot; none without
    is_log: bool = True


@dataclass(frozen=True)
class Spent:
    """Seconds per item of one round: on the clock, and of this process on a core."""

    wall_s: float
    cpu_s: float


def spend(action: Callable[[], object], n_items: int) -> Spent:
    """Time one call; nothing of an earlier one is collected inside."""
    gc.collect()
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    action()
    cpu_end_s, wall_end_s = time.process_time(), time.perf_counter()
    return Spent((wall_end_s - wall_s) / n_items, (cpu_end_s - cpu_s) / n_items)


def take_turns(actions: Mapping[str, Callable[[], Spent]], rounds: int) -> dict[str, list[Spent]]:
    """Run all actions once a round, in turn.

    Examples
    --------
    >>> spent = take_turns({"a": lambda: Spent(1.0, 1.0), "b": lambda: Spent(2.0, 1.5)}, rounds=3)
    >>> len(spent["a"]), spent["b"][0].wall_s
    (3, 2.0)
    """
    spent: dict[str, list[Spent]] = {name: [] for name in actions}
    for _ in range(rounds):
        for name, action in actions.items():
            spent[name].append(action())
    return spent


def ratios(values: Sequence[float], beside: Sequence[float]) -> list[float]:
    """Round by round."""
    return [value / other for value, other in zip(values, beside, strict=True)]
