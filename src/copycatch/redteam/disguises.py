"""How an attack hides: who sends it, how fast, among what, and how its inputs are dressed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from copycatch.redteam.attacks.thief import Thief
from copycatch.redteam.benign import own_mix
from copycatch.redteam.inputs import FloatArray, Inputs, IntArray, Rng, draw_population

Rewrite = Callable[[Inputs, Rng], Inputs]

# Public reports of patient campaigns name 13 to 730 requests per account and day.
SLOW_QUERIES_PER_DAY = 100
# What cover traffic costs the attacker is bounded by this many times the budget.
COVER_QUERIES_MAX_SHARE = 2.0
# How far "mistaken" draws inputs together, towards a point so many spreads off in every field.
FILLER_AMOUNT = 0.05  # of an edit: the answer stays
MISTAKEN_SHARE, MISTAKEN_SPREADS = 0.5, 2.0


@dataclass(frozen=True)
class Disguise:
    """One row of the table of disguises.

    Attributes
    ----------
    n_accounts : int
        Accounts that share one attack and its answers.
    sharding : {"round_robin", "topic"}
        How the ring divides the work.
    is_network_shared : bool
        The ring's accounts come from one /24 network; otherwise each from its own.
    cover_share : float
        Share of the traffic that is cover.
    cover : {"ordinary", "near_repeats", "refused"}
        Ordinary use; or near-repeats of one ordinary query before each of the attack, which teach nothing; or
        requests that are refused, all of them before the attack.
    is_hopping : bool
        Another address and another client's name with every request.
    is_slow : bool
        Spread over all days at a light user's pace.
    dress : {"none", "noise", "matched", "mistaken"}
        What is done to each input before it is sent.
    is_adaptive : bool
        Moves to a fresh account, and slows down, when told of an alert.
    """

    description: str
    n_accounts: int = 1
    sharding: Literal["round_robin", "topic"] = "round_robin"
    is_network_shared: bool = False
    cover_share: float = 0.0
    cover: Literal["ordinary", "near_repeats", "refused"] = "ordinary"
    is_hopping: bool = False
    is_slow: bool = False
    dress: Literal["none", "noise", "matched", "mistaken"] = "none"
    is_adaptive: bool = False


DISGUISES: dict[str, Disguise] = {
    "plain": Disguise("none"),
    "lowslow": Disguise("low and slow: a light user's pace", is_slow=True),
    "cover50": Disguise("half of the traffic is ordinary use", cover_share=0.5),
    "cover75": Disguise("three quarters of the traffic are ordinary use", cover_share=0.75),
    "cover90": Disguise("nine tenths of the traffic are ordinary use", cover_share=0.9),
    "lowslow_cover75": Disguise("low and slow among ordinary use", cover_share=0.75, is_slow=True),
    "ring10": Disguise("ten accounts in turn, scattered networks", n_accounts=10),
    "ring10_shared": Disguise("ten accounts in turn, one network", n_accounts=10, is_network_shared=True),
    "ring10_topic": Disguise("ten accounts, each with its topics", n_accounts=10, sharding="topic"),
    "fillers": Disguise(
        "nine near-repeats of one ordinary query before each", cover_share=0.9, cover="near_repeats"
    ),
    "refused_prelude": Disguise(
        "as many refused requests first as there are queries", cover_share=0.5, cover="refused"
    ),
    "tenant_hopping": Disguise("another address and client name with every request", is_hopping=True),
    "thin": Disguise("some eleven questions an account", n_accounts=128),
    "noise": Disguise("small noise or paraphrase on every input", dress="noise"),
    "matched": Disguise("inputs pulled towards natural ones", dress="matched"),
    "mistaken": Disguise("inputs drawn together and moved, as by wrong preprocessing", dress="mistaken"),
    "adaptive": Disguise("reads the alerts' timing, changes account and slows down", is_adaptive=True),
}


def attack_budget(disguise: Disguise, budget: int, days: float) -> int:
    """How many attack queries a disguise leaves of a budget.

    Examples
    --------
    >>> attack_budget(DISGUISES["cover90"], 1500, days=5.0)
    300
    >>> attack_budget(DISGUISES["lowslow"], 1500, days=5.0)
    500
    """
    affordable = round(COVER_QUERIES_MAX_SHARE * budget * (1 - disguise.cover_share))
    paced = round(SLOW_QUERIES_PER_DAY * days) if disguise.is_slow and not disguise.cover_share else budget
    return max(1, min(budget, affordable, paced))


def cover_queries(disguise: Disguise, attack_queries: int) -> int:
    """How many ordinary queries hide so many attack queries.

    Examples
    --------
    >>> cover_queries(DISGUISES["cover75"], 750)
    2250
    """
    return round(attack_queries * disguise.cover_share / (1 - disguise.cover_share))


def dress_of(disguise: Disguise, thief: Thief, budget: int) -> Rewrite | None:
    """What rewrites each input on its way out; None where nothing does."""
    if disguise.dress == "noise":
        return lambda inputs, rng: thief.domain.vary(inputs, 0.4, rng)
    if disguise.dress == "matched":
        natural = thief.seeds(budget)
        return lambda inputs, rng: _pull(thief, inputs, natural, rng)
    if disguise.dress == "mistaken":
        point = _distant_input(thief, budget)
        return lambda inputs, rng: thief.domain.blend(
            inputs, np.repeat(point, len(inputs), axis=0), np.full(len(inputs), MISTAKEN_SHARE), rng
        )
    return None


def _distant_input(thief: Thief, budget: int) -> Inputs:
    """One input that lies off the natural ones in every field; of texts any one of them."""
    natural = thief.seeds(budget)
    if thief.domain.kind == "text":
        return natural[:1]
    signs = np.where(np.arange(natural.shape[1]) % 2, 1.0, -1.0)
    return np.asarray(natural.mean(axis=0) + MISTAKEN_SPREADS * natural.std(axis=0) * signs)[None, :]


def _pull(thief: Thief, inputs: Inputs, natural: Inputs, rng: Rng) -> Inputs:
    """Move each input part of the way to a natural one: the nearest of a few, where there is distance."""
    partners = natural[rng.integers(len(natural), size=(len(inputs), 8))]
    if thief.domain.kind == "text":
        chosen = partners[:, 0]
    else:
        distances = np.linalg.norm(partners - inputs[:, None, :], axis=2)
        chosen = partners[np.arange(len(inputs)), distances.argmin(axis=1)]
    shares: FloatArray = rng.uniform(0.3, 0.6, size=len(inputs))
    return thief.domain.blend(inputs, chosen, shares, rng)


def shard(disguise: Disguise, labels: IntArray, rng: Rng) -> IntArray:
    """Which account of the ring sends each query, shape (n_queries,).

    Examples
    --------
    >>> shard(DISGUISES["ring10"], np.zeros(4, dtype=np.int64), np.random.default_rng(0)).tolist()
    [0, 1, 2, 3]
    """
    if disguise.sharding == "topic":
        # Classes are dealt out so that every account has about the same work.
        counts = np.bincount(labels)
        owner = np.zeros(len(counts), dtype=np.int64)
        load = np.zeros(disguise.n_accounts)
        for label in np.argsort(-counts):
            owner[label] = int(load.argmin())
            load[owner[label]] += counts[label]
        return owner[labels]
    return np.arange(len(labels)) % disguise.n_accounts


def mix_in_cover(
    disguise: Disguise, thief: Thief, n_attack: int, n_cover: int, rng: Rng
) -> tuple[Inputs, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """Queries for cover, and where the attack's own go among them.

    Returns
    -------
    cover : Inputs
    is_attack : ndarray of bool, shape (n_attack + n_cover,)
    """
    kind = disguise.cover
    n_drawn = 1 if kind == "near_repeats" else n_cover
    cover = draw_population(thief.domain, n_drawn, thief.style, rng, own_mix(thief.domain, rng))[0]
    is_attack = np.zeros(n_attack + n_cover, dtype=bool)
    if kind == "near_repeats":
        cover = thief.domain.vary(np.repeat(cover, n_cover, axis=0), FILLER_AMOUNT, rng)
        is_attack[np.linspace(0, n_attack + n_cover, n_attack + 1)[1:].astype(np.int64) - 1] = True
    elif kind == "refused":
        is_attack[n_cover:] = True
    else:
        is_attack[rng.permutation(n_attack + n_cover)[:n_attack]] = True
    return cover, is_attack
