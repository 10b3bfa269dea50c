"""Heavy libraries of the extras, imported where they are used."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

from copycatch.errors import ConfigError

_EXTRA_BY_PACKAGE = {
    "sklearn": "redteam",
    "scipy": "redteam",
    "matplotlib": "redteam",
    "PIL": "redteam",
    "onnxruntime": "onnx",
    "art": "art",
}
# Where the module has not the library's name; another library is called art.
_LIBRARY_BY_PACKAGE = {"art": "the Adversarial Robustness Toolbox"}


def require(module: str) -> Any:
    """Import a module of an extra, or say how to install it.

    Raises
    ------
    ConfigError
        If the library is not installed; the message names the extra.

    Examples
    --------
    >>> require("sklearn.datasets").__name__
    'sklearn.datasets'
    """
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != package:
            raise
        extra = _EXTRA_BY_PACKAGE[package]
        library = _LIBRARY_BY_PACKAGE.get(package, package)
        message = f"the red team needs {library}; install it with: pip install 'copycatch[{extra}]'"
        raise ConfigError(message) from error


def require_quietly(module: str) -> Any:
    """As `require`, for a library that warns at import of what it does without."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return require(module)
