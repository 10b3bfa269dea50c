"""What is kept of each account to tell whether it acts as one with others: one record of bytes an account."""

from typing import Final

import numpy as np

from copycatch.layout.structs import row_dtype

PANE_MS: Final = 600_000  # ten minutes: long enough for a query or two of a thin ring, short beside a day
PANES_PER_DAY: Final = 144
PANES: Final = 7 * PANES_PER_DAY
VECTOR: Final = 32  # dimensions of projected query vectors
SAMPLES: Final = 6  # queries kept of an account
WEIGHT_MAX: Final = 4_096  # queries after which the counts of attributes are halved
ISSUED: Final = 5  # reasoning blocks kept of those that were issued to an account
REPLAYED: Final = 4  # and of those that it sent back and that were issued to nobody it is
CONVERSATIONS: Final = 3  # ids of conversations kept of an account

# What accounts may share, and how many values of each are counted per account. An opening and an ending are
# the first and last characters of a text: an account that dresses its queries in templates has few of them.
SLOTS_BY_KIND: Final = {
    "network": 4,
    "agent": 3,
    "key": 2,
    "parameters": 4,
    "opening": 12,
    "ending": 12,
    "asn": 1,
    "system": 2,
    "tools": 1,
}
# Of versions whose snapshots do not name their kinds.
FIRST_KINDS: Final = {name: SLOTS_BY_KIND[name] for name in list(SLOTS_BY_KIND)[:6]}
KINDS: Final = tuple(SLOTS_BY_KIND)
KIND_STARTS: Final = tuple(int(n) for n in np.cumsum([0, *SLOTS_BY_KIND.values()]))
SLOTS: Final = KIND_STARTS[-1]

LINKS: Final = row_dtype(
    {
        "account": (np.int64, ()),  # hash of tenant and account: one account may have a row a model
        "first_ms": (np.int64, ()),  # of its first record, and of its latest
        "last_ms": (np.int64, ()),
        "queries": (np.uint32, ()),
        "queries_seen": (np.uint32, ()),  # at the last search
        "newest_pane": (np.int32, ()),  # number of its newest pane since the epoch
        "newest_counts": (np.uint16, (2,)),  # queries in the newest pane and in the one before
        "weight": (np.uint16, ()),  # queries that the counts below are of
        "counts": (np.uint16, (SLOTS,)),
        "values": (np.uint32, (SLOTS,)),  # hashes of attributes, 0 where free
        "vectors": (np.uint32, ()),  # queries with a vector, and the sum of their unit vectors
        "vector_sum": (np.float32, (VECTOR,)),
        "sample_hashes": (np.uint32, (SAMPLES,)),  # of the inputs with the smallest hashes, ascending
        "samples": (np.int8, (SAMPLES, VECTOR)),  # their unit vectors times 127
        "panes": (np.uint8, (PANES // 2,)),  # two codes a byte, see `fold.LEVELS`
        # Of this week (`PANES` since the epoch), ascending: those with the smallest hashes, so that accounts
        # that pass each other the same blocks or conversations keep the same. 0 where free.
        "issued": (np.uint32, (ISSUED,)),
        "replayed": (np.uint32, (REPLAYED,)),
        "replayed_in": (np.uint16, (REPLAYED,)),  # hash of the conversation that it was sent back in
        "conversations": (np.uint32, (CONVERSATIONS,)),
    }
)
BYTES_PER_ACCOUNT: Final = LINKS.itemsize
assert BYTES_PER_ACCOUNT <= 1_200
