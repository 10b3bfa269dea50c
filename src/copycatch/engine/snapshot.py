"""A shard of the state as bytes, and back."""

from collections.abc import Callable

from copycatch.engine.state import EngineState


def snapshot(state: EngineState, shard: str, write: Callable[[bytes | memoryview], object]) -> None:
    raise NotImplementedError


def restore(state: EngineState, shard: str, data: memoryview) -> None:
    raise NotImplementedError


def forget(state: EngineState, shard: str) -> None:
    raise NotImplementedError
