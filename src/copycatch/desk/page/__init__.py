"""The report as one HTML page that loads nothing: template, style, script and the plotting library inlined.

Takes: the report's data. Gives: one page. Never: loads anything, or lets text of a log become markup: the
script puts it in as text, and the data stand in the page as JSON without any `<`.
"""

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import msgspec

from copycatch.errors import ConfigError


def render_page(data: Mapping[str, Any]) -> str:
    """The page.

    Raises
    ------
    ConfigError
        If the plotting library is not installed.
    """
    try:
        from plotly.offline import get_plotlyjs
    except ModuleNotFoundError as error:
        message = "a report needs the plotting library; install it with: pip install 'copycatch[report]'"
        raise ConfigError(message) from error
    folder = files(__name__)
    page = (folder / "report.html").read_text("utf-8")
    as_json = msgspec.json.encode(data).decode().replace("<", "\\u003c")
    parts = {
        "css": (folder / "report.css").read_text("utf-8"),
        "js": (folder / "report.js").read_text("utf-8"),
        "plotly": get_plotlyjs(),
        "data": as_json,  # last: nothing in it may be taken for another place
    }
    for name, text in parts.items():
        before, _, after = page.partition(f"/*{{{name}}}*/")
        page = before + text + after
    return page
