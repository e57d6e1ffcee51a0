"""A report opened from disk in a real browser: readable for everybody, no wider than the screen, and nothing in it acts."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from registry.reports.run.kept import Reports
from registry.store import Registry
from tests.browser.conftest import Carried
from tests.browser.test_pages import AXE
from tests.support.cycles import NAME


@pytest.fixture(scope="module")
def report(carried: Carried, tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings, path = carried.service.settings, tmp_path_factory.mktemp("report") / "report.html"
    with Registry.open(settings.registry_url) as registry:
        run = next(run for run in registry.runs.list(NAME) if run.state == "decided")
        path.write_bytes(Reports(settings.reports_dir, settings.runs_dir, watts_per_core=10.0).render(registry, run, "html"))
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_report_opens_from_disk_and_axe_finds_nothing_serious(browser: Browser, report: Path, scheme: str) -> None:
    # What its policy forbids the file, a test may do.
    context = browser.new_context(color_scheme=scheme, bypass_csp=True)
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
    page.goto(report.as_uri())
    assert asked == [report.as_uri()], "nothing else is loaded"
    for width in (400, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    page.add_script_tag(path=AXE)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    assert [(one["id"], one["nodes"][0]["html"][:200]) for one in found["violations"]] == []
    context.close()
