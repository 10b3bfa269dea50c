"""Verdicts of analysts that come over a topic: what they do to the policy in force, and to the figures.

They may do what verdicts in the policy file may, within the same bounds (`decisions.verdicts`), counted
together. A message says who and what; when it was given is the broker's word, never its own, and never before
a message ahead of it: who may write the topic cannot spread a day's verdicts over the days before.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec
import structlog
from pydantic import ValidationError

from copycatch.decisions.campaigns import ALL_MODELS
from copycatch.decisions.plan import make_plan
from copycatch.decisions.verdicts import unless_below
from copycatch.ports import Clock
from copycatch.records.policy import Allow, KnownAttack, Match, Policy
from copycatch.settings.verdicts import VerdictLine
from copycatch.units import MS_PER_DAY, UnixMs, format_rfc3339

log = structlog.get_logger(__name__)

ALERTS_MAX = 5_000  # whose latest verdict is kept; further ones are refused until some have run out
BENIGN_MS, ATTACK_MS = 30 * MS_PER_DAY, 366 * MS_PER_DAY


class Message(Protocol):
    """As `adapters.kafka.follower` gives it."""

    @property
    def partition(self) -> int: ...
    @property
    def timestamp_ms(self) -> int: ...
    @property
    def value(self) -> bytes | None: ...


class Follower(Protocol):
    """What verdicts come from."""

    def take(self) -> Sequence[Message]: ...


class Feedback:
    """Folds the messages of a topic: of each alert its latest verdict.

    Parameters
    ----------
    follower : Follower
    clock : Clock
        No verdict is given later than it says.
    """

    def __init__(self, follower: Follower, clock: Clock) -> None:
        self._follower, self._clock = follower, clock
        self._given: dict[str, tuple[int, VerdictLine]] = {}  # by uid
        self._latest_ms: dict[int, int] = {}  # by partition

    @property
    def lines(self) -> list[VerdictLine]:
        """The latest verdict on each alert, with the time it was given."""
        return [line for _, line in self._given.values()]

    def look(self) -> bool:
        """Take what has come; whether there is something new."""
        n_taken, n_bad, reason = 0, 0, ""
        for message in self._follower.take():
            time_ms = min(max(message.timestamp_ms, self._latest_ms.get(message.partition, 0)), self._now_ms)
            self._latest_ms[message.partition] = time_ms
            if message.value is None:
                continue  # compaction's mark, or a person took the message out: what it said stays
            try:
                self._put(message.value, time_ms)
                n_taken += 1
            except (msgspec.DecodeError, UnicodeDecodeError, ValidationError, ValueError) as error:
                n_bad, reason = n_bad + 1, str(error)[:200]
        if n_bad:
            log.error("verdicts on the topic cannot be taken", n=n_bad, the_last=reason)
        if n_taken:
            log.info("verdicts taken", n=n_taken, alerts=len(self._given))
        return n_taken > 0

    @property
    def _now_ms(self) -> int:
        return self._clock.now_ms()

    def _put(self, value: bytes, time_ms: int) -> None:
        line = _DECODER.decode(value)
        if not (line.uid and line.reason and line.by):
            msg = "a verdict on the topic needs uid, reason and by"
            raise ValueError(msg)
        line.time = format_rfc3339(time_ms)
        _entry(line, time_ms, Policy())  # what the policy would refuse is refused here
        if line.uid not in self._given and len(self._given) >= ALERTS_MAX:
            self._forget_old()
            if len(self._given) >= ALERTS_MAX:
                msg = f"{ALERTS_MAX} alerts have verdicts: no more are taken"
                raise ValueError(msg)
        self._given[line.uid] = time_ms, line

    def _forget_old(self) -> None:
        oldest_ms = self._now_ms - ATTACK_MS
        self._given = {uid: given for uid, given in self._given.items() if given[0] >= oldest_ms}

    def added_to(self, policy: Policy) -> Policy:
        """The policy with what the verdicts say; they are bounded where it is judged by."""
        entries = [_entry(line, time_ms, policy) for time_ms, line in self._given.values()]
        allow = [each for each in entries if isinstance(each, Allow)]
        attacks = [each for each in entries if isinstance(each, KnownAttack)]
        return policy.with_verdicts(allow, attacks) if allow or attacks else policy


_DECODER = msgspec.json.Decoder(VerdictLine)


def _entry(line: VerdictLine, time_ms: int, policy: Policy) -> Allow | KnownAttack | None:
    if line.verdict == "unsure":
        return None
    model_id = None if line.model_id in (None, ALL_MODELS) else line.model_id
    match = Match(account_id=line.account_id, tenant_id=line.tenant_id, model_id=model_id)
    if line.verdict == "attack":
        return KnownAttack(
            match=match, reason=line.reason or "", owner=line.by or "", given_ms=UnixMs(time_ms),
            expires_ms=UnixMs(time_ms + ATTACK_MS),
        )  # fmt: skip
    settings = make_plan(policy, []).settings_for((line.tenant_id, line.account_id, model_id or ""))
    return Allow(
        match=match, reason=line.reason or "", owner=line.by or "", given_ms=UnixMs(time_ms),
        expires_ms=UnixMs(time_ms + BENIGN_MS),
        unless_below=unless_below(line.tail_prob, settings.alert_threshold),
    )  # fmt: skip
