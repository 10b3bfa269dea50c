"""Campaigns in words that an analyst can act on."""

from typing import Final

from copycatch.campaigns.evidence import LIMITS
from copycatch.campaigns.finding import Finding, Link
from copycatch.records.wire import Reason

REASONS: Final = {
    "together": "their activity rises and falls together, {together:.0f} standard deviations beyond what "
    "their own levels and the common day explain",
    "started": "they began within the same three hours (surprise at it: {started:.0f} nats)",
    "kit": "they use the same {kit:.0f} openings and endings of prompts, which hardly anybody else uses",
    "turns": "they take turns: they ask less at the same time than accounts that know nothing of each other "
    "({turns:.1f} standard deviations)",
    "replayed": "they send back reasoning blocks that were issued to another account "
    "({replayed:.1f} conversations a member)",
    "handed": "they go on with conversations of each other ({handed:.1f} a member)",
    "moved": "they began with a model within the same day (surprise at it: {moved:.0f} nats)",
    "succession": "one begins as another falls silent, over and over (surprise: {succession:.0f} nats)",
}
ENDINGS: Final = {
    "idle": "its accounts have been silent for a week",
    "innocent": "its accounts turned out to ask the same again and again, or to have work of their own",
    "merged": "it has become part of another campaign",
}
LINKS: Final = {
    "network": "a network (/24, or /48 of IPv6)",
    "agent": "a user agent",
    "key": "an API key",
    "parameters": "a set of request parameters",
    "opening": "an opening of prompts",
    "ending": "an ending of prompts",
    "asn": "an autonomous system",
    "system": "a system prompt",
    "tools": "a set of tools",
    "input": "an input, word for word",
    "conversation": "a conversation",
}
LINKS_TOLD_MAX: Final = 6
ALLOW: Final = (
    "A job of your own that deals varied prompts to several keys looks the same: allow its accounts in the "
    "policy, with an end."
)


def link_text(link: Link) -> str:
    """One link in words.

    Examples
    --------
    >>> link_text(Link("network", 11, 1, 3.2))
    '11 share a network (/24, or /48 of IPv6) that 1 other account uses'
    """
    others = {0: "nobody else uses", 1: "1 other account uses"}.get(
        link.n_others, f"{link.n_others} others use"
    )
    return f"{link.n_members} share {LINKS[link.kind]} that {others}"


def describe(finding: Finding) -> str:
    """The campaign in a paragraph."""
    if finding.change == "ended":
        return ENDINGS[finding.reason]
    n, statistics = len(finding.members), finding.statistics
    reason = REASONS[finding.reason].format(**statistics)
    deck = (
        f"What they ask is dealt from one deck: it varies between them {statistics['spread']:.2f} times as "
        "much as by chance (teams with work of their own: 2.6 and more), and it is broad."
    )
    links = "; ".join(link_text(link) for link in finding.links[:LINKS_TOLD_MAX])
    told = f" Of them, {links}." if links else ""
    return f"{n} accounts act as one: {reason}. {deck}{told} {ALLOW}"


def reasons_of(finding: Finding) -> list[Reason]:
    """What was measured, strongest first; a share is the part of the evidence that it makes up."""
    total = sum(finding.parts.values()) or 1.0
    return [
        Reason(
            feature=f"campaign_{name}",
            value=finding.statistics[name],
            normal_low=None,
            normal_high=LIMITS[name],
            tail_prob=None,
            share=round(part / total, 3),
            words=REASONS[name].format(**finding.statistics),
        )
        for name, part in sorted(finding.parts.items(), key=lambda item: -item[1])
        if part > 0
    ]
