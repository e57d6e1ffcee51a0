"""What the page loads: ours, or vendored under a licence and a hash; nothing inline, nothing of another host."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

from daemon.dashboard.assets import FOLDER, Assets
from daemon.dashboard.rendering import POLICY, TEMPLATES, Renderer

VENDORED = FOLDER / "vendored"
MANIFEST = json.loads((VENDORED / "manifest.json").read_text(encoding="utf-8"))
SOURCES = [*TEMPLATES.glob("*.html"), *FOLDER.glob("*.js"), *FOLDER.glob("*.css")]
FIRST_VIEW = ("page.css", "live.js", "icon.svg", "vendored/htmx-2.0.11.min.js", "vendored/htmx-ext-sse-2.2.4.min.js")


def test_every_vendored_file_is_the_one_that_the_manifest_names() -> None:
    named = {name: sha256 for one in MANIFEST for name, sha256 in {**one["files"], **one["license_file"]}.items()}
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in VENDORED.iterdir() if path.name != "manifest.json"
    }
    assert found == named


@pytest.mark.parametrize("one", MANIFEST, ids=lambda one: one["package"])
def test_every_vendored_package_names_its_version_licence_and_origin(one: dict[str, str]) -> None:
    assert one["version"] in one["from"]
    assert one["license"] in ("0BSD", "MIT")
    assert len(one["license_file"]) == 1
    assert all(one["version"] in name for name in one["files"])


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_nothing_is_inline_and_nothing_is_of_another_host(path: Path) -> None:
    text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://|//[a-z0-9.-]+\.[a-z]{2,}/", text)
    if path.suffix == ".html":
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:|\|\s*safe|autoescape false", text, flags=re.IGNORECASE)
        assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", text))


def test_the_policy_allows_nothing_inline() -> None:
    assert "unsafe" not in POLICY
    assert POLICY.startswith("default-src 'none'")


def test_an_asset_is_asked_for_under_the_hash_of_its_content() -> None:
    assets = Assets()
    url = assets.url("page.css")
    assert url == f"/ui/static/page.css?v={hashlib.sha256((FOLDER / 'page.css').read_bytes()).hexdigest()[:12]}"
    answer = assets.response("page.css")
    assert answer is not None
    assert "immutable" in answer.headers["cache-control"]
    assert assets.response("../rendering.py") is None
    assert assets.response("vendored/manifest.json") is None


def test_the_first_view_is_small() -> None:
    assert sum(len((FOLDER / name).read_bytes()) for name in FIRST_VIEW) < 120_000


def test_every_template_compiles() -> None:
    render = Renderer(read_only=False)
    for path in TEMPLATES.glob("*.html"):
        assert render._environment.get_template(path.name) is not None
