"""Grammars of the text victims, read from `grammars/*.json` when a text victim is built."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

import msgspec

from copycatch.errors import ConfigError


class Ambiguous(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sentences that people of several topics write."""

    templates: tuple[str, ...]
    topics: tuple[str, ...]


class Grammar(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What people write about some topics; `grammar.expand` reads the templates.

    Attributes
    ----------
    templates : mapping of str to tuple of str
        By topic; one topic is one class.
    slots : mapping of str to tuple of str
        What a `<name>` in a template may stand for.
    ambiguous : tuple of Ambiguous
    ambiguous_prob : float
        How often a sentence is one of those.
    words : tuple of str
        More words, for inputs without grammar.
    """

    templates: Mapping[str, tuple[str, ...]]
    slots: Mapping[str, tuple[str, ...]] = {}
    ambiguous: tuple[Ambiguous, ...] = ()
    ambiguous_prob: float = 0.0
    words: tuple[str, ...] = ()
    about: str = ""


def parse_grammar(data: bytes, file: str) -> Grammar:
    """Read a grammar; `file` is named in errors.

    Raises
    ------
    ConfigError
        If it is no grammar.

    Examples
    --------
    >>> parse_grammar(b'{"templates": {"greet": ["hi <who>"]}, "slots": {"who": ["all"]}}', "g.json").words
    ()
    """
    try:
        return msgspec.json.decode(data, type=Grammar)
    except msgspec.DecodeError as error:
        message = f"{file} is no grammar: {error}; see grammars/ in copycatch.redteam for the form"
        raise ConfigError(message) from error


@cache
def load_grammar(name: str) -> Grammar:
    """A grammar that the package ships.

    Raises
    ------
    ConfigError
        If its file is missing or damaged.

    Examples
    --------
    >>> len(load_grammar("shop_intents").templates), len(load_grammar("llm_prompts").templates)
    (26, 20)
    """
    file = files(__package__).joinpath("grammars", f"{name}.json")
    try:
        data = file.read_bytes()
    except OSError as error:
        message = f"{file} cannot be read ({error.strerror}): install copycatch again, with its data files"
        raise ConfigError(message) from error
    return parse_grammar(data, str(file))
