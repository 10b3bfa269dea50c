"""Plain records as a compiled reader leaves them: places of strings, numbers, vectors end to end."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from copycatch.records.columns import Float32Array, FloatArray, IntArray

# Strings that occur again and again; each distinct one is kept once.
NAMES: Final = (
    "account_id", "model_id", "tenant_id", "api_key_id", "user_agent", "client_ip", "predicted_label",
)  # fmt: skip
TEXTS: Final = ("event_id", "input", "output_text")
NUMBERS: Final = (
    "has_logprobs", "top_logprobs", "logit_bias", "n", "temperature", "max_tokens", "input_tokens",
    "output_tokens", "latency_ms", "status", "score_first", "score_second",
)  # fmt: skip
VECTORS: Final = ("input", "embedding", "probabilities")
NAME_AT: Final = {name: index for index, name in enumerate(NAMES)}
TEXT_AT: Final = {name: index for index, name in enumerate(TEXTS)}
NUMBER_AT: Final = {name: index for index, name in enumerate(NUMBERS)}
VECTOR_AT: Final = {name: index for index, name in enumerate(VECTORS)}
NO_LABEL: Final = -1


@dataclass(slots=True)
class Scan:
    """Records of one poll, in order; arrays have one row a record.

    `text` is all messages end to end and `rows` says which of them each record is. Names are numbers into
    `distinct`, whose rows are places (start, stop) in `text`; -1 where missing. Texts are places, (0, 0)
    where missing; numbers NaN where missing. Vector v of record i is
    `values[vector_at[i, v] : vector_at[i, v] + vector_lengths[i, v]]`.
    """

    text: bytes
    rows: IntArray
    times_ms: IntArray
    names: npt.NDArray[np.int32]  # (n, NAMES)
    distinct: IntArray  # (n_distinct, 2)
    texts: IntArray  # (n, TEXTS, 2)
    has_text: npt.NDArray[np.bool_]  # (n,) whether the input is text: it may be empty
    has_output: npt.NDArray[np.bool_]  # (n,)
    labels: IntArray  # (n,) labels that are numbers, else NO_LABEL
    numbers: FloatArray  # (n, NUMBERS)
    values: Float32Array
    vector_at: IntArray  # (n, VECTORS)
    vector_lengths: IntArray  # (n, VECTORS), 0 where missing
    unescaped: dict[int, str]  # texts that were written with escapes, by where they start in `text`

    def __len__(self) -> int:
        return len(self.rows)
