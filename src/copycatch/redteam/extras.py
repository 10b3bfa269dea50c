"""Heavy libraries of the extra `copycatch[redteam]`, imported where they are used."""

from __future__ import annotations

import importlib
from typing import Any

from copycatch.errors import ConfigError

_EXTRA_BY_PACKAGE = {
    "sklearn": "redteam",
    "scipy": "redteam",
    "matplotlib": "redteam",
    "PIL": "redteam",
    "onnxruntime": "onnx",
}


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
        message = f"the red team needs {package}; install it with: pip install 'copycatch[{extra}]'"
        raise ConfigError(message) from error
