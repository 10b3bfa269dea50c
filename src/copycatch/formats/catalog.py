"""Every input format: the readers of this package, found by their `FORMAT`."""

import importlib
import pkgutil
from collections.abc import Iterable, Mapping
from typing import Any

from copycatch import formats
from copycatch.formats import mapping
from copycatch.formats.shared.envelopes import UnwrappingDecoder
from copycatch.formats.shared.format import Format, FormatOptions
from copycatch.formats.shared.recognise import has_marks
from copycatch.records.decoding import Decoder

_OWN_NAME = __name__.rpartition(".")[2]


def discover(folders: Iterable[str]) -> dict[str, Format]:
    """Formats by name, in the order in which they are recognised.

    Parameters
    ----------
    folders : iterable of str
        Where modules of the package `copycatch.formats` lie; each but this one is a reader.
    """
    names = [module.name for module in pkgutil.iter_modules(folders) if not module.ispkg]
    modules = [importlib.import_module(f"{formats.__name__}.{name}") for name in names if name != _OWN_NAME]
    found: list[Format] = [module.FORMAT for module in modules]
    return {each.name: each for each in sorted(found, key=lambda each: (each.precedence, each.name))}


FORMATS = discover(formats.__path__)


def recognise(document: Any, headers: Mapping[str, str]) -> str | None:
    """Name of the format that a decoded JSON document is in, or None where none fits.

    A message that is no JSON is given as its bytes.

    Examples
    --------
    >>> recognise({"captureData": {}, "eventMetadata": {}, "eventVersion": "0"}, {})
    'sagemaker'
    >>> recognise({"instances": [[1.0]]}, {"ce_type": "org.kubeflow.serving.inference.request"})
    'kserve'
    >>> recognise({"user": "u-1", "text": "hello"}, {}) is None
    True
    """
    if isinstance(document, bytes):
        own = (each.name for each in FORMATS.values() if each.is_own is not None and each.is_own(document))
        return next(own, None)
    for each in FORMATS.values():
        if has_marks(each.marks, document, headers):
            return each.name
    return None


def make_decoder(format_name: str, options: FormatOptions) -> Decoder:
    """A decoder of the format of this name; it takes envelopes off and tells messages of other formats."""
    # Pointers of a mapping go into what is held by other keys; nothing of a known format is looked for there.
    spec = options.mapping

    def recognise_mapped(document: Any, headers: Mapping[str, str]) -> str | None:
        is_own = spec is not None and mapping.is_mapped(spec, document)
        return mapping.NAME if is_own else recognise(document, headers)

    return UnwrappingDecoder(
        FORMATS[format_name].make_decoder(options, recognise),
        recognise if spec is None else recognise_mapped,
        is_pointed=format_name == mapping.NAME,
        options=options,
    )
