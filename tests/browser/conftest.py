"""One browser and one installation for the tests of a file.

What drives the browser keeps an event loop running in the thread of the tests while it is open, and other tests start their own.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from daemon.serving.service import Service
from tests.support import looked_at
from tests.support.missing import missing

TOKEN = "s3cret-token-of-the-page"
_NAMES = ("chromium", "chromium-browser", "google-chrome")


class Carried(NamedTuple):
    """The page of a live serving process."""

    address: str
    service: Service


def chromium() -> str:
    """Return the path of Chromium; without one the test skips, or fails in CI."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    return found or missing("Chromium is missing (Debian: chromium; or its path in CHROMIUM)")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = chromium()
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def carried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Carried]:
    """An installation that has an API key, so that a token is asked for."""
    settings = looked_at.build(tmp_path_factory.mktemp("looked_at"))
    with looked_at.carried(settings, token=TOKEN) as (address, service):
        yield Carried(address, service)


@pytest.fixture(scope="module")
def signed_in(browser: Browser, carried: Carried, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cookies of one who signed in with the token, as a file."""
    page = browser.new_page()
    page.goto(f"{carried.address}/ui")
    page.get_by_label("API key or token").fill(TOKEN)
    page.keyboard.press("Enter")
    page.wait_for_url("**/ui")
    path = tmp_path_factory.mktemp("session") / "cookies.json"
    page.context.storage_state(path=path)
    page.close()
    return path


@pytest.fixture
def page(browser: Browser, carried: Carried, signed_in: Path) -> Iterator[Page]:
    """A page of one who is signed in, that fails where a script does or where anything leaves the machine."""
    context = browser.new_context(base_url=carried.address, storage_state=signed_in, viewport={"width": 1280, "height": 900})
    opened = context.new_page()
    problems: list[str] = []
    opened.on("pageerror", lambda error: problems.append(f"script: {error}"))
    opened.on("console", lambda said: problems.append(f"console: {said.text}") if said.type == "error" else None)
    opened.on("request", lambda asked: None if asked.url.startswith(carried.address) else problems.append(f"left: {asked.url}"))
    yield opened
    context.close()
    assert problems == []
