"""Sends simulated records to a Kafka topic, where a gateway would put them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import msgspec

from copycatch.adapters.kafka.records import RecordTopic
from copycatch.errors import ConfigError
from copycatch.redteam.playback import Playback
from copycatch.settings.service import load_service

SCHEME = "kafka://"
_TOPIC = re.compile(r"[a-zA-Z0-9._-]{1,249}")


def parse_topic_url(url: str) -> tuple[list[str], str]:
    """Bootstrap servers and topic of a `kafka://` address; no servers: those of the settings.

    Examples
    --------
    >>> parse_topic_url("kafka://one:9092,two:9092/inference-logs")
    (['one:9092', 'two:9092'], 'inference-logs')
    >>> parse_topic_url("kafka:///inference-logs")
    ([], 'inference-logs')
    """
    servers, _, topic = url.removeprefix(SCHEME).partition("/")
    if not _TOPIC.fullmatch(topic):
        message = f"--out {url}: {topic!r} is no topic; write kafka://HOST:PORT/TOPIC"
        raise ConfigError(message)
    named = [server.strip() for server in servers.split(",") if server.strip()]
    for server in named:
        if not re.fullmatch(r".+:\d{1,5}", server):
            message = f"--out {url}: {server!r} is no HOST:PORT; write kafka://HOST:PORT/TOPIC"
            raise ConfigError(message)
    return named, topic


def send_records(
    playback: Playback, url: str, settings_file: Path | None, on_record: Callable[[], None]
) -> int:
    """Play a campaign into a topic, keyed by account; how many records have arrived.

    Raises
    ------
    ConfigError
        If the address or the settings are wrong.
    TransportError
        If the broker, or the topic, cannot be used.
    """
    servers, topic = parse_topic_url(url)
    kafka = load_service(settings_file).kafka
    if servers:
        kafka = kafka.model_copy(update={"bootstrap_servers": servers})
    encode = msgspec.json.Encoder().encode
    with RecordTopic(kafka, topic) as records:
        for record in playback:
            records.send(record["account_id"], encode(record))
            on_record()
    return records.sent
