"""Every secondary sink as one table; the settings are derived from it."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any

from pydantic import Discriminator, Tag

from copycatch.sinks.secondary import SecondarySink
from copycatch.sinks.syslog import SyslogSettings, SyslogSink
from copycatch.sinks.webhook import WebhookSettings, WebhookSink


def _type_of(given: Any) -> Any:
    return given.get("type") if isinstance(given, dict) else getattr(given, "type", None)


AnySinkSettings = Annotated[
    Annotated[SyslogSettings, Tag("syslog")] | Annotated[WebhookSettings, Tag("webhook")],
    Discriminator(_type_of),
]
_SINKS: dict[type, Callable[[Any, Callable[[], int]], SecondarySink]] = {
    SyslogSettings: SyslogSink,
    WebhookSettings: WebhookSink,
}


def make_sinks(
    settings: Sequence[SyslogSettings | WebhookSettings], now_ms: Callable[[], int]
) -> list[SecondarySink]:
    """A sink for each entry of the settings; none connects before its first message.

    Raises
    ------
    ConfigError
        If a file that the settings name cannot be read.
    """
    return [_SINKS[type(each)](each, now_ms) for each in settings]


def unique_names(sinks: list[Any]) -> list[Any]:
    """The sinks, if each has a name of its own.

    Raises
    ------
    ValueError
        If two share one.
    """
    names = [sink.name for sink in sinks]
    if len(set(names)) != len(names):
        msg = "two sinks have the same name"
        raise ValueError(msg)
    return sinks
