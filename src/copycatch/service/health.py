"""What the service says about itself: the loop writes it, the HTTP port reads it."""

from dataclasses import dataclass, field

LAGS_SHOWN = 100  # partitions, the worst first


@dataclass(slots=True)
class Health:
    """`is_ready`: has shards, all of them past their silent replay, and the last unit went out."""

    is_ready: bool = False
    message: str = "starting"
    last_turn_s: float = 0.0  # by the monotonic clock
    unjudged: list[str] = field(
        default_factory=list
    )  # what was not judged, lately or since the start, and why
    recent: dict[str, float] = field(default_factory=dict)  # of the last hour, as `service.recent.Recent`
    warming_up: dict[str, str] = field(default_factory=dict)  # models, and until which event time; bounded
    shards: int = 0  # assigned
    replaying: int = 0  # of them, those that are not restored yet
    lags: dict[str, int] = field(default_factory=dict)  # records to come, by shard
    event_age_s: float | None = None  # of the newest record judged
    population_age_s: float | None = None  # event time since what is normal was last learned
    policy_version: str = ""
    policy_fault: str = ""  # why the file on disk is not in force; empty where it is
    totals: dict[str, int] = field(default_factory=dict)  # since the start

    def ready(self) -> dict[str, object]:
        """The body of `/ready`: what it rests on, and what to know though it is ready."""
        return {
            "is_ready": self.is_ready,
            "words": self.message,
            "assigned": self.shards,
            "restored": self.shards - self.replaying,
            "policy_is_valid": not self.policy_fault,
            "population_age_s": self.population_age_s,
            "unjudged": self.unjudged,
            "recent": self.recent,
            "warming_up": self.warming_up,
        }

    def status(self) -> dict[str, object]:
        """The body of `/status`: what somebody asks first who was paged. Nothing of accounts."""
        worst = sorted(self.lags.items(), key=lambda each: -each[1])[:LAGS_SHOWN]
        return self.ready() | {
            "policy": {"version": self.policy_version, "fault": self.policy_fault},
            "lag_records": sum(self.lags.values()),
            "lag_by_partition": dict(worst),
            "event_age_s": self.event_age_s,
            "totals": self.totals,
        }
