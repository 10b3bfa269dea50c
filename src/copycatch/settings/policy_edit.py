"""Add an entry to a list of a policy file; every other byte of the file stays as it is, comments too."""

from collections.abc import Mapping, Sequence

import yaml

from copycatch.errors import ConfigError
from copycatch.safe_text import printable

_INDENT = 2


def add_entry(text: str, section: str, entry: Mapping[str, object], file: str) -> str:
    r"""The text of the file with one entry more at the end of a top-level list.

    Parameters
    ----------
    text : str
        Of a policy that was checked and is right.
    section : str
        Key of the list; it is added where the file has none.
    entry : mapping
        Of text, numbers and mappings of text.
    file : str
        Its name, for errors.

    Raises
    ------
    ConfigError
        If the section is no list that can be added to (an alias, or written as JSON over several lines).

    Examples
    --------
    >>> entry = {"match": {"account_id": "a"}}
    >>> print(add_entry("version: 1\nallow: []  # nobody\n", "allow", entry, "p"), end="")
    version: 1
    allow:  # nobody
      - match: {account_id: "a"}
    """
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode) or root.flow_style:
        message = f"{file}: is no block of keys that can be added to; write one key a line"
        raise ConfigError(message)
    lines = text.split("\n")
    for key, value in root.value:
        if key.value != section:
            continue
        if isinstance(value, yaml.SequenceNode) and value.value and not value.flow_style:
            indent = value.start_mark.column
            return _with(lines, _last_line(value) + 1, _entry_lines(entry, indent))
        if _is_empty(value) and value.start_mark.line == value.end_mark.line == key.end_mark.line:
            at = key.end_mark.line
            line = lines[at]
            after = (
                line[value.end_mark.column :]
                if isinstance(value, yaml.SequenceNode)
                else line[key.end_mark.column + 1 :]
            )
            lines[at] = f"{line[: key.end_mark.column]}:{after.rstrip()}"
            return _with(lines, at + 1, _entry_lines(entry, _INDENT))
        message = (
            f"{file}:{value.start_mark.line + 1}: {section} is written in one line; write one entry a line, "
            "each after a dash"
        )
        raise ConfigError(message)
    end = len(lines) - 1 if lines[-1] == "" else len(lines)
    return _with(lines, end, [f"{section}:", *_entry_lines(entry, _INDENT)])


def _is_empty(node: yaml.Node) -> bool:
    if isinstance(node, yaml.SequenceNode):
        return not node.value
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _last_line(node: yaml.Node) -> int:
    """Line of the last value below a node; ends of blocks lie beyond the comments that follow them."""
    while isinstance(node, yaml.MappingNode | yaml.SequenceNode) and node.value and not node.flow_style:
        last = node.value[-1]
        node = last[1] if isinstance(last, tuple) else last
    end: int = node.end_mark.line
    if isinstance(node, yaml.ScalarNode) and node.style in {"|", ">"}:
        end -= 1  # ends at the beginning of the line after it
    return end


def _with(lines: list[str], at: int, added: Sequence[str]) -> str:
    text = "\n".join([*lines[:at], *added, *lines[at:]])
    return text if text.endswith("\n") else text + "\n"


def _entry_lines(entry: Mapping[str, object], indent: int) -> list[str]:
    pad, lead = " " * indent, "- "
    lines = []
    for key, value in entry.items():
        lines.append(f"{pad}{lead}{key}: {_value(value)}")
        lead = "  "
    return lines


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_value(each)}" for key, each in value.items()) + "}"
    if isinstance(value, int | float):
        number, sign, exponent = f"{value:.6g}".partition("e")
        return number if not sign else f"{float(number)}e{exponent}"  # YAML wants a point before an exponent
    return quoted(str(value))


def quoted(text: str) -> str:
    r"""A double-quoted scalar that holds the text exactly; what does not show is escaped.

    Examples
    --------
    >>> print(quoted('a "b"\u202e'))
    "a \"b\"\u202E"
    """
    escaped = []
    for char in text:
        if char in {'"', "\\"}:
            escaped.append("\\" + char)
        elif printable(char) != char:
            code = ord(char)
            escaped.append(f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}")
        else:
            escaped.append(char)
    return '"' + "".join(escaped) + '"'
