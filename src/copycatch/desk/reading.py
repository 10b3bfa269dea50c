"""Alerts and recommendations read back, from files, standard input, topics or a running service.

A source may hold both kinds, as `run --sink -` writes them (`{"kind": ..., "key": ..., "value": ...}`).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec

from copycatch.adapters.clock import SystemClock
from copycatch.adapters.desk_client import DeskClient
from copycatch.adapters.peek import batches_of, peek_topic
from copycatch.errors import ConfigError
from copycatch.records.wire import Alert, Recommendation
from copycatch.settings.service import Kafka

RECORDS_PER_POLL = 1000
TOPIC_MESSAGES_MAX = 1_000_000
TOPIC_TIMEOUT_S = 60.0
FAULTS_KEPT_MAX = 100
STDIN = "-"
ALERTS_PATH = "/alerts.jsonl"  # of the live pages


class _Probe(msgspec.Struct):
    """Enough of a line to tell what it is."""

    uid: str | None = None
    decision_key: str | None = None
    kind: str | None = None
    value: msgspec.Raw = msgspec.Raw(b"")


@dataclass(slots=True)
class Announced:
    """What was read.

    `alerts` in the order read; `rows` the newest recommendation a decision key; `faults` say which lines were
    neither, at most `FAULTS_KEPT_MAX` of `n_faults`.
    """

    alerts: list[Alert] = field(default_factory=list)
    rows: dict[str, Recommendation] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    n_faults: int = 0
    n_recommendations: int = 0
    n_drills: int = 0  # messages of drills: left out
    n_left_out: int = 0  # older alert records that a service holds no more

    def add(self, place: str, value: bytes) -> None:
        """Take one line; what is neither alert nor recommendation becomes a fault."""
        try:
            self._add(value)
        except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
            self.n_faults += 1
            if len(self.faults) < FAULTS_KEPT_MAX:
                self.faults.append(f"{place}: {error}")

    def _add(self, value: bytes) -> None:
        probe = _PROBE.decode(value)
        if probe.kind is not None and bytes(probe.value):
            if probe.kind == "dead_letter":
                return
            value = bytes(probe.value)
            probe = _PROBE.decode(value)
        if probe.decision_key is not None:
            self._put(_RECOMMENDATION.decode(value))
        elif probe.uid is not None:
            alert = _ALERT.decode(value)
            if alert.drill is True:
                self.n_drills += 1
            else:
                self.alerts.append(alert)
        else:
            msg = "neither a native alert (uid) nor a recommendation (decision_key)"
            raise ValueError(msg)

    def _put(self, row: Recommendation) -> None:
        if row.drill is True:
            self.n_drills += 1
            return
        self.n_recommendations += 1
        known = self.rows.get(row.decision_key)
        if known is None or (row.epoch, row.revision) >= (known.epoch, known.revision):
            self.rows[row.decision_key] = row

    def newest(self) -> list[Alert]:
        """The last state of each uid, in the order of their last change."""
        alert_by_uid: dict[str, Alert] = {}
        for alert in self.alerts:
            alert_by_uid.pop(alert.uid, None)
            alert_by_uid[alert.uid] = alert
        return list(alert_by_uid.values())


_PROBE = msgspec.json.Decoder(_Probe)
_ALERT = msgspec.json.Decoder(Alert)
_RECOMMENDATION = msgspec.json.Decoder(Recommendation)


def is_service(source: str) -> bool:
    """Whether a source is the address of a running service's live pages.

    Examples
    --------
    >>> is_service("http://127.0.0.1:9465"), is_service("alerts.jsonl")
    (True, False)
    """
    return source.startswith(("http://", "https://"))


def read_announced(
    sources: Iterable[str],
    kafka: Kafka | None = None,
    *,
    wants: Literal["alert", "any"] = "any",
    token: str = "",
) -> Announced:
    """Read whole sources.

    Parameters
    ----------
    sources : iterable of str
        Files, folders, "-" or addresses of live pages; topics, where `kafka` is given.
    kafka : Kafka, optional
        The broker whose topics `sources` names.
    token : str
        Of the live pages.
    wants : {"alert", "any"}
        "alert": a source of recommendations alone is a fault that says so.

    Raises
    ------
    ConfigError
        If a source does not exist.
    TransportError
        If it cannot be read.
    """
    found = Announced()
    for source in sources:
        n_alerts, n_rows = len(found.alerts), found.n_recommendations
        if is_service(source):
            answer = DeskClient(source, token).get(ALERTS_PATH)
            found.n_left_out += answer.n_left_out
            for number, line in enumerate(answer.body.splitlines(), 1):
                found.add(f"{source}:{number}", line)
            continue
        for place, value in _values_of(source, kafka):
            found.add(place, value)
        if wants == "alert" and len(found.alerts) == n_alerts and found.n_recommendations > n_rows:
            found.n_faults += 1
            found.faults.append(f"{source}: holds recommendations; alerts are in the file of --alerts")
    return found


def _values_of(source: str, kafka: Kafka | None) -> Iterator[tuple[str, bytes]]:
    if kafka is not None:
        batch = peek_topic(source, kafka, TOPIC_MESSAGES_MAX, SystemClock(), TOPIC_TIMEOUT_S)
        for position, value in zip(batch.positions, batch.values, strict=True):
            if value:  # a tombstone says what the revocation before it said
                yield f"{source}, message {position + 1}", value
        return
    if source != STDIN and not Path(source).exists():
        msg = f"{source}: no such file; for a topic add --kafka HOST:PORT"
        raise ConfigError(msg)
    for batch in batches_of([source], RECORDS_PER_POLL):
        name = "standard input" if batch.topic == STDIN else batch.topic
        for position, value in zip(batch.positions, batch.values, strict=True):
            yield f"{name}:{position + 1}", value
