import json
from pathlib import Path

import pytest

from copycatch.__main__ import main

SMALL = [
    "simulate",
    "--victim",
    "wine",
    "--preset",
    "small",
    "--seed",
    "3",
    "--benign",
    "12",
    "--budget",
    "60",
    "--quiet",
]


def test_a_trace_is_written(tmp_path: Path) -> None:
    assert main([*SMALL, "--out", str(tmp_path)]) == 0
    assert {p.name for p in tmp_path.iterdir()} == {
        "log.jsonl.gz",
        "labels.csv",
        "fidelity.json",
        "times.json.gz",
        "meta.json",
    }


def test_records_go_to_standard_output(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main([*SMALL, "--out", "-", "--attack", "uniform=40"]) == 0
    records = [json.loads(line) for line in capfdbinary.readouterr().out.splitlines()]
    assert len(records) > 200
    assert {r["model_id"] for r in records} == {"wine"}


def test_the_detector_judges(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    attacks = ["--attack", "uniform=60", "--attack", "knockoff_random+adaptive=60"]
    assert (
        main([*SMALL, *attacks, "--out", str(tmp_path), "--judge", "--plot", str(tmp_path / "p.html")]) == 0
    )
    told, beside = capsys.readouterr()
    assert "uniform" in told
    assert "shard begins" not in told + beside, "the service's log is no part of a verdict"
    assert "honest accounts" in told
    assert (tmp_path / "p.html").read_text().count("<svg") == 1
    assert (tmp_path / "alerts.jsonl").exists()
    assert (tmp_path / "recommendations.jsonl").exists()


def test_what_there_is_can_be_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--list"]) == 0
    told = capsys.readouterr().out
    for name in ("digits", "jbda", "ring10", "resubmitter", "demo"):
        assert name in told


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "--out DIR is needed"),
        (["--out", "-", "--judge"], "needs a folder"),
        (["--out", "x", "--victim", "nonesuch"], "digits"),
        (["--out", "x", "--preset", "nonesuch"], "trace"),
        (["--out", "x", "--victim", "wine", "--attack", "nonesuch"], "no attack"),
        (["--out", "x", "--victim", "wine", "--attack", "jbda=many"], "no number"),
        (["--out", "x", "--callable", "a:b"], "--samples"),
        (["--out", "x", "--endpoint", "http://127.0.0.1:9/"], "--samples"),
    ],
)
def test_wrong_options_are_told_in_words(
    options: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["simulate", *options]) == 2
    assert words in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert main([*SMALL, "--attack", "uniform=20", "--out", str(tmp_path / "file" / "trace")]) == 3
    assert "file/trace cannot be written" in capsys.readouterr().err


def test_an_endpoints_budget_is_checked_before_it_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    samples = tmp_path / "s.csv"
    samples.write_text("\n".join(f"{i},{i % 7}" for i in range(80)))
    own = [
        "simulate",
        "--out",
        str(tmp_path / "t"),
        "--endpoint",
        "http://127.0.0.1:9/",
        "--samples",
        str(samples),
    ]
    assert main([*own, "--attack", "jbda=30", "--query-budget", "100"]) == 2
    assert "need 110 queries" in capsys.readouterr().err
    assert main([*own, "--attack", "jbda=30"]) == 2
    assert "--query-budget" in capsys.readouterr().err
    assert main([*own, "--attack", "jbda=30", "--query-budget", "200"]) == 3
    assert "cannot be reached" in capsys.readouterr().err
