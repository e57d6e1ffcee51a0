"""The desk in a real browser: by keyboard, by mouse, narrow, by axe's rules, by two people, and without scripts."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow.compute as pc
import pytest
from playwright.sync_api import Browser, Page, expect

from config.tasks import TaskSpec
from consumers.training_set.snapshot import load_training_set
from daemon.serving.service import Service
from tests.browser.test_pages import AXE, WAIT_MS
from tests.support.cycles import better, task
from tests.support.desks import HELD_OUT, NAME, Newsroom
from tests.support.looked_at import LONG, MARKUP, RTL, Echo
from tests.support.served import as_opened, listening
from trainers.job.spec import JobResult, JobSpec

NEEDED = 40
PROMOTION = {"metric": "macro_f1", "min_test_examples": NEEDED, "max_latency_ratio": 1000.0}
OF_SPANS = task(
    kind="ner", backend="spacy", base_model="blank:en", labels="closed", label_names=["PERSON", "ORG"],
    promotion={"metric": "entity_f1"}, trigger={},
)  # fmt: skip
OF_MANY = task(
    kind="multilabel", labels="closed", label_names=[f"label {n}" for n in range(200)], promotion={"metric": "macro_f1"}
)
OF_NUMBERS = task(
    kind="regression", labels="open", promotion={"metric": "mae"}, dimensions=[{"name": "quality", "low": 0, "high": 10}]
)


def measured(spec: JobSpec) -> JobResult:
    """A model that is better on as many test rows as the run has."""
    result, rows = better(spec), load_training_set(spec.training_set).rows("test").num_rows
    assert result.comparison is not None
    seen = result.comparison.model_copy(update={"rows": rows, "stories": rows, "required_rows": NEEDED})
    return result.model_copy(update={"comparison": seen})


@contextmanager
def newsroom(folder: Path, spec: TaskSpec, texts: Sequence[str]) -> Iterator[tuple[Newsroom, str]]:
    """A newsroom, and the address of its desk."""
    with Newsroom(folder, spec, train=measured) as room:
        room.articles(texts)
        serving = room.settings.serving.model_copy(update={"port": 0, "refresh_interval_s": 0.05})
        settings = room.settings.model_copy(update={"serving": serving})
        with Service.open(settings, load=lambda _folder, _before: as_opened(Echo())) as service, listening(service) as address:
            yield room, f"{address}/ui/desk?task={NAME}"


@contextmanager
def opened(browser: Browser, url: str, **more: object) -> Iterator[Page]:
    """A page of one person that fails where a script does."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, **more)  # type: ignore[arg-type]  # any option
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(url)
    expect(page.locator("h1")).to_be_visible(timeout=WAIT_MS)
    yield page
    context.close()
    assert problems == []


def press(page: Page, key: str) -> None:
    """Press a key once the page's script listens."""
    page.locator("#desk[data-ready]").wait_for(timeout=WAIT_MS)
    page.keyboard.press(key)


@contextmanager
def at_desk(
    browser: Browser, folder: Path, spec: TaskSpec, texts: Sequence[str] = (f"{HELD_OUT} one",), **more: object
) -> Iterator[Page]:
    """The page of anna at the test rows of a task."""
    with (
        newsroom(folder, spec, texts) as (_room, address),
        opened(browser, f"{address}&annotator=anna&lane=test", **more) as page,
    ):
        yield page


def test_forty_labels_by_keyboard_alone_let_a_waiting_first_model_be_promoted(browser: Browser, tmp_path: Path) -> None:
    texts = [f"{HELD_OUT} story {number} of {'sport' if number % 2 else 'politics'}" for number in range(NEEDED)]
    with newsroom(tmp_path, task(promotion=PROMOTION), texts) as (room, address):
        room.learn((f"train-{number}", f"text {number}", ["politics", "sport"][number % 2]) for number in range(12))
        room.cycle.step()
        assert room.champion() is None
        assert room.only_run().verdict == "insufficient_evidence"
        with opened(browser, f"{address}&lane=test") as page:
            page.get_by_label("Your name").focus()
            page.keyboard.type("anna")
            page.keyboard.press("Enter")
            for left in range(NEEDED, 0, -1):
                expect(page.locator(".lanes [aria-current] .badge")).to_have_text(str(left), timeout=WAIT_MS)
                press(page, "2" if "sport" in page.locator("#text").inner_text() else "1")
            expect(page.locator(".empty-lane")).to_be_visible(timeout=WAIT_MS)
            expect(page.locator(".desk-progress p")).to_have_text(re.compile(rf"\d of {NEEDED} test rows, {NEEDED} on their way"))
        room.take_in()
        room.cycle.step()
        assert room.champion() == f"{NAME}/v2"
        run = room.registry.runs.list(NAME)[0]
        rows = load_training_set(room.run_folder(run) / "training_set").rows("test")
        # Beside them one of each label that the run held out of what it had.
        rows = rows.filter(pc.equal(rows["selected_by"], "held_out"))
        said = dict(zip(rows["text"].to_pylist(), map(json.loads, rows["target"].to_pylist()), strict=True))
        assert said == {text: {"label": text.rpartition(" ")[2]} for text in texts}


def test_skip_undo_and_note_by_keys(browser: Browser, tmp_path: Path) -> None:
    with newsroom(tmp_path, task(label_names=["politics", "sport"]), [f"{HELD_OUT} {n}" for n in range(3)]) as (room, address):
        with opened(browser, f"{address}&annotator=anna&lane=test") as page:
            press(page, "s")
            expect(page.get_by_role("status")).to_contain_text("Skipped", timeout=WAIT_MS)
            press(page, "n")
            page.keyboard.type("s is 1 of the notes")
            press(page, "Escape")
            press(page, "1")
            expect(page.get_by_role("status")).to_contain_text("politics", timeout=WAIT_MS)
            press(page, "u")
            expect(page.locator(".alert", has_text="You said")).to_contain_text("politics", timeout=WAIT_MS)
            expect(page.locator("#text")).to_have_text(f"{HELD_OUT} 1")
            press(page, "2")
            expect(page.get_by_role("status")).to_contain_text("sport", timeout=WAIT_MS)
        room.take_in()
        assert [(one.did, one.said) for one in room.registry.desk.of(NAME)] == [
            ("skip", None), ("label", {"label": "politics"}), ("label", {"label": "sport"}),
        ]  # fmt: skip
        (said,) = {one.target["label"] for one in room.buffer.asked_of_people(room.task, audit_per_week=0)[0].said[-1:]}
        assert said == "sport"
        assert room.buffer.asked_of_people(room.task, audit_per_week=0)[0].said[0].note == "s is 1 of the notes"


def test_entities_are_marked_by_keys_and_by_mouse(browser: Browser, tmp_path: Path) -> None:
    text = f"{HELD_OUT} 😀 Angela Merkel met ECB"
    with at_desk(browser, tmp_path, OF_SPANS, [text]) as page:
        for key in ("End", "2", "ArrowLeft", "ArrowLeft", "Shift+ArrowLeft", "1"):
            press(page, key)
        marks = page.locator("#text mark")
        expect(marks).to_have_text(["Angela Merkel", "ECB"])
        press(page, "Backspace")
        expect(marks).to_have_text(["ECB"])
        page.locator("#text").evaluate("""(text) => {
            const range = document.createRange();
            const at = text.firstChild.data.indexOf("Merkel");
            range.setStart(text.firstChild, at); range.setEnd(text.firstChild, at + 7);
            getSelection().removeAllRanges(); getSelection().addRange(range);
        }""")
        page.get_by_role("button", name="PERSON").click()
        expect(marks).to_have_text(["Merkel", "ECB"])
        page.locator("#text").focus()
        press(page, "Enter")
        expect(page.get_by_role("status")).to_contain_text("PERSON: Merkel, ORG: ECB", timeout=WAIT_MS)


def test_two_hundred_labels_are_found_by_name_and_ticked_by_key(browser: Browser, tmp_path: Path) -> None:
    with at_desk(browser, tmp_path, OF_MANY) as page:
        press(page, "3")
        press(page, "/")
        page.keyboard.type("LABEL 177")
        press(page, "Enter")
        expect(page.locator("input:checked")).to_have_count(2)
        press(page, "Enter")
        expect(page.get_by_role("status")).to_contain_text("label 177, label 2", timeout=WAIT_MS)


def test_two_people_at_one_conflict_the_second_is_told_who_decided_what(browser: Browser, tmp_path: Path) -> None:
    with newsroom(tmp_path, task(), []) as (room, address):
        ids = room.disagreement("politics", "sport")
        url = f"{address}&lane=conflicts&annotator="
        with opened(browser, f"{url}anna") as anna, opened(browser, f"{url}bob") as bob:
            expect(bob.get_by_role("button", name="sport")).to_be_visible(timeout=WAIT_MS)
            press(anna, "2")
            expect(anna.get_by_role("status")).to_contain_text(f"Accepted {ids[1]}", timeout=WAIT_MS)
            press(bob, "0")
            expect(bob.get_by_role("status")).to_contain_text(f"anna accepted {ids[1]}", timeout=WAIT_MS)
            expect(bob.get_by_role("status")).to_contain_text("nothing was changed")
        assert len([one for one in room.registry.desk.of(NAME) if one.did == "decide"]) == 1


def test_what_does_not_fit_is_told_and_what_was_filled_in_stays(browser: Browser, tmp_path: Path) -> None:
    with at_desk(browser, tmp_path, OF_SPANS) as page:
        page.locator("#spans").fill("ORG: nowhere")
        page.get_by_role("button", name="Send", exact=False).last.click()
        expect(page.get_by_role("status")).to_contain_text("does not stand in the text", timeout=WAIT_MS)
        expect(page.locator("#spans")).to_have_value("ORG: nowhere")
        expect(page.locator("#text")).to_have_text(f"{HELD_OUT} one")


def test_forms_work_without_scripts(browser: Browser, tmp_path: Path) -> None:
    with at_desk(browser, tmp_path, OF_NUMBERS, java_script_enabled=False) as page:
        page.get_by_label("quality").fill("7.5")
        page.get_by_role("button", name="Send Enter").click()
        expect(page.get_by_role("status")).to_contain_text("7.5", timeout=WAIT_MS)


@pytest.mark.parametrize(
    "spec", [task(label_names=["politics", "sport"]), OF_SPANS, OF_MANY, OF_NUMBERS], ids=lambda spec: spec.kind
)
def test_strange_texts_do_nothing_fit_narrow_screens_and_axe_finds_nothing_serious(
    browser: Browser, tmp_path: Path, spec: TaskSpec
) -> None:
    # Ingest reads articles as HTML: tags that stand encoded beside tags are text, and must be text on the page too.
    texts = [f"{HELD_OUT} <b>so</b> {html.escape(MARKUP)} \x1b[2J a\u202eb", f"{HELD_OUT} {LONG}", f"{HELD_OUT} {RTL}"]
    with at_desk(browser, tmp_path, spec, texts, bypass_csp=True) as page:
        page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
        expect(page.locator("#text")).to_contain_text(MARKUP)
        assert not set(page.content()) & set("\x1b\u202e")
        page.add_script_tag(path=AXE)
        broken = page.evaluate("axe.run(document, {resultTypes: ['violations']}).then((told) => told.violations)")
        serious = [
            (one["id"], [node["target"] for node in one["nodes"]][:3])
            for one in broken
            if one["impact"] in ("serious", "critical")
        ]
        assert serious == []
        for _text in texts:
            for width in (400, 1280):
                page.set_viewport_size({"width": width, "height": 900})
                assert page.evaluate("document.documentElement.scrollWidth") <= width
            page.locator("#skip").click()
            page.wait_for_load_state()
