"""The file of the format `mapping`: from YAML to what the decoder goes by."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from copycatch.errors import unknown_remedy
from copycatch.formats.shared.conversions import CONVERSIONS
from copycatch.formats.shared.format import CANONICAL_FIELDS
from copycatch.formats.shared.mapping_spec import (
    BodiesRule,
    Condition,
    FieldRule,
    JoinRule,
    Location,
    MappingSpec,
)
from copycatch.formats.shared.messages import split_pointer
from copycatch.records.policy_values import refuse
from copycatch.records.wire import Params
from copycatch.settings.faults import FaultsError
from copycatch.settings.load import check_text, read_file

PLACES_MAX = 16
FIELD_WORDS: tuple[str, ...] = (
    *(name for name in CANONICAL_FIELDS if name != "params"),
    *(f"params.{name}" for name in Params.__struct_fields__),
    "sampling_fraction",
)


def _pointer(given: Any) -> Any:
    if isinstance(given, str) and not given.startswith("/"):
        remedy = f"write /{given.removeprefix('$.').replace('.', '/')}"
        refuse(f"{given!r} is no JSON pointer: it starts with a slash", remedy)
    return given


def _as_list(given: Any) -> Any:
    return given if isinstance(given, list) else [given]


def _short(given: Any) -> Any:
    """`field: /pointer` stands for `field: {at: /pointer}`."""
    return {"at": given} if isinstance(given, str | list) else given


def _conversion(given: Any) -> Any:
    if isinstance(given, str) and given not in CONVERSIONS:
        refuse(f"unknown conversion {given!r}", unknown_remedy(given, CONVERSIONS))
    return given


Pointer = Annotated[str, BeforeValidator(_pointer), Field(max_length=1024)]
Pointers = Annotated[list[Pointer], BeforeValidator(_as_list), Field(max_length=PLACES_MAX)]
Conversions = Annotated[
    list[Annotated[str, BeforeValidator(_conversion)]], BeforeValidator(_as_list), Field(max_length=8)
]
Values = Annotated[list[str], BeforeValidator(_as_list), Field(min_length=1, max_length=64)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)


class FieldModel(_Strict):
    """Where a field is found: `at` pointers, a `list` of them, `header`, the Kafka `key`, then `always`."""

    at: Pointers = []
    entries: list[Pointer] = Field(default=[], alias="list", max_length=4096)
    header: str | None = None
    key: bool = False
    always: str | int | float | bool | None = None
    conversions: Conversions = Field(default=[], alias="as")

    @model_validator(mode="after")
    def _is_somewhere(self) -> "FieldModel":
        if not self.at and not self.entries and self.header is None and not self.key and self.always is None:
            refuse("says nowhere to look", "add at: /pointer, header: name, key: true or always: value")
        return self


class ConditionModel(_Strict):
    """The value `at` a pointer is one of `is`."""

    at: Pointer
    values: Values = Field(alias="is")


class JoinModel(_Strict):
    by: Pointer
    request: ConditionModel
    response: ConditionModel


class BodiesModel(_Strict):
    """Pointers to the bodies of `request` and `response`; keys `without` which their rows are inputs."""

    request: Pointer | None = None
    response: Pointer | None = None
    without: list[str] = Field(default=[], max_length=64)

    @model_validator(mode="after")
    def _is_somewhere(self) -> "BodiesModel":
        if self.request is None and self.response is None:
            refuse("says nowhere to look", "add request: /pointer, response: /pointer or both")
        return self


class MappingModel(_Strict):
    """The whole file."""

    version: int = Field(ge=1, le=1)
    name: str | None = Field(default=None, max_length=64)
    fields: dict[str, Annotated[FieldModel, BeforeValidator(_short)]]
    each: Pointer | None = None
    only: ConditionModel | None = None
    join: JoinModel | None = None
    bodies: BodiesModel | None = None

    @model_validator(mode="after")
    def _fits(self) -> "MappingModel":
        for name in self.fields:
            if name not in FIELD_WORDS:
                refuse(f"fields: unknown canonical field {name!r}", unknown_remedy(name, FIELD_WORDS))
        if "event_id" not in self.fields and self.each is None:
            refuse("fields: event_id is missing", "add event_id: /pointer/to/a/unique/id")
        if self.join is not None and self.each is not None:
            refuse("each and join exclude each other", "point to the rows of both: /rows/*/field, or bodies")
        return self


def load_mapping(path: Path) -> MappingSpec:
    """Read a mapping file, whole or not at all.

    Raises
    ------
    ConfigError
        If the file cannot be read; as `FaultsError` with all faults if it is wrong.
    """
    return parse_mapping(read_file(path), str(path))


def parse_mapping(text: str | bytes, file: str) -> MappingSpec:
    r"""The mapping that a text says.

    Raises
    ------
    FaultsError
        With every fault of the text, in the order of its lines.

    Examples
    --------
    >>> spec = parse_mapping(
    ...     "version: 1\nfields:\n  event_id: /id\n  event_time: {at: /ts, as: epoch_s}\n"
    ...     "  account_id: {header: x-account-id}\n  model_id: {always: fraud-v3}\n", "gateway.yaml")
    >>> spec.sources()["account_id"], spec.rules[1].conversions
    ('header x-account-id', ('epoch_s',))
    >>> try:
    ...     parse_mapping("version: 1\nfields: {event_id: id}", "gateway.yaml")
    ... except FaultsError as error:
    ...     print(error.faults[0].message, "-", error.faults[0].remedy)
    'id' is no JSON pointer: it starts with a slash - write /id
    """
    model, document = check_text(MappingModel, text, file)
    if model is None:
        raise FaultsError(document.faults)
    return MappingSpec(
        name=model.name or Path(file).name,
        rules=tuple(_rule(name, field) for name, field in model.fields.items()),
        each=None if model.each is None else split_pointer(model.each),
        only=None if model.only is None else _condition(model.only),
        join=None
        if model.join is None
        else JoinRule(
            split_pointer(model.join.by), _condition(model.join.request), _condition(model.join.response)
        ),
        bodies=None if model.bodies is None else _bodies(model.bodies),
    )


def _rule(name: str, field: FieldModel) -> FieldRule:
    locations = [Location("pointer", steps=split_pointer(pointer)) for pointer in field.at]
    if field.entries:
        locations.append(Location("list", items=tuple(split_pointer(pointer) for pointer in field.entries)))
    if field.header is not None:
        locations.append(Location("header", name=field.header.lower()))
    if field.key:
        locations.append(Location("key"))
    if field.always is not None:
        locations.append(Location("constant", constant=field.always))
    return FieldRule(name, tuple(locations), tuple(field.conversions))


def _bodies(model: BodiesModel) -> BodiesRule:
    request, response = (
        None if each is None else split_pointer(each) for each in (model.request, model.response)
    )
    return BodiesRule(request, response, frozenset(model.without))


def _condition(model: ConditionModel) -> Condition:
    return Condition(split_pointer(model.at), tuple(model.values))
