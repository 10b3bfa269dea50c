"""What simulated extractions taught, shipped with the package; `make teach` writes `lessons.json` anew.

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
from copycatch.scoring.tails import TAILS

FILE = "lessons.json"
# Between these bounds a group's weight may be learned: simulated attacks are not all attacks.
WEIGHT_MIN, WEIGHT_MAX = 0.5, 2.0
_STEPS = 255  # a place is kept in a byte


@dataclass(frozen=True, slots=True)
class Lessons:
    """Shipped knowledge of attacks.

    Attributes
    ----------
    coefficients : ndarray of float64, shape (n_tails,)
        Of a logistic regression on places in the normal ranges, attacks and honest looks weighing the same.
    intercept : float
    attack_looks : ndarray of float64, shape (n, n_tails)
        Places of the attackers' features, in [0, 1].
    weights : mapping of str to float
        By group of families; what is not named weighs 1.
    taught_on : sequence of str
        The campaigns, as victim and seed.
    """

    coefficients: FloatArray
    intercept: float
    attack_looks: FloatArray
    weights: Mapping[str, float]
    taught_on: Sequence[str]


def write_lessons(lessons: Lessons) -> bytes:
    """As JSON; places are rounded to a 255th.

    Examples
    --------
    >>> looks = np.full((2, len(TAILS)), 0.6)
    >>> lessons = Lessons(np.zeros(len(TAILS)), -1.0, looks, {"novelty": 0.9}, ["digits, seed 1"])
    >>> again = read_lessons(write_lessons(lessons))
    >>> again.weights, again.intercept, again.attack_looks.shape == looks.shape
    ({'novelty': 0.9}, -1.0, True)
    """
    plain = {
        "taught_on": list(lessons.taught_on),
        "weights": {name: round(weight, 3) for name, weight in lessons.weights.items()},
        "intercept": round(lessons.intercept, 4),
        "coefficients": {
            tail.feature: round(float(value), 4)
            for tail, value in zip(TAILS, lessons.coefficients, strict=True)
        },
        "attack_looks": b64encode(
            np.round(lessons.attack_looks * _STEPS).astype(np.uint8).tobytes()
        ).decode(),
    }
    return json.dumps(plain, indent=1).encode() + b"\n"


def read_lessons(data: bytes) -> Lessons:
    """From JSON.

    Raises
    ------
    ConfigError
        If it was taught with other features than those of `TAILS`, or a weight is out of bounds.
    """
    found = json.loads(data)
    names = [tail.feature for tail in TAILS]
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
    places = np.frombuffer(b64decode(found["attack_looks"]), dtype=np.uint8).reshape(-1, len(names))
    return Lessons(
        coefficients=np.array(list(found["coefficients"].values())),
        intercept=found["intercept"],
        attack_looks=places / _STEPS,
        weights=found["weights"],
        taught_on=found["taught_on"],
    )


LESSONS = read_lessons(files(__package__).joinpath(FILE).read_bytes())
