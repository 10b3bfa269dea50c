"""Secrets: from the environment or from files, never from a settings file."""

from pathlib import Path

from pydantic import SecretStr

from copycatch.errors import ConfigError


def read_secret(given: SecretStr | None, file: Path | None, key: str) -> bytes | None:
    """The secret from the environment or from its file, without the trailing newline.

    Raises
    ------
    ConfigError
        If the file cannot be read.
    """
    if given is not None:
        return given.get_secret_value().encode()
    if file is None:
        return None
    try:
        return file.read_bytes().rstrip(b"\r\n")
    except OSError as error:
        msg = f"{key}: cannot read {file}: {error.strerror}"
        raise ConfigError(msg) from error
