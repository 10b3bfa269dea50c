"""What analysts said of alerts, as `copycatch verdict` notes it: one JSON object a line."""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec

from copycatch.errors import ConfigError
from copycatch.units import MS_PER_DAY, parse_rfc3339

Verdict = Literal["benign", "attack", "unsure"]
VERDICTS: tuple[Verdict, ...] = ("attack", "benign", "unsure")


class VerdictLine(msgspec.Struct):
    """What is read of a line; other fields are left alone."""

    account_id: str
    verdict: Verdict
    uid: str | None = None
    time: str | None = None
    tenant_id: str | None = None
    model_id: str | None = None
    reason: str | None = None
    by: str | None = None
    tail_prob: float | None = None  # the least of the alert; None where only limits spoke


def read_verdict_lines(path: Path) -> list[VerdictLine]:
    """Every line, in order.

    Raises
    ------
    ConfigError
        If the file cannot be read, or a line is no verdict: file, line and remedy.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        msg = f"{path}: cannot be read: {error.strerror}"
        raise ConfigError(msg) from error
    return verdict_lines(lines, str(path))


def verdict_lines(lines: Iterable[bytes], place: str) -> list[VerdictLine]:
    """The same of lines, or messages, that are read already; `place` names what they were read from.

    Raises
    ------
    ConfigError
        If one is no verdict.
    """
    decoder = msgspec.json.Decoder(VerdictLine)
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            given = decoder.decode(line)
            if given.time is not None:
                parse_rfc3339(given.time)
        except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
            msg = (
                f'{place}:{number}: {error}; write {{"account_id": "...", "verdict": "benign"}} '
                "(or attack, unsure)"
            )
            raise ConfigError(msg) from error
        found.append(given)
    return found


def count_verdicts(lines: Iterable[VerdictLine], now_ms: int, days: int) -> dict[Verdict, int]:
    """Alerts by their latest verdict, of those given in the last `days`; who names no time counts as now.

    Examples
    --------
    >>> lines = [VerdictLine("a", "benign", "u1"), VerdictLine("a", "attack", "u1")]
    >>> lines.append(VerdictLine("b", "unsure"))
    >>> count_verdicts(lines, 0, 7)
    {'attack': 1, 'benign': 0, 'unsure': 1}
    """
    latest: dict[str, Verdict] = {}
    for line in lines:
        if line.time is None or parse_rfc3339(line.time) >= now_ms - days * MS_PER_DAY:
            latest[line.uid or line.account_id] = line.verdict
    said = list(latest.values())
    return {verdict: said.count(verdict) for verdict in VERDICTS}


def precision_of(counts: dict[Verdict, int]) -> float | None:
    """Share of attacks among alerts that were judged; None where none was. Unjudged is not false.

    Examples
    --------
    >>> precision_of({"attack": 3, "benign": 1, "unsure": 9}), precision_of({"attack": 0, "benign": 0})
    (0.75, None)
    """
    n = counts["attack"] + counts["benign"]
    return counts["attack"] / n if n else None
