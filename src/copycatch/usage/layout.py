"""What is kept of each account's use of a language model: one record of bytes an account."""

from typing import Final

import numpy as np

from copycatch.layout.structs import offsets_of, row_dtype
from copycatch.usage.words import WORD_CELLS

VECTOR: Final = 64  # dimensions of a query's vector
SAMPLE: Final = 32  # queries in the uniform sample of all
RECENT: Final = 6  # newest queries
OPENINGS: Final = 12  # counters of first characters; as many of last ones
SETTINGS: Final = 8  # counters of request options
PROMPTS: Final = 16  # prompts with their logit bias
# Counts and sums are halved here, so that they are about the last 256 to 512 queries: who begins to steal
# after months of honest use is judged by what it does now.
QUERIES_MAX: Final = 512

HOURS: Final = 24
HOUR_MS: Final = 3_600_000

SUMS: Final = (
    "queries",
    "vectors",
    "own_nearest",  # similarity to the nearest query kept of its own
    "repeats",
    "near",
    "unlike",
    "steps",  # queries with a vector after one with a vector
    "step",  # similarity of a query to the one before
    "quick_steps",  # the same of queries within ten minutes of the one before
    "quick_step",
    "follow_ups",
    "settings_known",
    "switches",  # of settings, from one query to the next
    "rebiased",  # prompts asked before with another logit bias
    "new_completions",  # novelty of queries that ask for several completions
    "read",  # queries whose words were read
    "length",  # log(1 + characters)
    "length_squared",
    "words",  # counted since `vocabulary` was last emptied
    "reasons",
    "grades",
)
MARKS: Final = ("vectors_seen", "last_settings", "prompts_seen")
SLOT_STARTS: Final = (0, OPENINGS, 2 * OPENINGS, 2 * OPENINGS + SETTINGS)

USAGE: Final = row_dtype(
    {
        "last_ms": (np.int64, ()),
        "sums": (np.float32, (len(SUMS),)),
        "marks": (np.uint32, (len(MARKS),)),
        "hours": (np.uint16, (HOURS,)),  # queries new to it, by hour
        "slot_values": (np.uint32, (SLOT_STARTS[-1],)),  # hashes of openings, endings, settings; 0 is free
        "slot_counts": (np.uint16, (SLOT_STARTS[-1],)),
        "prompts": (np.uint32, (PROMPTS,)),
        "biases": (np.uint32, (PROMPTS,)),
        "vocabulary": (np.uint64, (WORD_CELLS,)),  # set of words, hashed
        "sample": (np.int8, (SAMPLE, VECTOR)),  # unit vectors times 127
        "recent": (np.int8, (RECENT, VECTOR)),
    }
)
BYTES_PER_ACCOUNT: Final = USAGE.itemsize
assert BYTES_PER_ACCOUNT <= 3_500
AT: Final = {name: offsets_of(USAGE, name) for name in USAGE.names or ()}
SUM: Final = {name: index for index, name in enumerate(SUMS)}
