"""Requests and responses of chat, completion and embedding APIs, in the forms that gateways pass on."""

from typing import Any

from copycatch.formats.shared.contents import PARTS_MAX, UNREAD, content_text, is_without_text, messages_text
from copycatch.formats.shared.context import request_context, response_context
from copycatch.formats.shared.messages import Fields, compact_text, count_of, dig, first, first_name, text_of
from copycatch.formats.shared.plain_chat import plain_request_fields, plain_response_fields

_LISTS = ("choices", "results", "outputs", "generations", "candidates", "output")
_NUMBER_CHARS_MAX = 32
_TEXTS = frozenset({"generation", "completion", "outputText", "output", "content", "output_text", "text"})


def request_fields(request: Any) -> Fields:
    """Canonical fields of a request: what was asked last, the model, the options, and what stands around it.

    Log probabilities stay options: they are scores of tokens, not of classes.

    Examples
    --------
    >>> request_fields({"model": "m", "messages": [{"role": "user", "content": "hi"}], "n": 2})["input"]
    'hi'
    """
    if not isinstance(request, dict):
        return {}
    return plain_request_fields(request) or any_request_fields(request)


def any_request_fields(request: dict[str, Any]) -> Fields:
    """The same for any request, by whatever names its API has."""
    return {
        "input": asked_of(request),
        "model_id": first_name(request.get("model"), request.get("modelId")),
        "params": params_of(request),
        **request_context(request),
    }


def asked_of(request: dict[str, Any]) -> Any:
    """What was asked: the last user message, the prompt, or what is to be embedded."""
    if isinstance(request.get("messages"), dict):  # one that stands alone
        request = {**request, "messages": [request["messages"]]}
    system_free = messages_text(request.get("messages"))
    if system_free is not None:
        return system_free
    if is_without_text(first(*(request.get(key) for key in ("messages", "contents", "input")))):
        return UNREAD
    documents = request.get("documents")
    if isinstance(documents, list) and isinstance(request.get("query"), str):
        return text_of(
            "\n".join([request["query"], *_texts_of(documents)])
        )  # which fit is asked of a model, too
    for key in ("prompt", "inputText", "input", "inputs", "contents", "query", "text", "message"):
        given = request.get(key)
        if given is not None:
            return prompt_of(given)
    return _image_prompt(request)


def _texts_of(documents: list[Any]) -> list[str]:
    """Texts of documents that a model is to rank."""
    return [text for each in documents[:PARTS_MAX] if (text := content_text(each))]


def _image_prompt(request: dict[str, Any]) -> str | None:
    """What an image is to show: `text_prompts` of Stability (weights below 0: what not), tasks of Nova."""
    weighed = request.get("text_prompts")
    if isinstance(weighed, list):
        given = [each for each in weighed[:PARTS_MAX] if isinstance(each, dict)]
        wanted = [each for each in given if not isinstance(w := each.get("weight"), int | float) or w > 0]
        texts = [text for each in wanted if (text := content_text(each.get("text")))]
        return text_of("\n".join(texts)) if texts else None
    if isinstance(request.get("taskType"), str):
        return text_of(first(*(dig(each, "text") for each in request.values())))
    return None


def prompt_of(given: Any) -> Any:
    """A prompt in one of its forms: text, token ids, a list of one of them, or a list of messages."""
    if isinstance(given, str):
        return text_of(given)
    if not isinstance(given, list) or not given:
        return None
    if is_numbers(given):
        return given
    if isinstance(given[0], dict):
        return messages_text(given)
    if len(given) == 1 and (isinstance(given[0], str) or is_numbers(given[0])):
        return given[0]
    parts = given[:PARTS_MAX]
    return text_of("\n".join(parts)) if all(isinstance(part, str) for part in parts) else compact_text(parts)


def params_of(request: dict[str, Any]) -> Fields | None:
    """Options that matter to extraction, under all the names that APIs give them."""
    get = request.get
    config = first(get("inferenceConfig"), get("textGenerationConfig"), get("generationConfig"),
                   get("parameters"))  # fmt: skip
    within = config.get if isinstance(config, dict) else _nothing
    logprobs = first(get("logprobs"), within("responseLogprobs"))
    top_logprobs = first(get("top_logprobs"), within("logprobs"), within("top_n_tokens"))
    if isinstance(logprobs, int) and not isinstance(logprobs, bool):
        # The older completion API says how many with the same word.
        logprobs, top_logprobs = True, first(top_logprobs, logprobs)
    limit = first(get("max_completion_tokens"), get("max_tokens"), get("max_output_tokens"),
                  get("max_gen_len"), get("max_tokens_to_sample"), within("maxTokens"),
                  within("maxTokenCount"), within("maxOutputTokens"), within("max_new_tokens"))  # fmt: skip
    params = {
        "logprobs": logprobs if isinstance(logprobs, bool) else None,
        "top_logprobs": _count(top_logprobs),
        "logit_bias": _bias(get("logit_bias")),
        "n": _count(first(get("n"), within("candidateCount"))),
        "temperature": _number(first(get("temperature"), within("temperature"))),
        "max_tokens": _count(limit),
    }
    given = {name: value for name, value in params.items() if value is not None}
    return given or None


def _nothing(_name: str) -> None:
    return None


def response_fields(response: Any) -> Fields:
    """Canonical fields of a response: what was answered, by which version, at what cost in tokens.

    Examples
    --------
    >>> fields = response_fields({"model": "m-1", "choices": [{"message": {"content": "391"}}],
    ...                           "usage": {"prompt_tokens": 24, "completion_tokens": 1}})
    >>> fields["output_text"], fields["model_version"], fields["input_tokens"]
    ('391', 'm-1', 24)
    """
    if not isinstance(response, dict):
        return {"output_text": text_of(response)}
    return plain_response_fields(response) or any_response_fields(response)


def any_response_fields(response: dict[str, Any]) -> Fields:
    """The same for any response, by whatever names its API has."""
    get = response.get
    usage = first(get("usage"), get("usageMetadata"))
    used = usage.get if isinstance(usage, dict) else _nothing
    return {
        **response_context(response),
        "output_text": answer_text(response),
        "model_version": first_name(get("model"), get("modelVersion")),
        "input_tokens": count_of(
            first(used("prompt_tokens"), used("input_tokens"), used("inputTokens"), used("promptTokenCount"),
                  get("prompt_token_count"), get("inputTextTokenCount"))
        ),
        "output_tokens": count_of(
            first(used("completion_tokens"), used("output_tokens"), used("outputTokens"),
                  used("candidatesTokenCount"), get("generation_token_count"))
        ),
    }  # fmt: skip


def answer_text(response: dict[str, Any]) -> str | None:
    """The answer's text, several answers one below the other."""
    texts: list[str | None] = []
    for key in _LISTS:
        entries = response.get(key)
        if isinstance(entries, list):
            texts += [_choice_text(entry) for entry in entries[:PARTS_MAX]]
    if not _TEXTS.isdisjoint(response):
        message = dig(response, "output", "message", "content")
        for given in (response.get("generation"), response.get("completion"), response.get("outputText"),
                      message, response.get("content"), response.get("output_text"),
                      response.get("text")):  # fmt: skip
            texts.append(content_text(given))
    found = [text for text in texts if text]
    return text_of("\n".join(found)) if found else None


def embeddings_of(response: Any) -> list[Any]:
    """Vectors of an embedding response, in the order of its inputs; empty for any other response.

    Base64, which the client of OpenAI asks for, holds little-endian float32.
    """
    if not isinstance(response, dict):
        return []
    given = first(response.get("embedding"), response.get("embeddings"), response.get("embeddingsByType"))
    if isinstance(given, dict):  # by type, as Cohere and Titan answer: {"float": [[...], ...]}
        given = next((each for each in given.values() if isinstance(each, list)), None)
    if is_numbers(given):
        return [given]
    if isinstance(given, list) and given and all(map(is_numbers, given)):
        return given[:PARTS_MAX]
    data = response.get("data")
    if not isinstance(data, list) or not data or not isinstance(data[0], dict) or "embedding" not in data[0]:
        return []
    return [_vector_of(entry) for entry in by_index(data[:PARTS_MAX])]


def by_index(entries: list[Any]) -> list[Any]:
    """Entries of an answer in the order of what was asked, where they name it."""
    places = [dig(entry, "index") for entry in entries]
    if any(not isinstance(place, int) for place in places) or places == sorted(places):
        return entries
    return sorted(entries, key=lambda entry: int(entry["index"]))


def _vector_of(entry: Any) -> Any:
    vector = dig(entry, "embedding")
    return {"b64": vector, "dtype": "f4"} if isinstance(vector, str) else vector


def texts_asked(request: Any) -> list[Any]:
    """What an embedding request is about, an entry for each vector that it asks for."""
    asked = request
    if isinstance(request, dict):
        keys = ("input", "inputs", "texts", "inputText", "prompt", "messages")
        asked = first(*(request.get(key) for key in keys))
    if isinstance(asked, list) and not is_numbers(asked):
        # Entries of multimodal models hold parts; those without a text stand for themselves.
        return [
            first(content_text(each), each) if isinstance(each, str | dict) else each
            for each in asked[:PARTS_MAX]
        ]
    return [] if asked is None else [asked]


def split_embeddings(fields: Fields, request: Any, vectors: list[Any]) -> list[Fields]:
    """A query for each text of an embedding request; `fields` itself where there are no vectors."""
    if not vectors:
        return [fields]
    inputs = texts_asked(request)
    if inputs and len(inputs) != len(vectors):
        vectors = [UNREAD] * len(inputs)  # whose is whose is unknown; no vector is better than a wrong one
    inputs = inputs or [None] * len(vectors)
    return [
        {**fields, "input": given, "embedding": vector, "output_text": None}
        for given, vector in zip(inputs, vectors, strict=True)
    ]


def split_prompts(fields: Fields, request: Any, response: Any) -> list[Fields]:
    """A query for each text of a completion request that brings several, with its own answers.

    Examples
    --------
    >>> answer = {"choices": [{"text": "1"}, {"text": "2"}]}
    >>> [(each["input"], each["output_text"]) for each in split_prompts({}, {"prompt": ["a", "b"]}, answer)]
    [('a', '1'), ('b', '2')]
    """
    prompts = dig(request, "prompt")
    if not isinstance(prompts, list) or len(prompts) < 2:
        return [fields]
    prompts = prompts[:PARTS_MAX]
    if not all(isinstance(each, str) for each in prompts) and not all(map(is_numbers, prompts)):
        return [fields]
    choices = dig(response, "choices")
    choices = by_index(choices[:PARTS_MAX]) if isinstance(choices, list) else None
    each_n = len(choices) // len(prompts) if isinstance(choices, list) else 0
    is_even = isinstance(choices, list) and len(choices) == each_n * len(prompts)
    rows = []
    for index, prompt in enumerate(prompts):
        own = choices[index * each_n : (index + 1) * each_n] if is_even and isinstance(choices, list) else []
        rows.append({**fields, "input": prompt_of(prompt), "output_text": answer_text({"choices": own})})
    return rows


def split_asked(fields: Fields, request: Any, response: Any) -> list[Fields]:
    """A query for each text of a request that brings several, to be embedded or to be completed."""
    vectors = embeddings_of(response)
    return split_embeddings(fields, request, vectors) if vectors else split_prompts(fields, request, response)


def logprobs_in(response: Any) -> Fields | None:
    """Options that a response betrays, for logs that hold no request."""
    choices = dig(response, "choices")
    if not isinstance(choices, list) or not choices:
        return None
    params: Fields = {"n": len(choices)} if len(choices) > 1 else {}
    logprobs = dig(choices[0], "logprobs")
    tokens = first(dig(logprobs, "content"), dig(logprobs, "tokens"))
    if isinstance(tokens, list):
        alternatives = [dig(token, "top_logprobs") for token in tokens[:PARTS_MAX]]
        widths = [len(each) for each in alternatives if isinstance(each, list)]
        params |= {"logprobs": True, "top_logprobs": max(widths, default=0)}
    return params or None


def is_numbers(value: Any) -> bool:
    """Whether a value is a list of numbers; only its first entries are looked at, validation sees all."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(entry, int | float) and not isinstance(entry, bool) for entry in value[:8])
    )


def _choice_text(choice: Any) -> str | None:
    if not isinstance(choice, dict):
        return None
    message = first(choice.get("message"), choice.get("delta"), {})
    return content_text(
        first(dig(message, "content"), choice.get("text"), choice.get("outputText"), choice.get("content"))
    )


def _count(value: Any) -> Any:
    """A tally; what is none is left for validation to note."""
    return None if isinstance(value, bool) else count_of(value)


def _number(value: Any) -> Any:
    """A number, as text too; what is none is left for validation to note."""
    if isinstance(value, str) and len(value) < _NUMBER_CHARS_MAX:
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _bias(value: Any) -> Any:
    # How many are biased is all that features use; the tokens themselves would only cost state.
    return len(value) if isinstance(value, dict | list) and value else value or None
