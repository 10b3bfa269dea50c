"""Spellings of one name: what a header says, and what the log said, may differ in form and mean the same."""

import unicodedata
import urllib.parse
from collections.abc import Iterable

from copycatch.intake.accounts import canonical_account

# More spellings than this in one request are an attempt to hide one among many.
SPELLINGS_MAX = 64
VALUE_CHARS_MAX = 4096


class UnclearIdentityError(ValueError):
    """A request that names so many, or so long ones, that it cannot be told whom it is from."""


def header_text(value: bytes) -> str:
    r"""A header's bytes as text: UTF-8 where they are, else Latin-1.

    Examples
    --------
    >>> header_text("dièb".encode()), header_text(b"di\xe8b")
    ('dièb', 'dièb')
    """
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def stored_form(name: str) -> str:
    r"""The form under which the table keeps a name: Unicode NFC, blanks single and none at the ends.

    Examples
    --------
    >>> stored_form("  acme\u00a0 ltd "), stored_form("die\u0300b")
    ('acme ltd', 'dièb')
    """
    return " ".join(unicodedata.normalize("NFC", name).split())


def forms_of(name: str) -> set[str]:
    """The name as it is stored, and folded: case and compatibility forms, as the log's accounts are.

    Examples
    --------
    >>> sorted(forms_of("Thief"))
    ['Thief', 'thief']
    """
    return {stored_form(name), stored_form(canonical_account(name))}


def spellings_of(values: Iterable[str]) -> tuple[str, ...]:
    """Every stored form that the values of a header may mean, sorted.

    A value counts as it is, percent-decoded, folded (case and compatibility forms, as the log's accounts are
    folded), and in its parts where a proxy joined several with commas. Only requests are read so
    generously, never recommendations: otherwise a thief could choose a name whose block hits somebody else.

    Raises
    ------
    UnclearIdentityError
        If a value is too long, or there are too many.

    Examples
    --------
    >>> spellings_of(["Di%C3%A8b"])
    ('Di%C3%A8b', 'Dièb', 'di%c3%a8b', 'dièb')
    >>> spellings_of(["thief, innocent"])
    ('innocent', 'thief', 'thief, innocent')
    >>> spellings_of([" "])
    ()
    """
    found: set[str] = set()
    for value in values:
        if len(value) > VALUE_CHARS_MAX:
            msg = f"a name of {len(value)} characters; at most {VALUE_CHARS_MAX}"
            raise UnclearIdentityError(msg)
        parts = value.split(",", SPELLINGS_MAX)
        for part in (value, *parts):
            for text in (part, urllib.parse.unquote(part)):
                found |= forms_of(text)
            if len(found) > SPELLINGS_MAX:
                msg = f"more than {SPELLINGS_MAX} names or spellings in one request"
                raise UnclearIdentityError(msg)
    return tuple(sorted(found - {""}))
