"""Every output format as one table."""

from collections.abc import Callable
from typing import NamedTuple

from copycatch.findings.cef import encode_cef
from copycatch.findings.ecs import encode_ecs
from copycatch.findings.native import encode_native
from copycatch.findings.ocsf import encode_ocsf
from copycatch.records.wire import Alert


class Encoding(NamedTuple):
    """A row of the catalogue."""

    name: str
    encode: Callable[[Alert], bytes]
    content_type: str
    sentence: str


ENCODINGS: dict[str, Encoding] = {
    row.name: row
    for row in (
        Encoding("native", encode_native, "application/json", "copycatch's own alert, nothing left out"),
        Encoding("ocsf", encode_ocsf, "application/json", "OCSF 1.8 Detection Finding"),
        Encoding("ecs", encode_ecs, "application/json", "Elastic Common Schema 9.4 alert document"),
        Encoding("cef", encode_cef, "text/plain; charset=utf-8", "Common Event Format, one line"),
    )
}
