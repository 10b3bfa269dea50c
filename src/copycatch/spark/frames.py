"""Which columns a frame must have, and the frame as messages in order of arrival.

A record travels as the JSON text of its columns and is read by the decoder that `replay` reads lines with: so
it comes to the same, whatever pandas does with numbers that are missing.
"""

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from copycatch.errors import ConfigError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

VALUE: Final = "value"
ARRIVAL, TIE, ACCOUNT, TIME_MS = "arrival", "tie", "account", "time_ms"
_LAST: Final = (1 << 63) - 1  # arrival of what does not say when it came
_TEXT: Final = ("string",)
_WHOLE: Final = ("bigint", "int", "smallint", "tinyint")
_REAL: Final = ("double", "float", *_WHOLE)
_VECTOR: Final = tuple(f"array<{each}>" for each in _REAL)
_WORDS: Final = ("array<string>",)
_ORDER: Final = ("timestamp", *_WHOLE)
_NATIVE: Final[dict[str, tuple[str, ...]]] = {
    "event_id": _TEXT,
    "event_time": ("timestamp", "bigint", "string"),
    "account_id": _TEXT,
    "model_id": _TEXT,
    "tenant_id": _TEXT,
    "api_key_id": _TEXT,
    "user_agent": _TEXT,
    "client_ip": _TEXT,
    "model_version": _TEXT,
    "input": ("string", *_VECTOR),
    "embedding": _VECTOR,
    "predicted_label": ("string", *_WHOLE),
    "probabilities": _VECTOR,
    "top_scores": _VECTOR,
    "output_text": _TEXT,
    "params": ("struct",),
    "input_tokens": _WHOLE,
    "output_tokens": _WHOLE,
    "latency_ms": _REAL,
    "status": _WHOLE,
    "conversation_id": _TEXT,
    "turn": _WHOLE,
    "prompt_index": _WHOLE,
    "system_hash": _TEXT,
    "tools_hash": _TEXT,
    "reasoning_refs": _WORDS,
    "reasoning_issued": _WORDS,
    "finish_reason": _TEXT,
    "asn": _WHOLE,
    "account_created": ("timestamp", "bigint", "string"),
    "plan": _TEXT,
    "schema_version": _TEXT,
}
_DATABRICKS: Final[dict[str, tuple[str, ...]]] = {
    "databricks_request_id": _TEXT,
    "request": _TEXT,
    "response": _TEXT,
    "request_time": ("timestamp",),
    "timestamp_ms": ("bigint",),
    "requester": _TEXT,
    "served_entity_id": _TEXT,
    "status_code": _WHOLE,
    "execution_duration_ms": _REAL,
    "execution_time_ms": _REAL,
    "sampling_fraction": _REAL,
}


class Layout(NamedTuple):
    """Columns of an inference table; `times` are event times, the first that is there counts."""

    columns: dict[str, tuple[str, ...]]
    required: tuple[str, ...]
    times: tuple[str, ...]
    tie: str  # orders records that came at the same time
    account: str
    is_closed: bool  # refuses columns that it does not know: they may be misspelt


LAYOUTS: Final = {
    "native": Layout(
        _NATIVE,
        ("event_id", "account_id", "model_id"),
        ("event_time",),
        "event_id",
        "account_id",
        is_closed=True,
    ),
    "databricks": Layout(
        _DATABRICKS,
        ("databricks_request_id", "request"),
        ("request_time", "timestamp_ms"),
        "databricks_request_id",
        "requester",
        is_closed=False,
    ),
}


def as_messages(df: "DataFrame", format_name: str, arrival: str | None, shards: int) -> "DataFrame":
    """Messages of a frame whose columns are as they must be.

    Returns
    -------
    DataFrame
        `value` (binary), `arrival` (bigint) and `tie` (string), by which they are sorted; with several shards
        `account` (string) and `time_ms` (bigint), too.

    Raises
    ------
    ConfigError
        Naming the column that is missing, of another type, or not known, with what to do.
    """
    from pyspark.sql import functions as sql

    types = {field.name: field.dataType.simpleString() for field in df.schema.fields}
    layout = LAYOUTS.get(format_name)
    if VALUE in types or layout is None:
        _check_messages(types, format_name, arrival, shards)
        value = sql.col(VALUE)
        order = _order(types, str(arrival))
        return df.select(
            value.cast("binary").alias(VALUE), order.alias(ARRIVAL), value.cast("string").alias(TIE)
        )
    time = _check_layout(types, layout, format_name, arrival, shards)
    names = [name for name in types if name in layout.columns or not layout.is_closed]
    fields = [
        sql.unix_millis(name).alias(name)
        if layout.is_closed and types[name] == "timestamp"
        else sql.col(name)
        for name in names
    ]
    columns = [
        sql.to_json(sql.struct(*fields), {"timestampFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSXXX"})
        .cast("binary")
        .alias(VALUE),
        _order(types, arrival or time).alias(ARRIVAL),
        sql.col(layout.tie).alias(TIE),
    ]
    if shards > 1:
        columns += [sql.col(layout.account).alias(ACCOUNT), _millis(types, time).alias(TIME_MS)]
    return df.select(*columns)


def _millis(types: dict[str, str], name: str) -> Any:
    """Null where there is none: the record is rejected where it is read."""
    from pyspark.sql import functions as sql

    if types[name] == "bigint":
        return sql.col(name)
    return sql.unix_millis(name if types[name] == "timestamp" else sql.try_to_timestamp(sql.col(name)))


def _order(types: dict[str, str], name: str) -> Any:
    from pyspark.sql import functions as sql

    column = sql.unix_micros(name) if types[name] == "timestamp" else sql.col(name).cast("bigint")
    return sql.coalesce(column, sql.lit(_LAST))


def _check_messages(types: dict[str, str], format_name: str, arrival: str | None, shards: int) -> None:
    if VALUE not in types:
        message = (
            f"column {VALUE!r} is missing: a frame in format {format_name!r} has the messages in it (string "
            f"or binary), and only {' and '.join(LAYOUTS)} have columns of their own; it has {sorted(types)}"
        )
        raise ConfigError(message)
    _check_type(VALUE, types[VALUE], ("string", "binary"))
    if arrival is None:
        message = "arrival: name the column by which messages came, such as Kafka's offset or timestamp"
        raise ConfigError(message)
    _check_arrival(types, arrival)
    if shards > 1:
        message = f"shards: messages in {VALUE!r} have no column to deal them by; make it 1"
        raise ConfigError(message)


def _check_layout(
    types: dict[str, str], layout: Layout, format_name: str, arrival: str | None, shards: int
) -> str:
    """The column of the event time."""
    wanted = (*layout.required, layout.account) if shards > 1 else layout.required
    for name in wanted:
        if name not in types:
            message = (
                f"column {name!r} is missing: it has to be {layout.columns[name][0]} in format "
                f"{format_name!r}; the frame has {sorted(types)}; select it under that name"
            )
            raise ConfigError(message)
    time = next((name for name in layout.times if name in types), None)
    if time is None:
        names = " or ".join(map(repr, layout.times))
        message = f"column {names} is missing: nothing says when a query was answered"
        raise ConfigError(message)
    for name, found in types.items():
        if name in layout.columns:
            _check_type(name, found, layout.columns[name])
        elif layout.is_closed and name != arrival:
            message = f"column {name!r} is none that format {format_name!r} has; rename it, or drop it"
            raise ConfigError(message)
    _check_arrival(types, arrival or time)
    return time


def _check_arrival(types: dict[str, str], name: str) -> None:
    if name not in types:
        message = f"arrival: there is no column {name!r}; the frame has {sorted(types)}"
        raise ConfigError(message)
    _check_type(name, types[name], _ORDER, "; or name another column as arrival")


def _check_type(name: str, found: str, wanted: tuple[str, ...], more: str = "") -> None:
    if found in wanted or (found.startswith("struct<") and "struct" in wanted):
        return
    kinds = " or ".join(wanted)
    message = f"column {name!r} is {found}, and has to be {kinds}; cast it to {wanted[0]}{more}"
    raise ConfigError(message)
