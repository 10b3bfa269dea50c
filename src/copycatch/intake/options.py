"""Hashes of request options, to see that two requests have the same ones."""

import hashlib
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from copycatch.records.wire import Params

CACHE_MAX: Final = 10_000  # a client may draw its options at random

Hashes = npt.NDArray[np.uint32]
Options = tuple[bool | None, int | None, int | None, float | None, int | None]


class OptionHashes:
    """Hashes options; holds a bounded cache only.

    Examples
    --------
    >>> settings, biases = OptionHashes().of([None, Params(n=2), Params(n=2, logit_bias={"5": 1.0})])
    >>> bool(settings[0] == 0 and settings[1] == settings[2]), biases.astype(bool).tolist()
    (True, [False, False, True])
    """

    def __init__(self) -> None:
        self._hash_by_options: dict[Options, int] = {}

    def of(self, values: Sequence[Params | None]) -> tuple[Hashes, Hashes]:
        """Of all options but the logit bias, and of the bias by token, uint32 (n,) each.

        0 where a record has none. The mere number of biased tokens does not tell one bias from another.
        """
        n = len(values)
        settings, biases = np.zeros(n, dtype=np.uint32), np.zeros(n, dtype=np.uint32)
        for index, params in enumerate(values):
            if params is not None:
                settings[index] = self._setting(params)
                if params.logit_bias and isinstance(params.logit_bias, dict):
                    biases[index] = _hash(sorted(params.logit_bias.items()))
        return settings, biases

    def _setting(self, params: Params) -> int:
        options = (params.logprobs, params.top_logprobs, params.n, params.temperature, params.max_tokens)
        known = self._hash_by_options.get(options)
        if known is None:
            if len(self._hash_by_options) >= CACHE_MAX:
                self._hash_by_options.clear()
            known = self._hash_by_options[options] = _hash(options)
        return known


def _hash(value: object) -> int:
    """32 bits, the same in every process, never 0."""
    digest = hashlib.blake2b(msgspec.msgpack.encode(value), digest_size=4).digest()
    return max(int.from_bytes(digest, "little"), 1)
