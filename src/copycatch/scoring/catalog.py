"""All scorers as one table, and all components of the score with their weights.

A new scorer is a file that keeps to `protocol.Scorer` and a row here.
"""

from collections.abc import Callable
from typing import NamedTuple

from copycatch.scoring.activity import ACTIVITY, Activity
from copycatch.scoring.components import FEATURE_COMPONENTS, FEATURE_FAMILIES, Component
from copycatch.scoring.distillation import DistillationForest
from copycatch.scoring.half_space import HalfSpaceTrees
from copycatch.scoring.multivariate import Multivariate
from copycatch.scoring.pretrained import PretrainedClassifier
from copycatch.scoring.pretrained_weights import PRETRAINED_WEIGHTS
from copycatch.scoring.protocol import Scorer, Takes
from copycatch.scoring.scored_features import SCORED_NAMES
from copycatch.usage.measures import MEASURES

INPUT_NAMES: dict[Takes, tuple[str, ...]] = {
    "positions": SCORED_NAMES,
    "families": FEATURE_FAMILIES,
    "usage": MEASURES,
    "activity": ACTIVITY,
}


class ScorerSpec(NamedTuple):
    """A scorer. Its value is a family of the score and a component of its own, both named after it."""

    name: str
    takes: Takes
    scorer: Callable[[tuple[str, ...]], Scorer]  # a fresh one, from the names of its inputs
    cap: float  # the most that it adds to the score (nats)
    sentence: str
    scale_min: float = 0.7  # of the tail of its values; see `combine.FAMILY_SCALE_MINS`

    @property
    def n_inputs(self) -> int:
        return len(INPUT_NAMES[self.takes])

    def make(self) -> Scorer:
        return self.scorer(INPUT_NAMES[self.takes])


# Half-space trees and the families together repeat what novelty measures, and find some of what it misses:
# they found two more groups of 21 on the development traces at two more honest accounts of 450, and one more
# of 21 at none more of 300 on simulated ones. Trees at 2.5 lost one of these and named two more honest ones.
SCORERS: tuple[ScorerSpec, ...] = (
    ScorerSpec(
        "half_space", "positions", HalfSpaceTrees, 1.0, "how rare evaluations like it are among normal ones"
    ),
    ScorerSpec(
        "multivariate",
        "families",
        Multivariate,
        2.5,
        "how unlike the families' normal way of moving together it is",
    ),
    ScorerSpec(
        "pretrained",
        "positions",
        PretrainedClassifier,
        0.3,
        "how much more it resembles a simulated attack than a normal account",
        scale_min=0.5,  # its values are log odds
    ),
    ScorerSpec(
        "distillation",
        "usage",
        DistillationForest,
        16.0,
        "how much its use of a language model looks like distilling it",
        scale_min=0.5,  # nats
    ),
    ScorerSpec(
        "activity",
        "activity",
        Activity,
        16.0,
        "how much and how steadily it asks, where the log has nothing else of a model",
        scale_min=0.2,  # a sum of logarithms of deviations: what is far beyond others is not much higher
    ),
)
COMPONENTS: tuple[Component, ...] = FEATURE_COMPONENTS + tuple(
    Component(spec.name, (spec.name,), spec.cap) for spec in SCORERS
)
FAMILIES: tuple[str, ...] = FEATURE_FAMILIES + tuple(spec.name for spec in SCORERS)
# What simulated attacks taught about the caps' proportions, within `WEIGHT_MIN` and `WEIGHT_MAX`; 1 as long
# as what was learned does not hold on every kind of victim that was left out of the learning.
WEIGHTS: dict[str, float] = {each.name: PRETRAINED_WEIGHTS.weights.get(each.name, 1.0) for each in COMPONENTS}
