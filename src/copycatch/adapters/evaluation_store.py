"""Evaluations of the last days, kept by `run` so that a policy can be tried on them without the log.

One file a worker's run and day; each entry is a delivered unit, compressed, with a checksum. What a backtest
needs is kept: who, when, every feature, the score, and what was said of campaigns. No inputs, no event ids.
"""

import os
import struct
import uuid
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import numpy as np
import structlog
import zstandard

from copycatch.errors import ConfigError, StateError
from copycatch.ports import Clock, Committed, Delivery, Metrics, OutcomeSink, Shard
from copycatch.records.columns import Evaluations, Features, Outcomes, ScoreBasis, Scores
from copycatch.records.packing import aligned, pack, unpack
from copycatch.records.policy import Windows
from copycatch.records.wire import ENCODER, Alert, Recommendation
from copycatch.units import MS_PER_DAY, format_rfc3339

log = structlog.get_logger(__name__)

FORMAT = 1
SUFFIX = ".evaluations"
ENTRY_BYTES_MAX = 1 << 30
LEVEL = 3
_HEAD = struct.Struct("<QI")  # length and CRC-32 of what follows
_IDS = ("account_ids", "tenant_ids", "model_ids")
_OF_EVALUATIONS = ("rows", "event_times_ms", "first_seen_ms", "queries", "answered")
_OF_SCORES = ("values", "tail_probs", "attack_probs", "is_warm")


class KeepingSink:
    """An `OutcomeSink` that keeps the evaluations of what it has delivered.

    Parameters
    ----------
    main : OutcomeSink
    folder : Path
    feature_names : sequence of str
        Columns of the values.
    days : int
        Files of days before are removed.
    bytes_max : int
        Of all files together; the oldest are removed first.
    clock, metrics
    """

    def __init__(
        self, main: OutcomeSink, folder: Path, feature_names: Iterable[str], days: int, bytes_max: int,
        clock: Clock, metrics: Metrics,
    ) -> None:  # fmt: skip
        self._main = main
        self._folder = folder
        self._names = list(feature_names)
        self._days = days
        self._bytes_max = bytes_max
        self._clock = clock
        self._metrics = metrics
        self._run_id = uuid.uuid4().hex[:8]
        self._file: BinaryIO | None = None
        self._day = -1
        self.windows = Windows()  # of the policy in force
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            msg = f"evaluations.directory: cannot use {folder}: {error.strerror}"
            raise ConfigError(msg) from error

    def deliver(self, delivery: Delivery) -> None:
        self._main.deliver(delivery)
        entry = _entry_of(delivery.outcomes)
        if entry is None:
            return
        try:
            self._keep(pack(entry | {"windows": self.windows.model_dump()}))
        except OSError as error:  # delivered is delivered: a full disk costs the backtest, not the service
            self._metrics.count("copycatch_evaluations_lost_total")
            log.error("evaluations are not kept", folder=str(self._folder), reason=str(error))  # noqa: TRY400
            self.close_file()

    def _keep(self, content: bytes) -> None:
        day = self._clock.now_ms() // MS_PER_DAY
        if self._file is None or day != self._day:
            self.close_file()
            self._make_room(day)
            name = f"{_date_of(day)}.{self._run_id}{SUFFIX}"
            descriptor = os.open(self._folder / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            self._file, self._day = os.fdopen(descriptor, "ab", buffering=0), day
            if not os.fstat(descriptor).st_size:
                self._write(pack({"format": FORMAT, "names": self._names}))
        self._write(content)

    def _write(self, content: bytes) -> None:
        assert self._file is not None, "opened before"
        packed = zstandard.ZstdCompressor(level=LEVEL).compress(content)
        self._file.write(_HEAD.pack(len(packed), zlib.crc32(packed)) + packed)

    def _make_room(self, day: int) -> None:
        first = _date_of(day - self._days + 1)
        files = sorted(self._folder.glob(f"*{SUFFIX}"), reverse=True)
        size = 0
        for path in files:
            size += path.stat().st_size
            if path.name < first or size > self._bytes_max:
                path.unlink(missing_ok=True)
        self._metrics.set("copycatch_evaluations_kept_bytes", min(size, self._bytes_max))

    def close_file(self) -> None:
        """The next unit begins a file, or goes on with it."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def committed(self, shards: Iterable[Shard]) -> dict[Shard, Committed]:
        return self._main.committed(shards)

    def reopen(self) -> None:
        self._main.reopen()

    def close(self) -> None:
        self.close_file()
        self._main.close()


def _date_of(day: int) -> str:
    """As names of files begin; `day` counts from 1970."""
    return format_rfc3339(day * MS_PER_DAY)[:10]


def _entry_of(outcomes: Outcomes) -> dict[str, Any] | None:
    campaigns = [alert for alert in outcomes.alerts if alert.entity.kind == "campaign"]
    rows = [row for row in outcomes.recommendations if row.scope == "campaign"]
    if not outcomes.evaluations and not campaigns and not rows:
        return None
    batches = [
        {name: getattr(evaluations, name) for name in (*_IDS, *_OF_EVALUATIONS)}
        | {name: getattr(scores, name) for name in _OF_SCORES}
        for evaluations, scores in outcomes.evaluations
    ]
    return {
        "batches": batches,
        "alerts": [ENCODER.encode(a) for a in campaigns],
        "rows": [ENCODER.encode(r) for r in rows],
    }


def read_evaluations(folder: Path, feature_names: Iterable[str]) -> Iterator[tuple[Outcomes, Windows]]:
    """Kept units in order of their first evaluation's time, day by day, with the windows they were made by.

    Raises
    ------
    ConfigError
        If the folder holds none.
    StateError
        If a file is damaged before its end; an entry that was cut off at the end is left out.
    """
    names = list(feature_names)
    paths = sorted(folder.glob(f"*{SUFFIX}")) if folder.is_dir() else []
    if not paths:
        msg = f"{folder}: holds no evaluations; `evaluations` of the settings says where `run` keeps them"
        raise ConfigError(msg)
    for day in sorted({path.name[:10] for path in paths}):
        of_day = [entry for path in paths if path.name.startswith(day) for entry in _entries(path, names)]
        for _, outcomes, windows in sorted(of_day, key=lambda entry: entry[0]):
            yield outcomes, windows


def _entries(path: Path, names: list[str]) -> Iterator[tuple[int, Outcomes, Windows]]:
    with path.open("rb") as file:
        head = _next(file, path)
        if head is None:
            return
        if head.get("format") != FORMAT:
            msg = f"{path}: has format {head.get('format')}, this version reads {FORMAT}"
            raise StateError(msg)
        found = [str(name) for name in head["names"]]
        while (entry := _next(file, path)) is not None:
            outcomes = _outcomes_of(entry, found, names)
            first_ms = min((int(e.event_times_ms[0]) for e, _ in outcomes.evaluations if len(e)), default=0)
            yield first_ms, outcomes, Windows(**entry["windows"])


def _next(file: BinaryIO, path: Path) -> Any:
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    length, crc = _HEAD.unpack(head)
    packed = file.read(min(length, ENTRY_BYTES_MAX))
    if len(packed) < length:
        return None  # the process ended while it wrote
    if zlib.crc32(packed) != crc:
        msg = f"{path}: is damaged at byte {file.tell() - length}; remove the file to go on without it"
        raise StateError(msg)
    return unpack(zstandard.ZstdDecompressor().decompress(packed, max_output_size=ENTRY_BYTES_MAX))


def _outcomes_of(entry: dict[str, Any], found: list[str], names: list[str]) -> Outcomes:
    return Outcomes(
        alerts=[msgspec.json.decode(each, type=Alert) for each in entry["alerts"]],
        recommendations=[msgspec.json.decode(each, type=Recommendation) for each in entry["rows"]],
        evaluations=[_judged(batch, found, names) for batch in entry["batches"]],
    )


def _judged(batch: dict[str, Any], found: list[str], names: list[str]) -> tuple[Evaluations, Scores]:
    """Evaluations and scores as they were judged; reasons, windows and samples were not kept."""
    n, n_features = len(batch["account_ids"]), len(names)
    none, unknown = np.full((n, 0), np.nan), np.full((n, n_features), np.nan)
    features = Features(unknown, np.zeros(n, dtype=np.int64), np.zeros(n))
    lists: list[list[str]] = [[] for _ in range(n)]
    evaluations = Evaluations(
        **{name: batch[name] for name in (*_IDS, *_OF_EVALUATIONS)},
        lifetime=features, recent=features, records=np.zeros(n, dtype=np.int64),
        kept_ids=np.zeros((n, 0), dtype="S1"), sample_event_ids=lists, client_ips=lists,
        traceparents=[""] * n,
    )  # fmt: skip
    flat = np.full(n, np.nan)
    basis = ScoreBasis(np.zeros((n, 0), dtype=bool), none, none, none, none, none, flat, flat)
    values = aligned(batch["values"], found, names, np.nan)
    scores = Scores(
        values, batch["tail_probs"], batch["attack_probs"], batch["is_warm"].astype(bool),
        np.zeros((n, n_features)), basis, unknown, unknown, unknown, lists,
    )  # fmt: skip
    return evaluations, scores
