"""Pictures of the page for the docs, from a demo that is running: `.venv/bin/python scripts/page_pictures.py docs/images`.

It starts `perennial demo`, follows its page in headless Chromium and takes each picture at its moment. The variable
CHROMIUM may name the browser.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from playwright.sync_api import Error, Page, sync_playwright

LIMIT_S = 1_800.0
SIZE = {"width": 1280, "height": 860}


def main() -> int:
    """Take the pictures; return the demo's exit code."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images")
    folder.mkdir(parents=True, exist_ok=True)
    demo = subprocess.Popen([sys.executable, "-P", "-m", "daemon", "demo"], stdout=subprocess.PIPE, text=True)
    assert demo.stdout is not None  # noqa: S101 - asked for above
    first = demo.stdout.readline()
    address = re.search(r"http://\S+/ui", first)
    if address is None:
        print(f"the demo did not begin with an address: {first!r}")
        return 1
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"])
        page = browser.new_page(viewport=SIZE, device_scale_factor=1)  # type: ignore[arg-type]
        _open(page, address[0])
        deadline = time.monotonic() + LIMIT_S
        # A run under way while another task has its champion: everything on the page has something to show.
        _wait(page, demo, deadline)
        page.screenshot(path=folder / "page-flow.png")
        for link, name in (("/ui/versions", "page-versions.png"), ("/ui/runs", "page-runs.png")):
            page.goto(address[0].removesuffix("/ui") + link)
            page.screenshot(path=folder / name)
        page.goto(address[0].removesuffix("/ui") + "/ui/runs")
        page.locator("tr", has=page.locator(".badge", has_text=re.compile("promoted"))).first.locator("th a").first.click()
        page.wait_for_timeout(1_500)
        page.screenshot(path=folder / "page-run.png")
        browser.close()
    print(demo.stdout.read())
    return demo.wait()


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


def _wait(page: Page, demo: subprocess.Popen[str], deadline: float) -> None:
    while time.monotonic() < deadline and demo.poll() is None:
        if page.locator(".card .run progress").count() and page.locator(".card dd a[href*='/versions/']").count():
            return
        page.wait_for_timeout(250)
        if page.locator(".stage").count() == 0:
            page.reload()
    message = "the demo ended, or took too long, before there was a champion and a run"
    raise SystemExit(message)


if __name__ == "__main__":
    sys.exit(main())
