"""What members of a campaign share, and where its queries stand among everyone's, read from a log."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.evaluations import DAY_MS, HOUR_MS

from copycatch.desk import links as links_module
from copycatch.desk.links import Shared, graph_of, ties_of
from copycatch.desk.log_reading import Group, GroupLog, read_groups
from copycatch.desk.maps import topic_map
from copycatch.desk.samples import choose_samples, measured
from copycatch.embedding.embedder import TextEmbedder
from copycatch.formats.catalog import make_decoder
from copycatch.formats.shared.format import FormatOptions
from copycatch.records.decoding import Decoder


def _decoder() -> Decoder:
    return make_decoder("native", FormatOptions())


def _log(folder: Path, records: Iterable[dict[str, Any]]) -> str:
    path = folder / "log.jsonl"
    lines = [
        json.dumps({"event_id": f"e{at}", "event_time": DAY_MS + at * 1000, "model_id": "m", **record})
        for at, record in enumerate(records)
    ]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def _ring(folder: Path) -> str:
    """Three members on one network with one kit and options of their own, beside thirty others."""
    members = [
        {"account_id": f"r{at % 3}", "client_ip": f"192.0.2.{at}", "api_key_id": "key-secret-1234",
         "user_agent": "everybody/1", "params": {"temperature": 0.3}, "input": f"Explain step by step, {at}",
         "reasoning_issued": [f"b{at}"] if at % 3 == 0 else None,
         "reasoning_refs": [f"b{at - 1}"] if at % 3 == 1 else None}
        for at in range(30)
    ]  # fmt: skip
    others = [
        {"account_id": f"o{at % 30}", "client_ip": f"198.18.{at % 30}.7", "user_agent": "everybody/1",
         "params": {"temperature": 1.0}, "input": f"{at} where is my order"}
        for at in range(90)
    ]  # fmt: skip
    return _log(folder, [*members, *others])


def _ties(path: str, members: set[str]) -> list[links_module.Tie]:
    shared = Shared(frozenset(members))
    read_groups([path], _decoder, {"ring": Group(frozenset(members), "m")}, members, on_record=shared.take)
    return ties_of([path], _decoder, {"ring": shared})["ring"]


def test_links_are_what_members_share_and_hardly_anybody_else_has(tmp_path: Path) -> None:
    ties = {(tie.kind, tie.value): tie for tie in _ties(_ring(tmp_path), {"r0", "r1", "r2"})}
    assert ties["network", "192.0.2.0"].members == ["r0", "r1", "r2"]
    assert ties["network", "192.0.2.0"].n_others == 0
    assert ("parameters", '{"temperature":0.3}') in ties
    assert ties["key", "…1234"].n_others == 0
    assert not any("secret" in tie.value for tie in ties.values()), "key ids are not shown"
    assert "agent" not in {kind for kind, _ in ties}, "everybody has it"
    passed = [tie for tie in ties.values() if tie.kind == "reasoning"]
    assert passed
    assert all(tie.members == ["r0", "r1"] for tie in passed)


def test_who_else_has_it_is_counted_over_the_whole_log(tmp_path: Path) -> None:
    path = _ring(tmp_path)
    more = {"event_id": "x", "event_time": DAY_MS, "model_id": "m", "account_id": "o1",
            "client_ip": "192.0.2.200", "input": "hello"}  # fmt: skip
    Path(path).write_text(json.dumps(more) + "\n" + Path(path).read_text())
    ties = {(tie.kind, tie.value): tie for tie in _ties(path, {"r0", "r1", "r2"})}
    assert ties["network", "192.0.2.0"].n_others == 1
    assert ties["network", "192.0.2.0"].weight < ties["key", "…1234"].weight


def test_what_is_counted_of_a_campaign_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links_module, "VALUES_MAX", 20)
    shared = Shared(frozenset({"r0", "r1", "r2"}))
    read_groups([_ring(tmp_path)], _decoder, {"ring": Group(shared.members, "m")}, (), on_record=shared.take)
    assert len(shared.holders) == 20
    assert shared.n_left_out > 0


def test_accounts_with_the_same_ties_stand_together() -> None:
    ties = [
        links_module.Tie("network", "a", ["m1", "m3"], 0, 2.0),
        links_module.Tie("key", "b", ["m2", "m4", "gone"], 1, 1.0),
    ]
    graph = graph_of(["m1", "m2", "m3", "m4"], ties)
    assert graph["members"] == ["m1", "m3", "m2", "m4"]
    assert graph["ties"] == [
        {"kind": "network", "value": "a", "members": [0, 1], "others": 0},
        {"kind": "API key", "value": "b", "members": [2, 3], "others": 1},
    ]


def test_a_group_over_all_models_is_shown_on_the_one_it_asks_most(tmp_path: Path) -> None:
    records = [
        {"account_id": "a", "model_id": model, "input": [float(at), 1.0]}
        for model, n in (("m1", 3), ("m2", 9))
        for at in range(n)
    ]
    records += [{"account_id": "o", "model_id": "m2", "input": [0.0, float(at)]} for at in range(5)]
    path = _log(tmp_path, records)
    groups = {"all": Group(frozenset({"a"}), None), "one": Group(frozenset({"a"}), "m1")}
    found = read_groups([path], _decoder, groups, {"a"}, HOUR_MS)
    assert (found["all"].n_own, len(found["all"].others)) == (9, 5)
    assert sum(found["all"].activity.values()) == 12
    assert found["one"].n_own == 3


def _group_log(folder: Path, own: list[object], others: list[object]) -> GroupLog:
    records = [
        {"account_id": name, "input": given}
        for name, all_given in (("a", own), ("o", others))
        for given in all_given
    ]
    path = _log(folder, records)
    return read_groups([path], _decoder, {"g": Group(frozenset({"a"}), "m")}, {"a"})["g"]


def _middle(points: list[tuple[float, float, str]]) -> Any:
    return np.mean([point[:2] for point in points], axis=0)


def test_queries_that_differ_lie_apart_on_the_map_and_the_same_ones_do_not(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    usual = rng.normal(size=(200, 12))
    odd = rng.normal(size=(60, 12)) + np.r_[4.0, np.zeros(11)]
    apart = topic_map(measured(_group_log(tmp_path, odd.tolist(), usual.tolist()), TextEmbedder()))
    same = topic_map(measured(_group_log(tmp_path, usual[:60].tolist(), usual[60:].tolist()), TextEmbedder()))
    distance = [float(np.linalg.norm(_middle(each.own) - _middle(each.others))) for each in (apart, same)]
    assert distance[0] > 3
    assert distance[1] < 1
    assert 0 < apart.shown <= 1
    assert len(apart.own) == 60


def test_texts_are_mapped_by_what_they_ask(tmp_path: Path) -> None:
    usual: list[object] = [f"why was my card payment of {at} dollars declined" for at in range(60)]
    odd: list[object] = [f"write a haiku about galaxy number {at}" for at in range(30)]
    found = topic_map(measured(_group_log(tmp_path, odd, usual), TextEmbedder()))
    assert np.linalg.norm(_middle(found.own) - _middle(found.others)) > 3
    assert found.own[0][2].startswith("write a haiku")


@pytest.mark.parametrize(("own", "others"), [([], [[1.0, 2.0]]), ([[1.0, 2.0]], [])])
def test_without_queries_on_both_sides_there_is_no_map(
    tmp_path: Path, own: list[object], others: list[object]
) -> None:
    assert topic_map(measured(_group_log(tmp_path, own, others), TextEmbedder())).own == []


def test_one_number_a_query_has_a_map_too(tmp_path: Path) -> None:
    log = _group_log(tmp_path, [[9.0]] * 3, [[float(at % 3)] for at in range(30)])
    found = topic_map(measured(log, TextEmbedder()))
    assert all(point[1] == 0 for point in found.own)
    assert found.own[0][0] != found.others[0][0]


def test_what_may_be_a_picture_is_one_between_black_and_white(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    samples = choose_samples(
        measured(
            _group_log(tmp_path, rng.normal(size=(3, 64)).tolist(), rng.normal(size=(9, 64)).tolist()),
            TextEmbedder(),
        ),
        3,
    )
    picture = samples.telling[0].picture
    assert picture is not None
    assert (len(picture), min(picture), max(picture)) == (64, 0, 1)
    table = choose_samples(measured(_group_log(tmp_path, [[1.0] * 16], [[2.0] * 16]), TextEmbedder()), 1)
    assert table.telling[0].picture is None
