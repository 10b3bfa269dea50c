"""A map of topics: a group's queries among everyone's, in two dimensions."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from copycatch.desk.samples import Measured, label_of
from copycatch.records.columns import Float32Array, FloatArray

OWN_SHOWN = 150
OTHERS_SHOWN = 250
TEXT_CHARS_MAX = 90
FAR = 6.0  # deviations from the middle of others beyond which a point stands at the border


@dataclass(slots=True)
class TopicMap:
    """Points as (x, y, what was asked); `shown` is the share of the variation that the two axes hold."""

    own: list[tuple[float, float, str]] = field(default_factory=list)
    others: list[tuple[float, float, str]] = field(default_factory=list)
    shown: float = 0.0


def topic_map(found: Measured | None) -> TopicMap:
    """Project on the two directions that hold most of what the queries differ by, own and others alike.

    Both sides weigh the same, however many queries each has. The projection is linear: what stands far apart
    is far apart, while what stands together may still differ in what the two axes do not show. Axes are in
    deviations of the queries of others.

    Parameters
    ----------
    found : Measured or None

    Returns
    -------
    TopicMap
        Empty where there are no queries of others, or none of its own.
    """
    if found is None or not 0 < found.n_own < len(found.records):
        return TopicMap()
    own, others = found.vectors[: found.n_own], found.vectors[found.n_own :]
    places, shown = _project(own.astype(np.float64), others.astype(np.float64))
    return TopicMap(
        _points(found, places, 0, min(found.n_own, OWN_SHOWN)),
        _points(found, places, found.n_own, min(len(found.records), found.n_own + OTHERS_SHOWN)),
        round(shown, 3),
    )


def vector_map(
    own: FloatArray | Float32Array,
    own_names: Sequence[str],
    others: FloatArray | Float32Array,
    other_names: Sequence[str],
) -> TopicMap:
    """The same of vectors without what was asked: (n, length) each, with the account of each row."""
    if not (len(own) and len(others)):
        return TopicMap()
    # Evenly over the accounts: rows of one stand together.
    mine, beside = _evenly(len(own), OWN_SHOWN), _evenly(len(others), OTHERS_SHOWN)
    places, shown = _project(own[mine].astype(np.float64), others[beside].astype(np.float64))
    points = [
        (round(float(x), 2), round(float(y), 2), name)
        for (x, y), name in zip(
            places.tolist(), [own_names[at] for at in mine] + [other_names[at] for at in beside], strict=True
        )
    ]
    return TopicMap(points[: len(mine)], points[len(mine) :], round(shown, 3))


def _evenly(n: int, n_max: int) -> list[int]:
    return list(range(n)) if n <= n_max else np.linspace(0, n - 1, n_max).round().astype(int).tolist()


def _project(own: FloatArray, others: FloatArray) -> tuple[FloatArray, float]:
    """Places (n, 2), own first, and the share of the variation that they hold."""
    middle = (own.mean(axis=0) + others.mean(axis=0)) / 2
    moments = (_moments(own - middle) + _moments(others - middle)) / 2
    values, directions = np.linalg.eigh(moments)
    axes = directions[:, ::-1][:, :2]
    # Eigenvectors have no sign of their own; fix it, so that the same log gives the same map.
    axes = axes * np.where(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])] < 0, -1.0, 1.0)
    places = np.concatenate([own, others]) @ axes
    if places.shape[1] < 2:
        places = np.concatenate([places, np.zeros((len(places), 1))], axis=1)
    of_others = places[len(own) :]
    spreads = np.maximum(of_others.std(axis=0), 1e-9 + 0.01 * places.std())
    places = np.clip((places - of_others.mean(axis=0)) / spreads, -FAR, FAR)
    return places, float(values[::-1][:2].sum() / max(values.sum(), 1e-12))


def _moments(centred: FloatArray) -> FloatArray:
    return np.asarray(centred.T @ centred / len(centred))


def _points(found: Measured, places: FloatArray, first: int, stop: int) -> list[tuple[float, float, str]]:
    points = []
    for at in range(first, stop):
        record = found.records[at]
        text = record.input if isinstance(record.input, str) else record.event_id
        label = label_of(record)
        asked = text if len(text) <= TEXT_CHARS_MAX else f"{text[: TEXT_CHARS_MAX - 1]}…"
        answered = "" if label is None or len(label) > TEXT_CHARS_MAX else f" → {label}"
        points.append((round(float(places[at, 0]), 2), round(float(places[at, 1]), 2), asked + answered))
    return points
