"""The options of a topic's format: from the service settings to what decoders go by."""

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from copycatch.errors import ConfigError, unknown_remedy
from copycatch.formats.catalog import FORMATS
from copycatch.formats.shared.format import FormatOptions
from copycatch.records.policy_values import parse_duration
from copycatch.settings.mapping import load_mapping
from copycatch.settings.shipped import mapping_file

_DEFAULTS = FormatOptions()


def _zone_of(name: Any) -> dt.tzinfo | None:
    if name is None or isinstance(name, dt.tzinfo):
        return name
    try:
        return dt.UTC if str(name).upper() == "UTC" else ZoneInfo(str(name))
    except (ValueError, KeyError, OSError) as error:
        message = f"there is no time zone {str(name)[:64]!r}; write one as UTC or Europe/Berlin"
        raise ValueError(message) from error


class OptionsModel(BaseModel):
    """Keys of `inputs[].options`; what they mean stands at `FormatOptions`."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    account_pointer: str | None = Field(default=None, pattern="^/", max_length=1024)
    account_headers: tuple[str, ...] = Field(default=_DEFAULTS.account_headers, max_length=32)
    account_fallback: Literal["reject", "key", "client_ip"] = "reject"
    tenant_headers: tuple[str, ...] = Field(default=_DEFAULTS.tenant_headers, max_length=32)
    model_id: str | None = Field(default=None, min_length=1, max_length=512)
    event_time: Literal["log", "log_or_arrival"] = "log_or_arrival"
    times: Annotated[dt.tzinfo | None, BeforeValidator(_zone_of)] = None
    proxies_trusted: int = Field(default=0, ge=0, le=16)
    join_timeout: Annotated[float, BeforeValidator(parse_duration), Field(gt=0, le=3600)] = (
        _DEFAULTS.join_timeout_s
    )
    pending_max: int = Field(default=_DEFAULTS.pending_max, ge=1, le=10_000_000)
    pending_bytes_max: int = Field(default=_DEFAULTS.pending_bytes_max, ge=1 << 16)
    unpaired: Literal["reject", "keep"] = "keep"
    mapping: Path | None = None


def format_options(
    format_name: str, options: Mapping[str, Any], folder: Path = Path(), file: str = "inputs"
) -> FormatOptions:
    """Checked options of one topic.

    Parameters
    ----------
    format_name : str
        A name of the catalogue of formats.
    options : mapping
        As the settings file says them.
    folder : Path
        Where a relative path of a mapping file starts: the folder of the settings file.
    file : str
        What to call it in messages.

    Raises
    ------
    ConfigError
        With what is wrong and what would be right.

    Examples
    --------
    >>> format_options("kserve", {"join_timeout": "10s"}).join_timeout_s
    10.0
    >>> format_options("kserv", {})
    Traceback (most recent call last):
        ...
    copycatch.errors.ConfigError: inputs: unknown format 'kserv' (did you mean kserve?)
    """
    if format_name not in FORMATS:
        message = f"{file}: unknown format {format_name!r} ({unknown_remedy(format_name, FORMATS)})"
        raise ConfigError(message)
    try:
        checked = OptionsModel.model_validate(dict(options))
    except ValidationError as error:
        lines = []
        for detail in error.errors(include_url=False):
            key = str(detail["loc"][0]) if detail["loc"] else ""
            is_unknown = detail["type"] == "extra_forbidden"
            known = unknown_remedy(key, OptionsModel.model_fields) if is_unknown else None
            remedy = known or detail.get("ctx", {}).get("remedy")
            problem = "unknown key" if is_unknown else detail["msg"]
            lines.append(f"{file}: options.{key}: {problem}" + (f" ({remedy})" if remedy else ""))
        raise ConfigError("\n".join(lines)) from None
    if (format_name == "mapping") != (checked.mapping is not None):
        hint = "add options: {mapping: FILE or a shipped name}; `copycatch inspect` writes a first one"
        remedy = hint if checked.mapping is None else "set format: mapping, or leave the file out"
        message = f"{file}: format {format_name!r} and options.mapping do not fit ({remedy})"
        raise ConfigError(message)
    given = checked.model_dump(exclude={"mapping", "join_timeout"})
    return FormatOptions(
        **given,
        join_timeout_s=checked.join_timeout,
        mapping=None if checked.mapping is None else load_mapping(mapping_file(folder, checked.mapping)),
    )
