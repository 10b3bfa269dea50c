"""A campaign as the decisions take it: several accounts that act as one, at one time."""

from dataclasses import dataclass

from copycatch.records.wire import Action, Reason, Severity

AccountKey = tuple[str | None, str, str]
"""tenant_id, account_id, model_id"""


@dataclass(frozen=True, slots=True)
class CampaignSighting:
    """What a search saw of a campaign; where it has ended, only `id`, `time_ms` and `words` count."""

    id: str
    time_ms: int
    is_ended: bool
    is_changed: bool  # it is new, or has new members
    accounts: tuple[AccountKey, ...]
    first_ms: int
    last_ms: int
    queries: int
    weight: float  # of the evidence; 1 just suffices
    reasons: tuple[Reason, ...]
    words: str
    sample_event_ids: tuple[str, ...] = ()  # of its busiest accounts
    own_severity: Severity = "low"  # the gravest that its accounts were found to do by themselves
    own_action: Action = "observe"
