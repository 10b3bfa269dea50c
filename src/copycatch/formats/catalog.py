"""Every input format as one table."""

from copycatch.formats import native
from copycatch.formats.protocol import Format

_ROWS: tuple[Format, ...] = (
    Format(
        name=native.NAME,
        sentence="copycatch's own inference record: one JSON object a message",
        make_decoder=lambda _options: native.NativeDecoder(),
        sources=native.SOURCES,
    ),
)

FORMATS: dict[str, Format] = {row.name: row for row in _ROWS}
