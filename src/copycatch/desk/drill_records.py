"""The marked records of a drill, in the format of the topic they go to."""

from pathlib import Path
from string import Template

import msgspec

from copycatch.errors import ConfigError
from copycatch.intake.drill_marks import DrillMarks
from copycatch.intake.read import ANY_TOPIC, Intake
from copycatch.ports import Message
from copycatch.records.columns import RawBatch
from copycatch.records.drill import QUERIES, account_of
from copycatch.service.bootstrap import decoder_maker
from copycatch.settings.service import Input
from copycatch.units import MS_PER_S, UnixMs, format_rfc3339

# A refused query: should the mark not hold, nothing is learned from it either.
NATIVE = (
    '{"event_id": "$event_id", "event_time": "$event_time", "account_id": "$account_id", '
    '"model_id": "$model_id", "input": "$text", "status": 403}'
)
WORDS = "event_id, event_time, epoch_s, epoch_ms, account_id, model_id and text"


class Drill:
    """Makes the records of one drill.

    Parameters
    ----------
    drill_id : str
        Letters and digits.
    model_id : str
        The model that the fake queries ask.
    template : str
        A message, with `$event_id` and so on (`WORDS`) where they belong; JSON strings need no quoting.
    marks : DrillMarks
    """

    def __init__(self, drill_id: str, model_id: str, template: str, marks: DrillMarks) -> None:
        self.drill_id = drill_id
        self.account_id = account_of(drill_id)
        self.model_id = model_id
        self._template = Template(template)
        self._marks = marks

    def record(self, number: int, now_ms: UnixMs) -> Message:
        """The query of that number, from 1; the one after `QUERIES` ends the drill.

        Raises
        ------
        ConfigError
            If the template names something that there is not.
        """
        time_ms = UnixMs(now_ms // MS_PER_S * MS_PER_S)
        values = {
            "event_id": self._marks.event_id(self.drill_id, number, time_ms),
            "event_time": format_rfc3339(time_ms),
            "epoch_s": str(time_ms // MS_PER_S),
            "epoch_ms": str(time_ms),
            "account_id": self.account_id,
            "model_id": self.model_id,
            "text": f"copycatch drill, query {number} of {QUERIES}",
        }
        quoted = {name: msgspec.json.encode(value).decode()[1:-1] for name, value in values.items()}
        try:
            text = self._template.substitute(quoted)
        except (KeyError, ValueError) as error:
            msg = f"--template: {error}: there is $ before {WORDS} only; write $$ for a dollar sign"
            raise ConfigError(msg) from error
        return Message(self.account_id.encode(), text.strip().encode(), now_ms)


def template_of(path: Path | None, format_name: str) -> str:
    """The text of a template, one message.

    Raises
    ------
    ConfigError
        If the file cannot be read, or the format needs one.
    """
    if path is None:
        if format_name == "native":
            return NATIVE
        msg = (
            f"format {format_name}: name one message of it with --template, with $event_id, $event_time (or "
            "$epoch_s, $epoch_ms), $account_id, $model_id and $text in their places"
        )
        raise ConfigError(msg)
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{path}: cannot be read: {error}"
        raise ConfigError(msg) from error


def check_record(message: Message, log: Input, folder: Path, key: bytes, now_ms: UnixMs) -> None:
    """Read a record as the service will.

    Raises
    ------
    ConfigError
        If the mark does not come through: what became of it instead.
    """
    assert message.value is not None, "records have a value"
    raw = RawBatch(log.topic, 0, [0], [message.value], [message.timestamp_ms], [[]], [message.key])
    read = Intake(key, None, {ANY_TOPIC: decoder_maker(log, folder)}, DrillMarks(key)).read(raw, now_ms)
    if len(read.drills) == 1 and not len(read.batch) and not read.rejects:
        return
    if read.rejects:
        first = read.rejects[0]
        what = f"it is refused ({first.reason}, {first.field}: {first.message})"
    elif len(read.batch):
        batch = read.batch
        what = (
            f"it is read as event {batch.event_ids[0]!r} of account {batch.account_ids[0]!r} at "
            f"{format_rfc3339(int(batch.event_times_ms[0]))}, and the mark does not come through"
        )
    else:
        what = f"{len(read.drills)} records come of it"
    msg = f"--template: a message of it, read as format {log.format}: {what}; it must come as it was sent"
    raise ConfigError(msg)
