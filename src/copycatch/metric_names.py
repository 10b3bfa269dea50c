"""Every metric as one table: name, type, labels, meaning."""

from typing import Literal, NamedTuple


class MetricSpec(NamedTuple):
    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    meaning: str


METRICS: tuple[MetricSpec, ...] = (
    MetricSpec("copycatch_records_total", "counter", ("outcome",), "input records by outcome: accepted, duplicate, late, rejected"),
)
