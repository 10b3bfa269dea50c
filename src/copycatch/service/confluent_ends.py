"""Source and sink through librdkafka, where its extra is installed."""

from collections.abc import Callable

from copycatch.alert_formats.catalog import AlertFormat
from copycatch.errors import ConfigError
from copycatch.ports import OutcomeSink, RecordSource
from copycatch.settings.service import Service
from copycatch.units import UnixMs


def confluent_ends(
    settings: Service, alert_format: AlertFormat, now_ms: Callable[[], UnixMs]
) -> tuple[RecordSource, OutcomeSink]:
    """Source and sink through librdkafka.

    Raises
    ------
    ConfigError
        If the extra is not installed.
    """
    try:
        from copycatch.adapters.confluent.sink import ConfluentSink
        from copycatch.adapters.confluent.source import ConfluentSource
    except ModuleNotFoundError as error:
        if error.name is None or not error.name.startswith("confluent_kafka"):
            raise
        message = "kafka.client: confluent needs the extra: pip install 'copycatch[confluent]'"
        raise ConfigError(message) from error
    source = ConfluentSource(settings)
    return source, ConfluentSink(settings, source, alert_format, now_ms)
