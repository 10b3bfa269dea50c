"""How an alert is computed once more: the log, the policy, the format, the versions."""

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from copycatch import __version__
from copycatch.desk.evidence.log import LogFile
from copycatch.records.columns import Outcomes
from copycatch.records.decoding import Decoder
from copycatch.records.policy import Policy
from copycatch.records.wire import ENCODER, Alert, Recommendation
from copycatch.service.replay import Progress, replay
from copycatch.units import UnixMs

RECIPE = "recipe.json"
POLICY = "policy.yaml"
ALERTS = "recomputed.jsonl"
PACKAGES = ("numpy", "numba", "river", "msgspec", "pysimdjson", "safetensors")
BUILT_IN = "default"


class Recipe(msgspec.Struct, frozen=True):
    """What the alert is a function of. `now_ms` is the present that records are not allowed to be beyond."""

    uid: str
    log: list[LogFile]
    format: str | None
    options: list[str]
    now_ms: int
    policy_version: str
    versions: dict[str, str]


@dataclass(slots=True)
class Recomputed:
    """All revisions of the alert, and of the recommendation that goes with it."""

    alerts: list[Alert] = field(default_factory=list)
    rows: list[Recommendation] = field(default_factory=list)

    @property
    def lines(self) -> bytes:
        """The alert as a replay writes it."""
        return b"".join(ENCODER.encode(alert) + b"\n" for alert in self.alerts)


def versions_here() -> dict[str, str]:
    """What computes here: copycatch, Python, the machine and the packages that do arithmetic."""
    found = {
        "copycatch": __version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
    }
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def recompute(
    uid: str,
    paths: Sequence[str],
    policy: Policy,
    make_decoder: Callable[[], Decoder],
    now_ms: int,
    on_progress: Callable[[Progress], None] = lambda _progress: None,
) -> Recomputed:
    """Play the log; everything that is said of the alert.

    Parameters
    ----------
    uid : str
        Whole, or its first characters; then of the one alert that begins so.
    """
    found = Recomputed()
    rows: list[Recommendation] = []

    def take(outcomes: Outcomes) -> None:
        found.alerts += [alert for alert in outcomes.alerts if alert.uid.startswith(uid)]
        rows.extend(outcomes.recommendations)

    replay(paths, policy, take, on_progress, make_decoder=make_decoder, now_ms=UnixMs(now_ms))
    keys = {alert.recommendation for alert in found.alerts}
    found.rows = [row for row in rows if row.decision_key in keys]
    return found


def differences(announced: Sequence[Alert], recomputed: Sequence[Alert]) -> list[str]:
    """Where two tellings of one alert differ, field by field; empty: bit for bit the same."""
    found = []
    if len(announced) != len(recomputed):
        found.append(f"{len(announced)} revisions were announced, {len(recomputed)} are recomputed")
    for number, (before, now) in enumerate(zip(announced, recomputed, strict=False), 1):
        fields = [
            name
            for name in Alert.__struct_fields__
            if _written(getattr(before, name)) != _written(getattr(now, name))
        ]
        if fields:
            found.append(f"revision {number} ({before.op} {before.time}): {', '.join(fields)}")
    return found


def _written(value: object) -> bytes:
    """As a field stands in the message; nothing where it is left out."""
    return b"" if value is msgspec.UNSET else msgspec.json.encode(value)


def read_recipe(folder: Path) -> Recipe:
    """The recipe of a pack whose signature was checked."""
    return msgspec.json.decode((folder / RECIPE).read_bytes(), type=Recipe)
