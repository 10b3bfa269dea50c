"""Queries that need no feedback: uniform noise and the victim's own distribution."""

from __future__ import annotations

from copycatch.redteam.attacks.thief import Thief
from copycatch.redteam.inputs import draw_population
from copycatch.redteam.oracle import Oracle

CHUNK = 256


def uniform(oracle: Oracle, thief: Thief) -> None:
    """Uniformly random inputs over the documented ranges; random words for text."""
    while oracle.remaining:
        oracle.ask(thief.domain.draw_uniform(min(CHUNK, oracle.remaining), thief.rng))


def indomain_random(oracle: Oracle, thief: Thief) -> None:
    """Natural inputs of the victim's own domain: looks like use, and no observer can tell."""
    while oracle.remaining:
        oracle.ask(draw_population(thief.domain, min(CHUNK, oracle.remaining), thief.style, thief.rng)[0])
