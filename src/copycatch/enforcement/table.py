"""The table of recommendations in force, and the verdict on one request."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from copycatch.enforcement.identity import forms_of, spellings_of, stored_form
from copycatch.records.drill import ACCOUNT_PREFIX
from copycatch.records.wire import ACTION_RANKS, Ack, Action, ActionParams, Recommendation
from copycatch.units import MS_PER_S, format_rfc3339, parse_rfc3339

SUPPORTED: frozenset[Action] = frozenset({"observe", "throttle", "reduce_output", "block", "revoke_key"})
ENTRIES_MAX = 1_000_000  # about 1 KB each; beyond, the oldest are dropped and counted
BUCKETS_MAX = 200_000
_NO_EXPIRY_MS = 1 << 62


Names = str | tuple[str, ...] | None
"""One name, or every spelling that is meant (`spellings_of`)."""


class Subject(NamedTuple):
    """Who asks what; unknown parts are None or empty.

    Tenant and model are for those that the client cannot choose: what they disagree with does not hold.
    """

    account_id: Names = None
    tenant_id: Names = None
    model_id: Names = None
    api_key_hash: Names = None
    client_ip: str | None = None

    def spelled(self) -> "Subject":
        """The same, with every name as all its spellings.

        Examples
        --------
        >>> Subject("A1").spelled().account_id
        ('A1', 'a1')
        """
        return Subject(
            _spelled(self.account_id),
            _spelled(self.tenant_id),
            _spelled(self.model_id),
            _spelled(self.api_key_hash),
            self.client_ip,
        )


def _spelled(names: Names) -> tuple[str, ...]:
    return names if isinstance(names, tuple) else spellings_of(() if names is None else (names,))


class Verdict(NamedTuple):
    """What to do with one request."""

    action: Action | None  # None: nothing is recommended
    params: ActionParams
    decision_key: str | None
    is_refused: bool  # blocked, or throttled with no allowance left
    retry_after_s: float | None = None


ALLOWED = Verdict(None, {}, None, is_refused=False)


@dataclass(slots=True)
class Entry:
    """A row in force."""

    recommendation: Recommendation
    action: Action  # what is done about it: its fallback where the action itself is not supported
    expires_ms: int


@dataclass(slots=True)
class _Bucket:
    """Allowance of queries that refills steadily."""

    tokens: float
    filled_ms: int


@dataclass(slots=True)
class Counts:
    """What happened, for metrics."""

    applied: int = 0
    revoked: int = 0
    stale: int = 0  # what was known already, or older
    unreadable: int = 0
    dropped: int = 0  # entries given up because the table was full
    refused: int = 0
    unidentified: int = 0  # requests that named no account
    unreduced: int = 0  # answers withheld because they could not be reduced
    shadowed: int = 0  # requests that an entry in shadow mode would have touched


@dataclass(slots=True)
class _State:
    entry_by_key: OrderedDict[str, Entry] = field(default_factory=OrderedDict)
    keys_by_value: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    known_by_key: OrderedDict[str, tuple[int, int]] = field(default_factory=OrderedDict)  # epoch, revision
    bucket_by_key: OrderedDict[str, _Bucket] = field(default_factory=OrderedDict)


class DecisionTable:
    """Recommendations by whom they are about; safe to use from several threads.

    Parameters
    ----------
    supported : frozenset of Action
        What this enforcement point can do; for others the fallback is taken.
    is_approved : callable
        Whether a person has agreed to a recommendation that asks for one.

    Examples
    --------
    >>> table = DecisionTable()
    >>> table.verdict(Subject("a1"), now_ms=0).action is None
    True
    """

    def __init__(
        self,
        supported: frozenset[Action] = SUPPORTED,
        is_approved: Callable[[Recommendation], bool] = lambda _recommendation: False,
        entries_max: int = ENTRIES_MAX,
    ) -> None:
        self._supported = supported
        self._is_approved = is_approved
        self._entries_max = entries_max
        self._state = _State()
        self._lock = threading.Lock()
        self.counts = Counts()

    def __len__(self) -> int:
        return len(self._state.entry_by_key)

    def apply(self, key: str, value: bytes | None, now_ms: int) -> Ack | None:
        """Take one message of the topic; the acknowledgement to send, if any.

        A tombstone forgets the row. What cannot be read is counted and changes nothing.
        """
        with self._lock:
            if value is None:
                self._remove(key)
                self._state.known_by_key.pop(key, None)
                return None
            try:
                recommendation = msgspec.json.decode(value, type=Recommendation)
                expires_ms = _expires_ms(recommendation)
            except (ValueError, RecursionError):
                self.counts.unreadable += 1
                return None
            if not _is_newer(recommendation, self._state.known_by_key.get(key, (0, 0))):
                self.counts.stale += 1
                return None
            self._remember(key, (recommendation.epoch, recommendation.revision))
            return self._put(key, recommendation, expires_ms, now_ms)

    def _remember(self, key: str, number: tuple[int, int]) -> None:
        known = self._state.known_by_key
        known[key] = number
        known.move_to_end(key)
        while len(known) > 2 * self._entries_max:
            known.popitem(last=False)

    def _put(self, key: str, recommendation: Recommendation, expires_ms: int, now_ms: int) -> Ack | None:
        bucket = self._state.bucket_by_key.get(key)
        self._remove(key)
        if recommendation.op == "revoke":
            self.counts.revoked += 1
            return _ack(key, recommendation, "applied", now_ms)
        if recommendation.drill is True and not _is_about_drill(recommendation):
            return _ack(key, recommendation, "rejected", now_ms, "a drill may hold for its own account only")
        if expires_ms <= now_ms:
            return None  # it ended while nobody was here; there is nothing to say about it
        if recommendation.requires_human and not self._is_approved(recommendation):
            return _ack(key, recommendation, "rejected", now_ms, "waits for a person to agree")
        action: Action | None = recommendation.action
        message = "a drill: it holds for its own account only" if recommendation.drill is True else None
        is_supported = action in self._supported
        if action not in self._supported:
            action = recommendation.fallback_action
            message = f"{recommendation.action} is not supported here; {action or 'nothing'} is done instead"
            if action not in self._supported:
                return _ack(key, recommendation, "unsupported", now_ms, message)
        assert action is not None
        self._state.entry_by_key[key] = Entry(recommendation, action, expires_ms)
        if bucket is not None and action == "throttle":
            self._state.bucket_by_key[key] = bucket  # a renewal is no new allowance
        for place in _places(recommendation):
            self._state.keys_by_value.setdefault(place, set()).add(key)
        self.counts.applied += recommendation.drill is not True
        while len(self._state.entry_by_key) > self._entries_max:
            self._remove(next(iter(self._state.entry_by_key)))
            self.counts.dropped += 1
        return _ack(key, recommendation, "applied" if is_supported else "unsupported", now_ms, message)

    def _remove(self, key: str) -> None:
        entry = self._state.entry_by_key.pop(key, None)
        self._state.bucket_by_key.pop(key, None)
        if entry is None:
            return
        for place in _places(entry.recommendation):
            keys = self._state.keys_by_value[place]
            keys.discard(key)
            if not keys:
                del self._state.keys_by_value[place]

    def verdict(self, subject: Subject, now_ms: int) -> Verdict:
        """What to do with a request of `subject`; asking counts against a throttle's allowance.

        Raises
        ------
        UnclearIdentityError
            If a name of it is too long, or stands for too many.
        """
        subject = subject.spelled()
        with self._lock:
            self.counts.unidentified += not subject.account_id
            entry, key = self._strongest(subject, now_ms)
            if entry is None or key is None:
                return ALLOWED
            params = entry.recommendation.action_params
            if entry.action in ("block", "revoke_key"):
                self.counts.refused += 1
                left_s = None if entry.expires_ms == _NO_EXPIRY_MS else (entry.expires_ms - now_ms) / MS_PER_S
                return Verdict(entry.action, params, key, is_refused=True, retry_after_s=left_s)
            if entry.action == "throttle":
                wait_s = self._wait_s(key, params, now_ms)
                self.counts.refused += wait_s > 0
                return Verdict("throttle", params, key, is_refused=wait_s > 0, retry_after_s=wait_s or None)
            return Verdict(entry.action, params, key, is_refused=False)

    def _strongest(self, subject: Subject, now_ms: int) -> tuple[Entry | None, str | None]:
        best: tuple[int, str] | None = None
        expired = []
        asked = [("account", name) for name in _spelled(subject.account_id)]
        asked += [("api_key", name) for name in _spelled(subject.api_key_hash)]
        asked += [("ip", subject.client_ip)] if subject.client_ip else []
        for key in {key for place in asked for key in self._state.keys_by_value.get(place, ())}:
            entry = self._state.entry_by_key[key]
            if entry.expires_ms <= now_ms:
                expired.append(key)
            elif _concerns(entry.recommendation, subject):
                if entry.recommendation.mode == "shadow":
                    self.counts.shadowed += 1
                else:
                    rank = (ACTION_RANKS[entry.action], key)
                    best = rank if best is None else max(best, rank)
        for key in expired:
            self._remove(key)
        return (None, None) if best is None else (self._state.entry_by_key[best[1]], best[1])

    def _wait_s(self, key: str, params: ActionParams, now_ms: int) -> float:
        """Seconds until the next query is allowed; 0 allows this one."""
        limit = params.get("queries_per_minute")
        per_minute = float(limit) if isinstance(limit, int | float) and limit > 0 else 1.0
        buckets = self._state.bucket_by_key
        bucket = buckets.setdefault(key, _Bucket(per_minute, now_ms))
        refill = max(now_ms - bucket.filled_ms, 0) * per_minute / 60_000
        bucket.tokens = min(bucket.tokens + refill, per_minute)
        bucket.filled_ms = max(now_ms, bucket.filled_ms)
        while len(buckets) > BUCKETS_MAX:
            buckets.popitem(last=False)
        if bucket.tokens >= 1.0:
            bucket.tokens -= 1.0
            return 0.0
        return (1.0 - bucket.tokens) * 60.0 / per_minute


def _places(recommendation: Recommendation) -> set[tuple[str, str]]:
    """Where requests find it: by whom it is about; a campaign's by each of its accounts."""
    if recommendation.scope == "campaign":
        return {("account", stored_form(account)) for account in recommendation.accounts}
    return {(recommendation.scope, stored_form(recommendation.value))}


def _is_about_drill(recommendation: Recommendation) -> bool:
    return recommendation.scope == "account" and recommendation.value.startswith(ACCOUNT_PREFIX)


def _concerns(recommendation: Recommendation, subject: Subject) -> bool:
    """Whether tenant and model agree; what the request does not say cannot disagree."""
    tenant_id, model_id = recommendation.tenant_id, recommendation.model_id
    is_same_tenant = tenant_id is None or _may_be(subject.tenant_id, tenant_id)
    return is_same_tenant and (model_id == "*" or _may_be(subject.model_id, model_id))


def _may_be(names: Names, name: str) -> bool:
    """Whether a name is among those meant; compared folded, too, which only makes more agree."""
    spellings = _spelled(names)
    return not spellings or any(form in spellings for form in forms_of(name))


def _is_newer(recommendation: Recommendation, known: tuple[int, int]) -> bool:
    """Whether it comes after what is known; without an epoch (an older version's) the revision decides."""
    if recommendation.epoch == 0:
        return recommendation.revision > known[1]
    return (recommendation.epoch, recommendation.revision) > known


def _expires_ms(recommendation: Recommendation) -> int:
    expires_at = recommendation.expires_at
    return _NO_EXPIRY_MS if expires_at is None else parse_rfc3339(expires_at)


def _ack(
    key: str, recommendation: Recommendation, result: str, now_ms: int, message: str | None = None
) -> Ack:
    return Ack(
        decision_key=key,
        revision=recommendation.revision,
        epoch=recommendation.epoch,
        result=result,  # type: ignore[arg-type]  # callers write one of its words
        time=format_rfc3339(now_ms),
        message=message,
    )
