"""Request options as columns, and hashes of them to see that two requests have the same ones."""

import hashlib
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from copycatch.records.columns import Float32Array
from copycatch.records.wire import Params

CACHE_MAX: Final = 10_000  # a client may draw its options at random

Hashes = npt.NDArray[np.uint32]
Options = tuple[bool | None, int | None, int | None, float | None, int | None]


class OptionColumns(NamedTuple):
    """One entry a record; NaN and 0 where it carries no options."""

    has_logprobs: Float32Array  # 1 where log-probabilities are asked for, else 0
    logit_biases: Float32Array  # how many tokens are biased
    choices: Float32Array
    max_tokens: Float32Array
    temperatures: Float32Array
    settings_hashes: Hashes  # of all options but the logit bias
    bias_hashes: Hashes  # of the bias by token; the mere number of tokens does not tell one from another


class OptionReader:
    """Reads options; holds a bounded cache only.

    Examples
    --------
    >>> found = OptionReader().of([None, Params(n=2), Params(n=2, logit_bias={"5": 1.0})])
    >>> found.choices.tolist()[1:], found.logit_biases.tolist()[1:]
    ([2.0, 2.0], [0.0, 1.0])
    >>> hashes = found.settings_hashes
    >>> bool(hashes[0] == 0 and hashes[1] == hashes[2]), found.bias_hashes.astype(bool).tolist()
    (True, [False, False, True])
    """

    def __init__(self) -> None:
        self._hash_by_options: dict[Options, int] = {}

    def of(self, values: Sequence[Params | None]) -> OptionColumns:
        """Columns of the options of some records."""
        # A format that reads the same options once gives the same object for all that have them.
        codes: dict[int, int] = {}
        distinct: list[Params | None] = []
        at = []
        for params in values:
            code = codes.setdefault(id(params), len(distinct))
            if code == len(distinct):
                distinct.append(params)
            at.append(code)
        if distinct == [None]:
            nothing = np.full(len(values), np.nan, dtype=np.float32)
            zeros = np.zeros(len(values), dtype=np.uint32)
            return OptionColumns._make([*(nothing.copy() for _ in range(5)), zeros, zeros.copy()])
        numbers = np.array(list(map(_numbers_of, distinct)), dtype=np.float64).reshape(-1, 5)
        with np.errstate(over="ignore"):  # 1e39 becomes infinite
            columns = numbers.astype(np.float32).T[:, at]
        settings = np.array(list(map(self._setting, distinct)), dtype=np.uint32)
        biases = np.array(list(map(_bias_hash, distinct)), dtype=np.uint32)
        return OptionColumns._make([*columns, settings[at], biases[at]])

    def _setting(self, params: Params | None) -> int:
        if params is None:
            return 0
        options = (params.logprobs, params.top_logprobs, params.n, params.temperature, params.max_tokens)
        known = self._hash_by_options.get(options)
        if known is None:
            if len(self._hash_by_options) >= CACHE_MAX:
                self._hash_by_options.clear()
            known = self._hash_by_options[options] = _hash(options)
        return known


def _numbers_of(params: Params | None) -> tuple[float | None, ...]:
    if params is None:
        return (None, None, None, None, None)
    bias = params.logit_bias
    biased = len(bias) if isinstance(bias, dict) else bias or 0
    has_logprobs = bool(params.logprobs or params.top_logprobs)
    return has_logprobs, biased, params.n, params.max_tokens, params.temperature


def _bias_hash(params: Params | None) -> int:
    if params is None or not params.logit_bias or not isinstance(params.logit_bias, dict):
        return 0
    return _hash(sorted(params.logit_bias.items()))


def _hash(value: object) -> int:
    """32 bits, the same in every process, never 0."""
    digest = hashlib.blake2b(msgspec.msgpack.encode(value), digest_size=4).digest()
    return max(int.from_bytes(digest, "little"), 1)
