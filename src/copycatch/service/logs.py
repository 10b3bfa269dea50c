"""Logging: structlog, JSON when not on a terminal, and nothing in it that a record's author could forge."""

import logging
import signal
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, TextIO

import structlog

from copycatch.safe_text import printable

TEXT_CHARS_MAX = 2_000


def _escape(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if key == "exception":  # a traceback; what it quotes may come from a record
            event[key] = "\n".join(printable(line, TEXT_CHARS_MAX) for line in str(value).split("\n"))
        elif not isinstance(value, (int, float, bool, type(None))) and key != "exc_info":
            event[key] = printable(str(value), TEXT_CHARS_MAX)
    return event


class Sparing(logging.Filter):
    """Lets each complaint of the client library through once in a while: in an outage it repeats itself."""

    def __init__(self, every_s: float = 30.0) -> None:
        super().__init__()
        self._every_s = every_s
        self._next_by_message: dict[tuple[str, int], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        place = (record.pathname, record.lineno)  # as many as the library has log calls
        if record.created < self._next_by_message.get(place, 0.0):
            return False
        self._next_by_message[place] = record.created + self._every_s
        return True


def set_up_logging(level: str = "info", stream: TextIO | None = None) -> None:
    """Send all logs to `stream` (standard error: standard output is for outcomes)."""
    stream = stream or sys.stderr
    is_terminal = stream.isatty()
    renderer: Any = (
        structlog.dev.ConsoleRenderer() if is_terminal else structlog.processors.JSONRenderer(sort_keys=True)
    )
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _escape,
    ]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=False,
    )
    # The client library logs through the standard library, and much of it is about what it mends itself.
    handler = logging.StreamHandler(stream)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(renderer, foreign_pre_chain=shared))
    handler.addFilter(Sparing())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    is_debugging = level == "debug"
    root.setLevel(logging.INFO if is_debugging else logging.WARNING)
    logging.getLogger("kafka").setLevel(logging.INFO if is_debugging else logging.ERROR)


def watch_level(level: str) -> None:
    """From now on SIGUSR1 switches the log to debug, and SIGUSR2 back to `level`.

    Signals need no port and no secret: only who may end the process may make it talk.
    """

    def switch(to: str) -> None:
        set_up_logging(to)
        structlog.get_logger(__name__).warning("log level is switched", level=to)

    signal.signal(signal.SIGUSR1, lambda _number, _frame: switch("debug"))
    signal.signal(signal.SIGUSR2, lambda _number, _frame: switch(level))


@contextmanager
def logging_at(level: str) -> Iterator[None]:
    """Log at this level meanwhile: a command that replays tells its own story on the same terminal."""
    before, root, kafka = structlog.get_config(), logging.getLogger(), logging.getLogger("kafka")
    handlers, levels = root.handlers[:], (root.level, kafka.level)
    set_up_logging(level)
    try:
        yield
    finally:
        structlog.configure(**before)
        root.handlers[:] = handlers
        root.setLevel(levels[0])
        kafka.setLevel(levels[1])
