"""`--format` and `--option`, for every command that reads a log."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from copycatch.errors import ConfigError
from copycatch.formats.shared.format import FormatOptions
from copycatch.records.decoding import Decoder
from copycatch.safe_text import printable
from copycatch.settings.formats import format_options


def add_format_arguments(parser: argparse.ArgumentParser, default: str | None) -> None:
    """Add the two to a command."""
    parser.add_argument(
        "--format",
        metavar="NAME",
        default=default,
        help="log format (copycatch inspect --formats lists them; "
        + (
            f"default: {default})"
            if default
            else "default: of each file the one that most of its first messages are in)"
        ),
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


def decoders_of(args: argparse.Namespace) -> Callable[[], Decoder]:
    """What makes decoders for the files of a command: of the format it names, else of the one recognised.

    Raises
    ------
    ConfigError
        If there is no such format, or an option does not fit it.
    """
    from copycatch.formats.catalog import FORMATS
    from copycatch.service.bootstrap import decoder_maker
    from copycatch.service.recognition import recognising_maker
    from copycatch.settings.service import Input

    if args.format is None:
        return recognising_maker(given_by(args.option), _Teller())
    if args.format not in FORMATS:
        message = f"--format {args.format}: no such format; there are {', '.join(sorted(FORMATS))}"
        raise ConfigError(message)
    return decoder_maker(Input(topic="files", format=args.format, options=given_by(args.option)))


class _Teller:
    """Tells the format of the first file, and of each file that is in another."""

    def __init__(self) -> None:
        self._first: str | None = None

    def __call__(self, file: str, name: str) -> None:
        if self._first is None:
            self._first = name
            print(f"format: {name}", file=sys.stderr)
        elif name != self._first:
            print(f"format: {name} in {printable(file, 200)}", file=sys.stderr)
