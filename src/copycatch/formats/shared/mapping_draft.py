"""A first mapping file for a log of no known format, guessed from names and values."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from copycatch.formats.shared.faults import MessageFault
from copycatch.formats.shared.mapping_spec import pointer_text
from copycatch.formats.shared.messages import nested_or_text
from copycatch.formats.shared.times import time_ms_of

PATHS_MAX = 400
DEPTH_MAX = 6
DOCUMENTS_MAX = 200


class Guess(NamedTuple):
    """Names under which logs keep a field, best first, and what its values must look like."""

    field: str
    names: tuple[str, ...]
    fits: Callable[[Any], bool]
    conversion: str = ""


def _is_id(value: Any) -> bool:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return is_number or (isinstance(value, str) and 0 < len(value) <= 256 and "\n" not in value)


def _is_time(value: Any) -> bool:
    try:
        # Before 2001 and after 2200 it is a number of another kind.
        return 978_307_200_000 < time_ms_of(value) < 7_258_118_400_000
    except MessageFault:
        return False


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_address(value: Any) -> bool:
    return isinstance(value, str) and 3 <= len(value) <= 64 and ("." in value or ":" in value)


def _is_numbers(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(_is_number(each) for each in value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_input(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, dict | list) and bool(value))


def _guess(field: str, fits: Callable[[Any], bool], names: str, conversion: str = "") -> Guess:
    return Guess(field, tuple(names.split()), fits, conversion)


GUESSES: tuple[Guess, ...] = (
    _guess("event_id", _is_id, "eventid requestid xrequestid reqid callid invocationid correlationid spanid "
           "uuid guid messageid id"),
    _guess("event_time", _is_time, "eventtime timestamp @timestamp requesttime starttime startedat createdat "
           "loggingtime time ts date datetime created"),
    _guess("account_id", _is_id, "accountid account customerid customer userid user username clientid "
           "consumer consumerid subject sub principal requester caller uid"),
    _guess("model_id", _is_id, "modelid model modelname deployment deploymentname endpoint endpointname "
           "engine servedmodelname"),
    _guess("tenant_id", _is_id, "tenantid tenant orgid organizationid organization workspace teamid project"),
    _guess("api_key_id", _is_id, "apikeyid keyid apikeyhash credentialid tokenid"),
    _guess("user_agent", _is_id, "useragent httpuseragent"),
    _guess("client_ip", _is_address, "clientip sourceip remoteip remoteaddr remoteaddress ipaddress ip "
           "calleripaddress"),
    _guess("model_version", _is_id, "modelversion version"),
    _guess("input", _is_input, "messages prompt query question inputtext features instances inputs input "
           "text", "input"),
    _guess("embedding", _is_numbers, "embedding embeddingvector vector"),
    _guess("predicted_label", _is_id, "predictedlabel prediction predictedclass label class category"),
    _guess("probabilities", _is_numbers, "probabilities probs proba predictproba classprobabilities softmax"),
    _guess("top_scores", _is_numbers, "topscores scores confidences", "descending"),
    _guess("output_text", _is_text, "completion outputtext answer generatedtext generation responsetext"),
    _guess("input_tokens", _is_number, "inputtokens prompttokens tokensin inputtokencount prompttokencount"),
    _guess("output_tokens", _is_number, "outputtokens completiontokens tokensout outputtokencount"),
    _guess("latency_ms", _is_number, "latencyms durationms responsetimems elapsedms latency duration"),
    _guess("status", _is_number, "statuscode httpstatus responsecode status code"),
    _guess("params.logprobs", lambda value: isinstance(value, bool), "logprobs"),
    _guess("params.top_logprobs", _is_number, "toplogprobs"),
    _guess("params.n", _is_number, "n"),
    _guess("params.temperature", _is_number, "temperature"),
    _guess("params.max_tokens", _is_number, "maxtokens maxcompletiontokens"),
)  # fmt: skip
_SHARED_IDS = (
    *(
        "trace",
        "parent",
        "session",
        "conversation",
        "thread",
        "user",
        "account",
        "customer",
        "client",
        "tenant",
    ),
    *("model", "org", "project", "team", "key", "apikey", "deployment", "endpoint", "batch"),
)
REQUIRED = {
    "event_id": "a unique id of the query",
    "event_time": "when it was answered",
    "account_id": "who asked: this is who gets judged",
    "model_id": "which model answered; {always: NAME} where the log is about one model",
}


def draft_mapping(documents: Sequence[Any], name: str) -> str:
    r"""The text of a mapping file, to be looked over by a person.

    Examples
    --------
    >>> document = {"req": {"requestId": "r1", "user": "u1"}, "ts": 1772359200, "model": "m"}
    >>> print(draft_mapping([document], "x"))
    # Drafted by `copycatch inspect` from 1 message of x: look it over.
    # Try it: copycatch inspect FILE --format mapping --option mapping=THIS_FILE
    version: 1
    name: x
    fields:
      event_id: /req/requestId
      event_time: /ts
      account_id: /req/user
      model_id: /model
    <BLANKLINE>
    """
    documents = documents[:DOCUMENTS_MAX]
    values_by_path = _values_of(documents)
    used: set[tuple[str, ...]] = set()
    n = len(documents)
    lines = [
        f"# Drafted by `copycatch inspect` from {n} message{'' if n == 1 else 's'} of {name}: look it over.",
        "# Try it: copycatch inspect FILE --format mapping --option mapping=THIS_FILE",
        "version: 1",
        f"name: {_plain_name(name)}",
        "fields:",
    ]
    for guess in GUESSES:
        best = _best(guess, values_by_path, used)
        if best is not None:
            used.add(best)
            lines.append(f"  {guess.field}: {_rule(guess, best, values_by_path[best])}")
        elif guess.field in REQUIRED:
            lines.append(
                f"  # {guess.field}: /FILL/IN   # {REQUIRED[guess.field]}; nothing here looks like it"
            )
    rest = [pointer_text(path) for path in values_by_path if not _is_below(path, used)]
    if rest:
        lines.append("# not used: " + ", ".join(rest[:40]))
    return "\n".join(lines) + "\n"


def account_pointer_in(documents: Sequence[Any]) -> str | None:
    """A pointer to what may be the account: who asks, else for whom it runs; None where nothing is alike.

    Examples
    --------
    >>> account_pointer_in([{"user": "u1", "namespace": "n"}]), account_pointer_in([{"namespace": "n"}])
    ('/user', '/namespace')
    """
    values_by_path = _values_of(documents[:DOCUMENTS_MAX])
    guesses = {guess.field: guess for guess in GUESSES}
    for guess in (guesses["account_id"], guesses["tenant_id"], _guess("namespace", _is_id, "namespace")):
        best = _best(guess, values_by_path, set())
        if best is not None:
            return pointer_text(best)
    return None


def _values_of(documents: Sequence[Any]) -> dict[tuple[str, ...], list[Any]]:
    values_by_path: dict[tuple[str, ...], list[Any]] = {}
    for document in documents:
        for path, value in _leaves(document, ()):
            if path in values_by_path or len(values_by_path) < PATHS_MAX:
                values_by_path.setdefault(path, []).append(value)
    return values_by_path


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Values with their paths: leaves, and what could be an input as a whole."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        value = nested_or_text(value)
    if path and not isinstance(value, dict):
        yield path, value
    if len(path) >= DEPTH_MAX:
        return
    if isinstance(value, dict):
        for key, inner in list(value.items())[:100]:
            yield from _leaves(inner, (*path, str(key)))
    elif isinstance(value, list) and value and isinstance(value[0], dict | list | str):
        yield from _leaves(value[0], (*path, "0"))


def _best(
    guess: Guess, values_by_path: dict[tuple[str, ...], list[Any]], used: set[tuple[str, ...]]
) -> tuple[str, ...] | None:
    found = []
    for path, values in values_by_path.items():
        names = [step for step in path if not step.isdecimal()]
        plain = [step.lower().replace("_", "").replace("-", "").replace(".", "") for step in names]
        # `user.id` and `userId` say the same.
        endings = {plain[-1], "".join(plain[-2:])}
        ranks = [rank for rank, name in enumerate(guess.names) if name in endings]
        if guess.field == "event_id" and _is_of_something_else(plain):
            continue  # it is shared by many queries, which would count as one
        shown = [value for value in values if value is not None and value != ""]
        if ranks and shown and path not in used and all(guess.fits(value) for value in shown):
            is_shared = guess.field == "event_id" and len({str(value) for value in shown}) < len(shown)
            found.append((is_shared, min(ranks), len(path), path))
    return min(found)[-1] if found else None


def _is_of_something_else(names: list[str]) -> bool:
    """Whether an id is that of a trace, a conversation or a person, by the last names of its path."""
    return names[-1].startswith(_SHARED_IDS) or (
        names[-1] == "id" and "".join(names[-2:]).startswith(_SHARED_IDS)
    )


def _rule(guess: Guess, path: tuple[str, ...], values: list[Any]) -> str:
    pointer = pointer_text(path)
    conversion = guess.conversion
    if guess.field == "input":
        value = next(value for value in values if value)
        is_chat = isinstance(value, list) and isinstance(value[0], dict) and "role" in value[0]
        conversion = "last_message" if is_chat else "" if isinstance(value, str) else "input"
    quoted = pointer if all(char.isalnum() or char in "/_-.@" for char in pointer) else f'"{pointer}"'
    return f"{{at: {quoted}, as: {conversion}}}" if conversion else quoted


def _is_below(path: tuple[str, ...], used: set[tuple[str, ...]]) -> bool:
    return any(path[: len(each)] == each for each in used)


def _plain_name(name: str) -> str:
    tail = name.rpartition("/")[2].partition(".")[0]
    return "".join(char if char.isalnum() or char in "_-" else "_" for char in tail)[:64] or "drafted"
