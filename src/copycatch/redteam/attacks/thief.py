"""What an attacker knows and has before the first query."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from copycatch.redteam.inputs import Domain, Inputs, Rng, Style, draw_many_styles, draw_style

# A thief who augments starts from what can be collected by hand: a few per class.
SEEDS_PER_CLASS = 4
SEEDS_MIN, SEEDS_MAX = 20, 100
POOL_PER_QUERY = 4
POOL_MAX = 6000


@dataclass(frozen=True)
class Thief:
    """The attacker's side of the world.

    Attributes
    ----------
    domain : Domain
        Only used to draw what anybody could hold: ranges, natural inputs, other domains' inputs.
    rng : Generator
    style : Style
        The thief's own habits: foreign data passes the same camera, hands or form as everybody's.
    n_outputs : int
        Classes or tokens, as the API documents them.
    """

    domain: Domain
    rng: Rng
    style: Style
    n_outputs: int

    @classmethod
    def draw(cls, domain: Domain, n_outputs: int, rng: Rng) -> Thief:
        return cls(domain, rng, draw_style(rng), n_outputs)

    def seeds(self, budget: int) -> Inputs:
        """A small natural sample of the victim's domain, a fifth of the budget at most."""
        wanted = min(max(SEEDS_PER_CLASS * self.n_outputs, SEEDS_MIN), SEEDS_MAX)
        n_seeds = max(2, min(wanted, budget // 5))
        return draw_many_styles(self.domain, n_seeds, self.rng)[0]

    def foreign_pool(self, budget: int) -> Inputs:
        """The candidates of a pool-based attack."""
        return self.domain.draw_foreign(
            min(max(POOL_MAX, budget), POOL_PER_QUERY * budget), self.style, self.rng
        )


def pick(rng: Rng, n_of: int, n_wanted: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Distinct random rows."""
    return rng.permutation(n_of)[:n_wanted].astype(np.int64)
