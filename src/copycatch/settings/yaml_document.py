"""YAML text as plain values, with line and column of every one; hostile or careless text ends in faults.

A document is bounded in bytes, depth and - aliases expanded - in values, so that "billion laughs" cost
nothing. Duplicate keys and tags other than YAML's own are refused.
"""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from copycatch.settings.faults import Fault, PathParts, path_text

DOCUMENT_BYTES_MAX = 1 << 20  # some 5,000 allow-list entries with reasons; beyond is no hand-written policy
DEPTH_MAX = 32
VALUES_MAX = 100_000

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PREFIX = "tag:yaml.org,2002:"
_COLLECTION_TAGS = (_PREFIX + "map", _PREFIX + "seq")
_INT = re.compile(r"[-+]?(0|[1-9][0-9_]{0,30})")  # longer ones are no number that anything here takes
_FLOAT = re.compile(r"[-+]?(\.[0-9_]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?")
_TRUE = frozenset({"true", "yes", "on"})


@dataclass(slots=True)
class Document:
    """Plain values and where they stand (line and column, from 1): `marks` of values, `key_marks` of keys."""

    file: str
    data: Any = None
    marks: dict[PathParts, tuple[int, int]] = field(default_factory=dict)
    key_marks: dict[PathParts, tuple[int, int]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def position(self, path: PathParts, is_key: bool = False) -> tuple[int, int]:
        """Where a path stands, or the nearest of its parents that exists."""
        marks = self.key_marks if is_key else self.marks
        while path and path not in marks:
            path, marks = path[:-1], self.marks
        return marks.get(path, (1, 1))

    def fault(self, path: PathParts, message: str, remedy: str, is_key: bool = False) -> Fault:
        line, column = self.position(path, is_key)
        return Fault(self.file, line, column, path_text(path), message, remedy)


def read_document(text: str | bytes, file: str) -> Document:
    r"""Read YAML; what is wrong with it is in `faults`, and `data` is what could be read.

    Examples
    --------
    >>> document = read_document("a: 1\nb:\n  c: [x]\n", "p.yaml")
    >>> document.data, document.marks["b", "c", 0]
    ({'a': 1, 'b': {'c': ['x']}}, (3, 7))
    >>> str(read_document("a: 1\na: 2\n", "p.yaml").faults[0])
    'p.yaml:2:1: a: this key stands here twice (first on line 1; keep one)'
    """
    document = Document(file)
    decoded = _decoded(text, document)
    if decoded is None:
        return document
    node = _composed(decoded, document)
    if node is not None:
        with contextlib.suppress(_TooManyError):
            document.data = _Builder(document).value(node, (), 0)
    return document


def _decoded(text: str | bytes, document: Document) -> str | None:
    n_bytes = len(text) if isinstance(text, bytes) else len(text.encode("utf-8", "surrogatepass"))
    if n_bytes > DOCUMENT_BYTES_MAX:
        message = f"the file has {n_bytes:,} bytes, more than {DOCUMENT_BYTES_MAX:,}"
        document.faults.append(document.fault((), message, "split it, or match by tenant instead of account"))
        return None
    if isinstance(text, str):
        return text
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = text[: error.start].count(b"\n") + 1
        message = f"byte 0x{text[error.start]:02x} is no UTF-8"
        document.faults.append(Fault(document.file, line, 1, "", message, "save the file as UTF-8"))
        return None


def _composed(text: str, document: Document) -> yaml.Node | None:
    """The one node tree of the text; syntax errors and excessive depth become faults."""
    try:
        depth = 0
        n_documents = 0
        # The parser keeps its own stack, composing recurses: depth is checked before anything recurses.
        for event in yaml.parse(text, Loader=_LOADER):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            elif isinstance(event, yaml.DocumentStartEvent):
                n_documents += 1
            if depth > DEPTH_MAX or n_documents > 1:
                what = "a second document begins" if n_documents > 1 else f"nested deeper than {DEPTH_MAX}"
                remedy = "one file holds one document; remove the ---" if n_documents > 1 else "flatten it"
                mark = event.start_mark
                assert mark is not None
                document.faults.append(Fault(document.file, mark.line + 1, mark.column + 1, "", what, remedy))
                return None
        node = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        problem = " ".join(part for part in (error.context, error.problem) if part)
        document.faults.append(
            Fault(document.file, line, column, "", f"not YAML: {problem}", _syntax_remedy(problem))
        )
        return None
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        message = f"not YAML: {error.reason}"
        document.faults.append(Fault(document.file, line, 1, "", message, "remove the control character"))
        return None
    if node is None:
        document.faults.append(document.fault((), "the file is empty", "begin with version: 1"))
    return node


def _syntax_remedy(problem: str) -> str:
    if "\\t" in problem or "tab" in problem:
        return "indent with spaces, not tabs"
    if "mapping values are not allowed" in problem:
        return "quote the text that has a colon in it, or mend the indentation"
    if "undefined alias" in problem:
        return "define the anchor before its alias"
    return "mend the syntax near here"


class _TooManyError(Exception):
    """More values than a document may have."""


class _Builder:
    """Node tree to plain values."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.n_values = 0
        self.reported: set[tuple[int, int, str]] = set()

    def value(self, node: yaml.Node, path: PathParts, depth: int) -> Any:
        mark = node.start_mark
        if path not in self.document.marks:
            self.document.marks[path] = (mark.line + 1, mark.column + 1)
        self.n_values += 1
        if self.n_values > VALUES_MAX:
            message = f"more than {VALUES_MAX:,} values once aliases are written out"
            self.document.faults.append(self.document.fault(path, message, "use fewer aliases"))
            raise _TooManyError
        if depth > DEPTH_MAX:
            message = f"nested deeper than {DEPTH_MAX} once aliases are written out"
            self.document.faults.append(self.document.fault(path, message, "an alias may not hold itself"))
            return None
        if not isinstance(node, yaml.ScalarNode) and node.tag not in _COLLECTION_TAGS:
            self._refuse_tag(node, path)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, depth)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, i), depth + 1) for i, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _mapping(self, node: yaml.MappingNode, path: PathParts, depth: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            mark = key_node.start_mark
            if key_node.tag == _PREFIX + "merge":
                for source in self._merge_sources(value_node):
                    for name, value in self._mapping(source, path, depth + 1).items():
                        merged.setdefault(name, value)
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                self._fault_at(key_node, path, "a key must be a plain word", "write key: value")
                continue
            key = str(key_node.value)
            key_path = (*path, key)
            if key in values:
                first_line = self.document.key_marks[key_path][0]
                remedy = f"first on line {first_line}; keep one"
                self._fault_at(key_node, key_path, "this key stands here twice", remedy)
                continue
            self.document.key_marks[key_path] = (mark.line + 1, mark.column + 1)
            values[key] = self.value(value_node, key_path, depth + 1)
        return {**merged, **values}

    def _merge_sources(self, node: yaml.Node) -> Iterator[yaml.MappingNode]:
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        for source in nodes:
            if isinstance(source, yaml.MappingNode):
                yield source
            else:
                self._fault_at(source, (), "<< merges mappings only", "point it at an anchor of a mapping")

    def _scalar(self, node: yaml.Node, path: PathParts) -> Any:
        """YAML's core types; dates stay text, and 1:30 is no number (YAML 1.1 reads 90)."""
        text, tag = str(node.value), node.tag.removeprefix(_PREFIX)
        document = self.document
        value: Any = text
        if tag == "null":
            value = None
        elif tag == "bool":
            value = text.lower() in _TRUE
        elif tag == "int" and _INT.fullmatch(text):
            value = int(text.replace("_", ""))
        elif tag in {"int", "float"} and _FLOAT.fullmatch(text):
            value = float(text.replace("_", ""))
        elif tag == "float" and text.lower().lstrip("+-") in {".inf", ".nan"}:
            document.faults.append(document.fault(path, f"{text} is no limit", "write a finite number"))
        elif tag not in {"str", "int", "float", "timestamp", "value"}:
            self._refuse_tag(node, path)
        return value

    def _fault_at(self, node: yaml.Node, path: PathParts, message: str, remedy: str) -> None:
        """A fault at a node; once, however often aliases bring the node up."""
        line, column = node.start_mark.line + 1, node.start_mark.column + 1
        if (line, column, message) not in self.reported:
            self.reported.add((line, column, message))
            fault = Fault(self.document.file, line, column, path_text(path), message, remedy)
            self.document.faults.append(fault)

    def _refuse_tag(self, node: yaml.Node, path: PathParts) -> None:
        message = f"the tag {node.tag!r} is not allowed"
        self.document.faults.append(self.document.fault(path, message, "remove it and write a plain value"))
