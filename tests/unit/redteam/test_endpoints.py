import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from copycatch.adapters.clock import ManualClock, SystemClock
from copycatch.errors import ConfigError, RecoverableError, TransportError
from copycatch.redteam.campaign import AttackSpec, CampaignPlan, queries_of, simulate
from copycatch.redteam.endpoints import HttpVictim, callable_victim, onnx_victim
from copycatch.redteam.inputs import PLAIN, as_texts, draw_population
from copycatch.redteam.own_victim import own_victim, read_samples
from copycatch.redteam.victims import Victim

VictimOf = Callable[[str], Victim]


class Endpoint(ThreadingHTTPServer):
    """A model behind HTTP that counts what it is asked."""

    def __init__(self, answer: Callable[[dict[str, Any]], dict[str, Any]], refuse_after: int = 10**9) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer, self.refuse_after = answer, refuse_after
        self.asked: list[dict[str, Any]] = []
        self.seen_headers: list[dict[str, str]] = []
        self.redirect: tuple[int, str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v2/models/m/infer"


class _Handler(BaseHTTPRequestHandler):
    server: Endpoint

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"] or 0)) or b"{}")
        self.server.asked.append(body)
        self.server.seen_headers.append({k.lower(): v for k, v in self.headers.items()})
        is_refused = len(self.server.asked) > self.server.refuse_after
        data = json.dumps({} if is_refused else self.server.answer(body)).encode()
        if self.server.redirect is not None:
            self.send_response(self.server.redirect[0])
            self.send_header("location", self.server.redirect[1])
        else:
            self.send_response(429 if is_refused else 200)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST  # noqa: N815 - the library's name

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Tests need no access log."""


@pytest.fixture
def serve() -> Iterator[Callable[..., Endpoint]]:
    running: list[Endpoint] = []

    def start(answer: Callable[[dict[str, Any]], dict[str, Any]], refuse_after: int = 10**9) -> Endpoint:
        endpoint = Endpoint(answer, refuse_after)
        threading.Thread(target=endpoint.serve_forever, daemon=True).start()
        running.append(endpoint)
        return endpoint

    yield start
    for endpoint in running:
        endpoint.shutdown()
        endpoint.server_close()


def oip_of(victim: Victim) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def answer(body: dict[str, Any]) -> dict[str, Any]:
        given = body["inputs"][0]
        row = np.array(given["data"]).reshape(given["shape"])
        data = victim.classify(row)[0].tolist()
        return {"outputs": [{"name": "p", "datatype": "FP64", "shape": [1, len(data)], "data": data}]}

    return answer


def test_an_endpoint_answers_like_the_model(victim_of: VictimOf, serve: Callable[..., Endpoint]) -> None:
    victim = victim_of("wine")
    http = HttpVictim(serve(oip_of(victim)).url, "oip", ManualClock(), queries_max=5, queries_per_s_max=100)
    np.testing.assert_allclose(http(victim.held_out[:5]), victim.classify(victim.held_out[:5]))


def test_the_budget_is_never_passed(victim_of: VictimOf, serve: Callable[..., Endpoint]) -> None:
    victim = victim_of("wine")
    endpoint = serve(oip_of(victim))
    http = HttpVictim(endpoint.url, "oip", ManualClock(), queries_max=7, queries_per_s_max=100)
    http(victim.held_out[:5])
    with pytest.raises(TransportError, match="budget"):
        http(victim.held_out[:3])
    http(victim.held_out[:2])
    with pytest.raises(TransportError, match="budget"):
        http(victim.held_out[:1])
    assert len(endpoint.asked) == http.sent == 7


def test_the_rate_is_kept(victim_of: VictimOf, serve: Callable[..., Endpoint]) -> None:
    victim = victim_of("wine")
    clock = ManualClock()
    http = HttpVictim(serve(oip_of(victim)).url, "oip", clock, queries_max=100, queries_per_s_max=4)
    http(victim.held_out[:9])
    assert clock.monotonic_s() == pytest.approx(2.0)
    real = SystemClock()
    http = HttpVictim(serve(oip_of(victim)).url, "oip", real, queries_max=100, queries_per_s_max=20)
    begin_s = real.monotonic_s()
    http(victim.held_out[:6])
    assert real.monotonic_s() - begin_s >= 0.25


def test_a_refusal_is_an_error_that_says_so(victim_of: VictimOf, serve: Callable[..., Endpoint]) -> None:
    victim = victim_of("wine")
    endpoint = serve(oip_of(victim), refuse_after=3)
    http = HttpVictim(endpoint.url, "oip", ManualClock(), queries_max=100, queries_per_s_max=100)
    with pytest.raises(RecoverableError, match="429"):
        http(victim.held_out[:10])
    assert len(endpoint.asked) == http.sent == 4
    odd = HttpVictim(serve(lambda _: {}).url, "oip", ManualClock(), queries_max=9, queries_per_s_max=9)
    with pytest.raises(TransportError, match="floating-point"):
        odd(victim.held_out[:1])
    endpoint.server_close()


def test_credentials_follow_no_redirect(serve: Callable[..., Endpoint]) -> None:
    other = serve(lambda _: {})
    for status in (301, 302, 303, 307, 308):
        endpoint = serve(lambda _: {})
        endpoint.redirect = (status, other.url)
        key = {"Authorization": "Bearer secret"}
        http = HttpVictim(endpoint.url, "oip", ManualClock(), queries_max=9, queries_per_s_max=9, headers=key)
        with pytest.raises(TransportError, match=f"status {status}"):
            http(np.zeros((1, 2)))
        assert endpoint.seen_headers[0]["authorization"] == "Bearer secret"
    assert not other.seen_headers


def test_an_openai_style_endpoint_classifies_texts(serve: Callable[..., Endpoint]) -> None:
    def answer(body: dict[str, Any]) -> dict[str, Any]:
        text = body["messages"][-1]["content"]
        return {"choices": [{"message": {"content": "Refund" if "money" in text else "order."}}]}

    endpoint = serve(answer)
    http = HttpVictim(
        endpoint.url, "openai", ManualClock(), queries_max=9, queries_per_s_max=9,
        labels=("order", "refund"), model="m", headers={"authorization": "Bearer own"},
    )  # fmt: skip
    assert http(as_texts(["my money back", "where is it"])).tolist() == [[0, 1], [1, 0]]
    assert endpoint.asked[0]["model"] == "m"
    assert endpoint.seen_headers[0]["authorization"] == "Bearer own"
    with pytest.raises(ConfigError, match="labels"):
        HttpVictim(endpoint.url, "openai", ManualClock(), queries_max=9, queries_per_s_max=9)


@pytest.mark.parametrize(
    ("url", "queries_max", "rate"), [("ftp://x", 9, 1), ("http://x", 0, 1), ("http://x", 9, 0)]
)
def test_nonsense_is_refused_before_anything_is_sent(url: str, queries_max: int, rate: float) -> None:
    with pytest.raises(ConfigError):
        HttpVictim(url, "oip", ManualClock(), queries_max=queries_max, queries_per_s_max=rate)


def test_a_campaign_costs_the_endpoint_samples_and_attacks_only(
    victim_of: VictimOf, serve: Callable[..., Endpoint]
) -> None:
    victim = victim_of("wine")
    endpoint = serve(oip_of(victim))
    samples = draw_population(victim.domain, 80, PLAIN, np.random.default_rng(0))[0]
    attacks = (AttackSpec("jbda", budget=30), AttackSpec("uniform", "cover50", budget=20))
    plan = CampaignPlan("own", 2, days=3, warmup_days=1, n_benign=5, attacks=attacks)
    needed = len(samples) + queries_of(plan)
    http = HttpVictim(endpoint.url, "oip", ManualClock(), queries_max=needed, queries_per_s_max=1000)
    own = own_victim("own", http, samples, seed=2, is_costly=True)
    campaign = simulate(plan, own)
    assert len(endpoint.asked) == needed == 80 + 30 + 20
    assert campaign.fidelity[0]["curve"][-1][1] > 0.5


def test_a_callable_is_checked() -> None:
    here = f"{__name__}:"
    assert callable_victim(here + "good_model")(np.zeros((3, 2))).shape == (3, 2)
    with pytest.raises(ConfigError, match="shape"):
        callable_victim(here + "flat_model")(np.zeros((3, 2)))
    with pytest.raises(ConfigError, match="not finite"):
        callable_victim(here + "nan_model")(np.zeros((3, 2)))
    with pytest.raises(ConfigError, match="no module"):
        callable_victim("no_such_module_here:f")


def good_model(rows: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> list[list[float]]:
    return [[0.4, 0.6]] * len(rows)


def flat_model(rows: object) -> list[float]:
    return [0.4, 0.6]


def nan_model(rows: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> list[list[float]]:
    return [[float("nan"), 0.6]] * len(rows)


def test_an_onnx_file_is_a_victim(victim_of: VictimOf, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    skl2onnx = pytest.importorskip("skl2onnx")
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    rows = rng.normal(size=(200, 4))
    labels = (rows[:, 0] + rows[:, 1] > 0).astype(int) + (rows[:, 2] > 1)
    model = LogisticRegression(max_iter=500).fit(rows, labels)
    onnx = skl2onnx.to_onnx(model, rows[:1].astype(np.float32), options={"zipmap": False})
    path = tmp_path / "model.onnx"
    path.write_bytes(onnx.SerializeToString())
    classify = onnx_victim(path)
    np.testing.assert_allclose(classify(rows), model.predict_proba(rows), atol=1e-4)
    own = own_victim("own", classify, rows, seed=1, is_costly=False)
    plan = CampaignPlan("own", 1, days=3, warmup_days=1, n_benign=3, attacks=(AttackSpec("jbda", budget=60),))
    assert simulate(plan, own).fidelity[0]["curve"][-1][1] > 0.6
    with pytest.raises(ConfigError, match="no such file"):
        onnx_victim(tmp_path / "nothing.onnx")


def test_samples_come_in_several_forms(tmp_path: Path) -> None:
    rows = np.arange(120.0).reshape(60, 2)
    np.save(tmp_path / "a.npy", rows)
    np.savetxt(tmp_path / "a.csv", rows, delimiter=",")
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows.tolist()))
    (tmp_path / "a.txt").write_text("".join(f"sentence {i}\n" for i in range(60)))
    for name in ("a.npy", "a.csv", "a.jsonl"):
        np.testing.assert_array_equal(read_samples(tmp_path / name), rows)
    assert read_samples(tmp_path / "a.txt")[1] == "sentence 1"
    (tmp_path / "few.txt").write_text("one\n")
    for name, words in (
        ("few.txt", "at least"),
        ("a.parquet", "samples are"),
        ("none.npy", "cannot be read"),
    ):
        with pytest.raises(ConfigError, match=words):
            read_samples(tmp_path / name)


def test_a_text_model_of_ones_own(victim_of: VictimOf) -> None:
    victim = victim_of("intents")
    samples = draw_population(victim.domain, 150, PLAIN, np.random.default_rng(0))[0]
    own = own_victim("own", victim.classify, samples, seed=1, is_costly=False)
    plan = CampaignPlan("own", 1, days=3, warmup_days=1, n_benign=3, attacks=(AttackSpec("jbda", budget=40),))
    assert len(simulate(plan, own).schedules) == 4
