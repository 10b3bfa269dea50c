"""How many accounts that were unknown so far may take part in what is normal in a day."""

from dataclasses import dataclass

from copycatch.units import MS_PER_DAY

# Whoever opens many accounts must not soon be the majority of what is normal. With 256 seats a stratum of the
# reference, 16 a day leave its median within honest values for a week, and follow honest change within weeks;
# of the pool of 400 accounts they are a twenty-fifth a day.
NEWCOMERS_PER_DAY_MAX = 16


@dataclass(slots=True)
class Newcomers:
    """How many were let in on one day of event time.

    Examples
    --------
    >>> newcomers = Newcomers()
    >>> sum(newcomers.let_in(now_ms=5) for _ in range(100))
    16
    >>> newcomers.let_in(now_ms=MS_PER_DAY)
    True
    """

    day: int = -1
    count: int = 0  # let in on that day

    def let_in(self, now_ms: int) -> bool:
        """Let one more in, if the day allows it."""
        day = now_ms // MS_PER_DAY
        if day != self.day:
            self.day, self.count = day, 0
        if self.count >= NEWCOMERS_PER_DAY_MAX:
            return False
        self.count += 1
        return True
