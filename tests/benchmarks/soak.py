"""Soak: accelerated traffic through the service's own runner and snapshots; memory must stay flat.

python -m tests.benchmarks.soak --minutes 60
python -m tests.benchmarks.soak --minutes 60 --text-share 0.3 --records-per-s 2500   beside others

Records are of a classifier and, as `--text-share` says, of a language model: a grammar writes its prompts.

Days of event time pass in minutes. Accounts come and go: each day a share of them is replaced by ones never
seen, so that eviction, idle episodes, id horizons and populations all turn over. The first third is warm-up;
after that the trend of resident memory is fitted, and more than 2 % an hour of growth fails.
"""

import argparse
import json
import logging
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import structlog

from copycatch.adapters.clock import SystemClock
from copycatch.adapters.memory import MemoryLog, MemoryMetrics, MemorySink
from copycatch.adapters.snapshots import DirectorySnapshots
from copycatch.ports import Shard, ShardListener
from copycatch.records.columns import IntArray, RawBatch
from copycatch.records.policy import Policy
from copycatch.redteam.inputs import draw_many_styles
from copycatch.redteam.llm import prompt_texts
from copycatch.service.bootstrap import decoder_maker, make_judge
from copycatch.service.checkpoint import Checkpoint
from copycatch.service.runner import Pace, Runner, RunnerParts
from copycatch.settings.service import Input
from tests.benchmarks.machine import resident_bytes
from tests.benchmarks.traffic import DAY_MS, N_CLASSES, START_MS, TOPICS, Draw, account_name

SHARD = Shard("soak", 0)
LOOK_EVERY_S = 10.0
LENGTH = 16  # of an input
GROWTH_PER_HOUR_MAX = 0.02
QUANTILES = {"p50": 0.5, "p99": 0.99, "max": 1.0}


class Comers(Draw):
    """Accounts by Zipf; `offset` moves on, so that the lowest numbers have gone and new ones have come."""

    offset = 0

    def accounts(self, n: int) -> IntArray:
        return super().accounts(n) + self.offset


class Records:
    """Records of a classifier and a language model, no two alike and no account's address another's.

    Bodies that many accounts drew from one pool would be a deck dealt to them, and openings that a few share
    a kit: campaigns. So each account opens its prompts with its own name.
    """

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng([seed, 3])
        self._centres = self._rng.normal(0, 2, (TOPICS, LENGTH))
        self._weights = self._rng.normal(0, 1, (LENGTH, N_CLASSES))
        self._prompts = prompt_texts(seed)
        self._sent = 0

    def lines(self, accounts: IntArray, start_ms: int, per_s: float, text_share: float) -> Iterator[bytes]:
        """One an account number, in order of time, `per_s` of them a second of event time."""
        n = len(accounts)
        is_text = self._rng.random(n) < text_share
        texts = iter(draw_many_styles(self._prompts, int(is_text.sum()), self._rng)[0].tolist())
        topics = (accounts + self._rng.integers(3, size=n)) % TOPICS
        inputs = self._centres[topics] + self._rng.normal(0, 0.8, (n, LENGTH))
        logits = inputs @ self._weights
        probs = np.exp(logits - logits.max(axis=1, keepdims=True))
        probs /= probs.sum(axis=1, keepdims=True)
        encode = msgspec.json.Encoder().encode
        for at, account in enumerate(accounts.tolist()):
            self._sent += 1
            spread = account * 40_503 % (1 << 24)
            record: dict[str, object] = {
                "event_id": f"{self._sent:012x}",
                "event_time": start_ms + int(at * 1000 / per_s),
                "account_id": account_name(account),
                "client_ip": f"10.{spread >> 16}.{spread >> 8 & 255}.{spread & 255}",
                "status": 200,
            }
            if is_text[at]:
                record |= {
                    "model_id": "language-model",
                    "input": f"{account_name(account)}: {next(texts)}",
                    "output_tokens": int(topics[at]),
                }
                record["params"] = {"temperature": 0.7, "max_tokens": 512}
            else:
                record |= {"model_id": "classifier", "input": np.round(inputs[at], 2).tolist()}
                record |= {"probabilities": np.round(probs[at], 4).tolist()}
            yield encode(record)


class EndlessSource:
    """Records without end until the time is over, made as they are asked for.

    Of every poll `text_share` is of a language model; there are at most `records_per_s` where that is not 0.
    """

    def __init__(
        self, accounts: int, records_per_day: int, churn: float, seconds: float,
        text_share: float = 0.0, records_per_s: float = 0.0,
    ) -> None:  # fmt: skip
        self._records = Records(seed=5)
        self._text_share = text_share
        self._records_per_s = records_per_s
        self._draw = Comers(accounts, "zipf", seed=6)
        self._records_per_day = records_per_day
        self._churned_per_day = round(accounts * churn)
        self._began_s = time.monotonic()
        self._end_s = self._began_s + seconds
        self._listener: ShardListener | None = None
        self.position = 0
        self.gaps = self.records_lost = 0  # nothing is ever lost here

    @property
    def days(self) -> float:
        return self.position / self._records_per_day

    @property
    def churned(self) -> int:
        """Accounts that have gone, each followed by a new one."""
        return round(self.days * self._churned_per_day)

    def start(self, listener: ShardListener) -> None:
        self._listener = listener
        listener.on_assigned([SHARD])

    def poll(self, records_max: int, timeout_s: float) -> list[RawBatch]:
        if self._records_per_s:
            ahead_s = self.position / self._records_per_s - (time.monotonic() - self._began_s)
            time.sleep(max(ahead_s, 0.0))
        self._draw.offset = self.churned
        start_ms = START_MS + round(self.days * DAY_MS)
        accounts, per_s = self._draw.accounts(records_max), self._records_per_day / 86_400
        values = list(self._records.lines(accounts, start_ms, per_s, self._text_share))
        positions = list(range(self.position, self.position + len(values)))
        self.position += len(values)
        return [RawBatch(SHARD.topic, SHARD.partition, positions, values)]

    def seek(self, shard: Shard, position: int) -> None:
        self.position = position

    def bounds(self, shard: Shard) -> tuple[int, int]:
        return 0, sys.maxsize

    def start_position(self, shard: Shard) -> int:
        return 0

    def pause(self, shards: Iterable[Shard]) -> None:
        """Never asked."""

    def resume(self, shards: Iterable[Shard]) -> None:
        """Never asked."""

    def lags(self) -> dict[Shard, int]:
        return {SHARD: 0}

    @property
    def is_exhausted(self) -> bool:
        return time.monotonic() > self._end_s

    def rejoin(self) -> None:
        """Never asked."""

    def close(self) -> None:
        """Nothing is open."""


def soak(
    minutes: float, accounts: int, accounts_max: int, records_per_day: int, churn: float,
    text_share: float = 0.0, records_per_s: float = 0.0,
) -> dict[str, float]:  # fmt: skip
    """Run, tell on stderr every few seconds, and give the figures."""
    clock, metrics = SystemClock(), MemoryMetrics()
    source = EndlessSource(accounts, records_per_day, churn, minutes * 60, text_share, records_per_s)
    log = MemoryLog()
    sink = MemorySink(log)
    decoders = {"*": decoder_maker(Input(topic="soak"))}
    judge = make_judge(Policy(), accounts_max, b"soak, no secret at all", decoders, metrics)
    looks: list[tuple[float, int]] = []
    pauses_s: list[float] = []
    began_s = time.monotonic()

    def look() -> None:
        log.written.clear()
        pause_s = metrics.values.pop(("copycatch_snapshot_pause_seconds", ()), None)
        if pause_s is not None:
            pauses_s.append(pause_s)
        now_s = time.monotonic() - began_s
        if not looks or now_s - looks[-1][0] >= LOOK_EVERY_S:
            looks.append((now_s, resident_bytes()))
            resident = f"{looks[-1][1] / 2**20:7.0f} MiB"
            line = f"{now_s:6.0f} s  day {source.days:6.1f}  {source.position:>11,} records  {resident}"
            print(line, file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory() as folder:
        store = DirectorySnapshots(Path(folder), b"soak, no secret at all", keep=2)
        checkpoint = Checkpoint(judge, sink, store, clock, metrics, interval_s=15.0)
        Runner(
            RunnerParts(source, sink, judge, clock, metrics),
            checkpoint,
            pace=Pace(records_max=5000),
            on_turn=look,
        ).run()
    return {
        "minutes": minutes,
        "event_days": round(source.days, 1),
        "records": source.position,
        "records_per_s": round(source.position / (minutes * 60)),
        "resident_mib_settled": round(looks[len(looks) // 3][1] / 2**20),
        "resident_mib_last": round(looks[-1][1] / 2**20),
        "growth_per_hour": round(_growth_per_hour(looks), 4),
        "snapshots": len(pauses_s),
        "accounts_seen": accounts + source.churned,
        **{f"snapshot_pause_ms_{name}": _quantile_ms(pauses_s, share) for name, share in QUANTILES.items()},
    }


def _quantile_ms(times_s: list[float], share: float) -> float:
    return round(1000 * float(np.quantile(times_s, share)), 1) if times_s else float("nan")


def _growth_per_hour(looks: list[tuple[float, int]]) -> float:
    """Slope of resident memory over the last two thirds, as a share of its mean."""
    settled = looks[len(looks) // 3 :]
    if len(settled) < 3:
        return float("nan")
    seconds, resident = np.array(settled, dtype=np.float64).T
    slope = float(np.polyfit(seconds, resident, 1)[0])
    return slope * 3600 / float(resident.mean())


def _lines(figures: dict[str, float]) -> Iterator[str]:
    for name, value in figures.items():
        yield f"{name:24} {value:,}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--accounts", type=int, default=50_000, help="who is active at a time")
    parser.add_argument("--accounts-max", type=int, default=60_000, help="rows that the engine keeps")
    parser.add_argument("--records-per-day", type=int, default=2_000_000)
    parser.add_argument("--churn", type=float, default=0.1, help="share of accounts replaced each day")
    parser.add_argument("--text-share", type=float, default=0.3, help="of the records, of a language model")
    parser.add_argument("--records-per-s", type=float, default=0.0, help="at most; 0 for as many as it can")
    args = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    figures = soak(
        args.minutes, args.accounts, args.accounts_max, args.records_per_day, args.churn,
        args.text_share, args.records_per_s,
    )  # fmt: skip
    print("\n".join(_lines(figures)))
    print(json.dumps(figures))
    is_flat = not figures["growth_per_hour"] > GROWTH_PER_HOUR_MAX
    return 0 if is_flat else 1


if __name__ == "__main__":
    sys.exit(main())
