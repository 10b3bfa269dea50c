"""The catalogue finds readers by themselves: a new format is one new file."""

import inspect
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.formats.support import batch_of

from copycatch import formats
from copycatch.formats import catalog
from copycatch.formats.shared.format import FormatOptions

IMPORTS = """
from copycatch.formats.shared.documents import DocumentDecoder
from copycatch.formats.shared.format import Format, FormatOptions
from copycatch.formats.shared.messages import LogMessage, Reading, name_of, text_of
from copycatch.formats.shared.recognise import Recognise
"""
ACME = b'{"rid": 7, "at": "2026-01-05T00:00:00Z", "who": "a-1", "model": "m", "q": "hello"}'


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The example in the package's docstring, as one more file of the package."""
    example = textwrap.dedent(inspect.getdoc(formats).partition("::\n")[2].rpartition("\n\n`tests/")[0])  # type: ignore[union-attr]
    (tmp_path / "acme.py").write_text(IMPORTS + example)
    monkeypatch.setattr(formats, "__path__", [*formats.__path__, str(tmp_path)])
    monkeypatch.setattr(catalog, "FORMATS", catalog.discover(formats.__path__))
    yield
    sys.modules.pop("copycatch.formats.acme", None)


@pytest.mark.usefixtures("acme")
def test_a_new_format_is_one_new_file() -> None:
    assert catalog.recognise({"rid": 7, "who": "a-1", "q": "hello"}, {}) == "acme"
    decoded = catalog.make_decoder("acme", FormatOptions()).decode(batch_of([ACME]))
    (record,) = decoded.records
    assert (record.event_id, record.account_id, record.input) == ("7", "a-1", "hello")
    _, (reject,) = (
        each.decode(batch_of([ACME])).rejects
        for each in (
            catalog.make_decoder("acme", FormatOptions()),
            catalog.make_decoder("native", FormatOptions()),
        )
    )
    assert (reject.reason, "'acme'" in reject.message) == ("wrong_format", True)


def test_every_format_has_a_name_of_its_own_and_all_but_the_mapping_are_recognised() -> None:
    assert all(name == each.name for name, each in catalog.FORMATS.items())
    nameless = [name for name, each in catalog.FORMATS.items() if not each.marks and each.is_own is None]
    assert nameless == ["mapping"]
    assert list(catalog.FORMATS)[-3:] == ["openai", "oip", "native"]


@pytest.mark.parametrize(
    ("document", "headers", "name"),
    [
        ({"instances": [[1.0]]}, {"ce_type": "org.kubeflow.serving.inference.request"}, "kserve"),
        ({"inputs": []}, {"ce_type": "org.kubeflow.serving.inference.request"}, "kserve"),
        ({"request": {"model": "m", "inputs": []}, "response": {}}, {}, "openai"),
        ({"event_id": "e", "event_time": 0, "inputs": []}, {}, "oip"),
        ({"event_id": "e", "account_id": "a"}, {}, "native"),
        ({"text": "hello"}, {}, None),
        ([1], {}, None),
    ],
)
def test_of_two_formats_that_fit_the_one_that_wraps_the_other_wins(
    document: object, headers: dict[str, str], name: str | None
) -> None:
    assert catalog.recognise(document, headers) == name
