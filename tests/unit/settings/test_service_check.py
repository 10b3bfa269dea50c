"""`copycatch check settings.yaml`: every fault at once, with line and remedy; and the table of settings."""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from copycatch.cli import check
from copycatch.contracts.settings_table import rows
from copycatch.settings.service import SECRET_KEYS, Service, load_service

ROOT = Path(__file__).parents[3]
FAULTY = """\
version: 1
kafka:
  bootstrap_server: [a:1]
  security: {protocol: SASL_SSL, mechanism: PLAIN, username: u, password: hunter2}
inputs:
  - {topic: logs, format: kserv}
  - {topic: others, format: openai, options: {account_heders: [x-user]}}
poll_timeout: 3
policy: nowhere.yaml
"""


def _run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    check.add_parser(parser.add_subparsers(required=True))
    args = parser.parse_args(["check", *words])
    code = args.run(args)
    assert isinstance(code, int)
    return code


def test_every_fault_of_settings_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(FAULTY)
    assert _run(str(path)) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [int(line.removeprefix(f"{path}:").split(":")[0]) for line in lines] == [3, 4, 4, 6, 7, 8]
    for line, words in zip(
        lines,
        (
            "did you mean bootstrap_servers?",
            "PLAIN needs username and password_file",
            "use password_file or COPYCATCH_KAFKA__SECURITY__PASSWORD",
            "did you mean kserve?",
            "did you mean account_headers?",
            "has no unit",
        ),
        strict=True,
    ):
        assert words in line
    assert "hunter2" not in "".join(lines)


def test_the_policy_that_settings_name_is_checked_along(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy, settings = tmp_path / "policy.yaml", tmp_path / "settings.yaml"
    policy.write_text("version: 1\nbudgte: {}\n")
    settings.write_text(f"kafka: {{instance_id: a}}\npolicy: {policy}\n")
    assert _run(str(settings)) == 1
    assert "did you mean budget?" in capsys.readouterr().out
    settings.write_text(f"kafka: {{instance_id: a}}\npolicy: {tmp_path / 'nowhere.yaml'}\n")
    assert _run(str(settings)) == 1
    assert f"{settings}:2:" in capsys.readouterr().out


def test_notes_count_where_one_is_strict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = tmp_path / "settings.yaml"
    settings.write_text("kafka: {instance_id: a}\nhmac_key_file: /nowhere/key\n")
    assert _run(str(settings)) == 0
    assert "hmac_key_file: there is no file /nowhere/key" in capsys.readouterr().out
    assert _run("--strict", "--quiet", str(settings)) == 1
    assert "note: hmac_key_file" in capsys.readouterr().out
    assert _run("--strict", "--json", str(settings)) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["kind"] == "settings"
    assert not answer["is_good"]


def test_the_environment_counts_as_it_does_for_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COPYCATCH_KAFKA__GRUOP_ID", "x")
    settings = tmp_path / "settings.yaml"
    settings.write_text("kafka: {}\n")
    assert _run(str(settings)) == 1
    assert "did you mean group_id?" in capsys.readouterr().out


def test_which_of_the_two_a_file_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("version: 1\n")
    assert _run(str(path)) == 0
    assert "good, version" in capsys.readouterr().out, "a policy, where it cannot be told"
    assert _run("--kind", "settings", str(path)) == 0
    assert "good settings" in capsys.readouterr().out
    assert _run(str(ROOT / "deploy" / "settings.example.yaml")) == 0


def _keys(tree: object, prefix: str = "") -> set[str]:
    if isinstance(tree, dict):
        return {key for name, each in tree.items() for key in _keys(each, f"{prefix}.{name}".lstrip("."))}
    if isinstance(tree, list) and tree and isinstance(tree[0], dict):
        return _keys(tree[0], f"{prefix}[]")
    return {prefix}


def test_the_table_has_every_setting_with_words_and_a_variable_that_works() -> None:
    table = {row.key: row for row in rows()}
    of_model = _keys(Service().model_dump()) - {"sinks"}
    assert of_model <= {*table, "inputs[].options"}, of_model - set(table)
    example = _keys(yaml.safe_load((ROOT / "deploy" / "settings.example.yaml").read_text()))
    assert example <= set(table)
    for row in table.values():
        assert row.words or row.key.startswith("sinks[]."), row.key
        if row.variable and row.key not in ("inputs", "sinks"):
            assert row.variable == "COPYCATCH_" + row.key.replace(".", "__").upper()


def test_defaults_in_the_table_are_what_the_service_takes() -> None:
    """Each default, given by its variable, gives the settings that nothing gives."""
    for row in rows():
        if (
            row.variable
            and row.default.startswith("`")
            and row.key != "version"
            and row.key.split(".")[-1] not in SECRET_KEYS
        ):
            text = row.default.strip("`")
            assert load_service(None, {row.variable: text}) == Service(), row


def test_the_log_level_changes_while_it_runs(tmp_path: Path) -> None:
    script = (
        "import os, signal, structlog\n"
        "from copycatch.service.logs import set_up_logging, watch_level\n"
        "set_up_logging('info'); watch_level('info')\n"
        "log = structlog.get_logger('x')\n"
        "for number in (signal.SIGUSR1, signal.SIGUSR2):\n"
        "    log.debug('before'); os.kill(os.getpid(), number); log.debug('after')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )  # fmt: skip
    events = [(each["event"], each.get("level")) for each in map(json.loads, done.stderr.splitlines())]
    assert [event for event, _ in events] == [
        "log level is switched", "after", "before", "log level is switched",
    ]  # fmt: skip
