"""What is read of a plain chat in one look is what the long way reads."""

import json
from copy import deepcopy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.log_shapes import Query, chat_request, chat_response
from tests.unit.formats.test_formats_take_anything import mutants

from copycatch.formats.shared.chat import any_request_fields, any_response_fields
from copycatch.formats.shared.plain_chat import plain_request_fields, plain_response_fields
from copycatch.records.wire import TEXT_CHARS_MAX

QUERY = Query("e-1", "a", "What is it?", "That.", 3, [], [])
SAID = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
REQUEST = chat_request(QUERY)
REQUESTS = [REQUEST, {**REQUEST, "messages": [*SAID, *SAID, *REQUEST["messages"]]}, {"messages": SAID[:1]}]
EXTRA = st.sampled_from(
    ["tools", "system", "input", "previous_response_id", "logprobs", "logit_bias", "max_tokens", "name",
     "stop", "type", "signature", "output", "text", "embedding", "finishReason", "parts", "usage"]
)  # fmt: skip
VALUES = st.sampled_from(
    [None, "", "x", " m ", "[REDACTED]", "assistant", "User", 0, -1, 7, 2**60, True, 0.5, [], ["x"], {},
     [{"text": "x"}], {"text": "x"}, [{"type": "image_url"}]]
)  # fmt: skip


@st.composite
def changed(draw: st.DrawFn, seeds: list[Any]) -> dict[str, Any]:
    """A body with keys added or values replaced anywhere in it."""
    body = json.loads(json.dumps(draw(st.sampled_from(seeds))))
    for _ in range(draw(st.integers(0, 2))):
        nodes, found = [body], []
        while nodes:
            node = nodes.pop()
            found.append(node)
            nodes += [
                each
                for each in (node.values() if isinstance(node, dict) else node)
                if isinstance(each, dict | list)
            ]
        node = draw(st.sampled_from([each for each in found if isinstance(each, dict)]))
        # A copy: a drawn value that was put into itself would have no end.
        node[draw(EXTRA | st.sampled_from(sorted(node) or ["x"]))] = deepcopy(draw(VALUES))
    return draw(st.one_of(st.just(body), mutants(body)))


def without_none(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def test_plain_bodies_are_told() -> None:
    assert all(plain_request_fields(each) for each in REQUESTS)
    assert plain_response_fields(chat_response(QUERY))
    long = "x" * (TEXT_CHARS_MAX + 1)  # is cut by the long way
    assert plain_request_fields({"messages": [{"role": "user", "content": long}]}) is None
    assert plain_response_fields(chat_response(QUERY._replace(answer=long))) is None


@given(changed(REQUESTS))
@settings(max_examples=150, deadline=None)
def test_requests(body: dict[str, Any]) -> None:
    plain = plain_request_fields(body)
    if plain is not None:
        assert without_none(plain) == without_none(any_request_fields(body))


@given(changed([chat_response(QUERY)]))
@settings(max_examples=150, deadline=None)
def test_responses(body: dict[str, Any]) -> None:
    plain = plain_response_fields(body)
    if plain is not None:
        assert without_none(plain) == without_none(any_response_fields(body))
