"""Files through the same runner and checkpoint as the service, as fast as they go."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from copycatch.adapters.clock import ManualClock, SystemClock
from copycatch.adapters.files import FileSource
from copycatch.adapters.memory import MemoryMetrics
from copycatch.errors import TransportError
from copycatch.ports import Clock, Committed, Delivery, Shard
from copycatch.records.columns import Outcomes
from copycatch.records.decoding import Decoder
from copycatch.records.policy import Policy
from copycatch.service.bootstrap import decoder_maker, make_judge
from copycatch.service.checkpoint import Checkpoint
from copycatch.service.findings import Summary
from copycatch.service.runner import Pace, Runner, RunnerParts
from copycatch.settings.service import Input
from copycatch.units import UnixMs

# Pseudonyms of a replay stay on the machine that holds the log; they only have to be the same each time.
REPLAY_KEY = b"copycatch replay: no secret"
ACCOUNTS_MAX = 1_000_000
FILES = Input(topic="files")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a replay has come; bytes are those on disk, compressed as they are."""

    bytes_read: int
    bytes_total: int
    records: int
    alerts: int


class BrokenLogError(TransportError):
    """Files that break off; `summary` is of all that could be read."""

    def __init__(self, summary: Summary, faults: Sequence[str]) -> None:
        super().__init__("; ".join(faults))
        self.summary = summary
        summary.unjudged += [f"NOT JUDGED: what follows where a file breaks off: {each}" for each in faults]


class _CallbackSink:
    """Hands each unit on, in order, in the caller's thread."""

    def __init__(self, on_outcomes: Callable[[Outcomes], None]) -> None:
        self._on_outcomes = on_outcomes

    def deliver(self, delivery: Delivery) -> None:
        self._on_outcomes(delivery.outcomes)

    def committed(self, shards: Iterable[Shard]) -> dict[Shard, Committed]:
        return {}

    def reopen(self) -> None:
        """Nothing is ever open."""

    def close(self) -> None:
        """The caller closes what it has opened."""


def replay(
    paths: Sequence[str],
    policy: Policy,
    on_outcomes: Callable[[Outcomes], None],
    on_progress: Callable[[Progress], None] = lambda _progress: None,
    *,
    log: Input = FILES,
    make_decoder: Callable[[], Decoder] | None = None,
    now_ms: UnixMs | None = None,
    records_max: int = 5000,
) -> Summary:
    """Judge log files (.jsonl, .gz, .zst, folders, "-") and hand on what comes out.

    Parameters
    ----------
    on_outcomes : callable
        Given the outcomes of each batch in order; alerts, recommendations, rejects, counts, evaluations.
    on_progress : callable
        Told after each batch.
    log : Input
        Its format and the format's options, as the settings of a topic give them.
    make_decoder : callable, optional
        Reads it instead, whatever `log` says: one that recognises the format.
    now_ms : int, optional
        The present, as event time; records far beyond it are rejected. The machine's time when left out.

    Returns
    -------
    Summary
        Counts of records, alerts and recommendations, and what was not judged.

    Raises
    ------
    ConfigError, TransportError
        If a file does not exist, or cannot be opened.
    BrokenLogError
        At the end, if a file broke off; all that could be read is judged.
    """
    clock: Clock = ManualClock(SystemClock().now_ms() if now_ms is None else now_ms)
    metrics = MemoryMetrics()
    source = FileSource(paths, goes_on=True)
    judge = make_judge(policy, ACCOUNTS_MAX, REPLAY_KEY, {"*": make_decoder or decoder_maker(log)}, metrics)
    sink = _CallbackSink(on_outcomes)
    checkpoint = Checkpoint(judge, sink, None, clock, metrics)

    def tell() -> None:
        done = runner.summary
        on_progress(Progress(source.bytes_read, source.bytes_total, done.counts.total, done.alerts))

    runner = Runner(
        RunnerParts(source, sink, judge, clock, metrics),
        checkpoint,
        pace=Pace(records_max=records_max),
        on_turn=tell,
    )
    summary = runner.run()
    if source.faults:
        raise BrokenLogError(summary, source.faults)
    return summary
