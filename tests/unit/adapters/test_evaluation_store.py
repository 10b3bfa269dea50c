"""Evaluations that `run` keeps: a backtest on them says what one on the log says."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from copycatch.__main__ import main
from copycatch.adapters.clock import ManualClock
from copycatch.adapters.evaluation_store import KeepingSink, read_evaluations
from copycatch.adapters.memory import MemoryLog, MemoryMetrics, MemorySink
from copycatch.errors import ConfigError, StateError
from copycatch.features.catalog import NAMES
from copycatch.ports import Delivery
from copycatch.records.columns import Outcomes
from copycatch.units import MS_PER_DAY, UnixMs
from tests.support.evaluations import Seen, columns
from tests.support.traffic import START_MS, traffic

LIMIT = (
    "rules: [{name: fast, when: {feature: queries_per_s_long, above: 0.0002}, severity: high, action: block}]"
)


def sink_of(folder: Path, clock: ManualClock, days: int = 3, bytes_max: int = 1 << 30) -> KeepingSink:
    return KeepingSink(MemorySink(MemoryLog()), folder, NAMES, days, bytes_max, clock, MemoryMetrics())


def unit(*accounts: str) -> Outcomes:
    evaluations, scores = columns([Seen(name, START_MS, 1e-5) for name in accounts])
    scores.values = np.tile(np.arange(len(NAMES), dtype=float), (len(accounts), 1))
    return Outcomes(evaluations=[(evaluations, scores)])


def kept_accounts(folder: Path) -> list[str]:
    return [
        account
        for outcomes, _ in read_evaluations(folder, NAMES)
        for evaluations, _ in outcomes.evaluations
        for account in evaluations.account_ids
    ]


def test_a_backtest_needs_no_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log, kept, policy = tmp_path / "log.jsonl", tmp_path / "kept", tmp_path / "policy.yaml"
    log.write_text("".join(json.dumps(each) + "\n" for each in traffic(3, 40, 6000, 60.0)))
    policy.write_text(f"version: 1\n{LIMIT}\n")
    settings = tmp_path / "settings.yaml"
    settings.write_text(
        f"evaluations: {{directory: {kept}}}\nsnapshots: {{directory: {tmp_path / 'state'}}}\n"
    )
    out = tmp_path / "out.jsonl"
    assert main(["run", "--settings", str(settings), "--source", str(log), "--sink", str(out)]) == 0
    assert [path.stat().st_mode & 0o777 for path in kept.iterdir()] == [0o600]
    capsys.readouterr()
    said = []
    for where in ([str(log), "--quiet"], ["--evaluations", str(kept)]):
        assert main(["backtest", *where, "--new", str(policy), "--json"]) == 0
        said.append(json.loads(capsys.readouterr().out))
    of_log, of_kept = said
    assert of_log["new"][0]["gained"], "the limit names somebody"
    assert of_log["old"]["alerted"] >= 1, "the thief is found"
    assert of_kept == of_log
    narrow = tmp_path / "narrow.yaml"
    narrow.write_text("version: 1\nwindows: {short: 5m}\n")
    assert main(["backtest", "--evaluations", str(kept), "--old", str(narrow), "--new", str(narrow)]) == 2
    assert "other windows" in capsys.readouterr().err
    assert main(["backtest", "--new", str(policy)]) == 2


def test_what_is_kept_comes_back_as_it_was(tmp_path: Path) -> None:
    sink, given = sink_of(tmp_path, ManualClock(UnixMs(START_MS))), unit("a", "b")
    sink.deliver(Delivery(given, {}))
    sink.deliver(Delivery(Outcomes(), {}))
    sink.close()
    ((found, _),) = read_evaluations(tmp_path, NAMES)
    (evaluations, scores), (of_given, scores_given) = found.evaluations[0], given.evaluations[0]
    assert evaluations.account_ids == of_given.account_ids
    assert np.array_equal(scores.values, scores_given.values, equal_nan=True)
    assert np.array_equal(scores.tail_probs, scores_given.tail_probs)
    # Another version's catalogue: what it lacks is missing, what went is left out.
    ((again, _),) = read_evaluations(tmp_path, [NAMES[1], "new_feature"])
    assert np.array_equal(again.evaluations[0][1].values, [[1.0, np.nan]] * 2, equal_nan=True)


def test_days_and_bytes_are_bounded(tmp_path: Path) -> None:
    clock = ManualClock(UnixMs(START_MS))
    sink = sink_of(tmp_path, clock)
    for day in range(6):
        clock.sleep(MS_PER_DAY / 1000)
        sink.deliver(Delivery(unit(f"day{day}"), {}))
    sink.close()
    assert kept_accounts(tmp_path) == ["day3", "day4", "day5"]
    few = sink_of(tmp_path, clock, bytes_max=1)
    few.deliver(Delivery(unit("last"), {}))
    few.close()
    assert kept_accounts(tmp_path) == ["last"]


def test_a_cut_end_is_left_out_and_damage_is_named(tmp_path: Path) -> None:
    sink = sink_of(tmp_path, ManualClock(UnixMs(START_MS)))
    for name in ("a", "b"):
        sink.deliver(Delivery(unit(name), {}))
    sink.close()
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[:-3])
    assert kept_accounts(tmp_path) == ["a"]
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(StateError, match="is damaged at byte"):
        kept_accounts(tmp_path)
    path.write_bytes(struct.pack("<QI", 1 << 62, 0) + b"x")
    assert list(read_evaluations(tmp_path, NAMES)) == []
    with pytest.raises(ConfigError, match="holds no evaluations"):
        kept_accounts(tmp_path / "missing")
