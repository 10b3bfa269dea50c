"""The only file that asks what time it is."""

import time

from copycatch.units import UnixMs

EPOCH = UnixMs(0)


class SystemClock:
    """The machine's clocks: `now_ms` may step, `monotonic_s` never goes back."""

    def now_ms(self) -> UnixMs:
        return UnixMs(time.time_ns() // 1_000_000)

    def now_ns(self) -> int:
        """As `now_ms`, in the unit of spans."""
        return time.time_ns()

    def monotonic_s(self) -> float:
        return time.monotonic()

    def sleep(self, duration_s: float) -> None:
        time.sleep(duration_s)


class ManualClock:
    """A clock that is told the time: for replays, which follow event time, and for tests.

    Examples
    --------
    >>> clock = ManualClock(UnixMs(1_000))
    >>> clock.sleep(2.5)
    >>> clock.now_ms()
    3500
    >>> clock.follow(UnixMs(9_000)); clock.follow(UnixMs(4_000)); clock.now_ms()
    9000
    """

    def __init__(self, now_ms: UnixMs = EPOCH) -> None:
        self._now_ms = now_ms
        self._monotonic_s = 0.0

    def now_ms(self) -> UnixMs:
        return self._now_ms

    def monotonic_s(self) -> float:
        return self._monotonic_s

    def sleep(self, duration_s: float) -> None:
        self._monotonic_s += duration_s
        self._now_ms = UnixMs(self._now_ms + round(duration_s * 1000))

    def follow(self, event_time_ms: UnixMs) -> None:
        """Move on to the newest event; never back."""
        if event_time_ms > self._now_ms:
            self._monotonic_s += (event_time_ms - self._now_ms) / 1000
            self._now_ms = event_time_ms
