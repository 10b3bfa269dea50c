"""Coverage-guided fuzzing of every decoder with atheris, in `make nightly`; it ends with the first finding.

    pip install atheris
    python -m tests.fuzz.decoders CORPUS_FOLDER -max_total_time=600

The property is that of tests/unit/formats/test_formats_take_anything.py, whose inputs are made by rule; here
they grow towards unseen branches. The first byte picks the format.
"""

import sys

import atheris  # type: ignore[import-untyped,import-not-found,unused-ignore]  # not among the dev tools

with atheris.instrument_imports(include=["copycatch.formats", "copycatch.records.rejects"]):
    from copycatch.formats.catalog import FORMATS

from tests.unit.formats.test_formats_take_anything import check

NAMES = sorted(FORMATS)


def take(data: bytes) -> None:
    """One input of the fuzzer: a format and up to three messages."""
    if data:
        check(NAMES[data[0] % len(NAMES)], data[1:].split(b"\0", maxsplit=2))


if __name__ == "__main__":
    atheris.Setup(sys.argv, take)
    atheris.Fuzz()
