"""The page in a real browser: live, by keyboard, narrow and dark, with what strangers wrote, and through a lost connection."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from consumers.dead_letters.store import DeadLetters
from consumers.log.protocols import Position, RawEvent
from registry.store import Registry
from tests.browser.conftest import Carried
from tests.support.cycles import NAME
from tests.support.looked_at import MARKUP, RTL

AXE = Path(__file__).parent / "vendored" / "axe-4.14.1.min.js"
"""axe-core 4.14.1 from npm (MPL-2.0, its licence lies beside it), unchanged."""
AXE_SHA256 = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"
PATHS = [
    "/ui", f"/ui/tasks/{NAME}", f"/ui/tasks/{NAME}/labels", "/ui/runs", "/ui/versions", f"/ui/versions/{NAME}/2", "/ui/history",
    "/ui/ingest", "/ui/feedback", "/ui/dead-letters", "/ui/dead-letters/1", "/ui/system",
    "/ui/runbooks/PerennialNoLeader", "/ui/nothing",
]  # fmt: skip
WAIT_MS = 30_000


def run_path(carried: Carried) -> str:
    with Registry.open(carried.service.settings.registry_url) as registry:
        return next(f"/ui/runs/{run.run_id}" for run in registry.runs.list(NAME) if run.state == "decided")


def open_page(page: Page, path: str) -> None:
    """Open a page; one that the server refuses is told by the browser's console, which is no fault of the page."""
    page.goto(path)
    expect(page.locator("h1")).to_be_visible(timeout=WAIT_MS)


@pytest.fixture
def tolerant(browser: Browser, carried: Carried, signed_in: Path) -> Iterator[Page]:
    """A page of one who is signed in, whatever the console says."""
    context = browser.new_context(base_url=carried.address, storage_state=signed_in)
    yield context.new_page()
    context.close()


def test_flow_comes_alive_and_shows_each_task(page: Page) -> None:
    open_page(page, "/ui")
    expect(page.locator("#connection")).to_have_attribute("data-state", "live", timeout=WAIT_MS)
    expect(page.locator(".stage")).to_have_count(6)
    expect(page.get_by_role("heading", name=NAME)).to_be_visible()
    expect(page.locator(".due")).to_contain_text("Not due: 0 of 10 new examples; 10 more start a run")
    expect(page.get_by_role("link", name="What to do about PerennialNoLeader")).to_be_visible()


def test_what_changes_reaches_the_open_page_and_the_focus_stays(page: Page, carried: Carried) -> None:
    open_page(page, "/ui")
    expect(page.locator("#connection")).to_have_attribute("data-state", "live", timeout=WAIT_MS)
    link = page.locator("#to-task-1")
    link.focus()
    with Registry.open(carried.service.settings.registry_url) as registry:
        pinned = registry.versions.champion(NAME)
        assert pinned is not None
        from registry import promotion  # noqa: PLC0415 - this test alone changes the registry behind the page

        promotion.unpin(registry, NAME, actor="test", reason="to be seen")
        expect(page.locator(".card .badge", has_text="pinned")).to_have_count(0, timeout=WAIT_MS)
        expect(link).to_be_focused()
        promotion.pin(registry, NAME, actor="test", reason="as before")
    expect(page.locator(".card .badge", has_text="pinned")).to_have_count(1, timeout=WAIT_MS)


NOTE_SOURCES = """window.sources = []; const Real = EventSource; window.EventSource = class extends Real
    { constructor(...given) { super(...given); window.sources.push(this); } }"""


def test_a_connection_that_ends_by_intent_is_not_said_to_be_lost(tolerant: Page) -> None:
    tolerant.add_init_script(NOTE_SOURCES)
    open_page(tolerant, "/ui")
    expect(tolerant.locator("#connection")).to_have_attribute("data-state", "live", timeout=WAIT_MS)
    told = tolerant.evaluate("""() => {
        const one = window.sources.at(-1), said = () => document.getElementById("connection").dataset.state;
        one.dispatchEvent(new MessageEvent("bye"));
        return [0, 1].map(() => { one.onerror(new Event("error")); return said(); });
    }""")
    assert told == ["live", "lost"], "the second error is that it could not be made again"


def test_who_is_signed_out_is_led_to_where_one_signs_in(tolerant: Page) -> None:
    tolerant.add_init_script(NOTE_SOURCES)
    open_page(tolerant, "/ui")
    expect(tolerant.locator("#connection")).to_have_attribute("data-state", "live", timeout=WAIT_MS)
    tolerant.context.clear_cookies()
    tolerant.evaluate("window.sources.forEach((one) => { one.close(); one.onerror(new Event('error')); })")
    expect(tolerant.locator("#connection a")).to_have_attribute("href", "/ui/sign-in?next=%2Fui", timeout=WAIT_MS)


def test_hundreds_of_tasks_leave_room_for_the_content_on_a_narrow_screen(tolerant: Page) -> None:
    open_page(tolerant, "/ui")
    tolerant.set_viewport_size({"width": 360, "height": 800})
    top = tolerant.evaluate("""() => {
        const list = document.querySelector(".tasks-nav ul");
        for (let n = 0; n < 400; n += 1) list.append(list.firstElementChild.cloneNode(true));
        return document.getElementById("content").getBoundingClientRect().top;
    }""")
    assert top < 600


def test_a_lost_connection_is_said_and_made_again(tolerant: Page, carried: Carried) -> None:
    tolerant.add_init_script(NOTE_SOURCES)
    open_page(tolerant, "/ui")
    said = tolerant.locator("#connection")
    expect(said).to_have_attribute("data-state", "live", timeout=WAIT_MS)
    tolerant.context.set_offline(True)
    # Offline lets an open stream be; losing it does not.
    tolerant.evaluate("window.sources.forEach((one) => { one.close(); one.onerror(new Event('error')); })")
    expect(said).to_have_attribute("data-state", "lost", timeout=WAIT_MS)
    expect(said).to_contain_text("connection lost at")
    tolerant.context.set_offline(False)
    expect(said).to_have_attribute("data-state", "live", timeout=WAIT_MS)
    expect(said).to_have_text("live again")


def test_everything_is_reached_by_keyboard(page: Page) -> None:
    open_page(page, "/ui")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#content")).to_be_focused()
    page.locator("#to-task-1").focus()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(f"/ui/tasks/{NAME}$"))
    summary = page.locator("summary", has_text="Train now")
    summary.focus()
    page.keyboard.press("Enter")
    reason = page.locator("form[action$='/train'] input[name=reason]")
    reason.focus()
    page.keyboard.type("by keyboard alone")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("The run is asked for", timeout=WAIT_MS)


def act(page: Page, button: str, reason: str) -> None:
    """Open what hides the buttons, give a reason and press one."""
    form = page.locator("form", has=page.get_by_role("button", name=button, exact=True))
    if not form.is_visible():
        page.locator("summary", has_text="Train now").click()
    form.get_by_label("Reason").fill(reason)
    form.get_by_role("button", name=button, exact=True).click()


def test_a_task_is_paused_and_resumed_by_its_buttons(page: Page) -> None:
    open_page(page, f"/ui/tasks/{NAME}")
    act(page, "Pause", "elections")
    expect(page.locator("#paused")).to_contain_text("elections", timeout=WAIT_MS)
    expect(page.locator(".due")).to_contain_text("paused since")
    expect(page.get_by_role("button", name="Train now", exact=True)).to_have_count(0)
    open_page(page, "/ui")
    expect(page.locator(".card .badge", has_text="paused")).to_have_count(1, timeout=WAIT_MS)
    open_page(page, f"/ui/tasks/{NAME}")
    act(page, "Resume", "they are over")
    expect(page.locator("#paused")).to_have_count(0, timeout=WAIT_MS)
    open_page(page, "/ui/history")
    expect(page.locator("tbody tr").first).to_contain_text("they are over")


def test_a_dead_letter_is_mended_dropped_and_replayed_by_its_buttons(tolerant: Page, carried: Carried) -> None:
    with closing(DeadLetters(carried.service.settings.dead_letter_file)) as letters:
        position = Position("perennial.articles", 0, 80)
        letters.add(RawEvent(position, b'{"type": "article", "body": 7}', None, (), datetime.now(UTC)), "body is not a string")
        number = letters.list(limit=1)[0].id
    open_page(tolerant, f"/ui/dead-letters/{number}")
    text = tolerant.get_by_label("The event as it should have been, JSON")
    expect(text).to_have_value('{\n  "type": "article",\n  "body": 7\n}')
    act(tolerant, "Mend and replay", "the crawler wrote a number")
    expect(tolerant.get_by_role("alert")).to_contain_text("body is not a string", timeout=WAIT_MS)
    expect(tolerant.get_by_role("alert")).to_contain_text("article_id is missing")
    expect(text).to_have_attribute("aria-invalid", "true")
    event = {"type": "article", "event_id": "a-80", "article_id": "a", "occurred_at": "2024-05-01T12:00:00Z", "body": "seven"}
    text.fill(json.dumps(event))
    act(tolerant, "Mend and replay", "the crawler wrote a number")
    expect(tolerant.get_by_role("status")).to_contain_text("published in the place", timeout=WAIT_MS)
    act(tolerant, "Drop", "it is done with")
    expect(tolerant.locator(".title .badge")).to_have_text("dropped", timeout=WAIT_MS)
    act(tolerant, "Replay as it is", "after all")
    expect(tolerant.locator(".title .badge")).to_have_text("mended", timeout=WAIT_MS)


def test_what_strangers_wrote_is_shown_and_does_nothing(page: Page, carried: Carried) -> None:
    page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
    open_page(page, run_path(carried))
    expect(page.locator(".answer", has_text=MARKUP).first).to_be_visible(timeout=WAIT_MS)
    expect(page.get_by_text(RTL).first).to_have_css("direction", "rtl")
    expect(page.locator("img[src=x]")).to_have_count(0)
    open_page(page, "/ui/dead-letters/1")
    assert not set(page.content()) & set("\x1b\x9b\u202e")


def test_curves_are_drawn(page: Page, carried: Carried) -> None:
    open_page(page, run_path(carried))
    expect(page.locator(".chart canvas")).to_be_visible(timeout=WAIT_MS)
    open_page(page, f"/ui/tasks/{NAME}")
    expect(page.locator(".chart canvas")).to_be_visible(timeout=WAIT_MS)
    page.emulate_media(color_scheme="dark")
    expect(page.locator(".chart canvas")).to_be_visible(timeout=WAIT_MS)
    # A part of its own, which the page does not wait for.
    expect(page.get_by_role("heading", name="Labels and corrections that came")).to_be_visible(timeout=WAIT_MS)


def test_no_page_is_wider_than_its_screen(tolerant: Page, carried: Carried) -> None:
    for path in (*PATHS, run_path(carried)):
        open_page(tolerant, path)
        for width in (400, 1280, 3840):
            tolerant.set_viewport_size({"width": width, "height": 900})
            assert tolerant.evaluate("document.documentElement.scrollWidth") <= width, (path, width)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser: Browser, carried: Carried, signed_in: Path, scheme: str) -> None:
    # What the policy forbids the page, a test may do.
    context = browser.new_context(base_url=carried.address, storage_state=signed_in, color_scheme=scheme, bypass_csp=True)
    page = context.new_page()
    found = {}
    assert hashlib.sha256(AXE.read_bytes()).hexdigest() == AXE_SHA256
    # In the dark only colours differ, and these pages have them all.
    dark = ("/ui", f"/ui/tasks/{NAME}", "/ui/feedback")
    rules = {"resultTypes": ["violations"]} | ({"runOnly": ["color-contrast"]} if scheme == "dark" else {})
    for path in (*(dark if scheme == "dark" else PATHS), run_path(carried)):
        open_page(page, path)
        page.add_script_tag(path=AXE)
        broken = page.evaluate(f"axe.run(document, {json.dumps(rules)}).then((told) => told.violations)")
        serious = [
            (one["id"], [node["target"] for node in one["nodes"]][:3])
            for one in broken
            if one["impact"] in ("serious", "critical")
        ]
        found[path] = serious
    context.close()
    assert {path: serious for path, serious in found.items() if serious} == {}, json.dumps(found)
