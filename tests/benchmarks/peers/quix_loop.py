"""Quix Streams over the same topic: state an account in RocksDB, five families as running sums.

Stands alone: it runs with the interpreter of an environment of its own, because the library pins versions
that contradict ours. Prints its rate as JSON.

    python quix_loop.py SERVERS TOPIC RECORDS FOLDER
"""

import json
import math
import sys
import time
from datetime import datetime
from typing import Any

import msgspec
from quixstreams import Application, State  # type: ignore[import-not-found, unused-ignore]

START: dict[str, float] = {
    "n": 0.0,
    "gap": 0.0,
    "gap2": 0.0,
    "last_s": 0.0,
    "values": 0.0,
    "values2": 0.0,
    "entropy": 0.0,
    "margin": 0.0,
    "low": 0.0,
    "distance": 0.0,
    "distance2": 0.0,
}


def features(record: dict[str, Any], state: State) -> dict[str, Any]:
    """Update the account's sums and give its features: volume, timing, entropy, boundary, drift."""
    sums = state.get("sums") or dict(START)
    now_s = datetime.fromisoformat(record["event_time"]).timestamp()
    if sums["n"]:
        gap = now_s - sums["last_s"]
        sums["gap"] += gap
        sums["gap2"] += gap * gap
    sums["last_s"] = now_s
    sums["n"] += 1
    vector, probs = record["input"], sorted(record["probabilities"], reverse=True)
    squares = sum(value * value for value in vector) / len(vector)
    sums["values"] += sum(vector) / len(vector)
    sums["values2"] += squares
    sums["entropy"] -= sum(p * math.log(p) for p in probs if p > 0)
    margin = probs[0] - probs[1]
    sums["margin"] += margin
    sums["low"] += margin < 0.1
    sums["distance"] += math.log1p(squares)
    sums["distance2"] += math.log1p(squares) ** 2
    state.set("sums", sums)
    n = sums["n"]
    return {
        "account": record["account_id"],
        "queries": n,
        "gap": sums["gap"] / n,
        "margin": sums["margin"] / n,
        "low": sums["low"] / n,
        "entropy": sums["entropy"] / n,
        "distance": sums["distance"] / n,
        "spread": sums["distance2"] / n - (sums["distance"] / n) ** 2,
    }


def main() -> None:
    servers, topic_name, count, folder = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
    moments: list[tuple[float, float]] = []

    def note(_topic: str, _partition: int, _offset: int) -> None:
        moments.append((time.perf_counter(), time.process_time()))

    app = Application(
        broker_address=servers,
        consumer_group=f"quix-{time.time_ns()}",
        auto_offset_reset="earliest",
        state_dir=folder,
        processing_guarantee="exactly-once",
        commit_interval=1.0,
        loglevel="ERROR",
        use_changelog_topics=False,
        on_message_processed=note,
    )
    topic = app.topic(topic_name, value_deserializer="bytes", key_deserializer="bytes")
    frame = app.dataframe(topic)
    frame = frame.apply(msgspec.json.decode)
    frame = frame.apply(features, stateful=True)
    frame.filter(lambda row: row["queries"] > 15 and row["distance"] > 1e9)
    app.run(count=count, timeout=120)
    n = len(moments) - 1
    wall_s, cpu_s = moments[-1][0] - moments[0][0], moments[-1][1] - moments[0][1]
    print(json.dumps({"per_s": n / wall_s, "cpu_us": cpu_s / n * 1e6}))


if __name__ == "__main__":
    main()
