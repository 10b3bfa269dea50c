"""Simulated campaigns against a language model: composed from honest prompts, in all their dresses."""

from collections import Counter

import numpy as np
from tests.unit.usage.support import events_for

from copycatch.redteam.distillation import BIASES, DRESSES, SOURCES, HonestUse, compose
from copycatch.usage.events import joined
from copycatch.usage.measures import MEASURES
from copycatch.usage.state import UsageRows

ACCOUNTS, QUERIES = 30, 40


def honest_use() -> HonestUse:
    each = [events_for(np.full(QUERIES, account), account) for account in range(ACCOUNTS)]
    return HonestUse(joined(each), [np.arange(QUERIES) + QUERIES * account for account in range(ACCOUNTS)])


def test_campaigns_come_from_all_sources_in_all_dresses() -> None:
    campaigns = compose(honest_use(), 150, seed=1)
    assert Counter(each.source for each in campaigns).keys() == SOURCES.keys()
    assert Counter(each.dress for each in campaigns).keys() == DRESSES.keys()


def test_the_same_seed_gives_the_same_campaigns() -> None:
    one, other = (compose(honest_use(), 5, seed=4) for _ in range(2))
    for first, second in zip(one, other, strict=True):
        pairs = zip(first.events, second.events, strict=True)
        assert all(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in pairs)


def test_prompts_are_the_honest_accounts() -> None:
    use = honest_use()
    for campaign in compose(use, 20, seed=2):
        assert np.isin(campaign.events.prompts, use.events.prompts).all()
        assert (np.diff(campaign.events.times_ms) >= 0).all()


def test_campaigns_show_what_they_ask_for() -> None:
    found: dict[str, list[dict[str, float]]] = {dress: [] for dress in DRESSES}
    for each in compose(honest_use(), 150, seed=1):
        values = UsageRows().add(each.events, each.events.rows, np.array([len(each.events.rows) - 1]))
        found[each.dress].append(dict(zip(MEASURES, values[0].tolist(), strict=True)))
    assert np.median([each["grading_requests"] for each in found["grading"]]) > 0.9
    assert np.median([each["reasoning_words"] for each in found["elicitation"]]) > 0.6
    assert np.median([each["ending_top"] for each in found["topics"]]) < 0.1
    assert all(each["grading_requests"] == 0 for each in found["plain"])


def test_a_harvest_of_biases_shows_as_one() -> None:
    harvests = [each for each in compose(honest_use(), 150, seed=1) if each.dress == "biases"]
    rebiased = []
    for each in harvests:
        values = UsageRows().add(each.events, each.events.rows, np.array([len(each.events.rows) - 1]))
        rebiased.append(values[0, MEASURES.index("rebiased_share")])
    assert max(rebiased) > 1 - 2 / BIASES
    assert min(rebiased) > 0.15  # the least under cover of three times as much honest traffic
