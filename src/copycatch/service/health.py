"""What the service says about itself: the loop writes it, the HTTP port reads it."""

from dataclasses import dataclass, field


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
