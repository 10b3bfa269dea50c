"""Every alert format as one table: settings and schemas are derived from it."""

from collections.abc import Callable
from typing import NamedTuple

from msgspec import Struct

from copycatch.alert_formats.cef import CEF_PATTERN, encode_cef
from copycatch.alert_formats.ecs import EcsAlert, encode_ecs
from copycatch.alert_formats.native import encode_native
from copycatch.alert_formats.ocsf import DetectionFinding, encode_ocsf
from copycatch.records.wire import Alert

JSON = "application/json"


class AlertFormat(NamedTuple):
    """A row of the table.

    `schema` is the class of the documents that are written, or a regular expression for lines of text.
    """

    name: str
    encode: Callable[[Alert], bytes]
    content_type: str
    description: str
    schema: type[Struct] | str


ALERT_FORMATS: dict[str, AlertFormat] = {
    row.name: row
    for row in (
        AlertFormat("native", encode_native, JSON, "copycatch's own alert, nothing left out", Alert),
        AlertFormat("ocsf", encode_ocsf, JSON, "OCSF 1.8 Detection Finding", DetectionFinding),
        AlertFormat("ecs", encode_ecs, JSON, "Elastic Common Schema 9.4 alert document", EcsAlert),
        AlertFormat(
            "cef", encode_cef, "text/plain; charset=utf-8", "Common Event Format, one line", CEF_PATTERN
        ),
    )
}
