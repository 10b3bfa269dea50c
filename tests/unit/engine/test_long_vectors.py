"""Long vectors are measured at a bounded length, and what differs in them still differs."""

import tracemalloc

import numpy as np
from tests.support.traffic import NOW_MS, START_MS, columns, raw_batch, record

from copycatch.engine.admission import admit
from copycatch.engine.state import new_state
from copycatch.engine.turn import Turn
from copycatch.records.policy import Policy
from copycatch.space.fit_frame import fit_frame
from copycatch.space.shorten import LENGTH_MAX, OWN, shortened


def test_a_change_is_seen_wherever_it_is() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(1, 5_000)).astype(np.float32)
    changed = np.repeat(x, 200, axis=0)
    at = rng.choice(5_000, 200, replace=False)
    changed[np.arange(200), at] += 9
    distances = np.linalg.norm(shortened(changed) - shortened(x), axis=1)
    assert (distances > 1).all()


def test_distances_are_kept_in_the_mean() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(400, 3_000)).astype(np.float32)
    short = shortened(x)
    sums = short[:, OWN:]
    gaps = ((sums[::2] - sums[1::2]) ** 2).mean() / ((x[::2] - x[1::2]) ** 2).mean()
    assert 0.95 < gaps < 1.05
    assert 0.9 < (short[:, :OWN] ** 2).mean() < 1.1


def test_fit_and_query_are_shortened_alike_and_the_hash_is_of_the_whole() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=4_000).round(3)
    other = x.copy()
    other[1] += 0.001  # a coordinate of its own to no sum but one
    batch, rejects = columns(
        raw_batch([
            record(index, input=each.tolist(), event_time=START_MS + index)
            for index, each in enumerate((x, x, other))
        ])
    )  # fmt: skip
    assert not rejects
    batch, _ = admit(Turn(new_state(Policy()), Policy()), batch, "logs:0", NOW_MS)
    values = batch.inputs[0].values
    assert values.shape == (3, LENGTH_MAX)
    assert (values[0] == values[1]).all()
    hashes = batch.input_hashes.tolist()
    assert hashes[0] == hashes[1] != hashes[2]


def test_the_geometry_of_long_vectors_takes_bounded_memory() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=(400, 6_144)).astype(np.float32)
    tracemalloc.start()
    frame = fit_frame(list(shortened(x)), rng.integers(0, 3, 400))
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert frame.means.shape == (LENGTH_MAX,)
    assert peak_bytes < 128 << 20
