"""A real browser without a window, for tests of pages."""

import base64
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from typing import Any

import pytest

PHONE = (390, 844)
FITS = "return document.documentElement.scrollWidth <= window.innerWidth"


@contextmanager
def chromium(size: tuple[int, int] = (1100, 900), *, is_dark: bool = False) -> Iterator[Any]:
    """Headless Chromium; where there is none the test is skipped by name.

    Parameters
    ----------
    size : (int, int)
        Of the window; one as narrow as a phone's is given a phone's viewport.
    """
    binary, driver = which("chromium") or which("google-chrome"), which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("needs Chromium and chromedriver (Debian: chromium, chromium-driver)")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = binary
    width, height = size
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        f"--window-size={width},{height}",
    ):
        options.add_argument(argument)
    if is_dark:
        options.add_argument("--blink-settings=preferredColorScheme=0")
    if size == PHONE:
        metrics = {"width": width, "height": height, "pixelRatio": 2}
        options.add_experimental_option("mobileEmulation", {"deviceMetrics": metrics})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    started = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield started
    finally:
        started.quit()


def wait_until(browser: Any, what: Callable[[Any], object], message: str, patience_s: float = 60) -> None:
    """Wait for a condition of the page."""
    from selenium.webdriver.support.wait import WebDriverWait

    WebDriverWait(browser, patience_s).until(what, message)


def printed(browser: Any, path: Path) -> bytes:
    """The page as a PDF, as it would be printed."""
    given = browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": False})
    path.write_bytes(base64.b64decode(given["data"]))
    return path.read_bytes()
