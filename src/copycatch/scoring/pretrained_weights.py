"""Weights trained on simulated extractions, shipped with the package; `make teach` writes
`pretrained_weights.json` anew.

The red team runs its attacks on victims of its own, the engine looks at the accounts, and the places of the
attackers' features in the normal ranges are kept here, with what separates them from honest ones. Places are
relative to what is normal of a model, so that they mean the same on a victim that nobody has seen.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

import numpy as np

from copycatch.errors import ConfigError
from copycatch.records.columns import FloatArray
from copycatch.scoring.scored_features import SCORED_FEATURES

FILE = "pretrained_weights.json"
# Between these bounds a group's weight may be learned: simulated attacks are not all attacks.
WEIGHT_MIN, WEIGHT_MAX = 0.5, 2.0
_STEPS = 255  # a place is kept in a byte


@dataclass(frozen=True, slots=True)
class PretrainedWeights:
    """Shipped knowledge of attacks.

    Attributes
    ----------
    coefficients : ndarray of float64, shape (n_tails,)
        Of a logistic regression on places in the normal ranges, attacks and honest looks weighing the same.
    intercept : float
    attack_evaluations : ndarray of float64, shape (n, n_tails)
        Places of the attackers' features, in [0, 1].
    weights : mapping of str to float
        By group of families; what is not named weighs 1.
    trained_on : sequence of str
        The campaigns, as victim and seed.
    """

    coefficients: FloatArray
    intercept: float
    attack_evaluations: FloatArray
    weights: Mapping[str, float]
    trained_on: Sequence[str]


def write_pretrained_weights(pretrained_weights: PretrainedWeights) -> bytes:
    """As JSON; places are rounded to a 255th.

    Examples
    --------
    >>> looks = np.full((2, len(SCORED_FEATURES)), 0.6)
    >>> pretrained_weights = PretrainedWeights(np.zeros(len(SCORED_FEATURES)), -1.0, looks, {"novelty":
    0.9}, ["digits, seed 1"])
    >>> again = read_pretrained_weights(write_pretrained_weights(pretrained_weights))
    >>> again.weights, again.intercept, again.attack_evaluations.shape == looks.shape
    ({'novelty': 0.9}, -1.0, True)
    """
    plain = {
        "trained_on": list(pretrained_weights.trained_on),
        "weights": {name: round(weight, 3) for name, weight in pretrained_weights.weights.items()},
        "intercept": round(pretrained_weights.intercept, 4),
        "coefficients": {
            tail.feature: round(float(value), 4)
            for tail, value in zip(SCORED_FEATURES, pretrained_weights.coefficients, strict=True)
        },
        "attack_evaluations": b64encode(
            np.round(pretrained_weights.attack_evaluations * _STEPS).astype(np.uint8).tobytes()
        ).decode(),
    }
    return json.dumps(plain, indent=1).encode() + b"\n"


def read_pretrained_weights(data: bytes) -> PretrainedWeights:
    """From JSON.

    Raises
    ------
    ConfigError
        If it was pretrained with other features than those of `SCORED_FEATURES`, or a weight is out of
        bounds.
    """
    found = json.loads(data)
    names = [tail.feature for tail in SCORED_FEATURES]
    if list(found["coefficients"]) != names:
        other = sorted(set(found["coefficients"]) ^ set(names)) or ["their order"]
        message = (
            f"scoring/{FILE}: coefficients: other features than tails.py ({', '.join(other)}): make teach"
        )
        raise ConfigError(message)
    for name, weight in found["weights"].items():
        if not WEIGHT_MIN <= weight <= WEIGHT_MAX:
            message = (
                f"scoring/{FILE}: weights.{name}: {weight} is not in {WEIGHT_MIN} to {WEIGHT_MAX}: make teach"
            )
            raise ConfigError(message)
    places = np.frombuffer(b64decode(found["attack_evaluations"]), dtype=np.uint8).reshape(-1, len(names))
    return PretrainedWeights(
        coefficients=np.array(list(found["coefficients"].values())),
        intercept=found["intercept"],
        attack_evaluations=places / _STEPS,
        weights=found["weights"],
        trained_on=found["trained_on"],
    )


PRETRAINED_WEIGHTS = read_pretrained_weights(files(__package__).joinpath(FILE).read_bytes())
