"""The only wiring: from settings to a runner with its parts."""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_urlsafe
from types import FrameType
from typing import Any

import structlog

from copycatch.adapters.clock import SystemClock
from copycatch.adapters.evaluation_store import KeepingSink
from copycatch.adapters.fan_out import FanOutSink
from copycatch.adapters.file_identities import FileIdentities
from copycatch.adapters.file_sink import FileSink
from copycatch.adapters.files import FileSource
from copycatch.adapters.kafka.learner_link import KafkaLearnerLink
from copycatch.adapters.kafka.sink import KafkaSink, make_learning_topics
from copycatch.adapters.kafka.source import KafkaSource
from copycatch.adapters.outputs import check_outputs, lock_folder
from copycatch.adapters.prometheus import PrometheusMetrics
from copycatch.adapters.remote_snapshots import RemoteSnapshots, is_url
from copycatch.adapters.snapshots import DirectorySnapshots, kept_key, random_key
from copycatch.alert_formats.catalog import ALERT_FORMATS
from copycatch.embedding.embedder import TextEmbedder
from copycatch.engine import compile_ahead
from copycatch.errors import ConfigError
from copycatch.features.catalog import NAMES
from copycatch.formats.catalog import make_decoder
from copycatch.intake.drill_marks import DrillMarks
from copycatch.intake.read import Intake
from copycatch.ports import Clock, Kind, Metrics, OutcomeSink, RecordSource, SnapshotStore, Tracing
from copycatch.records.decoding import Decoder
from copycatch.records.policy import Policy
from copycatch.secret_files import read_secret
from copycatch.service.checkpoint import Checkpoint
from copycatch.service.confluent_ends import confluent_ends
from copycatch.service.erasure import make_erasures
from copycatch.service.failpoints import hook_of
from copycatch.service.findings import Summary, unended_sentences
from copycatch.service.health import Health
from copycatch.service.http import HttpPort
from copycatch.service.judging import EngineJudge, Judge
from copycatch.service.learner import LearnerJudge
from copycatch.service.logs import watch_level
from copycatch.service.quarantine import Quarantine
from copycatch.service.recognition import recognising_maker
from copycatch.service.remote_learning import RemoteLearning
from copycatch.service.runner import Pace, Runner, RunnerParts
from copycatch.service.tracing import make_tracing
from copycatch.service.watches import Watches
from copycatch.settings.formats import format_options
from copycatch.settings.service import Input, Service
from copycatch.sinks.catalog import make_sinks

log = structlog.get_logger(__name__)

DEADLINE_EXIT = 3


@dataclass(frozen=True, slots=True)
class Endpoints:
    """What the command line names instead of Kafka; empty means Kafka."""

    sources: Sequence[str] = ()
    sink: str | None = None
    source_format: str | None = None  # None: the one that the first messages are in
    source_options: Mapping[str, Any] = field(default_factory=dict)


def decoder_maker(settings: Input, folder: Path = Path()) -> Callable[[], Decoder]:
    """Makes the decoder of a topic; a mapping file's path starts at `folder`.

    Raises
    ------
    ConfigError
        If the format is unknown or an option is not one of its.
    """
    options = format_options(settings.format, settings.options, folder, f"inputs: {settings.topic}")
    return lambda: make_decoder(settings.format, options)


def make_judge(
    policy: Policy,
    accounts_max: int,
    hmac_key: bytes,
    decoders: Mapping[str, Callable[[], Decoder]],
    metrics: Metrics,
    remote: RemoteLearning | None = None,
    tracing: Tracing | None = None,
    *,
    has_drills: bool = False,
) -> EngineJudge:
    """Intake and engine; with drills only where `hmac_key` is a secret."""
    marks = DrillMarks(hmac_key) if has_drills else None
    intake = Intake(hmac_key, TextEmbedder(), decoders, marks)
    return EngineJudge(policy, accounts_max, intake, metrics, remote, tracing)


def as_learner(settings: Service) -> Service:
    """Settings of the learner's role: it reads what workers tell, in a group of its own.

    Raises
    ------
    ConfigError
        If the settings name no topics for it.
    """
    if settings.learner.inputs is None:
        message = "learner.inputs: a learner needs the topics learner.inputs and learner.versions; name both"
        raise ConfigError(message)
    group_id = f"{settings.kafka.group_id}-learner"
    return settings.model_copy(
        update={
            "kafka": settings.kafka.model_copy(update={"group_id": group_id, "client": "kafka-python"}),
            "inputs": [Input(topic=settings.learner.inputs)],
        }
    )


@contextmanager
def files_kept(settings: Service, endpoints: Endpoints) -> Iterator[None]:
    """While a run of files lasts: it writes none that it reads, and has its state for itself.

    Members of a consumer group may share a folder: there, each partition has one owner.

    Raises
    ------
    ConfigError
        If the sink or the state folder is among the sources, or another process uses the state folder.
    """
    if not endpoints.sources:
        yield
        return
    directory = settings.snapshots.directory
    for target in set(sink_targets(endpoints.sink).values()):
        check_outputs({"--sink": target}, endpoints.sources)
    if "-" in endpoints.sources or is_url(directory):
        yield
        return
    check_outputs({"snapshots.directory": directory}, endpoints.sources)
    with lock_folder(Path(directory)):
        yield


class Instance:
    """A service that is ready to run.

    Raises
    ------
    ConfigError, TransportError
        While it is put together: wrong settings, missing topics, brokers that cannot be reached.
    """

    def __init__(
        self,
        settings: Service,
        endpoints: Endpoints,
        environment: Mapping[str, str] | None = None,
        *,
        is_learner: bool = False,
    ) -> None:
        settings = as_learner(settings) if is_learner else settings
        environment = os.environ if environment is None else environment
        self._settings = settings
        self._hook = hook_of(environment)
        self.clock: Clock = SystemClock()
        self.metrics = PrometheusMetrics()
        self.health = Health(last_turn_s=self.clock.monotonic_s())
        self._watches = Watches(
            settings, self.clock, self.metrics, self.health, has_topics=not endpoints.sources
        )
        self.policy_watch = self._watches.policy
        directory = Path(settings.snapshots.directory)
        store = self._store(directory, endpoints)
        given = read_secret(settings.hmac_key, settings.hmac_key_file, "hmac_key_file")
        hmac_key = self._key("hmac.key", given, "hmac_key")
        self._is_learner = is_learner
        tracing = make_tracing(settings, self.metrics)
        judge: Judge
        if is_learner:
            judge = LearnerJudge(self.policy_watch.policy, self._learner_key(), self.metrics)
        else:
            judge = make_judge(
                self.policy_watch.policy, settings.accounts_max, hmac_key, self._decoders(endpoints),
                self.metrics, self._remote(endpoints), tracing, has_drills=True,
            )  # fmt: skip
        self.shown = judge.shown if isinstance(judge, EngineJudge) else None
        # A member of a consumer group must not be silent for as long as a first compilation takes.
        self._compiles_ahead = not endpoints.sources and not is_learner
        self.http = self._http()
        source, sink = self._ends(endpoints, directory)
        self._source = source
        sink = self._keeping = self._kept(sink)
        if settings.sinks:
            others = make_sinks(settings.sinks, self.clock.now_ms)
            sink = FanOutSink(sink, others, self.clock, self.metrics)
        checkpoint = Checkpoint(
            judge, sink, store, self.clock, self.metrics, settings.snapshots.interval, hook=self._hook
        )  # fmt: skip
        self.runner = Runner(
            RunnerParts(source, sink, judge, self.clock, self.metrics, tracing),
            checkpoint,
            pace=Pace(
                settings.poll_records_max, settings.poll_timeout, settings.idle_after, settings.drain_timeout
            ),
            health=self.health,
            quarantine=self._quarantine(directory, endpoints),
            erasures=None if endpoints.sources else make_erasures(settings, self.clock, hmac_key),
            next_policy=self._next_policy,
        )
        self.runner.summary.findings.position_name = "line" if endpoints.sources else "offset"

    def _kept(self, sink: OutcomeSink) -> OutcomeSink:
        kept = self._settings.evaluations
        if kept.directory is None or self._is_learner:
            return sink
        keeping = KeepingSink(
            sink, kept.directory, NAMES, kept.days, kept.bytes_max, self.clock, self.metrics
        )
        keeping.windows = self.policy_watch.policy.windows
        return keeping

    def _next_policy(self) -> Policy | None:
        policy = self._watches.next_policy()
        if policy is not None and isinstance(self._keeping, KeepingSink):
            self._keeping.windows = policy.windows
        return policy

    def _store(self, directory: Path, endpoints: Endpoints) -> SnapshotStore | None:
        if "-" in endpoints.sources:
            return None  # a pipe cannot be read again from the middle
        snapshots = self._settings.snapshots
        given = read_secret(snapshots.key, snapshots.key_file, "snapshots.key_file")
        key = self._key("signing.key", given, "snapshots.key")
        group = "files" if endpoints.sources else self._settings.kafka.group_id
        if is_url(snapshots.directory):
            if endpoints.sources:
                msg = "snapshots.directory: a replay of files keeps a ledger too; name a local directory"
                raise ConfigError(msg)
            return RemoteSnapshots(f"{snapshots.directory.rstrip('/')}/group-{group}", key, snapshots.keep)
        return DirectorySnapshots(directory / f"group-{group}", key, snapshots.keep)

    def _quarantine(self, directory: Path, endpoints: Endpoints) -> Quarantine:
        """Needs a folder that the next process finds, and records that can be read again."""
        if "-" in endpoints.sources or is_url(self._settings.snapshots.directory):
            return Quarantine(None, self.metrics)
        group = "files" if endpoints.sources else self._settings.kafka.group_id
        return Quarantine(directory / f"crashes-{group}", self.metrics)

    def desk_token(self) -> bytes:
        """The operator's, or one of 43 letters and digits that is made in the state folder.

        Raises
        ------
        ConfigError
            If it is too short, cannot be read, or cannot be made there.
        """
        desk = self._settings.desk
        given = read_secret(desk.token, desk.token_file, "desk.token_file")
        return self._key("desk.token", given, "desk.token", lambda: token_urlsafe().encode())

    def _key(
        self, name: str, given: bytes | None, setting: str, make: Callable[[], bytes] = random_key
    ) -> bytes:
        directory = self._settings.snapshots.directory
        if given is None and is_url(directory):
            msg = (
                f"{setting}: with snapshots at a URL it has to be given (environment or {setting}_file); "
                "it is not made there, beside what it protects"
            )
            raise ConfigError(msg)
        return kept_key(Path(directory), name, given, setting, make)

    def _learner_key(self) -> bytes:
        learner = self._settings.learner
        return self._key(
            "learner.key", read_secret(learner.key, learner.key_file, "learner.key_file"), "learner.key"
        )

    def _remote(self, endpoints: Endpoints) -> RemoteLearning | None:
        """The learner's side of a worker; None where it learns by itself."""
        learner = self._settings.learner
        if learner.versions is None or endpoints.sources:
            return None
        make_learning_topics(self._settings)
        return RemoteLearning(
            KafkaLearnerLink(self._settings), self._learner_key(), self.metrics, self.clock,
            hold_s=learner.hold, warn_after_s=learner.warn_after, hook=self._hook,
        )  # fmt: skip

    def _decoders(self, endpoints: Endpoints) -> dict[str, Callable[[], Decoder]]:
        if endpoints.sources:
            options = dict(endpoints.source_options)
            if endpoints.source_format is None:
                return {"*": recognising_maker(options, _log_format)}
            return {"*": decoder_maker(Input(topic="files", format=endpoints.source_format, options=options))}
        return {each.topic: decoder_maker(each) for each in self._settings.inputs}

    def _ends(self, endpoints: Endpoints, directory: Path) -> tuple[RecordSource, OutcomeSink]:
        settings = self._settings
        alert_format = ALERT_FORMATS[settings.outputs.alert_format]
        if not endpoints.sources:
            if endpoints.sink is not None:
                msg = "--sink needs --source: from Kafka, outcomes go to Kafka with the offsets"
                raise ConfigError(msg)
            if settings.kafka.client == "confluent":
                return confluent_ends(settings, alert_format, self.clock.now_ms)
            if self._is_learner:
                make_learning_topics(settings)
            kafka_source = KafkaSource(settings)
            writes = settings.learner.versions if self._is_learner else None
            return kafka_source, KafkaSink(
                settings, kafka_source, alert_format, self.clock.now_ms, writes,
                before_commit=lambda: self._hook("before commit"),
            )  # fmt: skip
        targets = sink_targets(endpoints.sink)
        is_piped = "-" in endpoints.sources or endpoints.sink in (None, "-")
        ledger = None if is_piped else directory / "ledger.json"
        identities = None if "-" in endpoints.sources else FileIdentities(directory / "files.json")
        source = FileSource(endpoints.sources, identities, may_grow=True)
        return source, FileSink(targets, alert_format, ledger)

    def _http(self) -> HttpPort | None:
        http = self._settings.http
        if not http.is_on:
            return None
        port = HttpPort(http.bind, http.port, self.health, self.clock, self.metrics.text)
        log.info("http is up", bind=http.bind, port=port.port)
        return port

    def run(self) -> Summary:
        """Until SIGTERM or SIGINT (or the end of the files)."""
        self._watch_signals()
        log.info("starting", pid=os.getpid())  # from here on SIGTERM drains
        try:
            if self._compiles_ahead:
                compile_ahead()
                TextEmbedder().embed_many(["where is my card"])  # names a damaged wheel ahead of any record
            self._watches.start()
            summary = self.runner.run()
            if isinstance(self._source, FileSource):
                summary.unjudged += unended_sentences(self._source.unended)
            return summary
        finally:
            self._watches.stop()
            if self.http is not None:
                self.http.close()

    def _watch_signals(self) -> None:
        def stop(number: int, _frame: FrameType | None) -> None:
            log.info("stopping", signal=signal.Signals(number).name)
            self.runner.stop()
            # The client library may wait for a broker without end; the drain time has one.
            signal.setitimer(signal.ITIMER_REAL, self._settings.drain_timeout + 5.0)

        def give_up(_number: int, _frame: FrameType | None) -> None:
            log.critical("not drained in time: stopping now; what is not committed will be judged again")
            sys.stderr.flush()
            os._exit(DEADLINE_EXIT)

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        signal.signal(signal.SIGALRM, give_up)
        watch_level(self._settings.log_level)
        signal.signal(signal.SIGHUP, lambda _number, _frame: self.policy_watch.look_now())


def _log_format(file: str, name: str) -> None:
    log.info("recognised", file=file, format=name)


def sink_targets(sink: str | None) -> dict[Kind, str]:
    """Where each kind goes: a folder gets a file a kind; a file or "-" gets all, each line saying its kind.

    Examples
    --------
    >>> sink_targets("out/")["alert"]
    'out/alerts.jsonl'
    >>> sink_targets(None)
    {'alert': '-', 'recommendation': '-', 'dead_letter': '-'}
    """
    if sink is not None and (sink.endswith("/") or Path(sink).is_dir()):
        folder = Path(sink)
        return {
            "alert": str(folder / "alerts.jsonl"),
            "recommendation": str(folder / "recommendations.jsonl"),
            "dead_letter": str(folder / "dead-letters.jsonl"),
        }
    target = sink or "-"
    return {"alert": target, "recommendation": target, "dead_letter": target}
