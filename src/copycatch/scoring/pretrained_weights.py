"""Weights trained on simulated extractions, shipped with the package; `make teach` writes the file anew.

The red team runs its attacks on victims of its own and the engine evaluates the accounts. What is kept here
is where the attackers' features lay in the normal ranges, and what separates them from honest ones. Positions
in normal ranges mean the same on a victim that nobody has seen.

Weights belong to features by name: a feature that the file does not know weighs nothing until `make teach`
has seen it, and one that is no longer computed is ignored.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files

import numpy as np

from copycatch.errors import ConfigError
from copycatch.records.columns import FloatArray
from copycatch.records.packing import aligned
from copycatch.scoring.protocol import MIDDLE

FILE = "pretrained_weights.json"
# Between these bounds a component's weight may be learned: simulated attacks are not all attacks.
WEIGHT_MIN, WEIGHT_MAX = 0.5, 2.0
_STEPS = 255  # a position is kept in a byte


@dataclass(frozen=True, slots=True)
class PretrainedWeights:
    """Shipped knowledge of attacks.

    Attributes
    ----------
    names : sequence of str
        The features that the columns belong to.
    coefficients : ndarray of float64, shape (n_names,)
        Of a logistic regression on positions in the normal ranges, attacks and honest evaluations weighing
        the same.
    intercept : float
    attack_evaluations : ndarray of float64, shape (n, n_names)
        Positions of the attackers' features, in [0, 1].
    weights : mapping of str to float
        By component of the score; what is not named weighs 1.
    trained_on : sequence of str
        The campaigns, as victim and seed.
    """

    names: Sequence[str]
    coefficients: FloatArray
    intercept: float
    attack_evaluations: FloatArray
    weights: Mapping[str, float]
    trained_on: Sequence[str]

    def for_inputs(self, names: Sequence[str]) -> "PretrainedWeights":
        """The same for these features: 0 for one that is new, one that is gone counts as a missing value.

        Examples
        --------
        >>> weights = PretrainedWeights(["a", "b"], np.array([1.0, 4.0]), -1.0, np.zeros((1, 2)), {}, [])
        >>> own = weights.for_inputs(["new", "a"])
        >>> own.coefficients.tolist(), own.intercept, own.attack_evaluations.tolist()
        ([0.0, 1.0], 1.0, [[0.5, 0.0]])
        """
        if list(names) == list(self.names):
            return self
        wanted = set(names)
        is_gone = np.array([name not in wanted for name in self.names])
        return replace(
            self,
            names=names,
            coefficients=aligned(self.coefficients, self.names, names, 0.0),
            intercept=self.intercept + MIDDLE * float(self.coefficients[is_gone].sum()),
            attack_evaluations=aligned(self.attack_evaluations, self.names, names, MIDDLE),
        )


def write_pretrained_weights(trained: PretrainedWeights) -> bytes:
    """As JSON; positions are rounded to a 255th.

    Examples
    --------
    >>> trained = PretrainedWeights(["a"], np.zeros(1), -1.0, np.full((2, 1), 0.6), {"step": 0.9}, ["digits"])
    >>> again = read_pretrained_weights(write_pretrained_weights(trained))
    >>> again.names, again.weights, again.intercept, again.attack_evaluations.tolist()
    (['a'], {'step': 0.9}, -1.0, [[0.6], [0.6]])
    """
    plain = {
        "trained_on": list(trained.trained_on),
        "weights": {name: round(weight, 3) for name, weight in trained.weights.items()},
        "intercept": round(trained.intercept, 4),
        "coefficients": {
            name: round(float(value), 4)
            for name, value in zip(trained.names, trained.coefficients, strict=True)
        },
        "attack_evaluations": b64encode(
            np.round(trained.attack_evaluations * _STEPS).astype(np.uint8).tobytes()
        ).decode(),
    }
    return json.dumps(plain, indent=1).encode() + b"\n"


def read_pretrained_weights(data: bytes) -> PretrainedWeights:
    """From JSON.

    Raises
    ------
    ConfigError
        If the weight of a component is out of bounds.
    """
    found = json.loads(data)
    for name, weight in found["weights"].items():
        if not WEIGHT_MIN <= weight <= WEIGHT_MAX:
            message = (
                f"scoring/{FILE}: weights.{name}: {weight} is not in {WEIGHT_MIN} to {WEIGHT_MAX}: make teach"
            )
            raise ConfigError(message)
    names = list(found["coefficients"])
    positions = np.frombuffer(b64decode(found["attack_evaluations"]), dtype=np.uint8).reshape(-1, len(names))
    return PretrainedWeights(
        names=names,
        coefficients=np.array(list(found["coefficients"].values())),
        intercept=found["intercept"],
        attack_evaluations=positions / _STEPS,
        weights=found["weights"],
        trained_on=found["trained_on"],
    )


PRETRAINED_WEIGHTS = read_pretrained_weights(files(__package__).joinpath(FILE).read_bytes())
