"""A campaign as a stream of native records, and an attacker who reacts to alerts while it plays."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Any

import numpy as np

from copycatch.redteam.campaign import Campaign
from copycatch.redteam.inputs import FloatArray, IntArray
from copycatch.redteam.schedules import USER_AGENTS, Schedule, draw_ip
from copycatch.units import UnixMs, format_rfc3339

Record = dict[str, Any]

TOO_MANY_REQUESTS, SERVER_ERROR = 429, 500
TOO_MANY_SHARE = 0.65
# An attacker who was seen waits some hours and goes on at half the pace.
PAUSE_S_LOW, PAUSE_S_HIGH = 2 * 3600.0, 12 * 3600.0
SLOWDOWN = 2.0


class _Sender:
    """Makes the records of one schedule, one at a time."""

    def __init__(self, schedule: Schedule, campaign: Campaign, rng: np.random.Generator) -> None:
        domain = campaign.victim.domain
        n = len(schedule)
        self.schedule = schedule
        self.times_ms: IntArray = schedule.times_ms.copy()
        self.account_ids = [schedule.account_id] * n
        self.ips = [schedule.client_ips[i] for i in rng.integers(len(schedule.client_ips), size=n)]
        self.agents = [schedule.user_agent] * n
        if schedule.is_hopping:
            self.ips = [draw_ip(rng) for _ in range(n)]
            self.agents = [f"client-{number:016x}" for number in rng.integers(1 << 62, size=n).tolist()]
        self._wire = domain.to_wire(schedule.inputs)
        embeddings: FloatArray | None = domain.embed(schedule.inputs)
        self._embeddings = None if embeddings is None else embeddings.tolist()
        self._outputs = campaign.victim.api.outputs(schedule.inputs, schedule.probabilities, schedule.params)
        self._statuses = np.where(rng.random(n) < TOO_MANY_SHARE, TOO_MANY_REQUESTS, SERVER_ERROR).tolist()
        self._model_id = campaign.plan.victim

    def record(self, index: int, event_id: str) -> Record:
        """The native record of one query."""
        record: Record = {
            "event_id": event_id,
            "event_time": format_rfc3339(int(self.times_ms[index])),
            "account_id": self.account_ids[index],
            "client_ip": self.ips[index],
            "user_agent": self.agents[index],
            "model_id": self._model_id,
            "input": self._wire[index],
        }
        if self._embeddings is not None:
            record["embedding"] = self._embeddings[index]
        params = self.schedule.params[index]
        if params is not None:
            record["params"] = params
        if not self.schedule.is_answered[index]:
            record["status"] = self._statuses[index]
            return record
        return record | self._outputs[index] | {"status": 200}


class Playback:
    """Plays a campaign in event-time order; alerts may be reported between two records.

    Parameters
    ----------
    campaign : Campaign

    Examples
    --------
    >>> from copycatch.redteam.campaign import AttackSpec, CampaignPlan, simulate
    >>> from copycatch.redteam.victims import build_victim
    >>> attacks = (AttackSpec("uniform", budget=20),)
    >>> plan = CampaignPlan("wine", seed=1, days=2, warmup_days=1, n_benign=2, attacks=attacks)
    >>> playback = Playback(simulate(plan, build_victim("wine", seed=1)))
    >>> times = [record["event_time"] for record in playback]
    >>> times == sorted(times)
    True
    """

    def __init__(self, campaign: Campaign) -> None:
        self._campaign = campaign
        self._rng = np.random.default_rng([campaign.plan.seed, 4])
        self._senders = [_Sender(schedule, campaign, self._rng) for schedule in campaign.schedules]
        self._heap = [(int(s.times_ms[0]), i, 0) for i, s in enumerate(self._senders) if len(s.schedule)]
        heapq.heapify(self._heap)
        self._sent = 0
        self._now_ms = campaign.plan.start_ms
        self._moves = 0
        # account -> index of its sender, for adaptive attackers only
        self._sender_by_account = {
            s.schedule.account_id: i for i, s in enumerate(self._senders) if s.schedule.is_adaptive
        }
        self.sent_by_account: dict[str, list[int]] = {}
        self.attack_sent_by_account: dict[str, int] = {}
        self._schedule_by_account: dict[str, Schedule] = {}

    def __iter__(self) -> Iterator[Record]:
        prefix = self._campaign.plan.victim[0]
        while self._heap:
            time_ms, at, index = heapq.heappop(self._heap)
            sender = self._senders[at]
            if int(sender.times_ms[index]) != time_ms:
                # The attacker moved it; it comes back at its new time.
                self._push(at, index)
                continue
            record = sender.record(index, f"{prefix}{self._sent:08d}")
            self._sent += 1
            self._now_ms = time_ms
            self._record_sent(sender, index)
            if index + 1 < len(sender.schedule):
                self._push(at, index + 1)
            yield record

    def _push(self, at: int, index: int) -> None:
        time_ms = int(self._senders[at].times_ms[index])
        if time_ms < self._campaign.plan.end_ms:
            heapq.heappush(self._heap, (time_ms, at, index))

    def _record_sent(self, sender: _Sender, index: int) -> None:
        account_id = sender.account_ids[index]
        self._schedule_by_account[account_id] = sender.schedule
        self.sent_by_account.setdefault(account_id, []).append(int(sender.times_ms[index]))
        is_attack_query = int(sender.schedule.is_attack_query[index])
        self.attack_sent_by_account[account_id] = (
            self.attack_sent_by_account.get(account_id, 0) + is_attack_query
        )

    @property
    def sent(self) -> int:
        """Records so far."""
        return self._sent

    def schedule_of(self, account_id: str) -> Schedule:
        """Whose account this is; an adaptive attacker's fresh accounts included."""
        return self._schedule_by_account[account_id]

    def on_alert(self, account_id: str, event_time_ms: UnixMs) -> str | None:
        """Tell the attacker that an account was named; an adaptive one moves and slows down.

        Parameters
        ----------
        account_id : str
        event_time_ms : int
            When the alert was seen.

        Returns
        -------
        str or None
            The fresh account, or None where nobody reacts.
        """
        at = self._sender_by_account.pop(account_id, None)
        if at is None:
            return None
        sender = self._senders[at]
        # What has been sent has been sent, even if the alert speaks of an earlier time.
        seen_ms = max(event_time_ms, self._now_ms)
        to_move = np.flatnonzero(sender.times_ms > seen_ms)
        if len(to_move) == 0:
            return None
        self._moves += 1
        fresh = f"acct-{self._campaign.plan.victim[0]}{len(self._senders) + self._moves:05d}"
        pause_ms = round(self._rng.uniform(PAUSE_S_LOW, PAUSE_S_HIGH) * 1000)
        since = sender.times_ms[to_move] - seen_ms
        sender.times_ms[to_move] = seen_ms + pause_ms + (since * SLOWDOWN).astype(np.int64)
        ip, agent = draw_ip(self._rng), str(self._rng.choice(USER_AGENTS))
        for index in to_move.tolist():
            sender.account_ids[index], sender.ips[index], sender.agents[index] = fresh, ip, agent
        self._sender_by_account[fresh] = at
        return fresh
