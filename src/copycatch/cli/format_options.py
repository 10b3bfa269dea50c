"""`--format` and `--option`, for every command that reads a log."""

import argparse
from pathlib import Path
from typing import Any

import yaml

from copycatch.errors import ConfigError
from copycatch.formats.shared.format import FormatOptions
from copycatch.settings.formats import format_options


def add_format_arguments(parser: argparse.ArgumentParser, default: str | None) -> None:
    """Add the two to a command."""
    parser.add_argument(
        "--format",
        metavar="NAME",
        default=default,
        help="log format (copycatch inspect --formats lists them; "
        + (f"default: {default})" if default else "default: the one that most messages are in)"),
    )
    parser.add_argument(
        "--option",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="option of the format, as account_pointer=/user/id, model_id=m or mapping=FILE (repeatable)",
    )


def options_of(format_name: str, pairs: list[str]) -> FormatOptions:
    """Checked options from `KEY=VALUE` pairs; values are read as YAML, so `[a, b]` is a list.

    Raises
    ------
    ConfigError
        If a pair is none, or an option is unknown or wrong.

    Examples
    --------
    >>> options_of("kserve", ["join_timeout=5s", "account_headers=[x-user]"]).account_headers
    ('x-user',)
    """
    return format_options(format_name, given_by(pairs), Path(), "--option")


def given_by(pairs: list[str]) -> dict[str, Any]:
    """Unchecked options from `KEY=VALUE` pairs.

    Raises
    ------
    ConfigError
        If a pair is none.

    Examples
    --------
    >>> given_by(["proxies_trusted=1", "model_id=m"])
    {'proxies_trusted': 1, 'model_id': 'm'}
    """
    given: dict[str, Any] = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign:
            message = f"--option {pair}: expected KEY=VALUE"
            raise ConfigError(message)
        try:
            given[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            given[key] = value
    return given
