"""Coverage-guided fuzzing of every decoder with atheris, in `make nightly`; it ends with the first finding.

    pip install atheris
    python -m tests.fuzz.decoders CORPUS_FOLDER -max_total_time=3600 -max_len=100000

The property is that of tests/unit/formats/test_formats_take_anything.py, whose inputs are made by rule; here
they grow towards unseen branches, from real messages of every format, which are put in the folder first. The
first byte picks the format; CUT parts messages.
"""

import hashlib
import sys
from pathlib import Path

import atheris  # type: ignore[import-untyped,import-not-found,unused-ignore]  # not among the dev tools
import numpy as np

with atheris.instrument_imports(include=["copycatch.formats", "copycatch.records.rejects"]):
    from copycatch.formats.catalog import FORMATS

from tests.fuzz.shapes import SHAPES, damaged, documents_of, samples
from tests.unit.formats.test_formats_take_anything import QUERY, SEEDS, as_bytes, check

NAMES = sorted(FORMATS)
CUT = b"\0\xff\0"  # in no JSON, and hardly in protobuf
MESSAGES = [
    *((name, [each.value for each in shape(QUERY)]) for name, shape in SHAPES),
    *((name, [as_bytes(document)]) for name, document in SEEDS.items()),
    *((name, [value]) for value in samples() for name in NAMES),
]
PARTS = documents_of([value for _, values in MESSAGES for value in values])


def write_corpus(folder: Path) -> None:
    """Real messages of every format as the fuzzer's first inputs."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in MESSAGES:
        data = bytes([NAMES.index(name)]) + CUT.join(values)
        (folder / hashlib.sha256(data).hexdigest()).write_bytes(data)


def take(data: bytes) -> None:
    """One input of the fuzzer: a format and up to four messages."""
    if data:
        check(NAMES[data[0] % len(NAMES)], data[1:].split(CUT, maxsplit=3))


def change(data: bytes, size_max: int, seed: int) -> bytes:
    """An input changed within its documents, now and then in its bytes or its order."""
    rng = np.random.default_rng(seed)
    if not data or rng.random() < 0.15:
        return bytes(atheris.Mutate(data, size_max))
    values = data[1:].split(CUT, maxsplit=3)
    at = int(rng.integers(len(values)))
    values[at] = damaged(rng, values[at], PARTS)
    if rng.random() < 0.1:
        values.append(values[rng.integers(len(values))])
    if rng.random() < 0.1:
        values = [values[i] for i in rng.permutation(len(values))]
    changed = data[:1] + CUT.join(values)
    return changed if len(changed) <= size_max else data


if __name__ == "__main__":
    if len(sys.argv) > 1 and not sys.argv[1].startswith("-"):
        write_corpus(Path(sys.argv[1]))
    atheris.Setup(sys.argv, take, custom_mutator=change)
    atheris.Fuzz()
