"""The report as one HTML page that loads nothing: template, style, scripts and the plotting library inlined.

Takes: the report's data, or nothing for the live page, which asks the service that it came from. Gives:
one page. Never: loads anything from elsewhere, or lets text of a log become markup: the script puts it in
as text, and the data stand in the page as JSON without any `<`.
"""

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import msgspec

from copycatch.errors import ConfigError

SCRIPTS = ("draw", "case", "start")


def render_page(data: Mapping[str, Any] | None) -> str:
    """The page.

    Parameters
    ----------
    data : mapping, optional
        Of a report. Without them the page asks for a token, and the service for data.

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
    as_json = "" if data is None else msgspec.json.encode(data).decode().replace("<", "\\u003c")
    parts = {
        "connect": "'self'" if data is None else "'none'",
        "css": (folder / "report.css").read_text("utf-8"),
        "plotly": get_plotlyjs(),
        **{name: (folder / f"{name}.js").read_text("utf-8") for name in SCRIPTS},
        "data": as_json,  # last: nothing in it may be taken for another place
    }
    for name, text in parts.items():
        before, _, after = page.partition(f"/*{{{name}}}*/")
        page = before + text + after
    return page
