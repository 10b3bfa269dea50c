"""Several sinks at once: one keeps the positions, the others are secondary and get copies.

Secondary sinks are served before the main sink commits, so a crash repeats rather than loses; repeats carry
the same uid. One that stays down must not stop enforcement: it is tried for `retry_for_s`, then left out and
probed from time to time. What it misses is counted, and stands in the main sink all the same.
"""

from collections.abc import Iterable, Sequence

import structlog

from copycatch.adapters.messages import messages_of
from copycatch.errors import RecoverableError, TransportError
from copycatch.ports import Clock, Committed, Delivery, Kind, Metrics, OutcomeSink, Shard
from copycatch.records.wire import Severity
from copycatch.sinks.secondary import MessagesRefusedError, SecondarySink, SinkMessage

log = structlog.get_logger(__name__)

RETRY_S_FIRST = 0.2
RETRY_S_MAX = 10.0
PROBE_S = 15.0  # between attempts on a sink that is down


class FanOutSink:
    """An `OutcomeSink` that copies what the main sink gets.

    Parameters
    ----------
    main : OutcomeSink
        Keeps outcomes and positions.
    sinks : sequence of SecondarySink
    clock : Clock
    metrics : Metrics
    retry_for_s : float
        How long one unit waits for a secondary sink before it is left out.
    """

    def __init__(
        self,
        main: OutcomeSink,
        sinks: Sequence[SecondarySink],
        clock: Clock,
        metrics: Metrics,
        retry_for_s: float = 30.0,
    ) -> None:
        self._main = main
        self._sinks = list(sinks)
        self._clock = clock
        self._metrics = metrics
        self._retry_for_s = retry_for_s
        self._probe_at_s: dict[str, float] = {}  # of sinks that are down

    def deliver(self, delivery: Delivery) -> None:
        for sink in self._sinks:
            messages = self._messages_for(sink, delivery)
            # Apart, so that what becomes of a drill is told, and counts in no metric of real findings.
            for part in (
                [m for m in messages if m.message.is_drill == is_drill] for is_drill in (False, True)
            ):
                if part:
                    self._serve(sink, part)
        self._main.deliver(delivery)

    def _messages_for(self, sink: SecondarySink, delivery: Delivery) -> list[SinkMessage]:
        outcomes = delivery.outcomes
        severities: dict[Kind, list[Severity]] = {
            "alert": [alert.severity for alert in outcomes.alerts],
            "recommendation": [recommendation.severity for recommendation in outcomes.recommendations],
        }
        messages: list[SinkMessage] = []
        for kind, message in messages_of(outcomes, sink.alert_format, int(self._clock.now_ms())):
            if message.value is None:
                continue  # tombstones are for compacted topics
            waiting = severities.get(kind)
            severity = waiting.pop(0) if waiting else None
            if kind in sink.kinds:
                messages.append(SinkMessage(kind, message, severity))
        return messages

    def _serve(self, sink: SecondarySink, messages: Sequence[SinkMessage]) -> None:
        began_s = self._clock.monotonic_s()
        probe_at_s = self._probe_at_s.get(sink.name)
        if probe_at_s is not None and began_s < probe_at_s:
            self._leave_out(sink, messages)
            return
        pause_s = RETRY_S_FIRST
        while True:
            try:
                sink.send(messages)
            except RecoverableError as error:
                is_probe = probe_at_s is not None
                if is_probe or self._clock.monotonic_s() - began_s + pause_s > self._retry_for_s:
                    log.warning(
                        "sink is down; it is left out until it answers", sink=sink.name, error=str(error)
                    )
                    self._probe_at_s[sink.name] = self._clock.monotonic_s() + PROBE_S
                    self._leave_out(sink, messages)
                    return
                self._clock.sleep(pause_s)
                pause_s = min(2 * pause_s, RETRY_S_MAX)
            except MessagesRefusedError as error:
                n_sent = len(messages) - error.n_refused
                log.error(  # noqa: TRY400
                    "sink refuses messages; the main sink has them",
                    sink=sink.name,
                    refused=error.n_refused,
                    error=str(error),
                )
                is_drill = messages[0].message.is_drill
                self._count(sink, error.n_refused, "refused", is_drill=is_drill)
                self._count(sink, n_sent, "sent", is_drill=is_drill)
                return
            except TransportError as error:
                log.error("sink refuses messages", sink=sink.name, messages=len(messages), error=str(error))  # noqa: TRY400
                self._leave_out(sink, messages)
                return
            else:
                if self._probe_at_s.pop(sink.name, None) is not None:
                    log.info("sink is up again", sink=sink.name)
                self._count(sink, len(messages), "sent", is_drill=messages[0].message.is_drill)
                return

    def _leave_out(self, sink: SecondarySink, messages: Sequence[SinkMessage]) -> None:
        self._count(sink, len(messages), "left_out", is_drill=messages[0].message.is_drill)

    def _count(self, sink: SecondarySink, n_messages: int, outcome: str, *, is_drill: bool) -> None:
        name = "copycatch_drill_sink_messages_total" if is_drill else "copycatch_sink_messages_total"
        self._metrics.count(name, n_messages, sink=sink.name, outcome=outcome)

    def committed(self, shards: Iterable[Shard]) -> dict[Shard, Committed]:
        return self._main.committed(shards)

    def reopen(self) -> None:
        self._main.reopen()

    def close(self) -> None:
        for sink in self._sinks:
            sink.close()
        self._main.close()
