"""Our metrics for Prometheus, made from the one table of names."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from copycatch.metric_names import METRICS

# From a tenth of a millisecond to half a minute: a step, a delivery, a snapshot, an outage.
BUCKETS_S = (
    0.0001,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
)


class PrometheusMetrics:
    """Each process (or test) has a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)  # process_resident_memory_bytes, CPU seconds, open files
        self._counter_by_name: dict[str, Counter] = {}
        self._gauge_by_name: dict[str, Gauge] = {}
        self._histogram_by_name: dict[str, Histogram] = {}
        for spec in METRICS:
            if spec.kind == "counter":
                # The library appends _total itself.
                name = spec.name.removesuffix("_total")
                self._counter_by_name[spec.name] = Counter(
                    name, spec.meaning, spec.labels, registry=self.registry
                )
            elif spec.kind == "gauge":
                self._gauge_by_name[spec.name] = Gauge(
                    spec.name, spec.meaning, spec.labels, registry=self.registry
                )
            else:
                self._histogram_by_name[spec.name] = Histogram(
                    spec.name,
                    spec.meaning,
                    spec.labels,
                    registry=self.registry,
                    buckets=spec.buckets or BUCKETS_S,
                )

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        counter = self._counter_by_name[name]
        (counter.labels(**labels) if labels else counter).inc(amount)

    def set(self, name: str, value: float, **labels: str) -> None:
        gauge = self._gauge_by_name[name]
        (gauge.labels(**labels) if labels else gauge).set(value)

    def observe(self, name: str, value: float, **labels: str) -> None:
        histogram = self._histogram_by_name[name]
        (histogram.labels(**labels) if labels else histogram).observe(value)

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.registry)
