"""Mapping files: what they can say, what they refuse with line and remedy, and what messages come to."""

# ruff: noqa: E501 - tables of samples
import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.formats.support import batch_of, decode, fields_of

from copycatch.errors import ConfigError
from copycatch.formats.shared.conversions import CONVERSIONS
from copycatch.formats.shared.format import FormatOptions
from copycatch.settings.formats import format_options
from copycatch.settings.mapping import load_mapping, parse_mapping

MAPPINGS = Path(__file__).parents[3] / "deploy" / "mappings"
BASE = (
    "version: 1\nfields:\n  event_id: /id\n  event_time: /ts\n  account_id: /who\n  model_id: {always: m}\n"
)
DOCUMENT = {"id": "e", "ts": "2026-03-01T10:00:00Z", "who": "a1"}


def options(text: str) -> FormatOptions:
    return FormatOptions(mapping=parse_mapping(text, "gateway.yaml"))


def only(text: str, document: Any, **more: Any) -> dict[str, Any]:
    decoded = decode("mapping", batch_of([document], **more), options(text))
    assert decoded.rejects == []
    [record] = decoded.records
    return fields_of(record)


@pytest.mark.parametrize(
    ("rule", "value", "field", "expected"),
    [
        ("latency_ms: {at: /v, as: s_to_ms}", 0.25, "latency_ms", 250.0),
        ("latency_ms: {at: /v, as: us_to_ms}", "1500", "latency_ms", 1.5),
        ("latency_ms: {at: /v, as: ns_to_ms}", 2_000_000, "latency_ms", 2.0),
        ("latency_ms: {at: /v, as: number}", "7.5", "latency_ms", 7.5),
        ("status: {at: /v, as: integer}", "429", "status", 429),
        ("tenant_id: {at: /v, as: lower}", "ACME", "tenant_id", "acme"),
        ("tenant_id: {at: /v, as: [text, lower]}", 12, "tenant_id", "12"),
        ("tenant_id: {at: /v, as: first_of_list}", "a, b", "tenant_id", "a"),
        ("input: {at: /v, as: csv}", "1, 2.5", "input", [1.0, 2.5]),
        ("input: {at: /v, as: values}", {"a": 1, "b": [2, 3]}, "input", None),
        ("input: {at: /v, as: values}", {"a": 1, "b": 2}, "input", [1.0, 2.0]),
        ("input: {at: /v, as: input}", [{"a": "x"}], "input", '[{"a":"x"}]'),
        ("input: {at: /v, as: last_message}", [{"role": "user", "content": "hi"}], "input", "hi"),
        ("input: {at: /v/0, as: [json, values]}", ["[1,2]"], "input", [1.0, 2.0]),
        ("input: /v/inner/deep", '{"inner": "{\\"deep\\": \\"hi\\"}"}', "input", "hi"),
        ("top_scores: {at: /v, as: descending}", [0.2, 0.7, 0.1], "top_scores", [0.7, 0.2, 0.1]),
        ("probabilities: {list: [/v/a, /v/b]}", {"b": 0.9, "a": 0.1}, "probabilities", [0.1, 0.9]),
        ("params.logprobs: {at: /v, as: boolean}", "yes", "params", {"logprobs": True}),
        ("params.n: /v", 3, "params", {"n": 3}),
        ("tenant_id: [/nowhere, /v]", "t", "tenant_id", "t"),
        ("tenant_id: {header: X-Tenant}", None, "tenant_id", "t1"),
        ("tenant_id: {key: true}", None, "tenant_id", "k1"),
        ("tenant_id: /v", None, "tenant_id", None),
    ],
)
def test_rules(rule: str, value: Any, field: str, expected: Any) -> None:
    document = {**DOCUMENT, "v": value}
    batch = batch_of([document], {"x-tenant": "t1"} if "header" in rule else None, keys=[b"k1"])
    decoded = decode("mapping", batch, options(f"{BASE}  {rule}\n"))
    assert fields_of(decoded.records[0]).get(field) == expected
    assert decoded.notes["unread"] == ("values" in rule and expected is None), "what is missing is counted"


@pytest.mark.parametrize(
    ("conversion", "value"),
    [
        ("epoch_s", 1772359200),
        ("epoch_ms", 1772359200000),
        ("epoch_us", "1772359200000000"),
        ("epoch_ns", 1772359200000000000),
        ("ticks", 639079560000000000),
    ],
)
def test_times(conversion: str, value: Any) -> None:
    text = BASE.replace("event_time: /ts", f"event_time: {{at: /ts, as: {conversion}}}")
    assert only(text, {**DOCUMENT, "ts": value})["event_time"] == 1772359200000


def test_every_conversion_ends_in_a_value_or_a_reject() -> None:
    junk: list[Any] = [
        None,
        "",
        "x",
        '\x00,"',
        [],
        {},
        [[]],
        -1,
        1e308,
        True,
        {"a": {"b": []}},
        "9" * 400,
        [None],
    ]
    for name in CONVERSIONS:
        spec = options(f"{BASE}  output_text: {{at: /v, as: {name}}}\n")
        decoded = decode("mapping", batch_of([{**DOCUMENT, "v": value} for value in junk]), spec)
        assert len(decoded.records) + len(decoded.rejects) == len(junk), name


def test_entries_of_a_list_share_what_stands_next_to_it() -> None:
    text = BASE.replace("event_id: /id", "event_id: /n") + "each: /rows\nonly: {at: /kind, is: [a, b]}\n"
    rows = [{"n": 1, "who": "a1"}, {"n": 2, "who": "a2"}]
    document = {"ts": 1772359200, "rows": rows, "kind": "a"}
    decoded = decode("mapping", batch_of([document, {**document, "kind": "c"}, {"kind": "b"}]), options(text))
    assert [(each.event_id, each.account_id) for each in decoded.records] == [("1", "a1"), ("2", "a2")]
    assert decoded.notes["skipped"] == 1
    [reject] = decoded.rejects
    assert "/rows" in reject.message
    assert "'gateway.yaml'" in reject.message


def test_a_mapping_that_points_nowhere_says_where_it_looked() -> None:
    text = BASE.replace("/who", "[/user/id, /caller]")
    [reject] = decode("mapping", batch_of([DOCUMENT]), options(text)).rejects
    assert reject.field == "account_id"
    assert "/user/id, else /caller" in reject.message


def test_sampled_sources_are_counted() -> None:
    spec = options(BASE + "  sampling_fraction: /share\n")
    decoded = decode("mapping", batch_of([{**DOCUMENT, "share": 0.5}, {**DOCUMENT, "share": 1.0}]), spec)
    assert len(decoded.records) == 2
    assert decoded.notes["sampled"] == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("version: 1\nfields: {event_id: id}\n", "gateway.yaml:2:20"),
        ("version: 1\nfields: {event_id: $.user.id}\n", "write /user/id"),
        ("version: 1\nfields: {event_id: /id, acount_id: /a}\n", "did you mean account_id?"),
        ("version: 1\nfields: {event_id: {at: /id, as: epochs}}\n", "did you mean epoch_s?"),
        ("version: 1\nfields: {event_id: {}}\n", "says nowhere to look"),
        ("version: 1\nfields: {account_id: /a}\n", "event_id is missing"),
        ("version: 2\nfields: {event_id: /id}\n", "version"),
        ("version: 1\nfeilds: {event_id: /id}\n", "did you mean fields?"),
        ("version: 1\nfields: {event_id: /id}\njoin: {by: x}\n", "join.by"),
        ("version: 1\nfields: {event_id: /id}\nbodies: {without: [a]}\n", "says nowhere to look"),
        (
            "version: 1\nfields: {event_id: /id}\neach: /r\njoin: {by: /a, request: {at: /k, is: a}, response: {at: /k, is: b}}\n",
            "/rows/*/field",
        ),
        ("version: 1\nfields: [\n", "gateway.yaml"),
    ],
)
def test_faults_of_the_file(text: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_mapping(text, "gateway.yaml")
    assert words in str(caught.value)


def rows(text: str, documents: list[Any]) -> list[Any]:
    decoded = decode("mapping", batch_of(documents, keys=[b"key"] * len(documents)), options(text))
    assert decoded.rejects == []
    return decoded.records


def test_pointers_to_every_row_split_a_message() -> None:
    text = (
        BASE.replace("/who", "/rows/*/who")
        + "  input: {list: [/rows/*/a, /rows/*/b]}\n  status: /answers/*/code\n"
    )
    document = {**DOCUMENT, "rows": [{"who": "a1", "a": 1, "b": 2}, {"who": "a2", "a": 3, "b": 4}],
                "answers": [{"code": 200}, {"code": 429}]}  # fmt: skip
    found = [
        (each.event_id, each.account_id, each.input, each.status, each.prompt_index)
        for each in rows(text, [document])
    ]
    assert found == [("e:0", "a1", [1, 2], 200, 0), ("e:1", "a2", [3, 4], 429, 1)]
    shorter = {**document, "answers": [{"code": 200}, {"code": 429}, {"code": 500}]}
    decoded = decode("mapping", batch_of([shorter]), options(text))
    assert [each.status for each in decoded.records] == [None, None], "whose they are is unknown"
    assert decoded.notes["unread"] == 1


JOINED = BASE.replace("/who", "{at: /body/*/who, key: true}") + (
    "bodies: {request: /body, response: /body, without: [who]}\n"
    "join:\n  by: /id\n  request: {at: /kind, is: ask}\n  response: {at: /kind, is: answer}\n"
)


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ([{"a": 1, "b": 2, "who": "w"}, {"a": 3, "b": 4, "who": "w"}], [{"label": "x", "p0": 0.9, "p1": 0.1},
                                                                        {"label": "y", "p0": 0.2, "p1": 0.8}]),
        ([[1, 2], [3, 4]], [[0.9, 0.1], [0.2, 0.8]]),
        ('[{"a": 1, "b": 2}, {"a": 3, "b": 4}]', '[{"p0": 0.9, "p1": 0.1}, {"p0": 0.2, "p1": 0.8}]'),
        ({"instances": [[1, 2], [3, 4]]}, {"predictions": [[0.9, 0.1], [0.2, 0.8]]}),
        ({"columns": ["a", "b"], "data": [[1, 2], [3, 4]]}, {"Scored Labels": ["x", "y"],
                                                            "Scored Probabilities": [[0.9, 0.1], [0.2, 0.8]]}),
        ({"a": [1, 3], "b": [2, 4]}, {"probabilities": [[0.9, 0.1], [0.2, 0.8]]}),
        (['{"instances": [[1, 2]]}', '{"instances": [[3, 4]]}'], ['{"predictions": [[0.9, 0.1]]}',
                                                                  '{"predictions": [[0.2, 0.8]]}']),
        (["[1, 2]", "[3, 4]"], ["[0.9, 0.1]", "[0.2, 0.8]"]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("is_pair", [True, False])
def test_rows_of_bodies_in_all_shapes(asked: Any, answered: Any, is_pair: bool) -> None:
    if is_pair:
        text, documents = (
            JOINED,
            [{**DOCUMENT, "kind": "ask", "body": asked}, {"id": "e", "kind": "answer", "body": answered}],
        )
    else:
        text = JOINED.partition("join:")[0].replace("response: /body", "response: /answer")
        documents = [{**DOCUMENT, "body": asked, "answer": answered}]
    found = [(each.event_id, each.input, each.probabilities) for each in rows(text, documents)]
    assert found == [("e:0", [1, 2], [0.9, 0.1]), ("e:1", [3, 4], [0.2, 0.8])]


def test_bodies_of_chats_in_a_mapping() -> None:
    text = BASE + "bodies: {request: /in, response: /out}\n"
    asked = {
        "model": "body",
        "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}],
    }
    answer = 'data: {"choices": [{"delta": {"content": "a"}}]}\n\ndata: [DONE]\n\n'
    [found] = rows(text, [{**DOCUMENT, "in": json.dumps(asked), "out": answer}])
    assert (found.input, found.output_text, found.turn, found.model_id) == ("q", "a", 1, "m")
    embedded = {"in": {"input": ["a", "b"]}, "out": {"data": [{"embedding": [1, 2]}, {"embedding": [3, 4]}]}}
    assert [each.input for each in rows(text, [{**DOCUMENT, **embedded}])] == ["a", "b"]


@pytest.mark.parametrize("path", sorted(MAPPINGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_mappings_load_and_are_whole(path: Path) -> None:
    spec = load_mapping(path)
    assert spec.name == path.stem
    assert {"event_id", "event_time", "account_id", "model_id"} <= set(spec.sources())


@pytest.mark.parametrize(
    ("format_name", "given", "words"),
    [
        ("kserve", {"join_timout": "10s"}, "did you mean join_timeout?"),
        ("kserve", {"join_timeout": 10}, "10s"),
        ("kserve", {"account_fallback": "guess"}, "account_fallback"),
        ("mapping", {}, "copycatch inspect"),
        ("native", {"mapping": "x.yaml"}, "do not fit"),
        ("mapping", {"mapping": "absent.yaml"}, "absent.yaml"),
    ],
)
def test_faults_of_options(format_name: str, given: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        format_options(format_name, given, tmp_path)
    assert words in str(caught.value)


def test_options_of_a_mapping(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(BASE)
    made = format_options("mapping", {"mapping": "m.yaml", "join_timeout": "5s"}, tmp_path)
    assert made.mapping is not None
    assert made.join_timeout_s == 5.0
