"""Entries added to a policy file: what was there stays as it was, and the new one is read back."""

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from copycatch.errors import ConfigError
from copycatch.settings.policy_edit import add_entry

ENTRY = {"match": {"account_id": "a: b"}, "reason": 'say "x"', "unless_below": 1e-7}
HEAD = "version: 1\n# a comment\n"
FILES = {
    "no such section": HEAD + "mode: shadow  # first\n",
    "no line end at the end": HEAD + "mode: shadow",
    "null": HEAD + "allow:\nmode: shadow\n",
    "empty": HEAD + "allow: []\nmode: shadow\n",
    "two, then a comment": HEAD
    + "allow:\n- match: {account_id: x}\n  reason: r\n  owner: o\n- match:\n    account_id: y\n"
    + "  reason: r\n  owner: o  # last\n# of the mode\nmode: shadow\n",
    "indented": HEAD
    + "allow:\n    - match: {account_id: x}\n      reason: r\n      owner: o\n\n\nmode: shadow\n",
    "a folded text at the end": HEAD
    + "allow:\n  - match: {account_id: x}\n    owner: o\n    reason: |\n      one\n"
    + "      two\nmode: shadow\n",
}


@pytest.mark.parametrize("text", FILES.values(), ids=FILES)
def test_one_entry_more_and_every_line_still_there(text: str) -> None:
    before, after = yaml.safe_load(text), add_entry(text, "allow", ENTRY, "p.yaml")
    read = yaml.safe_load(after)
    assert read.pop("allow") == [*(before.pop("allow", None) or []), ENTRY]
    assert read == before
    left = iter(after.splitlines())
    for line in text.splitlines():
        assert any(each == line or (line == "allow: []" and each == "allow:") for each in left), line


@settings(deadline=None)
@given(st.text(min_size=1, max_size=30), st.text(min_size=1, max_size=30))
def test_ids_and_texts_come_back_whatever_they_hold(account: str, reason: str) -> None:
    entry = {"match": {"account_id": account}, "reason": reason}
    text = FILES["two, then a comment"]
    assert yaml.safe_load(add_entry(text, "allow", entry, "p.yaml"))["allow"][-1] == entry


@pytest.mark.parametrize(
    "text", ["{version: 1}\n", HEAD + "allow: [{match: {account_id: x}, reason: r, owner: o}]\n"]
)
def test_what_is_written_in_one_line_is_refused_with_the_remedy(text: str) -> None:
    with pytest.raises(ConfigError, match=r"p\.yaml.*line"):
        add_entry(text, "allow", ENTRY, "p.yaml")
