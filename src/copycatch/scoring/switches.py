"""Scorers, components and families switched off by name, to see what is lost without them."""

from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np

from copycatch.records.columns import FloatArray
from copycatch.scoring.catalog import COMPONENTS, FAMILIES


@dataclass(frozen=True, slots=True)
class Switches:
    """What is off, by name of a component (every scorer is one) or family: as if no log ever had it.

    Examples
    --------
    >>> Switches(frozenset({"half_space"})).off_families
    frozenset({'half_space'})
    >>> Switches(frozenset({"halfspace"}))
    Traceback (most recent call last):
    ValueError: 'halfspace' is no scorer, component or family; nearest: half_space
    """

    off: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        known = families_by_name()
        for name in sorted(self.off - known.keys()):
            near = ", ".join(get_close_matches(name, known, 1)) or "see scoring/catalog.py"
            message = f"{name!r} is no scorer, component or family; nearest: {near}"
            raise ValueError(message)

    @property
    def off_families(self) -> frozenset[str]:
        known = families_by_name()
        return frozenset(family for name in self.off for family in known[name])

    def mask(self, surprisal: FloatArray) -> FloatArray:
        """Surprisal (n, n_families) with NaN where it is off."""
        if not self.off:
            return surprisal
        masked = surprisal.copy()
        masked[:, [FAMILIES.index(family) for family in self.off_families]] = np.nan
        return masked


def families_by_name() -> dict[str, frozenset[str]]:
    """Everything that can be switched off, with the families it stands for.

    Examples
    --------
    >>> sorted(families_by_name()["text"])
    ['pairs', 'words']
    """
    families = {family: frozenset({family}) for family in FAMILIES}
    return families | {each.name: frozenset(each.families) for each in COMPONENTS}
