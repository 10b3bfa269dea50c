import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from copycatch.__main__ import main
from tests.support.service import read_all

SIMULATE = [
    "simulate", "--victim", "wine", "--preset", "small", "--seed", "3", "--benign", "12", "--budget", "60",
    "--quiet",
]  # fmt: skip


@pytest.mark.kafka
def test_records_go_to_a_topic_and_the_truth_beside_them(
    kafka_servers: str, make_topic: Callable[[str, int], str], tmp_path: Path
) -> None:
    topic = make_topic("simulated", 3)
    settings = tmp_path / "settings.yaml"
    settings.write_text(f"kafka: {{bootstrap_servers: [{kafka_servers}], compression: gzip}}\n")
    place = ["--out", f"kafka:///{topic}", "--settings", str(settings), "--truth", str(tmp_path / "truth")]
    assert main([*SIMULATE, *place]) == 0
    messages = read_all(kafka_servers, topic)
    records = [json.loads(message.value) for message in messages]
    assert [message.key.decode() for message in messages] == [each["account_id"] for each in records]
    assert len({message.partition for message in messages}) > 1
    for account in {each["account_id"] for each in records}:
        own = [(m.partition, r["event_time"]) for m, r in zip(messages, records, strict=True)
               if r["account_id"] == account]  # fmt: skip
        assert own == sorted(own), "one partition, in the order of time"
        assert len({partition for partition, _ in own}) == 1
    with (tmp_path / "truth" / "labels.csv").open(newline="") as rows:
        labels = {row["account_id"]: int(row["queries"]) for row in csv.DictReader(rows)}
    sent = {name: sum(each["account_id"] == name for each in records) for name in labels}
    assert sent == labels
    assert json.loads((tmp_path / "truth" / "meta.json").read_text())["events"] == len(records)


@pytest.mark.kafka
def test_the_topic_holds_what_the_folder_would(
    kafka_servers: str, make_topic: Callable[[str, int], str], capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    topic = make_topic("simulated", 1)
    assert main([*SIMULATE, "--out", f"kafka://{kafka_servers}/{topic}"]) == 0
    capfdbinary.readouterr()
    assert main([*SIMULATE, "--out", "-"]) == 0
    lines = capfdbinary.readouterr().out.splitlines()
    assert [message.value for message in read_all(kafka_servers, topic)] == lines


@pytest.mark.kafka
def test_a_missing_topic_is_told(kafka_servers: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SIMULATE, "--out", f"kafka://{kafka_servers}/never-made"]) == 3
    assert "never-made does not exist" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("kafka://host:9092", "'' is no topic"),
        ("kafka://host:9092/two/parts", "'two/parts' is no topic"),
        ("kafka://host/topic", "'host' is no HOST:PORT"),
    ],
)
def test_a_wrong_address_is_told_before_any_work(
    place: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", "--out", place]) == 2
    assert words in capsys.readouterr().err


def test_a_topic_cannot_be_judged_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--out", "kafka://host:9092/topic", "--judge"]) == 2
    assert "needs a folder in --out, not kafka://" in capsys.readouterr().err
