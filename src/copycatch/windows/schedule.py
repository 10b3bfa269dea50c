"""When an account is evaluated: at these counts of its own queries.

Half of what an extraction will ever yield is there after about 50 queries, so evaluations begin early. Each
one is a repeated test that the budget has to pay for, so the gaps grow: an eighth of the queries so far, at
most 500, so that a fixed limit on a busy account is noticed soon.
"""

from copycatch.compiled import njit

FIRST_QUERIES = 12
EVALUATION_GAP_MAX = 500
GAP_SHARE = 8
assert FIRST_QUERIES >= GAP_SHARE, "a gap of nothing would never end"


@njit(cache=True)  # type: ignore[untyped-decorator]
def next_evaluation(queries: int) -> int:
    """The query count of the first evaluation after `queries`.

    Examples
    --------
    >>> counts, n = [], 0
    >>> while n < 100:
    ...     n = next_evaluation(n)
    ...     counts.append(n)
    >>> counts
    [12, 13, 14, 15, 16, 18, 20, 22, 24, 27, 30, 33, 37, 41, 46, 51, 57, 64, 72, 81, 91, 102]
    >>> next_evaluation(1000), next_evaluation(100_000)
    (1125, 100500)
    """
    if queries < FIRST_QUERIES:
        return FIRST_QUERIES
    return queries + min(queries // GAP_SHARE, EVALUATION_GAP_MAX)
