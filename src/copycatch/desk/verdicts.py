"""What analysts said of accounts, as `copycatch verdict` notes it: one JSON object a line."""

from pathlib import Path

import msgspec

from copycatch.desk.backtest import Verdict
from copycatch.errors import ConfigError


class _Line(msgspec.Struct):
    """What is read of a line; other fields are left alone."""

    account_id: str
    verdict: Verdict


def read_verdicts(path: Path) -> dict[str, Verdict]:
    """The latest verdict by account or campaign id.

    Raises
    ------
    ConfigError
        If the file cannot be read, or a line is no verdict: file, line and remedy.
    """
    decoder = msgspec.json.Decoder(_Line)
    verdicts: dict[str, Verdict] = {}
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        msg = f"{path}: cannot be read: {error.strerror}"
        raise ConfigError(msg) from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            given = decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            msg = (
                f'{path}:{number}: {error}; write {{"account_id": "...", "verdict": "benign"}} '
                "(or attack, unsure)"
            )
            raise ConfigError(msg) from error
        verdicts[given.account_id] = given.verdict
    return verdicts
