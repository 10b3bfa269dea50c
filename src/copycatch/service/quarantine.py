"""Records that end the process are set aside, so that their shard goes on.

No test before the judging can know them: they show by a process that has died while it judged them. A marker
in the state folder names the records at work; one that is found at the start tells of a death. From the first
on, the records around it are judged `PIECE` at a time; the piece in which the process dies again is set aside
for good, with a dead letter each, an alert and a metric. So a crash hides at most `PIECE` records, and not
quietly. An error in judging ends the process too, and is a death like any other.
"""

from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote

import msgspec
import structlog

from copycatch.decisions.case import Case
from copycatch.decisions.episodes import uid_of
from copycatch.ports import Metrics, Shard
from copycatch.records.columns import Outcomes, RawBatch
from copycatch.records.rejects import reject
from copycatch.records.wire import Alert, Entity, Score
from copycatch.units import UnixMs, format_rfc3339
from copycatch.whole_files import write_whole

log = structlog.get_logger(__name__)

PIECE = 64
RULE = "records_set_aside"
Range = tuple[int, int]  # first and last position, both in it


class Record(msgspec.Struct):
    """What is known of a shard: where processes have died, and what is left out for that."""

    deaths: list[Range] = []
    set_aside: list[Range] = []


class Quarantine:
    """Markers and what came of them, in a folder; without one nothing is ever set aside."""

    def __init__(self, folder: Path | None, metrics: Metrics) -> None:
        self._folder = folder
        self._metrics = metrics
        self._records: dict[Shard, Record] = {}
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def pieces(self, raw: RawBatch) -> Iterator[tuple[RawBatch, bool]]:
        """Parts of a batch in order, and whether each is set aside; in one piece where nobody has died.

        A part is at work from when it is given until the next is asked for.
        """
        shard = Shard(raw.topic, raw.partition)
        if self._folder is None:
            yield raw, False
            return
        known = self._known(shard)
        start = 0
        while start < len(raw.positions):
            first = raw.positions[start]
            aside = _around(known.set_aside, first)
            stop = _stop(raw, start, aside, known)
            part = cut(raw, start, stop)
            start = stop
            if aside is None:
                span = (first, part.positions[-1])
                self._path(shard, "at-work").write_bytes(msgspec.json.encode(span))
                yield part, False
                self._path(shard, "at-work").unlink(missing_ok=True)
                if any(last <= span[1] for _, last in known.deaths):
                    known.deaths = [each for each in known.deaths if each[1] > span[1]]
                    self._save(shard, known)
            else:
                self._metrics.count("copycatch_records_set_aside_total", len(part.positions))
                yield part, True

    def spare(self, shard: Shard) -> None:
        """Judging has failed for what is no fault of the records at work: that is no death."""
        if self._folder is not None:
            self._path(shard, "at-work").unlink(missing_ok=True)

    def _known(self, shard: Shard) -> Record:
        if shard in self._records:
            return self._records[shard]
        kept, marker = self._path(shard, "deaths"), self._path(shard, "at-work")
        known = msgspec.json.decode(kept.read_bytes(), type=Record) if kept.exists() else Record()
        if marker.exists():
            first, last = msgspec.json.decode(marker.read_bytes(), type=Range)
            is_second = any(a <= last and first <= b for a, b in known.deaths)
            if is_second and last - first < PIECE * 2:
                known.set_aside.append((first, last))
            else:
                known.deaths.append((first, last))
            log.error(
                "a process has died while it judged these records",
                shard=str(shard), first=first, last=last, set_aside=is_second,
            )  # fmt: skip
            self._save(shard, known)
            marker.unlink()
        self._records[shard] = known
        return known

    def _save(self, shard: Shard, known: Record) -> None:
        write_whole(self._path(shard, "deaths"), msgspec.json.encode(known))

    def _path(self, shard: Shard, kind: str) -> Path:
        assert self._folder is not None
        return self._folder / f"{quote(str(shard), safe='')}.{kind}"


def cut(raw: RawBatch, start: int, stop: int) -> RawBatch:
    """Messages `start` to `stop` of a batch; the batch itself when that is all of it."""
    if start == 0 and stop == len(raw.positions):
        return raw
    return RawBatch(
        raw.topic,
        raw.partition,
        raw.positions[start:stop],
        raw.values[start:stop],
        raw.timestamps_ms[start:stop],
        raw.headers[start:stop],
        raw.keys[start:stop],
    )


def _around(ranges: list[Range], position: int) -> Range | None:
    return next(((first, last) for first, last in ranges if first <= position <= last), None)


def _stop(raw: RawBatch, start: int, aside: Range | None, known: Record) -> int:
    """Index after the last message that goes with `start`: all set aside, or all not."""
    n = len(raw.positions)
    if aside is not None:
        return next((i for i in range(start, n) if raw.positions[i] > aside[1]), n)
    first = raw.positions[start]
    bounds = [begin for begin, _ in known.set_aside + known.deaths if begin > first]
    if _around(known.deaths, first) is not None:
        n = min(n, start + PIECE)
    return next((i for i in range(start + 1, n) if raw.positions[i] >= min(bounds, default=1 << 62)), n)


def set_aside(raw: RawBatch, now_ms: UnixMs) -> Outcomes:
    """Dead letters and the alert of messages that nobody reads any more."""
    outcomes = Outcomes()
    message = "the process died twice while it judged this message and its neighbours; it is not read again"
    outcomes.rejects = [reject(raw, position, "set_aside", None, message) for position in raw.positions]
    outcomes.counts.rejected = len(raw.positions)
    shard, now = f"{raw.topic}:{raw.partition}", format_rfc3339(now_ms)
    first, last = raw.positions[0], raw.positions[-1]
    outcomes.alerts.append(
        Alert(
            uid=uid_of(RULE, Case(None, shard, "*"), first),
            op="open",
            time=now,
            first_seen=now,
            last_seen=now,
            severity="high",
            mode="enforce",
            tenant_id=None,
            model_id="*",
            entity=Entity(kind="model", id="*", accounts=[], accounts_total=0),
            score=Score(tail_prob=None, rank="records that nobody has judged"),
            rule=RULE,
            policy_version="none",
            detector_version=version("copycatch"),
            window_s=0.0,
            queries=len(raw.positions),
            reasons=[],
            sample_event_ids=[],
            techniques=[],
            recommendation=None,
            words=(
                f"Records {first} to {last} of {shard} ended the process twice and are set aside unread. "
                "One of them may be made for that: find out who sent it, and report the crash."
            ),
        )
    )
    return outcomes
