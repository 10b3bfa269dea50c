"""Small native records for tests of the service: made, not measured."""

import json
import random
from collections.abc import Iterator

START_MS = 1_767_571_200_000  # 2026-01-05T00:00:00Z


def record(
    n: int, account: str, *, model: str = "letters", time_ms: int | None = None, **more: object
) -> bytes:
    """One record with 8 numeric inputs and 4 probabilities."""
    values = random.Random(f"{n}/{account}")
    weights = [values.random() for _ in range(4)]
    total = sum(weights)
    fields = {
        "event_id": f"e{n}",
        "event_time": START_MS + n * 250 if time_ms is None else time_ms,
        "account_id": account,
        "model_id": model,
        "input": [round(values.gauss(0, 1), 3) for _ in range(8)],
        "predicted_label": weights.index(max(weights)),
        "probabilities": [round(weight / total, 6) for weight in weights],
    }
    return json.dumps(fields | more).encode()


def traffic(n_records: int, n_accounts: int = 10, *, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """(account, record) in event-time order; account 0 sends half of all."""
    choose = random.Random(seed)
    for n in range(n_records):
        account = "acct-0" if choose.random() < 0.5 else f"acct-{choose.randrange(1, n_accounts)}"
        yield account, record(n, account)
