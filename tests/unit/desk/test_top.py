"""The desk in a terminal: whole at any width, keys, real files, a real service, a real terminal."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console
from tests.support.evaluations import CATALOG, DAY_MS, MINUTE_MS, Seen, columns
from tests.support.service import PYTHONPATH
from tests.unit.desk.test_live import TOKEN

from copycatch.__main__ import main
from copycatch.adapters.clock import ManualClock
from copycatch.decisions.judge import judge
from copycatch.decisions.state import DecisionState
from copycatch.desk.board import Board
from copycatch.desk.live import LiveDesk
from copycatch.desk.top import View, draw, shown_cases
from copycatch.records.columns import Outcomes
from copycatch.records.policy import Policy
from copycatch.records.wire import ENCODER
from copycatch.service.health import Health

PATIENCE_S = 60.0
HOSTILE = "\x1b[2J[bold]acct\nwide日本語" + "x" * 40


def _outcomes(n: int = 30) -> Outcomes:
    """As many accounts that are alerted on, one worse than the other, and as many that are not."""
    state, found = DecisionState(), Outcomes()
    for at in range(n):
        for name, tail in ((f"acct-{at:05d}", 0.001 / (1 + at) ** 3), (f"quiet-{at:05d}", 0.01 + at / 1000)):
            seen = Seen(
                HOSTILE if name == "acct-00029" else name,
                DAY_MS + at * MINUTE_MS,
                tail,
                {"queries_per_s": 9.0},
                shares={"queries_per_s": 0.5},
            )
            evaluations, scores = columns([seen])
            verdicts = judge(evaluations, scores, Policy(), CATALOG, state)
            found.add(
                Outcomes(verdicts.alerts, verdicts.recommendations, evaluations=[(evaluations, scores)])
            )
    return found


def _data() -> dict[str, Any]:
    board = Board(Policy(), catalog=CATALOG)
    board.take(_outcomes())
    cases = board.cases()
    data = board.overview(cases)
    status = {**Health().status(), "lag_records": 1_234_567, "warming_up": {"m": "2026"}}
    data["about"] |= {"made": "2026-01-05T00:00:00Z", "records": 123_456_789, "status": status,
                      "unjudged": ["NOT JUDGED: 12 % of the records " + "\x1b[31m" * 3]}  # fmt: skip
    data["cases"] = [board.case(each, {}) for each in cases]
    return data


def _screen(data: dict[str, Any], view: View, columns: int, lines: int) -> list[str]:
    console = Console(width=columns, height=lines, force_terminal=False, color_system=None)
    with console.capture() as capture:
        console.print(draw(data, view, columns, lines))
    return capture.get().splitlines()


@pytest.mark.parametrize("width", [60, 80, 120, 200])
@pytest.mark.parametrize("lines", [12, 24, 50])
def test_it_is_whole_at_every_size(width: int, lines: int) -> None:
    data = _data()
    for view in (View(), View(at=20), View(is_detailed=True), View(is_open_only=True, is_paused=True)):
        shown = _screen(data, view, width, lines)
        assert len(shown) <= lines
        assert max(map(cell_len, shown)) <= width
        assert "q quit" in shown[-1]
        assert not any("\x1b" in line for line in shown), "what a log holds drives no terminal"
        assert any("NOT JUDGED" in line for line in shown)


def test_accounts_can_be_told_apart_at_sixty_columns() -> None:
    shown = "\n".join(_screen(_data(), View(), 60, 40))
    assert len(set(re.findall(r"acct-000\d\d", shown))) > 10
    assert re.search(r"CRIT .*block", shown)
    assert "quiet-00000" in shown, "and who comes close without an alert"
    assert "1 in 100" in shown


def test_keys_move_choose_and_end() -> None:
    data, view = _data(), View()
    n = len(shown_cases(data, view))
    assert view.press("up", n)
    assert view.at == 0
    for _ in range(n + 5):
        view.press("j", n)
    assert view.at == n - 1
    view.press("enter", n)
    details = "\n".join(_screen(data, view, 60, 24))
    assert data["cases"][n - 1]["id"] in details
    assert "queries_per_s" in details
    view.press("esc", n)
    assert not view.is_detailed
    view.press("p", n)
    assert view.is_paused
    view.press("o", 0)
    assert view.at == 0
    assert not view.press("q", 0)


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    outcomes = _outcomes(5)
    paths = tmp_path / "alerts.jsonl", tmp_path / "recommendations.jsonl"
    paths[0].write_bytes(b"".join(ENCODER.encode(each) + b"\n" for each in outcomes.alerts))
    paths[1].write_bytes(b"".join(ENCODER.encode(each) + b"\n" for each in outcomes.recommendations))
    return [str(path) for path in paths]


def test_files_are_shown_once_where_there_is_no_terminal(
    files: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["top", *files, "--once"]) == 0
    shown = capsys.readouterr().out
    assert "5 cases, 5 open" in shown
    assert "acct-00004" in shown
    assert re.search("[▄-█]", shown), "how the score went"
    assert max(map(cell_len, shown.splitlines())) <= 80


def test_a_running_service_is_shown_to_who_has_the_token(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COPYCATCH_DESK__TOKEN", raising=False)
    path = tmp_path / "token"
    path.write_bytes(TOKEN + b"\n")
    with LiveDesk("127.0.0.1", 0, TOKEN, ManualClock(), Policy, Health().status) as desk:
        desk.take(_outcomes(3))
        url = ["--url", f"http://127.0.0.1:{desk.port}"]
        assert main(["top", "--once", *url, "--token-file", str(path)]) == 0
        assert "3 cases, 3 open" in capsys.readouterr().out
        assert main(["top", "--once", *url]) == 2
        assert "COPYCATCH_DESK__TOKEN" in capsys.readouterr().err
        monkeypatch.setenv("COPYCATCH_DESK__TOKEN", "another")
        assert main(["top", "--once", *url]) == 3
        told = capsys.readouterr().err
        assert "the token is another one" in told
        assert "another\n" not in told.replace("another one", "")
    assert main(["top", "--once", *url]) == 3
    assert "does the service run, with desk.is_on?" in capsys.readouterr().err


@contextmanager
def _tmux(command: list[str], columns: int, lines: int) -> Iterator[Callable[..., str]]:
    """A command in a real terminal multiplexer; gives what runs tmux."""
    program = shutil.which("tmux")
    if program is None:
        pytest.skip("needs tmux (Debian: tmux)")
    name = f"copycatch-{uuid.uuid4().hex[:8]}"

    def tmux(*arguments: str) -> str:
        done = subprocess.run(
            [program, "-L", name, "-f", os.devnull, *arguments],
            capture_output=True, text=True, check=False, timeout=PATIENCE_S,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    environment = {
        "PYTHONPATH": PYTHONPATH,
        "TERM": "screen-256color",
        "LC_ALL": "C.UTF-8",
        "COLUMNS": "80",
        "LINES": "24",
    }  # what an outer shell exports is not this terminal's size
    subprocess.run(
        [program, "-u", "-L", name, "-f", os.devnull, "new-session", "-d", "-x", str(columns),
         "-y", str(lines), *command],
        env=os.environ | environment, check=True, timeout=PATIENCE_S,
    )  # fmt: skip
    try:
        yield tmux
    finally:
        tmux("kill-server")


def _until(tmux: Callable[..., str], what: Callable[[str], bool]) -> str:
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        screen = tmux("capture-pane", "-p")
        if what(screen):
            return screen
        time.sleep(0.1)
    pytest.fail(f"not seen; the screen is:\n{screen!r}")


def test_it_lives_in_tmux_at_sixty_columns(files: list[str]) -> None:
    # A shell says how it ended: tmux itself misses that now and then.
    command = (
        f"{shlex.join([sys.executable, '-m', 'copycatch', 'top', *files])}; echo ended with $?; sleep 60"
    )
    with _tmux(["sh", "-c", command], 60, 20) as tmux:
        screen = _until(tmux, lambda text: "acct-00000" in text)
        assert max(map(cell_len, screen.splitlines())) <= 60
        assert "q quit" in screen.rstrip().splitlines()[-1], "nothing has scrolled away"
        assert screen.startswith("copycatch")
        tmux("send-keys", "Down", "Enter")
        _until(tmux, lambda text: "on m" in text and "queries_per_s" in text)
        tmux("send-keys", "Escape")
        _until(tmux, lambda text: "quiet" in text or "acct-00000" in text)
        more = _outcomes(6).alerts[-1]
        with Path(files[0]).open("ab") as file:  # as `run` writes it
            file.write(ENCODER.encode(more) + b"\n")
        _until(tmux, lambda text: "6 cases" in text)
        tmux("resize-window", "-x", "120", "-y", "30")
        _until(tmux, lambda text: "trend" in text and "mostly" in text)
        tmux("send-keys", "p")
        _until(tmux, lambda text: "PAUSED" in text)
        tmux("send-keys", "q")
        _until(tmux, lambda text: "ended with 0" in text)


def test_a_file_that_is_gone_ends_it_before_it_draws(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["top", str(tmp_path / "none.jsonl"), "--once"]) == 3
    assert "none.jsonl" in capsys.readouterr().err
    assert main(["top", "-", "--once"]) == 2
    (tmp_path / "alerts.jsonl").write_text(json.dumps({"neither": 1}) + "\n")
    assert main(["top", str(tmp_path / "alerts.jsonl"), "--once"]) == 0
    assert "1 lines cannot be read" in capsys.readouterr().out
