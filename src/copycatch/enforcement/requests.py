"""Whom a request is from, and what an answer to a refused one says; the same for both front ends."""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from copycatch.enforcement.table import Subject, Verdict

HEADER_CHARS_MAX = 512


class HeaderNames(NamedTuple):
    """Which headers name what; the gateway must set them itself and drop what clients send as these."""

    account: str = "x-account-id"
    tenant: str = "x-tenant-id"
    model: str = "x-ai-eg-model"
    api_key_hash: str = "x-api-key-hash"
    client_ip: str = "x-forwarded-for"


DEFAULT_NAMES = HeaderNames()


def subject_of(headers: Mapping[str, str], names: HeaderNames) -> Subject:
    """The subject that headers (names in lower case) say.

    Examples
    --------
    >>> subject_of({"x-account-id": "a1", "x-forwarded-for": "6.6.6.6, 203.0.113.9"}, HeaderNames())
    Subject(account_id='a1', tenant_id=None, model_id=None, api_key_hash=None, client_ip='203.0.113.9')
    """

    def given(name: str) -> str | None:
        return headers.get(name, "")[:HEADER_CHARS_MAX] or None

    forwarded = given(names.client_ip)
    return Subject(
        account_id=given(names.account),
        tenant_id=given(names.tenant),
        model_id=given(names.model),
        api_key_hash=given(names.api_key_hash),
        # What stands left of the last was written by the client.
        client_ip=None if forwarded is None else forwarded.rpartition(",")[2].strip() or None,
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


def refusal(verdict: Verdict) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of a refused request; it names no reason that would teach an attacker."""
    is_throttled = verdict.action == "throttle"
    headers = {"content-type": "application/json"}
    if is_throttled and verdict.retry_after_s is not None:
        headers["retry-after"] = str(max(1, round(verdict.retry_after_s)))
    said = "too many requests" if is_throttled else "this account may not use this model at present"
    body = msgspec.json.encode({"error": {"type": "copycatch", "message": said}})
    return (429 if is_throttled else 403), headers, body
