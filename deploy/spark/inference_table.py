"""An inference table on Spark, cell by cell: a table at once, then the same table as a stream.

    pip install 'copycatch[spark]'            # and Java 17
    python deploy/spark/inference_table.py FOLDER

Runs as it stands on one machine, with a table that it makes. On a cluster leave out cells 1 and 2, and read
your own: `spark.read.table("main.serving.payload")`, with `log=Input(format="databricks")` for one of
Databricks. Outcomes are frames: write them where your SIEM reads.
"""

# %% 1. A session. State in Python needs RocksDB.
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from pyspark.sql import SparkSession

os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
folder = Path(sys.argv[1]).absolute()
spark = (
    SparkSession.builder.master("local[2]")
    .config("spark.sql.shuffle.partitions", "2")
    .config("spark.sql.session.timeZone", "UTC")
    .config(
        "spark.sql.streaming.stateStore.providerClass",
        "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider",
    )
    .getOrCreate()
)

# %% 2. A table: thirty accounts that ask what users ask, and one that asks all over the space for a day.
rng = np.random.default_rng(7)
n = 3_000
hours = np.sort(rng.uniform(0, 48, n))
honest = [f"acct-{i:02d}" for i in rng.integers(0, 30, n)]
accounts = np.where((hours > 30) & (rng.random(n) < 0.3), "acct-7f3a", honest)
asked = rng.normal(0, 1, (6, 8))[rng.integers(0, 6, n)] + rng.normal(0, 0.3, (n, 8))
asked[accounts == "acct-7f3a"] = rng.uniform(-4, 4, (int((accounts == "acct-7f3a").sum()), 8))
scores = np.exp(asked @ rng.normal(0, 1, (8, 4)))
probabilities = scores / scores.sum(axis=1, keepdims=True)
table = pd.DataFrame(
    {
        "event_id": [f"query-{i:05d}" for i in range(n)],
        "event_time": pd.Timestamp("2026-01-05", tz="UTC")
        + pd.to_timedelta((hours * 3.6e6).round(), unit="ms"),
        "account_id": accounts,
        "model_id": "grades",
        "input": list(asked.round(4)),
        "predicted_label": probabilities.argmax(axis=1),
        "probabilities": list(probabilities.round(5)),
    }
)
(folder / "payload").mkdir(parents=True)
for number, part in enumerate(np.array_split(np.arange(n), 3)):
    path = folder / "payload" / f"part-{number}.parquet"
    table.iloc[part].to_parquet(path, coerce_timestamps="us")
    os.utime(path, (1_800_000_000 + number,) * 2)  # a stream takes the oldest file first

# %% 3. The whole table at once: what would have been said, before anything runs.
from copycatch.records.policy import Policy  # noqa: E402
from copycatch.spark import detect  # noqa: E402

payload = spark.read.parquet(str(folder / "payload"))
found = detect(payload, Policy())
found.alerts.selectExpr(
    "get_json_object(value, '$.entity.id') AS account",
    "get_json_object(value, '$.severity') AS severity",
    "get_json_object(value, '$.words') AS words",
).show(truncate=100)

# %% 4. The same as a stream: run this cell on a schedule, or leave `trigger` out and let it run.
stream = detect(
    spark.readStream.schema(payload.schema).option("maxFilesPerTrigger", 1).parquet(str(folder / "payload")),
    Policy(),
    folder=str(folder / "copycatch"),
    hmac_key=os.environ.get("COPYCATCH_HMAC_KEY", "an example, no secret").encode(),
    trigger={"availableNow": True},
)
assert stream.query is not None
stream.query.awaitTermination()

# %% 5. What was written, each alert once; `stream.alerts` is a stream over the same files, for `writeStream`.
alerts = spark.read.schema(stream.alerts.schema).parquet(str(folder / "copycatch" / "alerts"))
print(
    alerts.count(),
    "alerts, the first about",
    alerts.selectExpr("get_json_object(value, '$.entity.id')").first()[0],
)
