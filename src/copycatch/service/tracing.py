"""Traces of the loop, where the settings ask for them."""

import platform
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext

from copycatch.errors import ConfigError
from copycatch.ports import Metrics, Tracing
from copycatch.records.columns import RawBatch
from copycatch.records.wire import Alert
from copycatch.settings.service import Service


class Untraced:
    """A `Tracing` that does nothing.

    Examples
    --------
    >>> with Untraced().batch(0):
    ...     Untraced().alerted([])
    """

    def now_ns(self) -> int:
        return 0

    def batch(self, polled_ns: int) -> AbstractContextManager[None]:
        return nullcontext()

    def taken(self, raw: RawBatch) -> None:
        """Nothing is linked."""

    def part(self, name: str, shard: str = "") -> AbstractContextManager[None]:
        return nullcontext()

    def alerted(self, alerts: Iterable[Alert]) -> None:
        """Nothing is linked."""

    def close(self) -> None:
        """Nothing is open."""


def make_tracing(settings: Service, metrics: Metrics) -> Tracing:
    """Sends spans where the settings name a collector.

    Raises
    ------
    ConfigError
        If the extra is not installed.
    """
    if settings.otel.endpoint is None:
        return Untraced()
    try:
        from copycatch.adapters.otlp import OtlpTracing
    except ModuleNotFoundError as error:
        if error.name is None or not error.name.startswith("opentelemetry"):
            raise
        message = "otel.endpoint needs the extra: pip install 'copycatch[otel]'"
        raise ConfigError(message) from error
    return OtlpTracing(settings.otel, settings.kafka.instance_id or platform.node(), metrics)
