"""The benchmarks' harness stays whole: every part at toy size. Nothing here is timed."""

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from copycatch.compiled import IN_USE, cache_folder
from copycatch.redteam.verdicts import judge_trace
from tests.benchmarks import backtest, engine, files, formats, kafka_loop, start, state, text, worst
from tests.benchmarks.detection import peers, product
from tests.benchmarks.detection.judging import disagreement, judge, write_firsts
from tests.benchmarks.detection.report import Study, write_study
from tests.benchmarks.detection.traces import found_traces, read_queries, simulated_trace
from tests.benchmarks.measure import Figure, Part, Target
from tests.benchmarks.peers import compare
from tests.benchmarks.peers.prada import Prada
from tests.benchmarks.profile import report as profile_report
from tests.benchmarks.report import as_text, write_report
from tests.benchmarks.scale import TOY
from tests.benchmarks.traffic import START_MS, Columns, Draw, Pool, Shape


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulated_trace("wine", "small", 3, tmp_path_factory.mktemp("traces"))


def test_records_are_as_long_as_they_are_said_to_be() -> None:
    lines = list(Pool(Shape(), 300, seed=1).lines(300, Draw(50, "zipf", 1), START_MS, 10.0))
    sizes = [len(line) for line in lines]
    assert min(sizes) >= 560
    assert max(sizes) <= 870
    assert len({json.loads(line)["event_id"] for line in lines}) == 300


def test_zipf_has_few_who_ask_much() -> None:
    counts = Counter(Draw(1000, "zipf", 1).accounts(20_000).tolist())
    assert counts.most_common(1)[0][1] > 20 * 20_000 / 1000
    even = Counter(Draw(1000, "uniform", 1).accounts(20_000).tolist())
    assert even.most_common(1)[0][1] < 3 * 20_000 / 1000


def test_a_start_is_measured(tmp_path: Path) -> None:
    known = cache_folder()  # to compile all once more takes minutes, and is measured by the benchmark
    shutil.copytree(known, tmp_path / known.name, ignore=shutil.ignore_patterns(IN_USE))
    found = start.start(str(tmp_path))
    assert found["peak_mib"] > 100
    assert 0 < found["cpu_s"] < 4 * found["wall_s"]
    assert list(tmp_path.rglob("*.nbc"))


def test_columns_are_fresh_each_time() -> None:
    columns = Columns(Shape(), seed=1, n_templates=1, size=100)
    accounts = Draw(10, "uniform", 1).accounts(100)
    first, second = columns.batch(accounts, 10.0), columns.batch(accounts[:40], 10.0)
    assert not set(first.event_ids) & set(second.event_ids)
    assert second.event_times_ms[0] > first.event_times_ms[-1]
    assert [len(block.rows) for block in second.embeddings] == [40]


@pytest.mark.parametrize(
    "run",
    [engine.run, engine.run_growth, state.run, files.run, backtest.run, formats.run, compare.run, text.run],
)
def test_every_part_gives_figures(run: object, tmp_path: Path) -> None:
    assert callable(run)
    part: Part = run(TOY)
    assert part.figures, part.skipped
    assert not part.skipped
    assert all(np.isfinite(figure.value) and figure.value >= 0 for figure in part.figures)
    write_report([part], "a machine", tmp_path)
    assert part.figures[0].name in (tmp_path / "bench.md").read_text()
    assert (tmp_path / f"{part.key}.png").stat().st_size > 1000


@pytest.mark.kafka
def test_kafka_loops_count_what_they_read(kafka_servers: str) -> None:
    from tests.support.service import Topics

    topics = Topics.make(kafka_servers)
    start = kafka_loop.fill(kafka_servers, topics.records, 6_500, kafka_loop.MIXED)
    assert start == 1_300
    assert kafka_loop.bare_kafka_python(kafka_servers, topics.records, 0, 6_500)["per_s"] > 0


def test_targets_say_when_they_are_missed() -> None:
    figure = Figure("p", "cost", "us", [12.0, 11.0, 13.0], "decode", [4.0], Target("at most", 10.0))
    assert figure.value == 12.0
    assert figure.is_met is False
    assert "NOT MET" in as_text([Part("p", "title", [figure])], "a machine")


def test_prada_finds_a_lattice_and_leaves_a_cloud() -> None:
    rng = np.random.default_rng(1)
    cloud, lattice = Prada(), Prada()
    assert not any(cloud.add(query, 0) for query in rng.normal(size=(200, 8)))
    steps = np.repeat(np.arange(100.0), 2)[:, None] * np.ones(8)
    assert any(lattice.add(query * (30 if n % 11 == 0 else 1), 0) for n, query in enumerate(steps))


def test_detection_judges_product_and_peers_alike(trace: Path, tmp_path: Path) -> None:
    assert found_traces([trace.parent]) == [trace]
    out = tmp_path / "product"
    done = product.run_product(str(trace), str(out))
    assert done["records"] > 1000
    judged = judge(trace, "copycatch", out / product.ALERTS, out / product.RECOMMENDATIONS)
    assert disagreement(trace, judged, out / product.ALERTS, out / product.RECOMMENDATIONS) in (None, [])
    queries = read_queries(trace)
    evaluations = product.read_evaluations(out)
    assert len(evaluations.accounts) == len(evaluations.values) > 0
    for firsts in (
        peers.volume_rule(trace),
        peers.prada(queries),
        peers.windowed_mmd(queries),
        peers.half_space_trees(evaluations, queries.warmup_end_ms),
    ):
        assert set(firsts) <= set(queries.names)
    study = Study(machine="a machine", judged=[judged], calibration=[judged], ablation=[])
    write_study(study, tmp_path / "report")
    assert "Trace wine-small-3" in (tmp_path / "report" / "detection.md").read_text()


def test_who_is_named_at_once_learns_nothing(trace: Path, tmp_path: Path) -> None:
    queries = read_queries(trace)
    everybody = write_firsts(dict.fromkeys(queries.names, 0), tmp_path / "alerts.jsonl")
    summary = judge_trace(trace, everybody).summary
    assert summary["recall_alert"] == 1
    assert summary["fidelity_share_at_alert"] == 0
    assert summary["benign_alerted"] == 1
    nobody = write_firsts({}, tmp_path / "none.jsonl")
    assert judge_trace(trace, nobody).summary["fidelity_share_at_alert"] == 1


def test_a_family_that_is_off_is_missing(trace: Path, tmp_path: Path) -> None:
    from tests.benchmarks.isolated import run_isolated

    arguments = {"trace": str(trace), "out": str(tmp_path), "off": "boundary"}
    run_isolated("tests.benchmarks.detection.product:run_product", arguments)
    values = product.read_evaluations(tmp_path).values
    from copycatch.features.catalog import SPECS

    off = np.array([spec.family == "boundary" for spec in SPECS])
    assert np.isnan(values[:, off]).all()
    assert not np.isnan(values[:, ~off]).all()


def test_the_dearest_records_are_judged_and_measured() -> None:
    stream = worst.Stream("nested 500 deep", queries=1, records=8)
    stream.feed(stream.block(with_dear=True))
    assert stream.n_judged == 9
    for number, kind in enumerate(worst.KINDS):
        before = stream.n_judged
        stream.feed(worst.dear(kind, [4_000 + number]))
        n = {"2,000 rows of a request": 2_000, "1,000 prompts of a request": 1_000, "500 spans": 500}.get(
            kind, 1
        )
        assert stream.n_judged == before + n, kind
    found = worst.measure("2,001 messages", queries=2, records=8, rounds=1)
    assert found["bytes"] > 50_000
    assert found["usual_ns"][0] > 0


def test_a_profile_adds_up() -> None:
    words = profile_report(Counter({("windows", "fold"): 3, ("signals", "search"): 1}), 8.0)
    assert "6.00   75.0%  windows" in words
