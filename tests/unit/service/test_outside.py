"""Settings, logs, health: what an operator sees."""

import io
import json
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import structlog

from copycatch.adapters.clock import ManualClock
from copycatch.adapters.memory import MemoryMetrics
from copycatch.adapters.prometheus import PrometheusMetrics
from copycatch.errors import ConfigError
from copycatch.service.failpoints import hook_of, no_hook
from copycatch.service.health import Health
from copycatch.service.http import HttpPort
from copycatch.service.logs import set_up_logging
from copycatch.service.policy_watch import PolicyWatch
from copycatch.settings.service import Service, load_service


def settings_file(folder: Path, text: str) -> Path:
    path = folder / "settings.yaml"
    path.write_text(text)
    return path


def test_every_fault_is_named_with_its_place_and_remedy(tmp_path: Path) -> None:
    path = settings_file(
        tmp_path,
        "version: 1\nkafka:\n  bootstrap_server: [a:1]\npoll_timeout: 3\nhttp: {prt: 5}\n"
        "inputs: [{topic: 'no spaces'}]\n",
    )
    with pytest.raises(ConfigError) as caught:
        load_service(path, {})
    faults = str(caught.value).splitlines()
    assert len(faults) == 4
    assert f"{path}:3:3: kafka.bootstrap_server" in faults[0]
    assert "did you mean bootstrap_servers?" in faults[0]
    assert "poll_timeout: 3 has no unit" in faults[1]
    assert "did you mean port?" in faults[2]


def test_a_secret_in_the_file_is_refused_and_not_repeated(tmp_path: Path) -> None:
    path = settings_file(
        tmp_path, "kafka: {security: {protocol: SASL_SSL, mechanism: PLAIN, username: u, password: hunter2}}"
    )
    with pytest.raises(ConfigError) as caught:
        load_service(path, {})
    assert "COPYCATCH_KAFKA__SECURITY__PASSWORD" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_the_environment_wins_and_secrets_print_as_stars(tmp_path: Path) -> None:
    path = settings_file(tmp_path, "kafka: {group_id: from-file}")
    settings = load_service(
        path,
        {
            "COPYCATCH_KAFKA__GROUP_ID": "from-environment",
            "COPYCATCH_KAFKA__BOOTSTRAP_SERVERS": "a:1, b:2",
            "COPYCATCH_HTTP__PORT": "0",
            "COPYCATCH_HMAC_KEY": "hunter2",
            "COPYCATCH_TEST_KAFKA": "not ours",
        },
    )
    assert settings.kafka.group_id == "from-environment"
    assert settings.kafka.bootstrap_servers == ["a:1", "b:2"]
    assert settings.http.port == 0
    assert "hunter2" not in repr(settings)


def test_an_unknown_variable_is_a_fault() -> None:
    with pytest.raises(ConfigError, match="did you mean group_id"):
        load_service(None, {"COPYCATCH_KAFKA__GRUOP_ID": "x"})


def test_logs_are_lines_of_json_whatever_an_id_holds() -> None:
    stream = io.StringIO()
    set_up_logging(stream=stream)
    structlog.get_logger("x").warning(
        "rejected", account='a\n{"event": "forged"}\x1b[2J', codes=["\x1b]0;x\x07"]
    )
    (line,) = stream.getvalue().splitlines()
    assert json.loads(line)["event"] == "rejected"
    assert "\x1b" not in line
    structlog.reset_defaults()


def test_a_traceback_keeps_its_lines_and_quotes_nothing_that_drives_a_terminal() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    set_up_logging(stream=stream)
    try:
        msg = "account \x1b]0;owned\x07\u202e"
        raise ValueError(msg)  # noqa: TRY301
    except ValueError:
        structlog.get_logger("x").exception("judging failed")
    structlog.reset_defaults()
    shown = stream.getvalue()
    assert "\n" in shown
    assert "\\x1b]0;owned\\x07\\u202e" in shown
    assert not set(shown) & set("\x07\u202e")


def test_the_http_port_is_nobody_elses_unless_told_so() -> None:
    assert Service().http.bind == "127.0.0.1"


def test_the_http_port_tells_live_ready_and_metrics() -> None:
    clock, health, metrics = ManualClock(), Health(), PrometheusMetrics()
    metrics.count("copycatch_records_total", 3, outcome="accepted")
    port = HttpPort("127.0.0.1", 0, health, clock, metrics.text)

    def get(path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port.port}{path}", timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    try:
        assert get("/live")[0] == 200
        assert get("/ready")[0] == 503
        health.is_ready = True
        assert get("/ready")[0] == 200
        clock.sleep(1000)
        assert get("/live")[0] == 503, "a loop that hangs is told"
        health.lags, health.policy_fault = {"logs:0": 7, "logs:1": 5}, "policy.yaml:3:1: unknown key"
        code, text = get("/status")
        status = json.loads(text)
        assert code == 200
        assert status["lag_records"] == 12
        assert status["policy"]["fault"] == "policy.yaml:3:1: unknown key"
        assert status["policy_is_valid"] is False
        assert get("/ready")[0] == 200, "the policy before is in force: judging goes on"
        assert 'copycatch_records_total{outcome="accepted"} 3.0' in get("/metrics")[1]
        assert get("/etc/passwd")[0] == 404
    finally:
        port.close()


def test_a_policy_is_taken_or_refused_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("version: 1\n")
    clock, metrics, health = ManualClock(), MemoryMetrics(), Health()
    watch = PolicyWatch(path, clock, metrics, interval_s=1.0, health=health)
    first = watch.policy.content_version
    path.write_text("version: 1\nmode: shadow\nbudgte: {}\n")
    assert watch.next_policy() is None, "not yet time"
    clock.sleep(2)
    assert watch.next_policy() is None
    assert watch.policy.content_version == first
    assert metrics.get("copycatch_policy_reloads_total", result="refused") == 1
    assert "budgte" in health.policy_fault
    assert health.policy_version == first
    path.write_text("version: 1\nmode: shadow\n")
    watch.look_now()
    taken = watch.next_policy()
    assert taken is not None
    assert not health.policy_fault
    assert health.policy_version == taken.content_version
    assert taken.mode == "shadow"
    path.unlink()
    clock.sleep(2)
    assert watch.next_policy() is None, "a file that is gone changes nothing"


def test_no_stray_variable_stops_a_service() -> None:
    assert hook_of({"COPYCATCH_FAIL_AT": "after deliver"}) is no_hook
    assert hook_of({"COPYCATCH_FAIL_AT": "after deliver", "COPYCATCH_TEST_HOOKS": "1"}) is not no_hook
