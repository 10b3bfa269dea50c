"""The one rule for text that leaves: logs, alerts, dead letters, terminals.

Ids, headers and texts come from strangers. What they hold must not drive a terminal, forge a line of a log,
turn the direction of what follows, or hide characters from whoever compares two ids.
"""

import re

TEXT_CHARS_MAX = 80

# Count as printable and show nothing: fillers, joiners, variation selectors, the braille blank.
_BLANK = "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef"
_HIDDEN = re.compile(f"[{_BLANK}]")


def printable(text: str, chars_max: int = TEXT_CHARS_MAX) -> str:
    r"""Text on one line of at most `chars_max` characters, all of them visible.

    Everything that `str.isprintable` refuses is written as in Python source: control characters, line ends,
    direction overrides, zero-width characters, lone surrogates; printable characters that show nothing, too.
    What is cut ends in "…". Markup of a library, as rich's `[bold]`, is text like any other: hand it over as
    `rich.text.Text`, never as a string.

    Examples
    --------
    >>> printable("acct\x1b[2J\n"), printable("a\u202eb\u3164"), printable("a" * 200, 8)
    ('acct\\x1b[2J\\n', 'a\\u202eb\\u3164', 'aaaaaaa…')
    """
    text = text[: chars_max + 1]
    if not text.isascii() or not text.isprintable():
        text = "".join(
            each if each.isprintable() and not _HIDDEN.match(each) else _escaped(each) for each in text
        )
    return text if len(text) <= chars_max else text[: chars_max - 1] + "…"


def _escaped(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")
