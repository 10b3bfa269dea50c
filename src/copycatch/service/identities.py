"""How many tenants, models, addresses and keys one account shows: who chooses a name hides behind it."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from copycatch.records.columns import RecordBatch

RECORDS_MAX: Final = 500  # of a batch: enough to see who changes a name with each request
HOUR_MS: Final = 3_600_000


class Identities:
    """The most that one account showed in a batch of this or the last hour of event time.

    A batch may hold one request of many; the figure of the last one alone would come and go.
    """

    def __init__(self) -> None:
        self._hour = -1
        self._now: dict[str, int] = {}
        self._before: dict[str, int] = {}

    def most(self, batch: RecordBatch) -> dict[str, int]:
        """Values of one account by field, this batch included."""
        hour = int(batch.event_times_ms.max()) // HOUR_MS
        if hour > self._hour:
            self._before = self._now if hour == self._hour + 1 else {}
            self._hour, self._now = hour, {}
        for name, n in _of(batch).items():
            self._now[name] = max(n, self._now.get(name, 0))
        return {name: max(n, self._before.get(name, 0)) for name, n in self._now.items()}


def _of(batch: RecordBatch) -> dict[str, int]:
    accounts = batch.account_ids[:RECORDS_MAX]
    values_by_field: dict[str, Sequence[str | None]] = {
        "tenant_id": batch.tenant_ids,
        "model_id": batch.model_ids,
        "client_ip": batch.client_ips,
        "api_key_id": batch.api_key_hashes,
    }
    found = {}
    for name, values in values_by_field.items():
        pairs = set(zip(accounts, values[:RECORDS_MAX], strict=True))
        counts = Counter(account for account, value in pairs if value is not None)
        found[name] = max(counts.values(), default=0)
    return found
