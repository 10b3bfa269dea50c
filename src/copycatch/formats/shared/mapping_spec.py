"""A mapping file, checked: which JSON pointer gives which canonical field.

`settings/mapping.py` reads the file and builds a `MappingSpec`; `formats/mapping.py` goes by it.
"""

from dataclasses import dataclass
from typing import Any, Literal

EACH = "*"  # in a pointer: every entry of a list, a record for each


class Rows(list[Any]):
    """Values of several records out of one message, in their order."""


BODY_FIELDS = (
    *("model_id", "model_version", "input", "embedding", "predicted_label", "probabilities", "top_scores"),
    *("output_text", "params", "input_tokens", "output_tokens", "conversation_id", "turn", "prompt_index"),
    *("system_hash", "tools_hash", "reasoning_refs", "reasoning_issued", "finish_reason"),
)
"""Canonical fields that bodies may hold."""


@dataclass(frozen=True, slots=True)
class Location:
    """Where a value may be; a pointer passes through JSON that is logged as a string."""

    kind: Literal["pointer", "list", "header", "key", "constant"]
    steps: tuple[str, ...] = ()  # of a pointer
    items: tuple[tuple[str, ...], ...] = ()  # pointers of a list's entries
    name: str = ""  # of a header, in lower case
    constant: str | int | float | bool | None = None

    def describe(self) -> str:
        """As the mapping file says it."""
        if self.kind == "pointer":
            return pointer_text(self.steps)
        if self.kind == "list":
            return "list of " + ", ".join(pointer_text(steps) for steps in self.items)
        if self.kind == "header":
            return f"header {self.name}"
        return "the Kafka key" if self.kind == "key" else f"always {self.constant!r}"


def pointer_text(steps: tuple[str, ...]) -> str:
    """A JSON pointer as it is written.

    Examples
    --------
    >>> pointer_text(("a/b", "0"))
    '/a~1b/0'
    """
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps) or "/"


@dataclass(frozen=True, slots=True)
class FieldRule:
    """How one canonical field is found: the first location that has a value, then conversions in order."""

    field: str  # canonical name, `params.` and its name, or `sampling_fraction`
    locations: tuple[Location, ...]
    conversions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Condition:
    """Holds where the value at a pointer is one of these."""

    steps: tuple[str, ...]
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class JoinRule:
    """How a request and its response, logged as two messages, are told apart and brought together."""

    by: tuple[str, ...]
    request: Condition
    response: Condition


@dataclass(frozen=True, slots=True)
class BodiesRule:
    """Where the request and response of an API lie that other formats read: chat, embeddings, predictions."""

    request: tuple[str, ...] | None = None
    response: tuple[str, ...] | None = None
    without: frozenset[str] = (
        frozenset()
    )  # keys that are no part of an input, as an account among the columns

    def describe(self) -> str:
        """Where the bodies are, to be read by people."""
        return "bodies at " + ", ".join(
            pointer_text(steps) for steps in (self.request, self.response) if steps
        )


@dataclass(frozen=True, slots=True)
class MappingSpec:
    """A mapping file, checked."""

    name: str  # of the file, for messages
    rules: tuple[FieldRule, ...]
    each: tuple[str, ...] | None = None  # pointer to a list whose entries are the records
    only: Condition | None = None  # other messages are skipped
    join: JoinRule | None = None
    bodies: BodiesRule | None = None

    def sources(self) -> dict[str, str]:
        """Where each canonical field comes from, to be read by people."""
        found: dict[str, str] = {}
        for rule in self.rules:
            root = rule.field.partition(".")[0]
            text = ", else ".join(location.describe() for location in rule.locations)
            found[root] = f"{found[root]}; {text}" if root in found else text
        if self.bodies is not None:
            for name in BODY_FIELDS:
                found.setdefault(name, self.bodies.describe())
        return found
