"""Mapping files that come with copycatch, by name, and which of them fits a log."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import copycatch
from copycatch.formats.shared.mapped_rows import Side, value_of
from copycatch.formats.shared.mapping_spec import MappingSpec
from copycatch.formats.shared.messages import LogMessage, first_name, seek
from copycatch.settings.mapping import load_mapping

DOCUMENTS_MAX = 50
VALUES_MIN = 5
VALUES_SHARE_MIN = 0.6
_NEEDED = ("event_id", "event_time", "model_id")  # the account is often what one has to add


def shipped_mappings() -> dict[str, Path]:
    """Files by name: those of the installed package, or of a checkout.

    Examples
    --------
    >>> "azure_openai" in shipped_mappings()
    True
    """
    package = Path(copycatch.__file__).parent
    places = (package / "mappings", package.parents[1] / "deploy" / "mappings")
    folder = next((place for place in places if place.is_dir()), places[0])
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def mapping_file(folder: Path, given: Path) -> Path:
    """The file that an option means: a path, from `folder` if it is relative, or a shipped one's name."""
    path = folder / given
    return path if path.exists() else shipped_mappings().get(str(given), path)


def fitting_mapping(documents: Sequence[Any], make_message: Any) -> str | None:
    """Name of the shipped mapping that most of the documents fit, None where none does.

    Parameters
    ----------
    documents : sequence
        Messages as JSON.
    make_message : callable
        Gives a document as the `LogMessage` that rules are tried on.
    """
    some = list(documents[:DOCUMENTS_MAX])
    best: tuple[float, str] | None = None
    for name, path in shipped_mappings().items():
        spec = load_mapping(path)
        scores = [_fit(spec, make_message(document)) for document in some]
        n_fitting = sum(score > 0 for score in scores)
        if some and 2 * n_fitting >= len(some):
            best = max(best or (0.0, ""), (sum(scores), name))
    return best[1] if best else None


def _fit(spec: MappingSpec, message: LogMessage) -> float:
    """How many rules find a value, 0 where too few or one that is needed does not."""
    document = message.document
    if not isinstance(document, dict):
        return 0.0
    conditions = [spec.only] if spec.only is not None else []
    if conditions and first_name(seek(document, conditions[0].steps)) not in conditions[0].values:
        return 0.0
    bodies = [] if spec.bodies is None else [spec.bodies.request, spec.bodies.response]
    if spec.join is not None:
        sides = [side for side in (spec.join.request, spec.join.response)
                 if first_name(seek(document, side.steps)) in side.values]  # fmt: skip
        if not sides or first_name(seek(document, spec.join.by)) is None:
            return 0.0
        bodies = bodies[:1] if sides[0] is spec.join.request else bodies[1:]
    pointed = {
        rule.field: value_of(rule, Side(message, document))
        for rule in spec.rules
        if rule.field != "account_id"
    }
    if any(pointed.get(name) is None for name in _NEEDED):
        return 0.0
    found = [value is not None for value in pointed.values()]
    found += [seek(document, steps) is not None for steps in bodies if steps is not None]
    n = sum(found) + (spec.join is not None)
    return float(n) if n >= VALUES_MIN and n >= VALUES_SHARE_MIN * len(found) else 0.0
