"""Several sinks at once: one keeps the positions, the others are branches that get copies.

Branches are served before the main sink commits, so a crash repeats rather than loses; repeats carry the same
uid. A branch that stays down must not stop enforcement: it is tried for `retry_for_s`, then left out and
probed from time to time. What it misses is counted, and stands in the main sink all the same.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

import structlog

from copycatch.adapters.messages import Kind, messages_of
from copycatch.alert_formats.catalog import AlertFormat
from copycatch.errors import RecoverableError, TransportError
from copycatch.ports import Clock, Committed, Delivery, Message, Metrics, OutcomeSink, Shard
from copycatch.records.wire import Severity

log = structlog.get_logger(__name__)

RETRY_S_FIRST = 0.2
RETRY_S_MAX = 10.0
PROBE_S = 15.0  # between attempts on a branch that is down


class Parcel(NamedTuple):
    """A message for a branch; only alerts and recommendations have a severity."""

    kind: Kind
    message: Message
    severity: Severity | None


class Branch(Protocol):
    """A destination that keeps no positions."""

    name: str
    kinds: frozenset[Kind]
    alert_format: AlertFormat

    def send(self, parcels: Sequence[Parcel]) -> None:
        """Send all of them; may be repeated as a whole.

        Raises
        ------
        RecoverableError
            If trying again may help.
        TransportError
            If the destination refuses them for good.
        """
        ...

    def close(self) -> None: ...


class FanOutSink:
    """An `OutcomeSink` that copies what the main sink gets.

    Parameters
    ----------
    main : OutcomeSink
        Keeps outcomes and positions.
    branches : sequence of Branch
    clock : Clock
    metrics : Metrics
    retry_for_s : float
        How long one unit waits for a branch before it is left out.
    """

    def __init__(
        self,
        main: OutcomeSink,
        branches: Sequence[Branch],
        clock: Clock,
        metrics: Metrics,
        retry_for_s: float = 30.0,
    ) -> None:
        self._main = main
        self._branches = list(branches)
        self._clock = clock
        self._metrics = metrics
        self._retry_for_s = retry_for_s
        self._probe_at_s: dict[str, float] = {}  # of branches that are down

    def deliver(self, delivery: Delivery) -> None:
        for branch in self._branches:
            parcels = self._parcels_for(branch, delivery)
            if parcels:
                self._serve(branch, parcels)
        self._main.deliver(delivery)

    def _parcels_for(self, branch: Branch, delivery: Delivery) -> list[Parcel]:
        outcomes = delivery.outcomes
        severities: dict[Kind, list[Severity]] = {
            "alert": [alert.severity for alert in outcomes.alerts],
            "recommendation": [recommendation.severity for recommendation in outcomes.recommendations],
        }
        parcels: list[Parcel] = []
        for kind, message in messages_of(outcomes, branch.alert_format, int(self._clock.now_ms())):
            if message.value is None:
                continue  # tombstones are for compacted topics
            waiting = severities.get(kind)
            severity = waiting.pop(0) if waiting else None
            if kind in branch.kinds:
                parcels.append(Parcel(kind, message, severity))
        return parcels

    def _serve(self, branch: Branch, parcels: Sequence[Parcel]) -> None:
        began_s = self._clock.monotonic_s()
        probe_at_s = self._probe_at_s.get(branch.name)
        if probe_at_s is not None and began_s < probe_at_s:
            self._leave_out(branch, parcels)
            return
        pause_s = RETRY_S_FIRST
        while True:
            try:
                branch.send(parcels)
            except RecoverableError as error:
                is_probe = probe_at_s is not None
                if is_probe or self._clock.monotonic_s() - began_s + pause_s > self._retry_for_s:
                    log.warning(
                        "sink is down; it is left out until it answers", sink=branch.name, error=str(error)
                    )
                    self._probe_at_s[branch.name] = self._clock.monotonic_s() + PROBE_S
                    self._leave_out(branch, parcels)
                    return
                self._clock.sleep(pause_s)
                pause_s = min(2 * pause_s, RETRY_S_MAX)
            except TransportError as error:
                log.error("sink refuses messages", sink=branch.name, messages=len(parcels), error=str(error))  # noqa: TRY400
                self._leave_out(branch, parcels)
                return
            else:
                if self._probe_at_s.pop(branch.name, None) is not None:
                    log.info("sink is up again", sink=branch.name)
                self._metrics.count(
                    "copycatch_sink_messages_total", len(parcels), sink=branch.name, outcome="sent"
                )
                return

    def _leave_out(self, branch: Branch, parcels: Sequence[Parcel]) -> None:
        self._metrics.count(
            "copycatch_sink_messages_total", len(parcels), sink=branch.name, outcome="left_out"
        )

    def committed(self, shards: Iterable[Shard]) -> dict[Shard, Committed]:
        return self._main.committed(shards)

    def reopen(self) -> None:
        self._main.reopen()

    def close(self) -> None:
        for branch in self._branches:
            branch.close()
        self._main.close()
