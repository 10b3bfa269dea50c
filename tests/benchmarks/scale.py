"""How much of everything: the whole benchmark, a quick look, or a toy for the smoke test."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """Sizes of all parts; `rounds` is how often each figure is taken (medians are reported)."""

    rounds: int = 5
    records: int = 50_000
    warm_records: int = 40_000
    batch: int = 5_000
    accounts: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)
    growth_accounts: int = 10_000
    window_factors: tuple[float, ...] = (1, 4, 16)
    models: tuple[int, ...] = (1, 4, 16)
    vector_lengths: tuple[int, ...] = (16, 64, 256)
    state_accounts: int = 100_000
    pauses: int = 120  # p99 of fewer would be the worst of them
    file_records: int = 150_000
    kafka_records: int = 200_000
    kafka_rounds: int = 3
    latency_s: float = 20.0
    texts: int = 10_000
    worst: int = 100
    peer_accounts: int = 1_000
    peer_records: int = 3_000
    prada_queries: int = 1_000
    with_traces: bool = True


WHOLE = Scale()
QUICK = Scale(
    rounds=3,
    records=20_000,
    warm_records=20_000,
    accounts=(1_000, 10_000, 100_000),
    window_factors=(1, 16),
    models=(1, 16),
    vector_lengths=(16, 256),
    pauses=30,
    file_records=40_000,
    kafka_records=60_000,
    kafka_rounds=1,
    latency_s=8.0,
    texts=4_000,
    worst=50,
    peer_records=1_500,
)
TOY = Scale(
    rounds=1,
    records=400,
    warm_records=400,
    batch=200,
    accounts=(50,),
    growth_accounts=50,
    window_factors=(1,),
    models=(1,),
    vector_lengths=(16,),
    state_accounts=60,
    pauses=2,
    file_records=400,
    kafka_records=400,
    kafka_rounds=1,
    latency_s=2.0,
    texts=40,
    worst=4,
    peer_accounts=20,
    peer_records=60,
    prada_queries=60,
    with_traces=False,
)
SCALES = {"whole": WHOLE, "quick": QUICK, "toy": TOY}
