"""One account has one spelling: case, blanks and Unicode forms separate no accounts."""

import unicodedata
from collections.abc import Sequence

CACHE_ACCOUNTS_MAX = 100_000


def canonical_account(account_id: str) -> str:
    """The spelling under which an account is judged: NFKC, case folded, blanks single and none at the ends.

    Examples
    --------
    >>> canonical_account(" Acct-7F3A "), canonical_account("\uff21cme  Ltd"), canonical_account(" ")
    ('acct-7f3a', 'acme ltd', ' ')
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", account_id).casefold())
    return " ".join(folded.split()) or account_id


class CanonicalAccounts:
    """`canonical_account` of many ids, cached in a bounded table."""

    def __init__(self) -> None:
        self._canonical_by_id: dict[str, str] = {}

    def canonical_many(self, account_ids: Sequence[str]) -> list[str]:
        known = self._canonical_by_id
        if len(known) > CACHE_ACCOUNTS_MAX:
            known.clear()  # a few us an account away
        for account_id in set(account_ids).difference(known):
            known[account_id] = canonical_account(account_id)
        return [known[account_id] for account_id in account_ids]
