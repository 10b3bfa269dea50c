"""The format `mapping`: one JSON pointer for each canonical field, for logs that no other format knows."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MappingSpec:
    """Which pointer gives which canonical field."""

    name: str
