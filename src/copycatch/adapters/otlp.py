"""Spans of the loop's work, sent to a collector by OTLP over HTTP; needs the extra `otel`.

Sending has a thread of its own with a bounded queue: a collector that is away, slow or refuses costs spans,
which are counted, and never a record. Log lines within a span bear its ids as `trace_id` and `span_id`.
No name of an account and no content of a record gets into a span.
"""

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

import structlog
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased
from opentelemetry.trace import Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from copycatch import __version__
from copycatch.adapters.clock import SystemClock
from copycatch.ports import Metrics
from copycatch.records.columns import RawBatch
from copycatch.records.traces import TRACEPARENT, traceparent_of
from copycatch.records.wire import Alert
from copycatch.settings.service import Otel

log = structlog.get_logger(__name__)

QUEUE_MAX = 2_048
SEND_EVERY_MS = 1_000
RECORD_LINKS_MAX = 32  # of the first records of a batch; beside them stand those behind its alerts
ALERTS_MAX = 64
CLOSE_S_MAX = 3.0
_CONTEXTS = TraceContextTextMapPropagator()


class _Counting(SpanExporter):
    """Counts what was sent and what was not."""

    def __init__(self, exporter: SpanExporter, metrics: Metrics) -> None:
        self._exporter = exporter
        self._metrics = metrics

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        outcome = "failed"
        try:
            result = self._exporter.export(spans)
            if result is SpanExportResult.SUCCESS:
                outcome = "sent"
        finally:
            self._metrics.count("copycatch_spans_total", len(spans), outcome=outcome)
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


class OtlpTracing:
    """A `Tracing` that sends spans.

    Parameters
    ----------
    settings : Otel
        With an `endpoint`. Headers, certificates and compression are those of the environment, by the names
        that OpenTelemetry gives them (`OTEL_EXPORTER_OTLP_HEADERS`, ...), as are more resource attributes.
    instance : str
        Tells workers apart.
    """

    def __init__(self, settings: Otel, instance: str, metrics: Metrics) -> None:
        own = {"service.name": "copycatch", "service.version": __version__, "service.instance.id": instance}
        self._clock = SystemClock()
        self._provider = TracerProvider(
            sampler=TraceIdRatioBased(settings.share),
            resource=Resource(own).merge(OTELResourceDetector().detect()),
            shutdown_on_exit=False,  # it would wait for a collector that is away
        )
        exporter = OTLPSpanExporter(settings.endpoint, timeout=settings.timeout)
        self._provider.add_span_processor(
            BatchSpanProcessor(
                _Counting(exporter, metrics), max_queue_size=QUEUE_MAX, schedule_delay_millis=SEND_EVERY_MS
            )
        )
        self._tracer = self._provider.get_tracer("copycatch", __version__)
        # Of the batch at hand.
        self._n = self._links = 0
        self._shards: list[str] = []

    def now_ns(self) -> int:
        return self._clock.now_ns()

    @contextmanager
    def batch(self, polled_ns: int) -> Iterator[None]:
        self._n = self._links = 0
        self._shards = []
        span = self._tracer.start_span(
            "batch",
            kind=SpanKind.CONSUMER,
            start_time=polled_ns,
            attributes={"messaging.operation.name": "process"},
        )
        with self._within(span):
            self._tracer.start_span("poll", start_time=polled_ns).end()
            yield

    def taken(self, raw: RawBatch) -> None:
        span, shard = trace.get_current_span(), f"{raw.topic}:{raw.partition}"
        if not span.is_recording():
            return
        self._n += len(raw.values)
        span.set_attribute("messaging.batch.message_count", self._n)
        if shard not in self._shards:
            self._shards.append(shard)
            span.set_attribute("copycatch.shards", self._shards)
        for context in islice(_contexts_of(raw), RECORD_LINKS_MAX - self._links):
            span.add_link(context)
            self._links += 1

    @contextmanager
    def part(self, name: str, shard: str = "") -> Iterator[None]:
        span = self._tracer.start_span(name, attributes={"copycatch.shard": shard} if shard else None)
        with self._within(span):
            yield

    @contextmanager
    def _within(self, span: Span) -> Iterator[None]:
        """Make it the one at hand, for spans and log lines; what fails in it is named by its kind alone."""
        context = span.get_span_context()
        ids = {
            "trace_id": trace.format_trace_id(context.trace_id),
            "span_id": trace.format_span_id(context.span_id),
        }
        with (
            trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False),
            structlog.contextvars.bound_contextvars(**(ids if span.is_recording() else {})),
        ):
            try:
                yield
            except BaseException as error:
                span.set_attribute("error.type", type(error).__name__)
                span.set_status(StatusCode.ERROR)
                raise

    def alerted(self, alerts: Iterable[Alert]) -> None:
        span = trace.get_current_span()
        for _, alert in zip(range(ALERTS_MAX), alerts, strict=False):
            about = {"copycatch.alert.uid": alert.uid, "copycatch.alert.op": alert.op}
            span.add_event("alert", about | {"copycatch.alert.severity": alert.severity})
            if alert.traceparent is not None:
                span.add_link(_context_of(alert.traceparent), about)

    def close(self) -> None:
        """Send what is left; a collector that is away gets so long, and the rest is dropped."""
        closing = threading.Thread(target=self._provider.shutdown, name="otel-close", daemon=True)
        closing.start()
        closing.join(CLOSE_S_MAX)
        if closing.is_alive():
            log.warning("the last spans were not sent in time", waited_s=CLOSE_S_MAX)


def _contexts_of(raw: RawBatch) -> Iterator[trace.SpanContext]:
    for headers in raw.headers:
        traceparent = traceparent_of(headers)
        if traceparent is not None:
            yield _context_of(traceparent)


def _context_of(traceparent: str) -> trace.SpanContext:
    return trace.get_current_span(_CONTEXTS.extract({TRACEPARENT: traceparent})).get_span_context()
