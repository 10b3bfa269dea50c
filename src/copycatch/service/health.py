"""What the service says about itself: the loop writes it, the HTTP port reads it."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Health:
    """`is_ready`: has shards, all of them past their silent replay, and the last unit went out."""

    is_ready: bool = False
    message: str = "starting"
    last_turn_s: float = 0.0  # by the monotonic clock
    unjudged: list[str] = field(default_factory=list)  # what was not judged since the start, and why
