"""When an account is looked at: points of its own query count.

Half of what an extraction will ever yield is there after about 50 queries, so the looks are dense early;
later each look is a repeated test that the budget has to pay for, so they thin out to 5 %, and at 500
queries at most, so that a plain limit on a busy account is not missed for long.
"""

from numba import njit

FIRST_QUERIES = 15
LOOK_GAP_MAX = 500


@njit(cache=True)
def next_look(queries: int) -> int:  # noqa: PLR0911 - a table of steps
    """The query count of the first look after `queries`.

    Examples
    --------
    >>> looks, n = [], 0
    >>> while n < 400:
    ...     n = next_look(n)
    ...     looks.append(n)
    >>> looks[:15]
    [15, 20, 25, 30, 40, 50, 62, 75, 100, 125, 150, 175, 200, 225, 250]
    >>> next_look(1000), next_look(100_000)
    (1050, 100500)
    """
    if queries < FIRST_QUERIES:
        return FIRST_QUERIES
    if queries < 30:
        return queries - queries % 5 + 5
    if queries < 50:
        return queries - queries % 10 + 10
    if queries < 62:
        return 62
    if queries < 75:
        return 75
    if queries < 300:
        return queries - queries % 25 + 25
    if queries < 1000:
        return queries - queries % 50 + 50
    return queries + min(queries // 20, LOOK_GAP_MAX)
