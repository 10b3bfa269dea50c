"""The grammars that ship with the package, and what a missing or damaged one says."""

import re
import subprocess
import sys

import pytest

from copycatch.errors import ConfigError
from copycatch.redteam.grammar_files import load_grammar, parse_grammar

SHIPPED = ("shop_intents", "llm_prompts", "foreign_topics")


@pytest.mark.parametrize("name", SHIPPED)
def test_every_slot_of_a_template_can_be_filled(name: str) -> None:
    grammar = load_grammar(name)
    templates = [t for each in grammar.templates.values() for t in each]
    templates += [t for each in grammar.ambiguous for t in each.templates]
    named = {slot for template in templates for slot in re.findall(r"<(\w+)>", template)}
    assert named <= grammar.slots.keys()
    assert all(grammar.slots.values())
    assert all(template.count("(") == template.count(")") for template in templates)
    assert {topic for each in grammar.ambiguous for topic in each.topics} <= grammar.templates.keys()


def test_a_missing_file_says_what_to_do() -> None:
    with pytest.raises(ConfigError, match=r"nonesuch\.json cannot be read .*install copycatch again"):
        load_grammar("nonesuch")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"{", r"g\.json is no grammar"),
        (b'{"slots": {}}', r"missing required field `templates`"),
        (b'{"templates": {"a": "b"}}', r"Expected `array`, got `str` - at `\$\.templates\[\.\.\.\]`"),
        (b'{"templates": {}, "vague": []}', r"unknown field `vague`"),
    ],
)
def test_a_damaged_file_is_named_with_its_field(data: bytes, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_grammar(data, "g.json")


def test_no_grammar_is_read_before_a_text_victim_is_built() -> None:
    code = (
        "import copycatch.redteam.victims, copycatch.redteam.llm\n"
        "from copycatch.redteam.grammar_files import load_grammar\n"
        "print(load_grammar.cache_info().currsize)"
    )
    read = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=120
    )
    assert read.stdout == "0\n"
