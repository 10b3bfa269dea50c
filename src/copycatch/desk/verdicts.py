"""The latest verdict on each account or campaign."""

from pathlib import Path

from copycatch.adapters.clock import SystemClock
from copycatch.adapters.peek import peek_topic
from copycatch.desk.reading import TOPIC_MESSAGES_MAX, TOPIC_TIMEOUT_S
from copycatch.settings.service import Kafka
from copycatch.settings.verdicts import Verdict, read_verdict_lines, verdict_lines


def read_verdicts(source: Path, kafka: Kafka | None = None) -> dict[str, Verdict]:
    """The latest verdict by account or campaign id.

    Parameters
    ----------
    source : Path
        A file; where there is none and `kafka` is given, a topic of it.

    Raises
    ------
    ConfigError
        If the file cannot be read, or a line is no verdict: file, line and remedy.
    TransportError
        If the topic cannot be read.
    """
    if kafka is None or source.exists():
        lines = read_verdict_lines(source)
    else:
        batch = peek_topic(str(source), kafka, TOPIC_MESSAGES_MAX, SystemClock(), TOPIC_TIMEOUT_S)
        lines = verdict_lines(batch.values, str(source))
    return {line.account_id: line.verdict for line in lines}
