"""Pictures for README and docs, from a demo that is running: `make pictures`.

It starts `perennial demo` in a terminal that is recorded (demo.svg), follows its page in headless Chromium and takes each
picture at its moment. The variable CHROMIUM may name the browser.
With a folder and an address, such as `http://127.0.0.1:8310/ui`, it takes those of the page that is there, once a run is under
way, and records nothing.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Error, Page, ViewportSize, sync_playwright
from terminal_recording import Recorded

LIMIT_S = 1_800.0
SIZE: ViewportSize = {"width": 1280, "height": 860}


def main() -> int:
    """Take the pictures; return the demo's exit code."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images")
    folder.mkdir(parents=True, exist_ok=True)
    if len(sys.argv) > 2:  # noqa: PLR2004 - the second argument
        _take(folder, sys.argv[2], lambda: True)
        return 0
    demo = Recorded([str(Path(sys.executable).with_name("perennial")), "demo"])
    _take(folder, _address(demo), lambda: demo.process.poll() is None)
    code = demo.wait()
    print(demo.text())
    if code == 0:
        demo.draw(folder / "demo.svg")
    return code


def _address(demo: Recorded) -> str:
    """Return the address that the demo prints first."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and demo.process.poll() is None:
        if found := re.search(r"http://[^\s\x1b]+/ui", demo.text()):
            return found[0]
        time.sleep(0.5)
    message = "the demo did not begin with an address"
    raise SystemExit(message)


def _take(folder: Path, address: str, goes_on: Callable[[], bool]) -> None:
    """Take the pictures of the page at `address` while what it shows goes on."""
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"])
        page = browser.new_page(viewport=SIZE)
        _open(page, address)
        # A run under way while there is a champion: everything on the page has something to show.
        _wait(page, goes_on)
        page.screenshot(path=folder / "page-flow.png")
        page.goto(f"{address}/runs")
        page.locator("tr", has=page.locator(".badge.good")).first.locator("th a").click()
        page.locator(".chart canvas").wait_for()
        page.wait_for_timeout(500)
        page.screenshot(path=folder / "page-run.png")
        take_desk(page, f"{address}/desk", folder)
        browser.close()


def take_desk(page: Page, address: str, folder: Path) -> None:
    """Take the picture of the desk with its first text; where none waits, as in the demo, the picture that is there stays."""
    page.goto(f"{address}?task=news-topics&annotator=editor&lane=test")
    page.locator("#desk").wait_for()
    if page.locator("#text").count() == 0:
        print("page-desk.png was not taken: no text waits at the desk")
        return
    page.locator("#desk[data-ready]").wait_for()
    page.screenshot(path=folder / "page-desk.png")


def _open(page: Page, address: str) -> None:
    """Open the page once the demo answers."""
    deadline = time.monotonic() + LIMIT_S
    while True:
        try:
            page.goto(address)
        except Error:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)
        else:
            return


def _wait(page: Page, goes_on: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline and goes_on():
        if page.locator(".card .run progress").count() and page.locator(".card dd a[href*='/versions/']").count():
            return
        page.wait_for_timeout(250)
        if page.locator(".stage").count() == 0:
            page.reload()
    message = "the demo ended, or took too long, before there was a champion and a run"
    raise SystemExit(message)


if __name__ == "__main__":
    sys.exit(main())
