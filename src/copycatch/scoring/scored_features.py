"""Which features enter the score: those rows of `features.catalog` that say how they are scored."""

import numpy as np

from copycatch.features.catalog import FEATURE_INDEX, FEATURES, Scored
from copycatch.records.columns import IntArray
from copycatch.scoring.components import FEATURE_FAMILIES

# Of a share, what so many queries can cause is no deviation either: at the first evaluations one odd query in
# a dozen is already several floors, and the highest of an account's evaluations is what all are held against.
FEW_QUERIES = 3


def _by_family() -> list[tuple[str, Scored]]:
    """Features with their rules, family by family in the order of the components."""
    found = [(each.spec.name, each.scored) for each in FEATURES if each.scored is not None]
    for name, scored in found:
        assert scored.family in FEATURE_FAMILIES, f"{name}: no component has its family {scored.family!r}"
    return sorted(found, key=lambda each: FEATURE_FAMILIES.index(each[1].family))


SCORED_FEATURES: dict[str, Scored] = dict(_by_family())
"""How each is scored, by name; in the order of all columns (n, n_scored)."""
SCORED_NAMES: tuple[str, ...] = tuple(SCORED_FEATURES)
SCORED_COLUMNS: IntArray = np.array([FEATURE_INDEX[name] for name in SCORED_NAMES], dtype=np.int64)
assert {each.family for each in SCORED_FEATURES.values()} == set(FEATURE_FAMILIES), "a family has no feature"
