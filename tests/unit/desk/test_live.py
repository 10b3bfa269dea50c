"""The live pages: only for who has the token, only for reading, and never in the way of judging."""

import hmac
import http.client
import json
import os
import re
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from tests.support.browser import chromium, wait_until
from tests.support.evaluations import CATALOG, Seen, columns
from tests.support.service import PYTHONPATH
from tests.unit.cli.test_desk_commands import START_MS
from tests.unit.desk.test_report import HOSTILE, POLICY

from copycatch.__main__ import main
from copycatch.adapters.clock import ManualClock
from copycatch.adapters.memory import MemoryMetrics
from copycatch.decisions.judge import judge
from copycatch.decisions.state import DecisionState
from copycatch.desk import live as live_module
from copycatch.desk.board import Board
from copycatch.desk.live import LiveDesk
from copycatch.desk.overview import Case
from copycatch.errors import ConfigError
from copycatch.records.columns import Outcomes, RawBatch
from copycatch.records.policy import Policy
from copycatch.records.wire import Entity
from copycatch.service.bootstrap import decoder_maker, make_judge
from copycatch.service.health import Health
from copycatch.service.replay import FILES
from copycatch.units import UnixMs

PATIENCE_S = 120.0
TOKEN = b"a token of the desk, 0123456789"


@contextmanager
def _desk(clock: ManualClock | None = None) -> Iterator[LiveDesk]:
    with LiveDesk("127.0.0.1", 0, TOKEN, clock or ManualClock(), Policy, Health().status) as desk:
        yield desk


def _ask(
    desk: LiveDesk, path: str, token: str | None = None, method: str = "GET"
) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", desk.port, timeout=30)
    headers = {} if token is None else {"Authorization": token}
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    answer.content = answer.read()  # type: ignore[attr-defined]
    connection.close()
    return answer


def test_data_are_given_for_the_token_alone_and_nothing_can_be_changed() -> None:
    good = f"Bearer {TOKEN.decode()}"
    with _desk() as desk:
        for wrong in (
            None,
            "",
            "Bearer",
            "Bearer ",
            good[:-1],
            good + "x",
            TOKEN.decode(),
            f"Basic {TOKEN.decode()}",
            "Bearer \xff",
        ):
            answer = _ask(desk, "/desk.json", wrong)
            assert answer.status == 401, wrong
            assert answer.content == b"the token is missing or wrong\n"  # type: ignore[attr-defined]
        for address in (
            "/desk.json?token=" + TOKEN.decode().replace(" ", "+"),
            "/../desk.json",
        ):
            assert _ask(desk, address, good).status == 404, "the token belongs into no address"
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"):
            assert _ask(desk, "/desk.json", good, method).status == 501
        answer = _ask(desk, "/desk.json", good)
        assert answer.status == 200
        assert json.loads(answer.content)["cases"] == []  # type: ignore[attr-defined]
        page = _ask(desk, "/")
        assert page.status == 200
        for each in (answer, page):
            assert each.headers["Cache-Control"] == "no-store"
            assert each.headers["X-Frame-Options"] == "DENY"
            assert each.headers["Access-Control-Allow-Origin"] is None


def test_the_token_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(given: bytes, known: bytes) -> bool:
        compared.append((given, known))
        return given == known

    monkeypatch.setattr(hmac, "compare_digest", compare)
    with _desk() as desk:
        assert not desk.is_token("Bearer nothing like it")
        assert desk.is_token(f"Bearer {TOKEN.decode()}")
        assert not desk.is_token(TOKEN.decode())
    assert compared == [(b"nothing like it", TOKEN), (TOKEN, TOKEN), (TOKEN, TOKEN)]


def test_however_many_ask_data_are_made_once_every_few_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    overview = Board.overview

    def counted(board: Board, cases: list[Case]) -> dict[str, Any]:
        made.append(1)
        return overview(board, cases)

    monkeypatch.setattr(Board, "overview", counted)
    clock = ManualClock()
    with _desk(clock) as desk:
        threads = [threading.Thread(target=desk.data) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(made) == 1
        clock.sleep(live_module.EVERY_S)
        desk.data()
        desk.data()
    assert len(made) == 2


def test_alerts_and_explain_read_a_running_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(live_module, "ALERTS_KEPT", 3)
    state = DecisionState()
    with _desk() as desk:
        for number in range(5):
            given = judge(*columns([Seen(f"a{number}", 86_400_000, 1e-6)]), Policy(), CATALOG, state)
            desk.take(Outcomes(alerts=given.alerts, recommendations=given.recommendations))
        url, token = f"http://127.0.0.1:{desk.port}", tmp_path / "desk.token"
        token.write_bytes(TOKEN)
        there = ["--token-file", str(token)]
        assert main(["alerts", "--url", url, *there, "--at", "1970-01-02T01:00:00Z"]) == 0
        shown = capsys.readouterr()
        assert [line.split()[2] for line in shown.out.splitlines()] == ["who", "a2", "a3", "a4"]
        assert "block until 1970-01-02T04:00Z" in shown.out
        assert "2 older alert records are not held by the service any more" in shown.err
        assert main(["explain", url, *there, "--account", "a4"]) == 0
        assert "CRITICAL account a4" in capsys.readouterr().out
        assert main(["decisions", "list", url, *there, "--at", "1970-01-02T01:00:00Z"]) == 0
        assert capsys.readouterr().out.count("block") == 3
        assert main(["alerts", url]) == 2
        assert "the token of the live pages is missing" in capsys.readouterr().err
        token.write_bytes(b"another token, 0123456789")
        assert main(["alerts", url, *there]) == 3
        assert "answered 401; the token is another one" in capsys.readouterr().err
    assert main(["alerts", url, *there]) == 3
    assert "no answer; does the service run, with desk.is_on?" in capsys.readouterr().err
    assert main(["alerts"]) == 2


def test_pages_have_a_map_and_links_of_what_the_state_holds() -> None:
    """Eight accounts from one network among twenty-four others, by the real engine."""
    judge_ = make_judge(Policy(), 1_000, b"a key of the test", {"*": decoder_maker(FILES)}, MemoryMetrics())
    ring = [f"ring-{n}" for n in range(8)]
    lines = []
    for at in range(20):
        for n, name in enumerate([*ring, *(f"other-{n}" for n in range(24))]):
            given = {"event_id": f"{name}-{at}", "event_time": START_MS + at * 60_000, "account_id": name,
                     "model_id": "m", "client_ip": "203.0.113.9" if name in ring else f"198.51.{n}.7",
                     "input": f"what is {name} to number {at * n}?"}  # fmt: skip
            lines.append(json.dumps(given).encode())
    raw = RawBatch(topic="files", partition=0, positions=list(range(len(lines))), values=lines)
    judge_.step(raw, UnixMs(START_MS + 86_400_000))
    (alert,) = judge(*columns([Seen("ring-0", START_MS, 1e-6)]), Policy(), CATALOG, DecisionState()).alerts
    entity = Entity(kind="campaign", id="c0ffee", accounts=ring, accounts_total=8)
    campaign = structs.replace(alert, entity=entity, uid="u1")
    gone = Entity(kind="account", id="gone", accounts=["gone"], accounts_total=1)
    unknown = structs.replace(alert, entity=gone, uid="u2")
    policy, status = Policy, Health().status
    with LiveDesk("127.0.0.1", 0, TOKEN, ManualClock(), policy, status, judge_.shown) as desk:
        desk.take(Outcomes(alerts=[campaign, unknown]))
        cases = {case["id"]: case for case in json.loads(desk.data())["cases"]}
    drawn = cases["c0ffee"]
    assert {name for _, _, name in drawn["map"]["own"]} == set(ring)
    assert {name for _, _, name in drawn["map"]["others"]} <= {f"other-{n}" for n in range(24)}
    assert len(drawn["map"]["others"]) >= 24
    (tie,) = [each for each in drawn["links"]["ties"] if each["kind"] == "network"]
    assert re.fullmatch(r"#[0-9a-f]{8}", tie["value"]), "the address stands nowhere in the state"
    assert (len(tie["members"]), tie["others"]) == (8, 0)
    assert drawn["links"]["members"] == ring
    assert cases["gone"]["map"]["own"] == [], "the state knows it no more"


def test_judging_goes_on_while_a_page_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    is_making, may_end = threading.Event(), threading.Event()

    def overview(_board: Board, _cases: object) -> dict[str, Any]:
        is_making.set()
        assert may_end.wait(60)
        return {"about": {}}

    monkeypatch.setattr(Board, "overview", overview)
    with _desk() as desk:
        page = threading.Thread(target=desk.data)
        page.start()
        assert is_making.wait(60)
        done = threading.Event()

        def take() -> None:
            desk.take(Outcomes())
            done.set()

        loop = threading.Thread(target=take)
        loop.start()
        assert done.wait(60), "the loop does not wait for a page"
        may_end.set()
        page.join()
        loop.join()


def test_connections_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "CONNECTIONS_MAX", 2)
    with _desk() as desk:
        idle = [http.client.HTTPConnection("127.0.0.1", desk.port, timeout=30) for _ in range(2)]
        for each in idle:
            each.connect()
        wait = time.monotonic() + 60
        while desk.connections < 2 and time.monotonic() < wait:
            time.sleep(0.01)
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
            _ask(desk, "/")
        for each in idle:
            each.close()
        while desk.connections and time.monotonic() < wait:
            time.sleep(0.01)
        assert _ask(desk, "/").status == 200


def test_a_port_that_is_taken_is_named() -> None:
    with _desk() as desk, pytest.raises(ConfigError, match=r"choose another desk\.port"):
        LiveDesk("127.0.0.1", desk.port, TOKEN, ManualClock(), Policy, Health().status)


@contextmanager
def _service(folder: Path, **environment: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """The real service on a pipe, with its log as it comes."""
    (folder / "policy.yaml").write_text(POLICY)
    command = [sys.executable, "-m", "copycatch", "run", "--source", "-", "--sink", str(folder / "out.jsonl"),
               "--policy", str(folder / "policy.yaml")]  # fmt: skip
    given = {"PYTHONPATH": PYTHONPATH, "COPYCATCH_SNAPSHOTS__DIRECTORY": str(folder / "state"),
             "COPYCATCH_DESK__PORT": "0", **environment}  # fmt: skip
    process = subprocess.Popen(
        command, env=os.environ | given, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    lines: list[str] = []
    assert process.stderr is not None
    reader = threading.Thread(target=lambda: lines.extend(process.stderr or ()))
    reader.start()
    try:
        yield process, lines
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(PATIENCE_S) in (0, 1)
        reader.join()
        if process.stderr is not None:
            process.stderr.close()


def _port(lines: list[str]) -> int:
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        for line in lines:
            if "desk is up" in line and (found := re.search(r'port["=: ]+(\d+)', line)):
                return int(found[1])
        time.sleep(0.05)
    pytest.fail(f"the desk did not come up: {lines}")


def _send(process: "subprocess.Popen[str]", account: str, n: int) -> None:
    assert process.stdin is not None
    for at in range(n):
        record = {"event_id": f"{account[:4]}{at}", "event_time": START_MS + at * 1000, "account_id": account,
                  "model_id": "m", "input": f"question {at}"}  # fmt: skip
        process.stdin.write(json.dumps(record) + "\n")
    process.stdin.flush()


def test_a_real_service_shows_its_cases_in_a_real_browser_as_they_come(tmp_path: Path) -> None:
    with (
        chromium() as browser,
        _service(tmp_path, COPYCATCH_DESK__IS_ON="true") as (process, lines),
    ):
        address = f"http://127.0.0.1:{_port(lines)}/"
        path = tmp_path / "state" / "desk.token"
        token = path.read_text()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert re.fullmatch(r"[A-Za-z0-9_-]{43}", token)
        _send(process, "calm", 8)  # too few to be judged; its queries stand for others'
        _send(process, HOSTILE, 60)
        browser.get(address)
        field = browser.find_element("id", "token")
        field.send_keys("wrong\n")
        wait_until(
            browser, lambda each: "not the desk's" in each.find_element("id", "login-says").text, "refused"
        )
        assert not browser.find_element("id", "overview").is_displayed()
        field.send_keys(token + "\n")
        wait_until(
            browser, lambda each: HOSTILE in each.find_element("id", "cases").text, "the case", PATIENCE_S
        )
        _send(process, "number-two", 60)
        wait_until(
            browser,
            lambda each: "number-two" in each.find_element("id", "cases").text,
            "the next",
            PATIENCE_S,
        )
        browser.find_element("link text", "number-two").click()
        wait_until(
            browser,
            lambda each: "account number-two on m" in each.find_element("id", "case").text,
            "its page",
        )
        assert "Its queries among everyone's" in browser.find_element("id", "case").text
        assert browser.find_elements("css selector", "#map-plot svg .points path")
        assert "The service keeps no query as it was asked" in browser.find_element("id", "case").text
        assert token not in browser.current_url
        stored = browser.execute_script(
            "return JSON.stringify([localStorage, sessionStorage, document.cookie])"
        )
        assert token not in stored
        messages = [entry["message"] for entry in browser.get_log("browser")]
        assert [each for each in messages if "401" not in each] == [], "but for the token that was refused"
        asked = {
            json.loads(each["message"])["message"]["params"].get("request", {}).get("url", "")
            for each in browser.get_log("performance")
        }
        assert {url for url in asked if url.startswith("http")} == {address, address + "desk.json"}
        process.send_signal(signal.SIGTERM)
        wait_until(
            browser, lambda each: "cannot be reached" in each.find_element("id", "about").text, "says so"
        )
    assert not any(token in line for line in lines), "the log does not hold the token"


def test_it_is_off_unless_somebody_turns_it_on(tmp_path: Path) -> None:
    with _service(tmp_path) as (process, lines):
        _send(process, "a", 60)
        until = time.monotonic() + PATIENCE_S
        while not any("starting" in line for line in lines) and time.monotonic() < until:
            time.sleep(0.05)
    assert any("starting" in line for line in lines)
    assert not any("desk" in line for line in lines)
    assert not (tmp_path / "state" / "desk.token").exists()


def test_a_token_that_is_too_short_stops_the_start(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "copycatch", "run", "--source", "-"]
    given = {"PYTHONPATH": PYTHONPATH, "COPYCATCH_SNAPSHOTS__DIRECTORY": str(tmp_path),
             "COPYCATCH_DESK__IS_ON": "true", "COPYCATCH_DESK__TOKEN": "short"}  # fmt: skip
    done = subprocess.run(
        command,
        env=os.environ | given,
        input="",
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 2
    assert "desk.token: 5 bytes are too short" in done.stderr
