"""The log that an incident rests on: the files with their hashes, and the records of its accounts."""

import hashlib
import hmac
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from copycatch.adapters.clock import SystemClock
from copycatch.adapters.file_names import find_files
from copycatch.adapters.peek import batches_of
from copycatch.desk.evidence.manifest import file_hash
from copycatch.records.decoding import Decoded, Decoder

RECORDS_PER_POLL = 2000
ALL_MODELS = "*"


class LogFile(msgspec.Struct, frozen=True):
    """One file of the log, in the order read; `name` without its folder."""

    name: str
    n_bytes: int
    sha256: str


def log_files(paths: Sequence[str]) -> list[LogFile]:
    """Every file of the log, as it is now.

    Raises
    ------
    ConfigError, TransportError
        If one cannot be read.
    """
    return [
        LogFile(Path(name).name, Path(name).stat().st_size, file_hash(Path(name)))
        for name in find_files(paths)
    ]


def records_of(
    paths: Sequence[str],
    make_decoder: Callable[[], Decoder],
    accounts: Collection[str],
    model_id: str,
    hash_key: bytes | None,
) -> Iterator[dict[str, Any]]:
    """Each record of these accounts: where it stands, and itself, or its keyed hashes.

    Parameters
    ----------
    model_id : str
        Only on this model; "*": on all.
    hash_key : bytes, optional
        HMAC-SHA-256 of message and record by this key stand instead of both: whoever has the log and the key
        can check each, nobody else can test guesses. None: the record as it was read.

    Yields
    ------
    dict
        `file`, `position` (line from 0, or value), `event_id`, `event_time`, `account_id`, `model_id`; and
        `record`, or `message_hmac_sha256` (null where it came of no message of its own) and
        `record_hmac_sha256`.
    """
    decoder = make_decoder()
    for batch in batches_of(paths, RECORDS_PER_POLL):
        values = dict(zip(batch.positions, batch.values, strict=True))
        yield from _chosen(decoder.decode(batch), batch.topic, values, accounts, model_id, hash_key)
    left = decoder.flush(SystemClock().now_ms())
    yield from _chosen(left, "", {}, accounts, model_id, hash_key)


def _chosen(
    decoded: Decoded,
    topic: str,
    values: dict[int, bytes],
    accounts: Collection[str],
    model_id: str,
    hash_key: bytes | None,
) -> Iterator[dict[str, Any]]:
    for record, position in zip(decoded.records, decoded.positions, strict=True):
        if record.account_id not in accounts or model_id not in {ALL_MODELS, record.model_id}:
            continue
        line = {
            "file": Path(topic).name,
            "position": position,
            "event_id": record.event_id,
            "event_time": record.event_time,
            "account_id": record.account_id,
            "model_id": record.model_id,
        }
        if hash_key is None:
            yield {**line, "record": record}
            continue
        value = values.get(position)
        yield {
            **line,
            "message_hmac_sha256": None if value is None else _keyed(hash_key, value),
            "record_hmac_sha256": _keyed(hash_key, msgspec.json.encode(record)),
        }


def _keyed(key: bytes, data: bytes) -> str:
    return hmac.new(key, data, hashlib.sha256).hexdigest()
