"""Options of every command that reads back what was announced."""

import argparse
import sys

from copycatch.errors import ConfigError
from copycatch.settings.service import Kafka, load_service
from copycatch.units import UnixMs, parse_rfc3339

FAULTS_SHOWN_MAX = 20


def add_source_arguments(parser: argparse.ArgumentParser) -> None:
    """Where alerts and recommendations are: files, or topics of a broker."""
    parser.add_argument(
        "sources", nargs="+", metavar="SOURCE",
        help="files of alerts and recommendations (as replay and run write them), - for standard input, "
        "or topics",
    )  # fmt: skip
    parser.add_argument("--kafka", metavar="HOST:PORT", help="the sources are topics of this broker")
    parser.add_argument("--settings", metavar="FILE", help="the same, with the broker of a settings file")


def kafka_of(args: argparse.Namespace) -> Kafka | None:
    """The broker that the options name; None where the sources are files.

    Raises
    ------
    ConfigError
        If the settings cannot be read.
    """
    if args.kafka is None and args.settings is None:
        return None
    kafka = load_service(args.settings).kafka if args.settings is not None else Kafka()
    if args.kafka is not None:
        kafka = kafka.model_copy(update={"bootstrap_servers": args.kafka.split(",")})
    return kafka


def time_of(option: str, text: str | None) -> UnixMs | None:
    """A time that an option names.

    Raises
    ------
    ConfigError
        If it is none.
    """
    if text is None:
        return None
    try:
        return UnixMs(parse_rfc3339(text))
    except ValueError as error:
        message = f"{option} {text}: {error}; write 2026-01-31T12:00:00Z"
        raise ConfigError(message) from error


def tell_faults(faults: list[str], n_faults: int) -> None:
    """The first lines that could not be read, on standard error."""
    for fault in faults[:FAULTS_SHOWN_MAX]:
        print(fault, file=sys.stderr)
    if n_faults > FAULTS_SHOWN_MAX:
        print(f"and {n_faults - FAULTS_SHOWN_MAX} more lines that cannot be read", file=sys.stderr)
