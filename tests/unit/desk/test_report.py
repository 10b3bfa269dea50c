"""The report: what it is made of, and that nothing from a log becomes markup."""

import json
from collections.abc import Iterator
from pathlib import Path
from shutil import which
from typing import Any

import pytest
from tests.unit.cli.test_desk_commands import START_MS

from copycatch.__main__ import main
from copycatch.desk.page import render_page

HOSTILE = "</script><img src=x onerror=document.title='owned'>"
POLICY = """\
version: 1
rules: [{name: fast, when: {feature: queries_per_s, above: 0.05}, severity: high, action: block}]
"""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A report on one account that is too fast and one that is not."""
    records: list[dict[str, Any]] = [
        {
            "event_id": f"{account[:4]}{n}",
            "event_time": START_MS + n * gap_ms,
            "account_id": account,
            "model_id": "m",
            "input": f"{HOSTILE} {n}",
        }
        for account, gap_ms in ((HOSTILE, 1000), ("slow", 60_000))
        for n in range(60)
    ]
    records.sort(key=lambda record: record["event_time"])
    log, policy, out = tmp_path / "log.jsonl", tmp_path / "policy.yaml", tmp_path / "report.html"
    log.write_text("".join(json.dumps(record) + "\n" for record in records))
    policy.write_text(POLICY)
    assert main(["report", str(log), "--policy", str(policy), "-o", str(out), "--quiet"]) == 1, (
        "no score: not judged"
    )
    return out


def _data(page: Path) -> Any:
    text = page.read_text("utf-8")
    return json.loads(text.partition('id="data">')[2].partition("</script>")[0])


def test_a_case_has_its_reasons_and_its_queries_beside_usual_ones(page: Path) -> None:
    data = _data(page)
    assert [case["id"] for case in data["cases"]] == [HOSTILE]
    case = data["cases"][0]
    assert (case["worst"], case["action"]) == ("high", "block")
    assert case["reasons"][0]["feature"] == "queries_per_s"
    assert len(case["telling"]) == len(case["usual"]) == 5
    assert data["about"]["records"] == 120
    assert any("NOT JUDGED" in sentence for sentence in data["about"]["unjudged"])


def test_nothing_from_the_log_is_markup_and_nothing_is_loaded(page: Path) -> None:
    text = page.read_text("utf-8")
    assert HOSTILE not in text
    own = text.replace(text.partition("<script>")[2].partition("</script>")[0], "")
    assert "http://" not in own
    assert "https://" not in own


def test_an_existing_file_is_kept_and_standard_input_refused(page: Path, tmp_path: Path) -> None:
    before = page.read_bytes()
    log = str(tmp_path / "log.jsonl")
    assert main(["report", log, "-o", str(page), "--quiet"]) == 2
    assert page.read_bytes() == before
    assert main(["report", "-", "-o", str(tmp_path / "other.html")]) == 2
    assert main(["report", log, "-o", log]) == 2


@pytest.fixture
def browser() -> Iterator[Any]:
    """Headless Chromium; skipped by name where there is none."""
    chromium, driver = which("chromium") or which("google-chrome"), which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("needs Chromium and chromedriver (Debian: chromium, chromium-driver)")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1100,900"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield started
    started.quit()


def _scored_page(tmp_path: Path) -> Path:
    """A page with accounts that have scores, as `ReportBuilder` gives them."""
    account = {"id": HOSTILE, "model": "m", "queries": 90, "tail": 1e-6, "budget": 0.001}
    mild = {"id": "b", "model": "m", "queries": 50, "tail": 0.004, "budget": 4.0}
    sample: dict[str, Any] = {
        "event_id": "e1",
        "account_id": "a",
        "text": HOSTILE,
        "deviations": [],
        "label": None,
    }
    reason = {"feature": "flat_share", "value": "1", "usual": "0 to 0", "share": 0.5, "description": "d"}
    case = {
        "id": HOSTILE,
        "kind": "account",
        "model": "m",
        "worst": "critical",
        "is_open": True,
        "queries": 90,
        "first_ms": START_MS,
        "action": "block",
        "reason": HOSTILE,
        "description": HOSTILE,
        "members": [HOSTILE],
        "members_total": 1,
        "verdict": None,
        "points": [[START_MS, 12, 0.1], [START_MS + 60_000, 90, 1e-6]],
        "reasons": [reason],
        "telling": [{**sample, "distance": 1.0, "times": 3}],
        "usual": [],
    }
    about = {
        "made": "now",
        "files": ["log.jsonl"],
        "records": 140,
        "unjudged": [],
        "version": "0",
        "mode": "enforce",
        "policy_version": "p",
        "budget": 2.0,
        "threshold": 0.002,
        "account_days": 2,
        "curve": {"2": 1},
        "warm_up": "",
    }
    alerts = [{"ms": START_MS, "severity": "critical", "op": "open"}]
    out = tmp_path / "scored.html"
    data = {"about": about, "alerts": alerts, "accounts": [account, mild], "cases": [case]}
    out.write_text(render_page(data), "utf-8")
    return out


def test_slider_links_and_console_in_a_browser(tmp_path: Path, browser: Any) -> None:
    from selenium.webdriver.support.wait import WebDriverWait

    browser.get(_scored_page(tmp_path).as_uri())

    def text_of(name: str) -> str:
        return str(browser.find_element("id", name).text)

    assert text_of("budget-says") == "1 of 2 accounts shown would be alerted on"
    move = "const s = document.getElementById('budget'); s.value = {}; s.dispatchEvent(new Event('input'));"
    browser.execute_script(move.format(0.7))
    assert text_of("budget-says").startswith("2 of 2 accounts")
    browser.execute_script(move.format(-2))
    assert "calibration is measured from .5 to 5 only" in text_of("budget-says")
    browser.find_element("css selector", "#cases a").click()
    assert HOSTILE in text_of("case"), "shown as the text it is"
    assert "(asked 3 times)" in text_of("case")
    assert not browser.find_element("id", "overview").is_displayed()
    assert browser.find_elements("css selector", "#case-plot svg")
    browser.find_element("link text", "all cases").click()
    assert browser.find_element("id", "overview").is_displayed()
    browser.set_window_size(500, 800)
    fits = "return document.documentElement.scrollWidth <= window.innerWidth"
    WebDriverWait(browser, 20).until(
        lambda each: each.execute_script(fits), "plots follow the window's width"
    )
    assert browser.title == "copycatch report", "no script of the log has run"
    assert browser.get_log("browser") == []
