"""The rest of some traffic judged from a snapshot on; run by another version of the source too.

python -m tests.support.growth SNAPSHOT OUT.npz
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from copycatch.engine import EngineState, new_state, restore, step
from copycatch.features.catalog import NAMES
from copycatch.records.columns import RecordBatch
from copycatch.records.policy import Policy
from copycatch.scoring.catalog import FAMILIES
from copycatch.units import UnixMs
from tests.support.traffic import NOW_MS, batches, traffic

BATCH = 500
N_BEFORE = 4_500
POLICY = Policy()


def grown_batches() -> list[RecordBatch]:
    return list(batches(traffic(seed=5, n_accounts=40, n_records=6_000, hours=60), [BATCH]))


def grown_outcomes(state: EngineState) -> dict[str, Any]:
    """Evaluations of all records after the first `N_BEFORE`."""
    found = [
        each
        for batch in grown_batches()[N_BEFORE // BATCH :]
        for each in step(state, batch, UnixMs(NOW_MS), POLICY).evaluations
    ]
    return {
        "names": np.array(NAMES),
        "families": np.array(FAMILIES),
        "lifetime": np.concatenate([evaluations.lifetime.values for evaluations, _ in found]),
        "tail_probs": np.concatenate([scores.tail_probs for _, scores in found]),
        "family_values": np.concatenate([scores.basis.families for _, scores in found]),
    }


def main(before: str, out: str) -> None:
    state = new_state(POLICY)
    warnings = restore(state, "logs:0", Path(before).read_bytes())
    np.savez(out, warnings=np.array(warnings), **grown_outcomes(state))


if __name__ == "__main__":
    main(*sys.argv[1:])
