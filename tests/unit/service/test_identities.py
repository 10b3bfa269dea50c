"""Who changes a name with each request is seen in a metric: the gateway lets clients choose it."""

from copycatch.adapters.memory import MemoryMetrics
from copycatch.records.policy import Policy
from copycatch.service.judging import EngineJudge
from copycatch.units import UnixMs
from tests.support.traffic import NOW_MS, native_intake, raw_batch, record

NAME = "copycatch_identities_of_one_account"


def test_the_account_with_most_tenants_models_addresses_or_keys_is_measured() -> None:
    metrics = MemoryMetrics()
    judge = EngineJudge(Policy(), 100, native_intake(), metrics)
    hopping = [record(n, account_id="hops", tenant_id=f"t{n}", api_key_id=f"k{n % 7}") for n in range(40)]
    honest = [
        record(100 + n, account_id="b", tenant_id=f"t{n % 3}", client_ip="192.0.2.1") for n in range(60)
    ]
    judge.step(raw_batch(hopping + honest), UnixMs(NOW_MS))
    found = {
        name: metrics.get(NAME, field=name) for name in ("tenant_id", "model_id", "client_ip", "api_key_id")
    }
    assert found == {"tenant_id": 40, "model_id": 1, "client_ip": 1, "api_key_id": 7}
    start_ms = int(honest[0]["event_time"])
    for hours, n_shown in ((0, 40), (1, 40), (2, 1), (9, 1)):  # of the hour before, and then no more
        later = record(1_000 + hours, account_id="b", tenant_id="t", event_time=start_ms + hours * 3_600_000)
        judge.step(raw_batch([later]), UnixMs(NOW_MS + hours * 3_600_000))
        assert metrics.get(NAME, field="tenant_id") == n_shown
