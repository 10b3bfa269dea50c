"""A drill stage by stage: what must come where, how long it took, and where it was lost."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from copycatch.decisions.drill import drill_uid
from copycatch.decisions.recommend import decision_key_of
from copycatch.desk.drill_ends import DrillEnds, Outcome, Seen
from copycatch.desk.drill_records import Drill
from copycatch.desk.figures import Figures
from copycatch.errors import CopycatchError
from copycatch.ports import Clock
from copycatch.records.drill import QUERIES
from copycatch.records.wire import Ack
from copycatch.units import UnixMs

Result = Literal["ok", "lost", "not checked"]
POLL_S = 0.2
# Metrics that have risen since the drill began, the furthest on its way first, and what that says.
_SIGNS: tuple[tuple[str, dict[str, str], str], ...] = (
    (
        "copycatch_drill_messages_total",
        {"kind": "alert"},
        ", though one was delivered: the service writes to another topic or file than is read here",
    ),
    (
        "copycatch_drill_messages_total",
        {"kind": "record"},
        (
            ": marked records were taken, not all of them, or what follows is not delivered; "
            "see copycatch_failures_total and the service's log"
        ),
    ),
    (
        "copycatch_notes_total",
        {"note": "drill_forged"},
        ": the marks were refused; the service has another hmac_key than this command",
    ),
    (
        "copycatch_notes_total",
        {"note": "drill_stale"},
        ": the marks came too late: the service is over ten minutes behind, or a clock is wrong",
    ),
    (
        "copycatch_rejects_total",
        {},
        ", but records were refused meanwhile: see the dead letters; is the topic's format right?",
    ),
)


class Stage(msgspec.Struct):
    """One step of the way; `seconds` since the drill's records went in."""

    name: str
    result: Result
    seconds: float
    what: str


class LostError(CopycatchError):
    """The drill did not come out where it should."""


@dataclass(slots=True)
class Around:
    """What a drill can look at beside its ends.

    `figures` reads the service's metrics, None where nobody answers; `status_of` asks the enforcement point
    about an account; both are None where no address is known. `sinks` are those that get alerts.
    """

    figures: Callable[[], Figures | None] | None = None
    status_of: Callable[[str], int] | None = None
    sinks: Sequence[str] = ()


@dataclass(slots=True)
class DrillRun:
    """Runs one drill.

    Parameters
    ----------
    drill : Drill
    ends : DrillEnds
    around : Around
    clock : Clock
    wait_s : float
        How long each stage may take.
    on_stage : callable
        Told of each stage when it is over.
    """

    drill: Drill
    ends: DrillEnds
    around: Around
    clock: Clock
    wait_s: float
    on_stage: Callable[[Stage], None] = lambda _stage: None
    stages: list[Stage] = field(default_factory=list)
    _seen: list[Seen] = field(default_factory=list)
    _began_s: float = 0.0
    _before: Figures | None = None
    _is_enforced: bool = False

    @property
    def uid(self) -> str:
        """Of the alert that must come."""
        return drill_uid((None, self.drill.account_id, self.drill.model_id))

    @property
    def decision_key(self) -> str:
        """Of the recommendation that must come."""
        return decision_key_of((None, self.drill.account_id, self.drill.model_id))

    def run(self) -> list[Stage]:
        """Every stage up to the first that is lost; what was announced is taken back in any case."""
        self._before = None if self.around.figures is None else self.around.figures()
        self._began_s = self.clock.monotonic_s()
        self._stage("sent", self._send)
        try:
            self._stage("alert", self._alert)
            self._stage("recommendation", self._recommendation)
            self._stage("sinks", self._sinks)
            self._stage("acknowledgement", lambda: self._ack(1))
            self._stage("enforcement", self._enforcement)
        except LostError:
            self.ends.send([self.drill.record(QUERIES + 1, self._now_ms())])
            return self.stages
        try:
            self._stage("taken back", self._taken_back)
            self._stage("acknowledgement of that", lambda: self._ack(2))
            self._stage("released", self._released)
        except LostError:
            pass  # the stage says where
        return self.stages

    def _stage(self, name: str, action: Callable[[], tuple[Result, str]]) -> None:
        try:
            result, what = action()
        except LostError as error:
            self._add(Stage(name, "lost", self._seconds, str(error)))
            raise
        self._add(Stage(name, result, self._seconds, what))

    def _add(self, stage: Stage) -> None:
        self.stages.append(stage)
        self.on_stage(stage)

    @property
    def _seconds(self) -> float:
        return round(self.clock.monotonic_s() - self._began_s, 3)

    def _now_ms(self) -> UnixMs:
        return self.clock.now_ms()

    # ---- the stages

    def _send(self) -> tuple[Result, str]:
        now_ms = self._now_ms()
        self.ends.send([self.drill.record(number, now_ms) for number in range(1, QUERIES + 1)])
        return "ok", f"{QUERIES} marked records to {self.ends.input_name}"

    def _alert(self) -> tuple[Result, str]:
        found = self._wait("alert", self.uid, 1)
        if found is None:
            raise LostError(self._why_no_alert())
        value = found[-1].value or b""
        if f"{QUERIES} of {QUERIES} marked queries".encode() not in value:
            msg = (
                f"alert {self.uid} came, but names fewer than the {QUERIES} queries sent: some were lost "
                "before the judging, or the service began anew meanwhile; run the drill once more"
            )
            raise LostError(msg)
        return "ok", f"alert {self.uid}: look for it in the SIEM"

    def _why_no_alert(self) -> str:
        words = f"no alert within {self.wait_s:.0f} s"
        if self.around.figures is None:
            return f"{words}, and there are no metrics to look at (--metrics)"
        now, before = self.around.figures(), self._before or Figures({})
        if now is None:
            return f"{words}; nobody answers at the metrics' address: does the service run?"
        for name, labels, why in _SIGNS:
            if now.rise(before, name, **labels):
                return words + why
        lag = now.total("copycatch_lag_records")
        if lag:
            return f"{words}: the service is {lag:.0f} records behind"
        return f"{words}: the service took none of the records; does it read {self.ends.input_name}?"

    def _recommendation(self) -> tuple[Result, str]:
        found = self._wait("recommendation", self.decision_key, 1)
        if found is None:
            msg = f"no recommendation {self.decision_key} within {self.wait_s:.0f} s, though the alert came"
            raise LostError(msg)
        value = found[-1].value or b""
        self._is_enforced = b'"mode":"enforce"' in value
        mode = "to be enforced" if self._is_enforced else "in shadow mode: nothing would be refused"
        return "ok", f"recommendation {self.decision_key}, {mode}"

    def _sinks(self) -> tuple[Result, str]:
        if not self.around.sinks:
            return "not checked", "the settings name no sinks beside"
        if self.around.figures is None or self._before is None:
            return "not checked", "no metrics can be read (--metrics)"
        name = "copycatch_drill_sink_messages_total"
        late: list[str] = []
        deadline_s = self.clock.monotonic_s() + self.wait_s
        while self.clock.monotonic_s() < deadline_s:
            now = self.around.figures() or self._before
            late = [
                sink
                for sink in self.around.sinks
                if not now.rise(self._before, name, sink=sink, outcome="sent")
            ]
            if not late:
                return "ok", f"taken by {', '.join(self.around.sinks)}"
            failed = [
                f"{sink} ({outcome})"
                for sink in late
                for outcome in ("refused", "left_out")
                if now.rise(self._before, name, sink=sink, outcome=outcome)
            ]
            if failed:
                msg = f"not taken by {', '.join(failed)}: see the service's log for what it answered"
                raise LostError(msg)
            self.clock.sleep(POLL_S)
        msg = f"{', '.join(late)} took nothing within {self.wait_s:.0f} s"
        raise LostError(msg)

    def _ack(self, revision: int) -> tuple[Result, str]:
        if not self.ends.sees("ack"):
            return "not checked", "no acknowledgements are read (--acks-topic)"
        found = self._wait("ack", self.decision_key, revision)
        if found is None:
            msg = (
                f"no acknowledgement within {self.wait_s:.0f} s: the enforcement point does not run, does "
                "not read the recommendations, or writes its acknowledgements elsewhere"
            )
            raise LostError(msg)
        acks = [msgspec.json.decode(each.value or b"null", type=Ack | None) for each in found]
        ack = acks[-1]
        if ack is None or ack.result != "applied":
            said = "nothing" if ack is None else f"{ack.result} ({ack.message})"
            msg = f"the enforcement point says: {said}"
            raise LostError(msg)
        return "ok", ack.result

    def _enforcement(self) -> tuple[Result, str]:
        if self.around.status_of is None:
            return "not checked", "no enforcement point was named (--enforce)"
        bystander = self.around.status_of("copycatch-bystander")
        if bystander >= 400:
            msg = f"another account is refused, too ({bystander}): more than the drill is in force there"
            raise LostError(msg)
        if not self._is_enforced:
            return "ok", "shadow mode, and nobody is refused"
        status = self._wait_status(lambda status: status in (403, 429))
        if status not in (403, 429):
            msg = f"the drill's account is let through ({status}), though its recommendation is in force"
            raise LostError(msg)
        return "ok", f"the drill's account is refused ({status}), another one passes ({bystander})"

    def _taken_back(self) -> tuple[Result, str]:
        self.ends.send([self.drill.record(QUERIES + 1, self._now_ms())])
        if self._wait("alert", self.uid, 2) is None:
            msg = f"no closing alert within {self.wait_s:.0f} s"
            raise LostError(msg)
        if self._wait("recommendation", self.decision_key, 2) is None:
            msg = f"no revocation within {self.wait_s:.0f} s; the drill runs out by itself in ten minutes"
            raise LostError(msg)
        return "ok", "alert closed, recommendation revoked"

    def _released(self) -> tuple[Result, str]:
        if self.around.status_of is None:
            return "not checked", "no enforcement point was named (--enforce)"
        status = self._wait_status(lambda status: status < 400)
        if status >= 400:
            msg = f"the drill's account is still refused ({status})"
            raise LostError(msg)
        return "ok", f"the drill's account passes again ({status})"

    # ---- waiting

    def _wait(self, outcome: Outcome, key: str, n: int) -> list[Seen] | None:
        """The messages of that key once there are `n`; None when they do not come in time."""
        deadline_s = self.clock.monotonic_s() + self.wait_s
        while True:
            found = [each for each in self._seen if (each.outcome, each.key) == (outcome, key)]
            if len(found) >= n:
                return found
            if self.clock.monotonic_s() > deadline_s:
                return None
            self._seen += self.ends.poll()

    def _wait_status(self, is_right: Callable[[int], bool]) -> int:
        assert self.around.status_of is not None, "the caller has checked"
        deadline_s = self.clock.monotonic_s() + self.wait_s
        while True:
            status = self.around.status_of(self.drill.account_id)
            if is_right(status) or self.clock.monotonic_s() > deadline_s:
                return status
            self.clock.sleep(POLL_S)
