"""Victims, trained once for all tests of the red team."""

from collections.abc import Callable
from functools import cache

import pytest

from copycatch.redteam.victims import Victim, build_victim

SEED = 5


@cache
def _built(name: str) -> Victim:
    return build_victim(name, SEED)


@pytest.fixture(scope="session")
def victim_of() -> Callable[[str], Victim]:
    return _built
