"""The latest verdict on each account or campaign."""

from pathlib import Path

from copycatch.settings.verdicts import Verdict, read_verdict_lines


def read_verdicts(path: Path) -> dict[str, Verdict]:
    """The latest verdict by account or campaign id.

    Raises
    ------
    ConfigError
        If the file cannot be read, or a line is no verdict: file, line and remedy.
    """
    return {line.account_id: line.verdict for line in read_verdict_lines(path)}
