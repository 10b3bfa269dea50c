"""One sanitizer for all text that leaves, and every exit uses it."""

import io
import unicodedata

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from copycatch.alert_formats.text import title_of
from copycatch.cli.live import LiveView, _Seen
from copycatch.contracts.examples import EXAMPLES
from copycatch.decisions.alert_text import who_text
from copycatch.records.columns import RawBatch
from copycatch.records.rejects import reject
from copycatch.records.wire import Alert
from copycatch.safe_text import printable
from copycatch.service.inspection import example_of
from copycatch.sinks.syslog import escape_param

ALERT = msgspec.convert(EXAMPLES["Alert"][0], Alert)
HOSTILE = [
    "acct\x1b[2J\x1b]0;title\x07",  # terminal escapes
    "acct\x9b31m",  # the same in one byte
    "acct\r\nlevel=info event=forged",
    "acct\u202egnp.exe",  # direction override
    "acct\u2066x\u2069",  # isolates
    "acct\u200b\u200d\ufeff",  # zero width
    "acct\u3164\u2800\ufe0f\U000e0101",  # printable, and invisible
    "acct\ud800",  # half a surrogate pair
    "acct\u2028\u2029\x85",  # ends of line
    "acct\x00\x7f",
    "acct\xa0\xad",  # no-break space, soft hyphen
]


def is_visible(text: str) -> bool:
    return all(unicodedata.category(each)[0] not in "CZ" or each == " " for each in text) and not set(
        text
    ) & set("\u3164\u2800\ufe0f\U000e0101\u034f\u115f\u1160")


@given(st.text(max_size=200), st.integers(2, 300))
def test_whatever_it_is_given_is_visible_one_line_and_bounded(text: str, chars_max: int) -> None:
    shown = printable(text, chars_max)
    assert is_visible(shown)
    assert len(shown) <= chars_max
    shown.encode("utf-8")


@given(st.text(st.characters(categories=["L", "N", "P"], exclude_characters="\\\u3164\u115f\u1160\uffa0")))
def test_honest_text_is_left_as_it_is(text: str) -> None:
    assert printable(text, len(text) + 1) == text


@pytest.mark.parametrize("text", HOSTILE)
def test_every_exit_is_safe(text: str) -> None:
    raw = RawBatch("logs", 0, [0], [f'{{"account_id":"{text}"}}'.encode("utf-8", "surrogatepass")])
    letter = reject(raw, 0, "schema", text, text)
    entity = msgspec.structs.replace(ALERT.entity, id=text)
    alert = msgspec.structs.replace(ALERT, model_id=text, entity=entity)
    shown = {
        "dead letter": f"{letter.field} {letter.message} {letter.excerpt}",
        "alert": who_text((text, text, text)),
        "alert title": title_of(alert),
        "inspect": example_of("account_id", text),
        "syslog": escape_param(text),
    }
    for exit_name, each in shown.items():
        assert is_visible(each), exit_name
        assert "acct" in each, "what is honest of it can be read"


@pytest.mark.parametrize(
    "account", ["acct[/b]", "[link=https://evil.example]acct[/link]", "[bold]acct", *HOSTILE]
)
def test_the_live_view_takes_an_id_for_no_markup(account: str) -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=160)
    view = LiveView(console)
    view._seen[account] = _Seen(12, 0.001, "margin", is_alerted=True)
    view._seen[account + "2"] = _Seen(12, float(np.nan), "", is_alerted=False)
    console.print(view._draw())
    shown = stream.getvalue()
    assert printable(account) in shown, "as it is, brackets and all"
    assert "\x1b]8" not in shown, "no hyperlink"
