"""The report: what it is made of, and that nothing from a log becomes markup."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.browser import FITS, PHONE, chromium, printed, wait_until
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
    assert sum(n for _, n in case["activity"]["counts"][0]) == 60
    assert len(case["map"]["own"]) == 60
    assert len(case["telling"]) == len(case["usual"]) == 5
    assert data["about"]["records"] == 120
    assert any("NOT JUDGED" in sentence for sentence in data["about"]["unjudged"])


def test_nothing_from_the_log_is_markup_and_nothing_is_loaded(page: Path) -> None:
    text = page.read_text("utf-8")
    assert HOSTILE not in text
    plotly = text.partition("<script>")[2].partition("</script>")[0]
    assert len(plotly) > 1_000_000
    own = text.replace(plotly, "")
    assert "connect-src 'none'" in own
    assert "http://" not in own
    assert "https://" not in own


def test_an_existing_file_is_kept_and_standard_input_refused(page: Path, tmp_path: Path) -> None:
    before = page.read_bytes()
    log = str(tmp_path / "log.jsonl")
    assert main(["report", log, "-o", str(page), "--quiet"]) == 2
    assert page.read_bytes() == before
    assert main(["report", "-", "-o", str(tmp_path / "other.html")]) == 2
    assert main(["report", log, "-o", log]) == 2


def _reason(feature: str, value: float) -> dict[str, Any]:
    others = [at / 40 for at in range(41)]
    return {
        "feature": feature, "value": f"{value:g}", "usual": "0.05 to 0.95", "share": 0.5,
        "description": HOSTILE, "at": value, "others": others,
    }  # fmt: skip


def _case(name: str, **more: Any) -> dict[str, Any]:
    sample: dict[str, Any] = {
        "event_id": "e1", "account_id": "a", "text": HOSTILE, "deviations": [], "label": None,
        "picture": None,
    }  # fmt: skip
    picture = {**sample, "text": None, "deviations": [(3, 2.5)], "picture": [at / 63 for at in range(64)]}
    activity = {
        "step_ms": 3_600_000,
        "accounts": [name],
        "counts": [[(START_MS, 12), (START_MS + 7_200_000, 78)]],
    }
    return {
        "id": name, "kind": "account", "model": "m", "tenant": None, "worst": "critical", "is_open": True,
        "queries": 90, "first_ms": START_MS, "last_ms": START_MS + 60_000, "action": "block",
        "until": "2026-01-06T04:00:00Z", "is_shadow": False, "is_revoked": False,
        "reason": HOSTILE, "description": HOSTILE,
        "closing": None, "looks_like": [HOSTILE], "uids": ["u1"], "members": [name], "members_total": 1,
        "verdict": None, "points": [[START_MS, 12, 0.1], [START_MS + 60_000, 90, 1e-6]],
        "reasons": [_reason("flat_share", 7.0), _reason("near_share", 0.4)],
        "telling": [{**sample, "distance": 1.0, "times": 3}, {**picture, "distance": 2.0, "times": 1}],
        "usual": [{**sample, "distance": 0.1, "times": 1}],
        "map": {"own": [(1.0, 2.0, HOSTILE)], "others": [(0.0, 0.0, HOSTILE)] * 30, "shown": 0.4},
        "activity": activity, "links": None, **more,
    }  # fmt: skip


def _campaign() -> dict[str, Any]:
    members = [HOSTILE, *(f"member-{at}" for at in range(11))]
    ties = [
        {"kind": "network", "value": HOSTILE, "members": list(range(12)), "others": 0},
        {"kind": "opening of prompts", "value": "Explain", "members": [0, 1, 2], "others": 3},
    ]
    counts = [[(START_MS + at * 3_600_000, at + 1)] for at in range(12)]
    return _case(
        "c0ffee", kind="campaign", worst="high", members=members, members_total=12, points=[],
        is_revoked=True, until=None, reasons=[{**_reason("campaign_kit", 4.0), "at": None, "others": []}],
        activity={"step_ms": 3_600_000, "accounts": members, "counts": counts},
        links={"members": members, "ties": ties},
    )  # fmt: skip


def _scored_data() -> dict[str, Any]:
    """Data with accounts that have scores, as `ReportBuilder` gives them."""
    account = {
        "id": HOSTILE, "model": "m", "queries": 90, "tail": 1e-6, "budget": 0.001, "last_ms": START_MS,
        "mostly": HOSTILE,
    }  # fmt: skip
    mild = {**account, "id": "b", "queries": 50, "tail": 0.004, "budget": 4.0}
    about = {
        "made": "now", "files": ["log.jsonl"], "records": 140, "unjudged": [HOSTILE], "version": "0",
        "mode": "enforce", "policy_version": "p", "budget": 2.0, "threshold": 0.002,
        "curve": {"2": 1, "0.5": 0},
        "n_left_out": 0, "left_out": ["12 less grave cases are not shown."], "is_live": False,
    }  # fmt: skip
    chances = [1e-4, 1e-3, 1e-2, 1e-1, 1.0]
    shares = [0.0, 0.1, 0.1, 0.2, 1.0]
    seen = {"first_ms": START_MS, "first_scored_ms": START_MS}
    models: list[dict[str, Any]] = [
        {"id": HOSTILE, "accounts": 9, "evaluations": 40, "scored": 30, **seen},
        {"id": "new", "accounts": 1, "evaluations": 1, "scored": 0, **seen, "first_scored_ms": None},
    ]  # fmt: skip
    return {
        "about": about,
        "alerts": [{"ms": START_MS, "severity": "critical", "op": "open"}],
        "accounts": [account, mild],
        "models": models,
        "calibration": {
            "account_days": 2, "scored": 2, "chances": chances, "all": shares,
            "not_alerted": [0.0, *shares[:4]],
        },
        "cases": [_case(HOSTILE), _campaign()],
    }  # fmt: skip


@pytest.fixture
def scored_page(tmp_path: Path) -> str:
    out = tmp_path / "scored.html"
    out.write_text(render_page(_scored_data()), "utf-8")
    return out.as_uri()


def _text_of(browser: Any, name: str) -> str:
    return str(browser.find_element("id", name).text)


def _requests(browser: Any) -> set[str]:
    """Addresses that the page asked for."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return {
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    }


def test_slider_links_and_console_in_a_browser(scored_page: str) -> None:
    with chromium() as browser:
        browser.get(scored_page)
        assert _text_of(browser, "budget-says") == "1 of 2 accounts shown would be alerted on by their score"
        assert _text_of(browser, "cases").endswith("12 less grave cases are not shown.")
        slider = browser.find_element("id", "budget")
        shown_at = _text_of(browser, "budget-out")
        slider.send_keys("\ue014" * 20)  # the key to the right: as a person moves it
        assert _text_of(browser, "budget-out") != shown_at
        assert _text_of(browser, "budget-says").startswith("2 of 2 accounts")
        slider.send_keys("\ue011")  # Home: the least budget
        assert "calibration is measured from .5 to 5 only" in _text_of(browser, "budget-says")
        browser.find_element("css selector", "#cases a").click()
        wait_until(browser, lambda each: HOSTILE in _text_of(each, "case"), "shown as the text it is")
        assert "(asked 3 times)" in _text_of(browser, "case")
        assert not browser.find_element("id", "overview").is_displayed()
        for plot in ("timeline", "compare", "map"):
            assert browser.find_elements(
                "css selector", f"#{plot}-plot svg .point, #{plot}-plot svg .points path"
            ), plot
        assert browser.find_elements("css selector", "blockquote canvas")
        assert "block until 01-06 04:00Z" in _text_of(browser, "case")
        browser.find_element("partial link text", "campaign c0ffee").click()
        wait_until(
            browser, lambda each: "12 accounts that act as one" in _text_of(each, "case"), "the campaign"
        )
        assert "block, revoked" in _text_of(browser, "case"), "taken back: no end is shown"
        for plot in ("timeline", "members", "links"):
            assert browser.find_elements("css selector", f"#{plot}-plot svg.main-svg"), plot
        browser.find_element("css selector", "#case p a").click()
        wait_until(browser, lambda each: "A member of" in _text_of(each, "case"), "a member has a page")
        browser.back()
        wait_until(browser, lambda each: "act as one" in _text_of(each, "case"), "back goes back")
        browser.find_element("partial link text", "all cases").click()
        wait_until(browser, lambda each: each.find_element("id", "overview").is_displayed(), "the overview")
        assert browser.title == "copycatch report", "no script of the log has run"
        assert browser.get_log("browser") == []
        assert {
            url.partition("#")[0] for url in _requests(browser) if not url.startswith(("data:", "blob:"))
        } == {scored_page}


def test_it_fits_a_phone_and_the_dark(scored_page: str) -> None:
    with chromium(PHONE, is_dark=True) as browser:
        browser.get(scored_page)
        dark = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert dark == "rgb(21, 24, 27)"
        for link in ("", "#cases tr:nth-child(1) a", "#cases tr:nth-child(2) a"):
            if link:
                browser.get(scored_page)
                browser.refresh()
                browser.find_element("css selector", link).click()
            wait_until(
                browser, lambda each: each.execute_script(FITS), f"{link}: nothing is wider than a phone"
            )
        assert browser.get_log("browser") == []


def test_on_paper_it_is_dark_on_white_whatever_the_screen_is(scored_page: str, tmp_path: Path) -> None:
    with chromium(is_dark=True) as browser:
        browser.get(scored_page)
        browser.execute_script(
            "window.addEventListener('beforeprint', () => { window.inks = ["
            "getComputedStyle(document.documentElement).getPropertyValue('--paper').trim(),"
            "document.querySelector('#scores-plot .xtick text').style.fill] })"
        )
        assert printed(browser, tmp_path / "page.pdf").startswith(b"%PDF")
        assert browser.execute_script("return window.inks") == ["#fff", "rgb(26, 29, 33)"]
        after = "return getComputedStyle(document.documentElement).getPropertyValue('--paper').trim()"
        assert browser.execute_script(after) == "#15181b"
        assert browser.get_log("browser") == []
