"""vLLM's log of requests and outputs: lines, or JSON with such a message."""

import ast
import re
from typing import Any

from copycatch.formats.shared.collecting import CollectingDecoder, Gathering, Part
from copycatch.formats.shared.context import word_of
from copycatch.formats.shared.faults import MessageFault, size_fault
from copycatch.formats.shared.format import Format, FormatOptions
from copycatch.formats.shared.json_text import read_json
from copycatch.formats.shared.messages import Fields, LogMessage, Reading, first, text_of
from copycatch.formats.shared.recognise import Recognise
from copycatch.records.wire import MESSAGE_BYTES_MAX

NAME = "vllm"
SOURCES = {
    "event_id": "id in the message: Received request ID",
    "event_time": "timestamp, asctime, time or @timestamp of the JSON; arrival",
    "account_id": "account_id of the JSON (see the recipe), user_id, user; the account headers",
    "tenant_id": "tenant_id of the JSON",
    "client_ip": "client_ip of the JSON",
    "model_id": "model or model_id of the JSON; model_id in the settings of the topic",
    "input": "prompt of the message, with its chat template",
    "output_text": "output of the message; needs --enable-log-outputs",
    "params": "params of the message: n, temperature, max_tokens, logprobs",
    "input_tokens": "prompt_token_ids of the message, counted",
    "output_tokens": "output_token_ids of the message, counted",
    "finish_reason": "finish_reason of the message",
}
_TEXT = r"""(?:'[^'\\]*(?:\\.[^'\\]*)*'|"[^"\\]*(?:\\.[^"\\]*)*")"""  # a text as Python's repr writes it
_RECEIVED = re.compile(r"Received request (?P<id>\S{1,512}?): ")
_DETAILS = re.compile(r"Request (?P<id>\S{1,512}?) details: ")
_GENERATED = re.compile(r"Generated response (?P<id>\S{1,512}?)(?P<stream> \(streaming \w+\))?: output: ")
_PROMPT = re.compile(rf"prompt: (?P<text>{_TEXT})?", re.DOTALL)
_OUTPUT = re.compile(_TEXT, re.DOTALL)
_TOKENS = re.compile(r"(?:prompt|output)_token_ids: [\[(](?P<ids>[^\])]*)[\])]")
_PARAMETER = re.compile(r"[(,] ?(?P<name>n|temperature|max_tokens|logprobs)=(?P<value>-?\d+(?:\.\d+)?)")
_REASON = re.compile(r"finish_reason: (?P<reason>\w{1,64})")
_MESSAGE_KEYS = ("message", "msg", "event", "log")
_TIME_KEYS = ("timestamp", "asctime", "time", "@timestamp", "ts")


def make_decoder(options: FormatOptions, recognise: Recognise) -> CollectingDecoder:
    """A decoder of this format."""
    gathering = Gathering(identify, may_be_whole, read)
    return CollectingDecoder(NAME, gathering, SOURCES, options, recognise, parse)


def parse(value: bytes) -> Any:
    """A line as `{"message": line}`, and JSON as it is."""
    if value.lstrip()[:1] == b"{":
        return read_json(value)
    if len(value) > MESSAGE_BYTES_MAX:
        raise size_fault(value)
    if not value.strip():
        raise MessageFault("not_json", None, "the message is empty; a blank line is no record")
    return {"message": value.decode("utf-8", errors="replace")}


def is_own(value: bytes) -> bool:
    """Whether a line is one that vLLM writes about a request."""
    text = value[:4096].decode("utf-8", errors="replace")
    return any(pattern.search(text) for pattern in (_RECEIVED, _GENERATED, _DETAILS))


FORMAT = Format(
    name=NAME,
    sentence="vLLM's log of requests and outputs: lines, or JSON of a logging configuration",
    sources=SOURCES,
    make_decoder=make_decoder,
    marks=tuple(
        (f"{key}={start}",) for key in _MESSAGE_KEYS for start in ("Received request ", "Generated response ")
    ),
    is_own=is_own,
)


def identify(message: LogMessage) -> Part | None:
    """A request or its output by its id; other lines, and pieces of a stream, are skipped."""
    text = _message_text(message)
    for pattern, label in ((_RECEIVED, "request"), (_DETAILS, "details"), (_GENERATED, "response")):
        found = pattern.search(text, 0, 4096)
        if found is not None:
            is_piece = label == "response" and "delta" in (found["stream"] or "")
            return None if is_piece else Part(found["id"], label)
    return None


def may_be_whole(labels: list[str]) -> bool:
    """Whether the request and its output are there; details come before both."""
    return "request" in labels and "response" in labels


def read(messages: list[LogMessage], labels: list[str], is_last: bool) -> list[Reading] | None:
    """One query; of a request whose output is not logged what the options say."""
    by_label = dict(zip(labels, messages, strict=True))
    asked = by_label.get("request") or by_label.get("details")
    if asked is None or ("response" not in by_label and asked.options.unpaired != "keep"):
        return None
    asked.notes["unpaired"] += "response" not in by_label
    document = asked.document
    client_ip = asked.client_ip(None, document.get("client_ip"))
    fields: Fields = {
        **_asked_fields(asked, by_label.get("details")),
        **_answered_fields(by_label.get("response")),
        "event_time": asked.time_ms(*(_plain_time(document.get(key)) for key in _TIME_KEYS)),
        "account_id": asked.account(
            document, *(document.get(key) for key in ("account_id", "user_id", "user")), client_ip=client_ip
        ),
        "tenant_id": asked.tenant(document.get("tenant_id")),
        "client_ip": client_ip,
        "model_id": asked.model(document.get("model"), document.get("model_id")),
    }
    return [fields]


def _asked_fields(asked: LogMessage, details: LogMessage | None) -> Fields:
    text = _message_text(asked)
    start = first(_RECEIVED.search(text, 0, 4096), _DETAILS.search(text, 0, 4096))
    said = text if details is None else _message_text(details)
    began = first(_DETAILS.search(said, 0, 4096), _RECEIVED.search(said, 0, 4096))
    found = _PROMPT.match(said, began.end()) if began is not None else None
    prompt = _literal(asked, found["text"]) if found is not None else None
    rest = said[found.end() :] if found is not None else said
    options = text[start.end() :] if details is not None or found is None else rest
    params: dict[str, Any] = {}
    for each in _PARAMETER.finditer(options):
        # What users send, such as stop words, stands behind n and temperature and before max_tokens.
        if each["name"] in ("n", "temperature"):
            params.setdefault(each["name"], each["value"])
        else:
            params[each["name"]] = each["value"]
    tokens = _TOKENS.search(rest)
    return {
        "event_id": start["id"],
        "input": text_of(prompt),
        "params": _params_of(params),
        "input_tokens": None if tokens is None else _count_of_ids(tokens["ids"]),
    }


def _params_of(given: dict[str, str]) -> Fields | None:
    params: Fields = {
        name: int(given[name]) for name in ("n", "max_tokens") if given.get(name, ".").isdecimal()
    }
    if "temperature" in given:
        params["temperature"] = float(given["temperature"])
    if given.get("logprobs", "-").isdecimal():
        params |= {"logprobs": True, "top_logprobs": int(given["logprobs"])}
    return params or None


def _answered_fields(answered: LogMessage | None) -> Fields:
    if answered is None:
        return {}
    text = _message_text(answered)
    start = _GENERATED.search(text, 0, 4096)
    assert start is not None, "identify told it by this"
    found = _OUTPUT.match(text, start.end())
    rest = text[found.end() if found is not None else start.end() :]
    tokens, reason = _TOKENS.search(rest), _REASON.search(rest)
    return {
        "output_text": text_of(_literal(answered, found.group() if found is not None else None)),
        "output_tokens": None if tokens is None else _count_of_ids(tokens["ids"]),
        "finish_reason": None if reason is None or reason["reason"] == "None" else word_of(reason["reason"]),
    }


def _literal(message: LogMessage, text: str | None) -> str | None:
    """A text out of its repr."""
    if text is None:
        return None
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError):
        message.notes["unread"] += 1
        return None
    return found if isinstance(found, str) else None


def _count_of_ids(ids: str) -> int:
    return ids.count(",") + 1 if ids.strip() else 0


def _message_text(message: LogMessage) -> str:
    for key in _MESSAGE_KEYS:
        text = message.document.get(key)
        if isinstance(text, str):
            return text
    return ""


def _plain_time(time: Any) -> Any:
    # logging's own form has a comma before the milliseconds
    return time.replace(",", ".") if isinstance(time, str) else time
