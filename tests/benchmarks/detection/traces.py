"""Trace folders: those that lie beside the checkout, and fresh ones simulated for this run."""

import csv
import gzip
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from copycatch.embedding.embedder import TextEmbedder
from copycatch.formats.catalog import make_decoder
from copycatch.formats.shared.format import FormatOptions
from copycatch.intake.columns import ColumnBuilder
from copycatch.records.columns import Float32Array, FloatArray, IntArray, VectorBlock
from copycatch.redteam.campaign import CampaignPlan, simulate
from copycatch.redteam.presets import PRESETS
from copycatch.redteam.trace import LOG_NAME, write_campaign
from copycatch.redteam.victims import build_victim
from copycatch.units import parse_rfc3339
from tests.benchmarks.traffic import raw_batches

DEVELOPMENT = Path(__file__).parents[4] / "shared" / "traces"
HTTP_ERROR = 400
HONEST_PART = "-honest"
NEEDED = (LOG_NAME, "labels.csv", "fidelity.json", "times.json.gz", "meta.json")


def found_traces(folders: list[Path]) -> list[Path]:
    """Folders, and folders in folders, that hold a whole trace.

    Examples
    --------
    >>> found_traces([Path("no/such/folder")])
    []
    """
    candidates = [path for folder in folders for path in (folder, *sorted(folder.glob("*")))]
    return [path for path in candidates if all((path / name).exists() for name in NEEDED)]


def simulated_trace(victim: str, preset: str, seed: int, folder: Path) -> Path:
    """A trace of `copycatch simulate`; made once a seed."""
    path = folder / f"{victim}-{preset}-{seed}"
    if not found_traces([path]):
        row = PRESETS[preset]
        plan = row.make(victim, seed, row.budget)
        write_campaign(simulate(plan, build_victim(victim, seed), lambda _step: None), path)
    return path


def write_simulated(victim: str, preset: str, seed: int, folder: str) -> dict[str, str]:
    """`simulated_trace` in a process of its own."""
    return {"folder": str(simulated_trace(victim, preset, seed, Path(folder)))}


def write_population(victim: str, accounts: int, seed: int, folder: str) -> dict[str, str]:
    """A week of honest accounts and nobody else; runs in a child."""
    path = Path(folder) / f"{victim}-honest-{accounts}-{seed}"
    if not found_traces([path]):
        plan = CampaignPlan(victim, seed, n_benign=accounts)
        write_campaign(simulate(plan, build_victim(victim, seed), lambda _step: None), path)
    return {"folder": str(path)}


def write_honest_part(trace: str, folder: str) -> dict[str, str]:
    """A trace without its attackers' records; runs in a child."""
    source, path = Path(trace), Path(folder) / f"{Path(trace).name}{HONEST_PART}"
    path.mkdir(parents=True, exist_ok=True)
    with (source / "labels.csv").open(newline="") as rows:
        labels = list(csv.DictReader(rows))
    honest = {row["account_id"] for row in labels if row["is_attack"] == "0"}
    with (path / "labels.csv").open("w", newline="") as out:
        writer = csv.DictWriter(out, list(labels[0]))
        writer.writeheader()
        writer.writerows(row for row in labels if row["account_id"] in honest)
    with gzip.open(source / LOG_NAME, "rb") as lines, gzip.open(path / LOG_NAME, "wb", 3) as kept:
        kept.writelines(line for line in lines if json.loads(line)["account_id"] in honest)
    (path / "fidelity.json").write_text("[]")
    packed = json.loads(gzip.decompress((source / "times.json.gz").read_bytes()))
    packed["event_ms"] = {name: at for name, at in packed["event_ms"].items() if name in honest}
    (path / "times.json.gz").write_bytes(gzip.compress(json.dumps(packed).encode()))
    (path / "meta.json").write_bytes((source / "meta.json").read_bytes())
    return {"folder": str(path)}


@dataclass(frozen=True)
class Queries:
    """What the peers see of a trace: answered queries in event order.

    `embeddings` are numeric inputs where the log has no embedding, `inputs` embeddings where inputs are text;
    `accounts` index `names`.
    """

    names: list[str]
    accounts: IntArray
    times_ms: IntArray
    labels: IntArray
    inputs: FloatArray
    embeddings: FloatArray
    warmup_end_ms: int

    def of(self, account: int) -> IntArray:
        """Positions of an account's queries."""
        return np.flatnonzero(self.accounts == account)


def read_queries(folder: Path) -> Queries:
    """Decode a trace's log for the peers."""
    builder, decoder = (
        ColumnBuilder(b"benchmark, no secret", TextEmbedder()),
        make_decoder("native", FormatOptions()),
    )
    ids: list[str] = []
    times, labels = [], []
    inputs: list[Float32Array] = []
    embeddings: list[Float32Array] = []
    with gzip.open(folder / LOG_NAME, "rb") as lines:
        for raw in raw_batches(iter(lines)):
            batch, _ = builder.build(raw, decoder.decode(raw))
            is_answered = batch.statuses < HTTP_ERROR
            ids += [name for name, kept in zip(batch.account_ids, is_answered, strict=True) if kept]
            times.append(batch.event_times_ms[is_answered])
            labels.append(batch.label_codes[is_answered])
            inputs.append(_in_order(batch.inputs or batch.embeddings)[is_answered])
            embeddings.append(_in_order(batch.embeddings or batch.inputs)[is_answered])
    names = sorted(set(ids))
    number = {name: index for index, name in enumerate(names)}
    meta = json.loads((folder / "meta.json").read_text())
    times_ms = np.concatenate(times)
    return Queries(
        names=names,
        accounts=np.array([number[name] for name in ids], dtype=np.int64),
        times_ms=times_ms,
        labels=np.concatenate(labels),
        inputs=np.concatenate(inputs).astype(np.float64),
        embeddings=np.concatenate(embeddings).astype(np.float64),
        warmup_end_ms=int(times_ms[0]) + round(meta["warmup_days"] * 86_400_000),
    )


def _in_order(blocks: list[VectorBlock]) -> Float32Array:
    """One model's vectors along the batch; every record of a trace has one."""
    rows = np.concatenate([block.rows for block in blocks])
    values: Float32Array = np.concatenate([block.values for block in blocks])[np.argsort(rows)]
    return values


def all_times(folder: Path) -> tuple[list[str], IntArray, IntArray]:
    """Names, account numbers and times of every record, refused ones too: what a gateway's counter sees."""
    with (folder / "labels.csv").open(newline="") as rows:
        names = [row["account_id"] for row in csv.DictReader(rows)]
    packed = json.loads(gzip.decompress((folder / "times.json.gz").read_bytes()))
    base = packed["base"]
    base_ms = parse_rfc3339(base) if isinstance(base, str) else int(base)
    accounts = np.concatenate(
        [np.full(len(packed["event_ms"][name]), number) for number, name in enumerate(names)]
    )
    times_ms = np.concatenate(
        [np.array(packed["event_ms"][name], dtype=np.int64) + base_ms for name in names]
    )
    return names, accounts.astype(np.int64), times_ms
