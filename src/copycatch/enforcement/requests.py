"""Whom a request is from, and what an answer to a refused one says; the same for all front ends."""

from collections.abc import Iterable
from typing import Literal, NamedTuple

import msgspec

from copycatch.enforcement.identity import header_text, spellings_of
from copycatch.enforcement.table import Subject, Verdict

Authenticated = Literal["tenant", "model"]


class HeaderNames(NamedTuple):
    """Which headers name what; the gateway must set the account's itself and drop what clients send as it.

    A block holds for the account in every tenant and on every model, unless `authenticated` says that the
    gateway sets the header of tenant or model too: then only where they agree.
    """

    account: str = "x-account-id"
    tenant: str = "x-tenant-id"
    model: str = "x-ai-eg-model"
    api_key_hash: str = "x-api-key-hash"
    client_ip: str = "x-forwarded-for"
    authenticated: frozenset[Authenticated] = frozenset()


DEFAULT_NAMES = HeaderNames()


def subject_of(headers: Iterable[tuple[bytes, bytes]], names: HeaderNames) -> Subject:
    """The subject that headers say; of repeated ones every value counts.

    Raises
    ------
    UnclearIdentityError
        If they name too many.

    Examples
    --------
    >>> subject_of([(b"X-Account-Id", b"a1"), (b"x-forwarded-for", b"6.6.6.6, 203.0.113.9")], HeaderNames())
    Subject(account_id=('a1',), tenant_id=(), model_id=(), api_key_hash=(), client_ip='203.0.113.9')
    """
    values: dict[str, list[str]] = {}
    for name, value in headers:
        values.setdefault(name.decode("latin-1").lower(), []).append(header_text(value))
    tenant = values.get(names.tenant, ()) if "tenant" in names.authenticated else ()
    model = values.get(names.model, ()) if "model" in names.authenticated else ()
    # What stands left of the last was written by the client.
    address = values.get(names.client_ip, [""])[-1].rpartition(",")[2].strip()
    return Subject(
        account_id=spellings_of(values.get(names.account, ())),
        tenant_id=spellings_of(tenant),
        model_id=spellings_of(model),
        api_key_hash=spellings_of(values.get(names.api_key_hash, ())),
        client_ip=address or None,
    )


def verdict_headers(verdict: Verdict) -> dict[str, str]:
    """What goes on to the model server, and back with a refusal.

    Examples
    --------
    >>> params = {"max_n": 1, "round_decimals": None}
    >>> verdict_headers(Verdict("reduce_output", params, "t|account|a|m", False))
    {'x-copycatch-action': 'reduce_output', 'x-copycatch-max-n': '1'}
    """
    if verdict.action is None:
        return {}
    headers: dict[str, str] = {"x-copycatch-action": verdict.action}
    for name, value in verdict.params.items():
        if isinstance(value, int | float):
            headers[f"x-copycatch-{name.replace('_', '-')}"] = str(value)
    return headers


Answer = tuple[int, dict[str, str], bytes]
"""Status, headers and body."""


def refusal(verdict: Verdict) -> Answer:
    """The answer to a refused request; it names no reason that would teach an attacker."""
    if verdict.action != "throttle":
        return answer_of(403, "this account may not use this model at present")
    status, headers, body = answer_of(429, "too many requests")
    if verdict.retry_after_s is not None:
        headers["retry-after"] = str(max(1, round(verdict.retry_after_s)))
    return status, headers, body


def answer_of(status: int, text: str) -> Answer:
    """An answer of our own, as JSON."""
    body = msgspec.json.encode({"error": {"type": "copycatch", "message": text}})
    return status, {"content-type": "application/json"}, body
