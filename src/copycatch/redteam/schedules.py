"""Schedules: what one account sends, when, from where, and what it was answered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from copycatch.redteam.inputs import BoolArray, FloatArray, Inputs, IntArray, Rng
from copycatch.redteam.oracle import FAILURE_PROB, Params

# RFC 2544 keeps 198.18.0.0/15 for tests; no real client lives there.
NETWORKS = ("198.18", "198.19")
USER_AGENTS = (
    "python-requests/2.32.3", "python-httpx/0.28.1", "okhttp/4.12.0", "Go-http-client/2.0", "axios/1.7.9",
    "openai-python/1.59.6", "curl/8.11.0", "Apache-HttpClient/5.4.1", "node-fetch/3.3.2", "aiohttp/3.11.11",
)  # fmt: skip


@dataclass
class Schedule:
    """All queries of one account, in the order of time.

    Attributes
    ----------
    account_id, kind, group : str
    is_attack : bool
    times_ms : ndarray of int64, shape (n_queries,)
    inputs : Inputs
    probabilities : ndarray of float64, shape (n_queries, n_classes)
    is_answered, is_attack_query : ndarray of bool, shape (n_queries,)
    params : list of dict or None
    client_ips : tuple of str
        One is drawn per query.
    user_agent : str
    """

    account_id: str
    kind: str
    group: str
    is_attack: bool
    times_ms: IntArray
    inputs: Inputs
    probabilities: FloatArray
    is_answered: BoolArray
    is_attack_query: BoolArray
    params: list[Params | None]
    client_ips: tuple[str, ...]
    user_agent: str
    is_adaptive: bool = False
    is_hopping: bool = False

    def __len__(self) -> int:
        return len(self.times_ms)


def draw_ip(rng: Rng, network: str | None = None) -> str:
    """An address of the test range, or of one /24 in it.

    Examples
    --------
    >>> import numpy as np
    >>> draw_ip(np.random.default_rng(0), "198.18.7").startswith("198.18.7.")
    True
    """
    if network is None:
        network = draw_network(rng)
    return f"{network}.{int(rng.integers(1, 255))}"


def draw_network(rng: Rng) -> str:
    """A /24 of the test range."""
    return f"{NETWORKS[int(rng.integers(2))]}.{int(rng.integers(256))}"


def benign_answers(n_queries: int, rng: Rng) -> BoolArray:
    """Which queries the endpoint answered."""
    return rng.random(n_queries) >= FAILURE_PROB


def account_ids(prefix: str, n_accounts: int, rng: Rng) -> Iterator[str]:
    """Shuffled account names: nothing about an account can be read from its name."""
    for number in rng.permutation(n_accounts).tolist():
        yield f"acct-{prefix}{number:05d}"
