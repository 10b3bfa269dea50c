"""Spans as types, read out of a message in one look, with the attributes that a chat of text needs.

Whatever is of another kind raises `NotPlain`, and the message goes the long way of `formats.otel`; tests hold
the two ways to the same records.
"""

from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from copycatch.formats.shared.dialects import TOLD_ROOTS, is_about
from copycatch.formats.shared.messages import count_of
from copycatch.formats.shared.otlp import Attributes
from copycatch.formats.shared.platform_dialects import PARAMETERS, TEXTS, VECTORS

ITEMS_MAX: Final = 20_000
_NAMES_MAX, _NAME_CHARS_MAX, _KEPT_MAX = 64, 128, 256  # of spans whose names are kept
ACCOUNT_NAMES: Final = ("user.id", "enduser.id", "gen_ai.user.id", "gen_ai.user", "gen_ai.request.user")
# What is read of a span; its other attributes are not even looked at.
_READ = frozenset(
    {
        *ACCOUNT_NAMES,
        *("gen_ai.operation.name", "gen_ai.request.model", "gen_ai.response.model", "gen_ai.conversation.id"),
        *("gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.system_instructions"),
        *("gen_ai.tool.definitions", "gen_ai.response.finish_reasons", "gen_ai.request.temperature"),
        *("gen_ai.request.choice.count", "gen_ai.request.max_tokens", "gen_ai.request.top_logprobs"),
        *("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens", "gen_ai.usage.prompt_tokens"),
        *("gen_ai.usage.completion_tokens", "session.id", "tenant.id", "organization.id", "client.address"),
        *("net.peer.ip", "user_agent.original", "http.response.status_code", "error.type"),
    }
)
# Attributes that change what the others mean, or that few exporters send.
_RARE = frozenset(
    {
        *(PARAMETERS, TEXTS, VECTORS, "gen_ai.request.previous_response.id", "enduser.plan", "user.plan"),
        "client.as.number",
        "event.name",
    }
)


class NotPlain(Exception):  # noqa: N818 - a finding about data, caught where messages are read
    """A message that must go the long way."""


_OTHER_KINDS = 3  # besides that which a value is of


class _Scalar(Struct, forbid_unknown_fields=True, gc=False):
    stringValue: str | UnsetType = UNSET  # noqa: N815 - as OTLP names them
    intValue: int | str | UnsetType = UNSET  # noqa: N815
    doubleValue: int | float | UnsetType = UNSET  # noqa: N815
    boolValue: bool | UnsetType = UNSET  # noqa: N815

    def plain(self) -> Any:
        """The value of the only kind that is set."""
        text, whole, number, flag = self.stringValue, self.intValue, self.doubleValue, self.boolValue
        if (text is UNSET) + (whole is UNSET) + (number is UNSET) + (flag is UNSET) != _OTHER_KINDS:
            raise NotPlain
        if whole is not UNSET:
            return count_of(whole)
        if number is not UNSET:
            return number
        return text if flag is UNSET else flag


class _Array(Struct, forbid_unknown_fields=True, gc=False):
    values: list[_Scalar]


class _Value(_Scalar, forbid_unknown_fields=True, gc=False):
    arrayValue: _Array | UnsetType = UNSET  # noqa: N815

    def plain(self) -> Any:
        whole, listed = self.intValue, self.arrayValue
        if self.stringValue is self.doubleValue is self.boolValue is UNSET:
            if listed is UNSET and whole is not UNSET:  # most that are no text
                return count_of(whole)
            if listed is not UNSET and whole is UNSET:
                return [each.plain() for each in listed.values]
        if listed is UNSET:
            return _Scalar.plain(self)
        raise NotPlain


class _Attribute(Struct, gc=False):
    key: str
    value: _Value


class Span(Struct, gc=False, kw_only=True):
    """A span."""

    traceId: str  # noqa: N815
    spanId: str  # noqa: N815
    startTimeUnixNano: str | int | None = None  # noqa: N815
    endTimeUnixNano: str | int | None = None  # noqa: N815
    attributes: list[_Attribute] = []
    events: list[Raw] = []
    status: Any = None
    # Null or missing: a type that takes nothing else costs no look at what it holds.
    start_time_unix_nano: None = None
    end_time_unix_nano: None = None
    timeUnixNano: None = None  # noqa: N815
    time_unix_nano: None = None
    observedTimeUnixNano: None = None  # noqa: N815
    observed_time_unix_nano: None = None
    eventName: None = None  # noqa: N815
    event_name: None = None
    body: None = None


class _Scope(Struct, gc=False):
    spans: list[Span]


class _Resource(Struct, gc=False):
    attributes: list[_Attribute] = []


class _Group(Struct, gc=False):
    scopeSpans: list[_Scope]  # noqa: N815
    resource: _Resource | None = None


class _Export(Struct, gc=False):
    resourceSpans: list[_Group]  # noqa: N815
    resourceLogs: None = None  # noqa: N815
    resource_spans: None = None
    resource_logs: None = None


_decode_export = msgspec.json.Decoder(_Export).decode

_Places = tuple[tuple[str, int], ...]
_UNKNOWN: Final = (("", -1),)
_kept_places: dict[tuple[str, ...], _Places | None] = {}  # spans of one exporter have the same names


def spans_of(value: bytes) -> list[tuple[Span, Attributes]]:
    """Spans of an export that ask models, with those of their attributes that are read.

    Raises
    ------
    NotPlain
        If the message holds anything but spans, or a span of another kind.
    """
    try:
        export = _decode_export(value)
    except (ValueError, RecursionError):
        raise NotPlain from None
    found: list[tuple[Span, Attributes]] = []
    n_spans = 0
    for group in export.resourceSpans:
        shared = group.resource.attributes if group.resource is not None else []
        for scope in group.scopeSpans:
            n_spans += len(scope.spans)
            if n_spans > ITEMS_MAX:
                raise NotPlain
            for span in scope.spans:
                entries = [*shared, *span.attributes]
                places = places_read(tuple([each.key for each in entries]))
                if places is not None:
                    read = {
                        name: held.plain()
                        if (text := (held := entries[place].value).stringValue) is UNSET
                        else text
                        for name, place in places
                    }
                    found.append((span, read))
    return found


def places_read(names: tuple[str, ...]) -> _Places | None:
    """Names of a span's attributes that are read, and where; None where it is about no model.

    Of one name the last counts.

    Raises
    ------
    NotPlain
        If they are told by another convention, or say something that few do.
    """
    places = _kept_places.get(names, _UNKNOWN)
    if places is _UNKNOWN:
        places = _places_of(names)
        if len(names) <= _NAMES_MAX and max(map(len, names), default=0) <= _NAME_CHARS_MAX:
            if len(_kept_places) >= _KEPT_MAX:
                _kept_places.clear()
            _kept_places[names] = places
    if places is None:
        return None
    if not places:
        raise NotPlain
    return places


def _places_of(names: tuple[str, ...]) -> _Places | None:
    """Names that are read; none where the span goes the long way, None where it is skipped."""
    if "event.name" in names:
        return ()
    roots = frozenset(name.partition(".")[0] for name in names)
    if not is_about(roots):
        return None
    if not (TOLD_ROOTS.isdisjoint(roots) and _RARE.isdisjoint(names)):
        return ()
    return tuple({name: place for place, name in enumerate(names) if name in _READ}.items())
