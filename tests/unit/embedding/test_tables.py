"""Tables of a vocabulary: token for token what its own tokenizer says, and faults that name their remedy."""

import hashlib
import importlib.metadata
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from copycatch.embedding import source
from copycatch.embedding.kernel import _scan, _tokenize, room_for
from copycatch.embedding.merging import CHUNK_CHARS_MAX
from copycatch.embedding.tables import Tables, Vocabulary, build_tables
from copycatch.errors import ConfigError

# Vectors follow from the tables. Where this changes so do they: say so in the changelog.
TABLES_SHA256 = "748e392a71b5a20d4528dfadfdd2b8d3b0cc45ac2c6236b1bbf11b7493127733"


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return source.read_vocabulary()


@pytest.fixture(scope="module")
def tables(vocabulary: Vocabulary) -> Tables:
    return build_tables(vocabulary)


@pytest.fixture(scope="module")
def tokens_of(tables: Tables) -> Callable[[str], tuple[list[int], int]]:
    """Tokens of a text, and the length of its longest chunk."""
    room = room_for(2_000)

    def found(text: str) -> tuple[list[int], int]:
        points = np.array([text]).view(np.uint32)
        n_chunks = _scan(points, tables, room)
        n = _tokenize(points, n_chunks, tables, room)
        return room.tokens[:n].tolist(), int(np.diff(room.starts[: n_chunks + 1]).max())

    return found


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """The original one, but for its marks: `<s>` in a text is text."""
    path = importlib.metadata.distribution(source.PACKAGE).locate_file(source.TOKENIZER)
    settings = json.loads(Path(str(path)).read_text("utf-8"))
    return Tokenizer.from_str(json.dumps(settings | {"added_tokens": [], "post_processor": None}))


def test_tables_are_those_that_the_vectors_of_snapshots_come_from(tables: Tables) -> None:
    if importlib.metadata.version(source.PACKAGE) != "0.4.0.post1":
        pytest.skip("the digest is that of another version of the weights")
    digest = hashlib.sha256()
    for array in tables:
        digest.update(array.tobytes())
    assert digest.hexdigest() == TABLES_SHA256


def test_every_token_is_tokenized_like_the_original(
    vocabulary: Vocabulary, tokenizer: Tokenizer, tokens_of: Callable[[str], tuple[list[int], int]]
) -> None:
    texts = [text.replace("▁", " ") for text, token in vocabulary.token_by_text.items() if token > 258]
    texts += [text.lstrip(" ") or "x" for text in texts]
    theirs = [each.ids for each in tokenizer.encode_batch(texts, add_special_tokens=False)]
    wrong = [text for text, ids in zip(texts, theirs, strict=True) if tokens_of(text)[0] != ids]
    assert not wrong


@given(st.text(min_size=1, max_size=80))
def test_any_text_is_tokenized_like_the_original(
    tokenizer: Tokenizer, tokens_of: Callable[[str], tuple[list[int], int]], text: str
) -> None:
    tokens, longest = tokens_of(text)
    if longest <= CHUNK_CHARS_MAX:
        assert tokens == tokenizer.encode(text, add_special_tokens=False).ids


@given(st.text("abcdehinorstABCDEINRST  .,'\"-=(){}_/áéжио🙂", min_size=1, max_size=60))
def test_words_are_merged_like_the_original(
    tokenizer: Tokenizer, tokens_of: Callable[[str], tuple[list[int], int]], text: str
) -> None:
    tokens, longest = tokens_of(text)
    if longest <= CHUNK_CHARS_MAX:
        assert tokens == tokenizer.encode(text, add_special_tokens=False).ids


def _small(**changes: object) -> Vocabulary:
    texts = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "a", "b", "ab", "▁ab"]
    given = {
        "token_by_text": {text: token for token, text in enumerate(texts)},
        "merges": [("a", "b"), ("▁", "ab")],
        "vectors": np.eye(len(texts), 64) + 0.5,
    }
    return Vocabulary(**(given | changes))  # type: ignore[arg-type]


def test_a_small_vocabulary_is_one_too() -> None:
    tables, room = build_tables(_small()), room_for(10)
    points = np.array(["ab b\n"]).view(np.uint32)
    n = _tokenize(points, _scan(points, tables, room), tables, room)
    names = list(_small().token_by_text)
    assert [names[token] for token in room.tokens[:n]] == ["▁ab", "▁", "b", "<0x0A>"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"token_by_text": {"a": 0}}, "byte fallback"),
        ({"vectors": np.ones((3, 64))}, "expected one each"),
        ({"vectors": np.ones((40_000, 64))}, "at most 32768"),
        ({"vectors": np.full((300, 64), np.nan)}, "not finite"),
        ({"vectors": np.zeros((300, 64))}, "all zero"),
        ({"vectors": np.ones((300, 32))}, "shorter than 64"),
        ({"token_by_text": dict(_small().token_by_text) | {"cd": 261}}, "no token by itself"),
    ],
)
def test_another_kind_of_vocabulary_is_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        build_tables(_small(**changes))


def _wheel(folder: Path, name: str, content: bytes, record: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    info = folder / "wordllama-0.4.9.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: wordllama\nVersion: 0.4.9\n")
    (info / "RECORD").write_text(record)


@pytest.mark.parametrize(
    ("record", "content", "said"),
    [
        (f"{source.TOKENIZER},sha256=AAAA,2\n", b"{}", "not the file that was installed"),
        ("", b"{}", "has no file"),
        (
            f"{source.TOKENIZER},,\n",
            b'{"model": {"type": "Unigram", "byte_fallback": true, "ignore_merges": false}}',
            "another kind of tokenizer",
        ),
    ],
)
def test_a_damaged_wheel_is_named(
    record: str, content: bytes, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _wheel(tmp_path, source.TOKENIZER, content, record)
    found = importlib.metadata.PathDistribution(tmp_path / "wordllama-0.4.9.dist-info")
    monkeypatch.setattr(source, "distribution", lambda _: found)
    with pytest.raises(ConfigError, match=said):
        source.read_vocabulary()


def test_a_missing_wheel_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "PACKAGE", "no-such-package-of-ours")
    with pytest.raises(ConfigError, match="is missing"):
        source.read_vocabulary()
