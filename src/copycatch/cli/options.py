"""Options that several commands have, and what they name."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from copycatch.errors import ConfigError
from copycatch.units import UnixMs, parse_rfc3339

if TYPE_CHECKING:
    from copycatch.records.policy import Policy
    from copycatch.settings.service import Kafka

FAULTS_SHOWN_MAX = 20
TOKEN_VARIABLE = "COPYCATCH_DESK__TOKEN"  # noqa: S105, its name


def add_source_arguments(parser: argparse.ArgumentParser) -> None:
    """Where alerts and recommendations are: files, topics of a broker, a running service."""
    parser.add_argument(
        "sources", nargs="*", metavar="SOURCE",
        help="files of alerts and recommendations (as replay and run write them), - for standard input, "
        "topics, or the address of a running service's live pages",
    )  # fmt: skip
    parser.add_argument("--url", metavar="URL", help="the live pages of a running service: one more SOURCE")
    add_token_argument(parser)
    add_kafka_arguments(parser, "the sources are topics")


def sources_of(args: argparse.Namespace) -> list[str]:
    """What `add_source_arguments` was given, at least one.

    Raises
    ------
    ConfigError
        If there is none.
    """
    found = [*args.sources, *([args.url] if args.url else [])]
    if not found:
        message = "name files of alerts (- for standard input), topics with --kafka, or a service with --url"
        raise ConfigError(message)
    return found


def add_token_argument(parser: argparse.ArgumentParser) -> None:
    """`--token-file`, for `desk_token`."""
    parser.add_argument(
        "--token-file", type=Path, metavar="FILE",
        help=f"holds the token of a service's live pages (default: {TOKEN_VARIABLE})",
    )  # fmt: skip


def desk_token(args: argparse.Namespace, sources: Sequence[str] | None = None) -> str:
    """The token of the live pages; "" where none of the sources is a service.

    Raises
    ------
    ConfigError
        If it is needed, and missing or cannot be read.
    """
    from copycatch.desk.reading import is_service
    from copycatch.secret_files import read_secret

    if sources is not None and not any(map(is_service, sources)):
        return ""
    found = read_secret(None, args.token_file, "--token-file")
    token = found.decode("utf-8", "replace") if found is not None else os.environ.get(TOKEN_VARIABLE, "")
    if not token:
        message = (
            "the token of the live pages is missing: name its file with --token-file (the service keeps it "
            f"as desk.token in its state folder) or set {TOKEN_VARIABLE}; or name files of alerts"
        )
        raise ConfigError(message)
    return token


def add_kafka_arguments(parser: argparse.ArgumentParser, what: str) -> None:
    """Options that name a broker, for `kafka_of`; `what` is a topic then."""
    parser.add_argument("--kafka", metavar="HOST:PORT", help=f"{what} of this broker")
    parser.add_argument(
        "--settings", type=Path, metavar="FILE", help="the same, with the broker of a settings file"
    )


def kafka_of(args: argparse.Namespace) -> "Kafka | None":
    """The broker that the options name; None where the sources are files.

    Raises
    ------
    ConfigError
        If the settings cannot be read.
    """
    from copycatch.settings.service import Kafka, load_service

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


def duration_of(option: str, text: str) -> float:
    """Seconds of a length of time that an option names.

    Raises
    ------
    ConfigError
        If it is none.
    """
    from copycatch.records.policy_values import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        message = f"{option} {text}: {error}; write 90m, 12h or 30d"
        raise ConfigError(message) from error


def policy_of(path: Path | None) -> "Policy":
    """The policy of a file, or the built-in one.

    Raises
    ------
    ConfigError
        If the file cannot be read, or is wrong.
    """
    from copycatch.features.catalog import NAMES
    from copycatch.records.policy import Policy
    from copycatch.settings.policy import load_policy

    return Policy() if path is None else load_policy(path, NAMES)


def tell_faults(faults: list[str], n_faults: int) -> None:
    """The first lines that could not be read, on standard error."""
    for fault in faults[:FAULTS_SHOWN_MAX]:
        print(fault, file=sys.stderr)
    if n_faults > FAULTS_SHOWN_MAX:
        print(f"and {n_faults - FAULTS_SHOWN_MAX} more lines that cannot be read", file=sys.stderr)


def tell_left_out(n_left_out: int) -> None:
    """What a running service holds no more, on standard error."""
    if n_left_out:
        print(
            f"{n_left_out} older alert records are not held by the service any more, nor what they "
            "recommended; the topics have them",
            file=sys.stderr,
        )
