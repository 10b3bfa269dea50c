"""The enforcement point: what the table decides, and both front ends over real HTTP."""

import http.client
import json
import threading
from typing import Any

import pytest

from copycatch.enforcement.ext_authz import HEALTH_PATH
from copycatch.enforcement.table import SUPPORTED, DecisionTable, Subject
from copycatch.units import format_rfc3339
from tests.unit.enforcement.front_ends import HOUR_MS, NOW_MS, call, ext_authz, put, recommend, served


def ask(table: DecisionTable, account: str = "a1", now_ms: int = NOW_MS, **more: Any) -> Any:
    return table.verdict(Subject(account, **{"model_id": "m", **more}), now_ms)


# --- the table --------------------------------------------------------------------------------------------


def test_a_block_refuses_until_it_expires() -> None:
    table = DecisionTable()
    [ack] = put(table, recommend("block"))
    assert (ack.result, ack.revision, ack.decision_key) == ("applied", 1, "t|account|a1|m")
    assert ask(table).is_refused
    assert not ask(table, account="a2").is_refused
    assert not ask(table, model_id="other").is_refused
    assert ask(table, model_id=None).is_refused  # a request that names no model cannot disagree
    assert not ask(table, now_ms=NOW_MS + HOUR_MS).is_refused
    assert len(table) == 0


def test_revisions_revokes_and_tombstones() -> None:
    table = DecisionTable()
    put(table, recommend("block", revision=3))
    assert put(table, recommend("observe", revision=2)) == [None]
    assert table.counts.stale == 1
    assert ask(table).is_refused
    [ack] = put(table, recommend("block", revision=4, op="revoke"))
    assert (ack.result, ack.revision) == ("applied", 4)
    assert not ask(table).is_refused
    assert put(table, recommend("block", revision=4)) == [None]
    put(table, recommend("block", revision=5))
    assert table.apply("t|account|a1|m", None, NOW_MS) is None
    assert not ask(table).is_refused
    put(table, recommend("block", revision=1))  # after a tombstone the key begins anew
    assert ask(table).is_refused


def test_a_judge_that_lost_its_state_is_heard_at_once() -> None:
    table = DecisionTable()
    put(table, recommend("block", revision=3, epoch=NOW_MS))
    later_ms = NOW_MS + 5 * HOUR_MS
    assert not ask(table, now_ms=later_ms).is_refused  # it has expired
    ends = format_rfc3339(later_ms + HOUR_MS)
    [ack] = put(table, recommend("block", revision=1, epoch=later_ms, expires_at=ends), now_ms=later_ms)
    assert (ack.result, ack.revision, ack.epoch) == ("applied", 1, later_ms)
    assert ask(table, now_ms=later_ms).is_refused
    # What the earlier judge sent is old now, however high its revision; so is a repeat.
    assert put(
        table,
        recommend("block", revision=4, epoch=NOW_MS, op="revoke"),
        recommend("block", revision=1, epoch=later_ms, op="revoke"),
    ) == [None, None]
    assert table.counts.stale == 2
    assert ask(table, now_ms=later_ms).is_refused


def test_messages_of_a_version_without_epochs_go_by_revision() -> None:
    table = DecisionTable()
    put(table, recommend("block", revision=3))
    assert put(table, recommend("block", revision=3, op="revoke")) == [None]
    put(table, recommend("block", revision=1, epoch=NOW_MS, op="revoke"))  # after an upgrade
    assert not ask(table).is_refused
    put(table, recommend("block", revision=2))  # and after going back
    assert ask(table).is_refused


def test_what_is_not_to_be_enforced() -> None:
    table = DecisionTable()
    shadow, human, old = (
        recommend("block", "shadow", mode="shadow"),
        recommend("revoke_key", "human", requires_human=True),
        recommend("block", "old", expires_at=format_rfc3339(NOW_MS - 1)),
    )
    acks = put(table, shadow, human, old)
    assert [None if ack is None else ack.result for ack in acks] == ["applied", "rejected", None]
    assert "person" in acks[1].message
    assert not any(ask(table, account=account).is_refused for account in ("shadow", "human", "old"))
    assert table.counts.shadowed == 1
    approving = DecisionTable(is_approved=lambda _: True)
    put(approving, human)
    assert ask(approving, account="human").is_refused


def test_unsupported_actions_fall_back_and_say_so() -> None:
    table = DecisionTable()
    acks = put(
        table,
        recommend("challenge", "a1", fallback_action="throttle", action_params={"queries_per_minute": 5}),
        recommend("perturb", "a2", fallback_action=None),
    )
    assert [ack.result for ack in acks] == ["unsupported", "unsupported"]
    assert "throttle is done instead" in acks[0].message
    assert ask(table, "a1").action == "throttle"
    assert ask(table, "a2").action is None


def test_the_strongest_of_several_scopes_prevails() -> None:
    table = DecisionTable()
    put(
        table,
        recommend("reduce_output"),
        recommend("block", decision_key="t|ip|203.0.113.9|m", scope="ip", value="203.0.113.9"),
        recommend("throttle", decision_key="t|api_key|k|m", scope="api_key", value="k"),
    )
    assert ask(table).action == "reduce_output"
    assert ask(table, api_key_hash="k").action == "reduce_output"
    assert ask(table, client_ip="203.0.113.9").action == "block"
    assert ask(table, account="other", api_key_hash="k").action == "throttle"


def test_a_campaign_holds_for_each_of_its_accounts_and_for_who_joins() -> None:
    table = DecisionTable()
    campaign: dict[str, Any] = {
        "scope": "campaign",
        "value": "c",
        "decision_key": "|campaign|c|*",
        "model_id": "*",
    }
    put(table, recommend("block", accounts=["a1", "a2"], **campaign))
    assert [ask(table, name).is_refused for name in ("a1", "a2", "a3", "c")] == [True, True, False, False]
    put(table, recommend("block", revision=2, accounts=["a2", "a3"], **campaign))
    assert [ask(table, name).is_refused for name in ("a1", "a2", "a3")] == [False, True, True]
    put(table, recommend("block", revision=3, op="revoke", accounts=["a2", "a3"], **campaign))
    assert not ask(table, "a3").is_refused
    assert len(table) == 0


def test_tenants_are_kept_apart() -> None:
    table = DecisionTable()
    put(table, recommend("block", tenant_id="t1"))
    assert ask(table, tenant_id="t1").is_refused
    assert not ask(table, tenant_id="t2").is_refused


def test_throttle_allows_its_rate_and_a_renewal_is_no_new_allowance() -> None:
    table = DecisionTable()
    put(table, recommend("throttle"))
    assert [ask(table).is_refused for _ in range(3)] == [False, False, True]
    assert ask(table).retry_after_s == pytest.approx(30.0)
    put(table, recommend("throttle", revision=2))
    assert ask(table).is_refused
    assert not ask(table, now_ms=NOW_MS + 30_000).is_refused
    allowed = [not ask(table, now_ms=NOW_MS + 30_000 + 1000 * second).is_refused for second in range(600)]
    assert sum(allowed) == pytest.approx(2 * 10, abs=2)


@pytest.mark.parametrize("value", [b"", b"junk", b"{}", b"[" * 100_000, b'{"revision": "x"}'])
def test_messages_that_cannot_be_read_change_nothing(value: bytes) -> None:
    table = DecisionTable()
    put(table, recommend("block"))
    assert table.apply("t|account|a1|m", value, NOW_MS) is None
    assert table.counts.unreadable == 1
    assert ask(table).is_refused


def test_the_table_is_bounded() -> None:
    table = DecisionTable(entries_max=10)
    put(table, *(recommend("block", f"a{index}") for index in range(25)))
    assert len(table) == 10
    assert table.counts.dropped == 15
    assert ask(table, "a24").is_refused
    assert not ask(table, "a0").is_refused


# --- over HTTP --------------------------------------------------------------------------------------------


def test_ext_authz_answers_envoy() -> None:
    table = DecisionTable()
    put(table, recommend("block", "bad"), recommend("reduce_output", "odd"), recommend("throttle", "fast"))
    with ext_authz(table) as server:
        assert call(server.port, x_account_id="good")[0] == 200
        status, headers, body = call(server.port, x_account_id="bad", x_ai_eg_model="m")
        assert (status, headers["content-type"]) == (403, "application/json")
        assert b"may not use this model" in body
        status, headers, _ = call(server.port, "GET", x_account_id="odd", x_ai_eg_model="m")
        assert status == 200
        assert headers["x-copycatch-action"] == "reduce_output"
        assert headers["x-copycatch-max-top-logprobs"] == "0"
        assert [call(server.port, x_account_id="fast")[0] for _ in range(3)] == [200, 200, 429]
        assert call(server.port, x_account_id="fast")[1]["retry-after"] == "30"


def test_ext_authz_keeps_connections_and_passes_while_it_starts() -> None:
    ready = threading.Event()
    with ext_authz(DecisionTable(), is_ready=ready.is_set) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
        for path, expected in ((HEALTH_PATH, 503), ("/v1/x", 200), ("/v1/y", 200)):
            connection.request("POST", path, b"{}", {} if path == HEALTH_PATH else {"x-account-id": "a"})
            response = connection.getresponse()
            response.read()
            assert response.status == expected
        connection.close()
        ready.set()
        assert call(server.port, "GET", HEALTH_PATH)[0] == 200


def test_middleware_over_real_http() -> None:
    table = DecisionTable()
    put(table, recommend("block", "bad"), recommend("reduce_output", "odd"), recommend("throttle", "fast"))
    asked = {"logprobs": True, "top_logprobs": 5, "n": 4, "prompt": "hi"}
    with served(table) as port:
        status, _, body = call(port, body=asked, x_account_id="good")
        assert status == 200
        plain = json.loads(body)
        assert plain["asked"] == asked
        assert plain["probabilities"] == [0.0213, 0.9127, 0.066]
        assert plain["verdict"] is None
        assert call(port, body=asked, x_account_id="bad")[0] == 403
        status, headers, body = call(port, body=asked, x_account_id="odd")
        reduced = json.loads(body)
        assert reduced["asked"] == {"n": 1, "prompt": "hi"}
        assert reduced["probabilities"] == [0.0, 0.9, 0.0]
        assert reduced["label"] == 1
        assert int(headers["content-length"]) == len(body)
        assert [call(port, body=asked, x_account_id="fast")[0] for _ in range(3)] == [200, 200, 429]


def test_middleware_asks_for_what_it_can_reduce() -> None:
    table = DecisionTable()
    put(table, recommend("reduce_output", "odd"))
    with served(table) as port:
        status, _, body = call(port, path="/stream", body={"n": 1}, x_account_id="odd")
        assert status == 403
        assert b"data:" not in body
        assert table.counts.unreduced == 1
        status, _, body = call(port, body={"stream": True, "best_of": 9, "prompt": "hi"}, x_account_id="odd")
        assert json.loads(body)["asked"] == {"best_of": 1, "prompt": "hi"}
        status, _, body = call(port, body=b"not json", x_account_id="odd")
        assert json.loads(body)["asked"] == "not json"
        status, _, body = call(port, body=b"\xc3\xa9" * 10, x_account_id="odd", content_type="text/plain")
        assert json.loads(body)["asked"] == "é" * 10


def test_without_a_model_server_that_reduces_the_fallback_is_done_and_said() -> None:
    table = DecisionTable(SUPPORTED - {"reduce_output"})
    [ack] = put(table, recommend("reduce_output", "odd", fallback_action="throttle"))
    assert (ack.result, ack.message) == (
        "unsupported",
        "reduce_output is not supported here; throttle is done instead",
    )
    with ext_authz(table) as server:
        assert [call(server.port, x_account_id="odd")[0] for _ in range(2)] == [200, 429]
