"""Codes of labels: the same in every process, different for what differs, bounded in memory."""

import subprocess
import sys

import numpy as np
import pytest

from copycatch.intake import labels
from copycatch.intake.labels import MISSING_LABEL, code_labels


def test_class_indices_are_their_own_codes_and_texts_lie_above() -> None:
    codes = code_labels([0, 7, "7", "cat", None], {})
    assert codes[:2].tolist() == [0, 7]
    assert codes[4] == MISSING_LABEL
    assert len(set(codes.tolist())) == 5
    assert (codes[2:4] >= 1 << 62).all()


@pytest.mark.parametrize("label", [-1, -(1 << 70), 1 << 62, 1 << 200, "", "\ud800", "é" * 10_000])
def test_any_label_has_one_code_that_is_no_index_and_not_missing(label: str | int) -> None:
    first, again = code_labels([label, label], {}).tolist()
    assert first == again >= 1 << 62


def test_another_process_gives_the_same_codes() -> None:
    code = "from copycatch.intake.labels import code_labels; print(*code_labels(['cat', 'dog', 3], {}))"
    out = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=120,
        env={"PYTHONHASHSEED": "1", "PYTHONPATH": ":".join(sys.path)},
    ).stdout  # fmt: skip
    assert out.split() == [str(each) for each in code_labels(["cat", "dog", 3], {})]


def test_the_cache_is_bounded_and_changes_no_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labels, "CACHE_LABELS_MAX", 10)
    names = [f"label-{index}" for index in range(35)]
    cache: dict[str, int] = {}
    np.testing.assert_array_equal(code_labels(names, cache), [code_labels([name], {})[0] for name in names])
    assert len(cache) <= 10
