"""Versions are published on a hub by its own client: once each, privately, all files or none, and errors say what to do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import constants
from typer.testing import CliRunner

from config.errors import RetryError, UserError
from config.settings import environment_of
from daemon.cli.main import app
from daemon.operations.handing.publishing import Published, publish
from registry.removal import erasure
from registry.reports.model_card import README_FILE
from tests.support.handed import Handing
from tests.support.hub import CUT, OWNER, TOKEN, Hub, Repository, hub_server
from tests.support.tiny_models import make_tiny_bert, toy_plan, toy_rows, toy_spec
from trainers.learners.catalog import learner_for

pytestmark = pytest.mark.slow

REPO = f"{OWNER}/topics"
NAME = "toy-topics"
LABELS = ("SPORT", "MARKETS", "WEATHER")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Handing]:
    """Two versions of a task."""
    folder = tmp_path_factory.mktemp("published")
    here = Handing.make(folder)
    spec = toy_spec(make_tiny_bert(folder / "bert"), training={"full_epochs": 1, "max_tokens": 32})
    for at in (1, 2):
        learner_for(spec).train(toy_plan(spec, toy_rows(LABELS, 6, seed=at), folder / f"work{at}", full=True), folder / f"m{at}")
        here.publish(spec, folder / f"m{at}")
    yield here
    here.registry.close()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    # The Hub's newest way of storing large files has servers of its own; those that speak its language take them by LFS.
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", "/nowhere/token")
    with hub_server() as found:
        yield found


@pytest.fixture
def here(made: Handing, hub: Hub) -> Handing:
    settings = made.settings.model_copy(update={"hub": made.settings.hub.model_validate({"endpoint": hub.url, "token": TOKEN})})
    return replace(made, settings=settings)


def sent(here: Handing, number: int = 1, repo: str = REPO, **options: object) -> Published:
    waits: list[float] = []
    return publish(here.settings, here.registry, f"{NAME}/v{number}", repo, sleep=waits.append, **options)  # type: ignore[arg-type]


def test_a_version_is_published_privately_under_its_tag(here: Handing, hub: Hub) -> None:
    found = sent(here)
    repository = hub.repositories[REPO]
    assert (found.private, repository.private) == (True, True)
    assert (found.revision, list(repository.tags)) == ("v1", ["v1"])
    files = repository.files("v1")
    assert files is not None
    assert {path: len(content) for path, content in files.items() if path != ".gitattributes"} == found.files
    assert files[README_FILE].decode() == found.card
    assert f'SentenceTransformer("{REPO}")' in found.card
    assert hub.uploaded, "weights went by LFS"
    assert here.registry.audit.newest(NAME, 1)[0].action == "publish"


def test_nothing_is_sent_twice(here: Handing, hub: Hub) -> None:
    sent(here)
    commits, uploaded = hub.commits(), list(hub.uploaded)
    assert sent(here).already
    assert (hub.commits(), hub.uploaded) == (commits, uploaded)


def test_each_version_has_a_tag_and_main_is_the_last(here: Handing, hub: Hub) -> None:
    sent(here, 1)
    sent(here, 2)
    sent(here, 2, revision="stable")
    repository = hub.repositories[REPO]
    assert sorted(repository.tags) == ["stable", "v1", "v2"]
    assert repository.files("v1") != repository.files("v2") == repository.files("main") == repository.files("stable")
    assert len(repository.commits) == 3, "one empty, and one for each content"
    with pytest.raises(UserError, match="--revision"):
        sent(here, 1, revision="v2")


def test_a_dry_run_asks_nobody(here: Handing, hub: Hub) -> None:
    found = sent(here, dry_run=True)
    assert not hub.asked
    assert found.dry_run
    assert found.files["head/model.safetensors"] > 0
    assert found.card.startswith("---\n")


def test_only_public_repositories_that_were_meant_are_written_to(here: Handing, hub: Hub) -> None:
    assert not sent(here, public=True).private
    assert not hub.repositories[REPO].private
    with pytest.raises(UserError, match="--public"):
        sent(here, 2)
    assert list(hub.repositories[REPO].tags) == ["v1"]


def test_no_token_and_a_wrong_one_are_said_and_never_shown(made: Handing, here: Handing, hub: Hub) -> None:
    without = replace(
        here, settings=here.settings.model_copy(update={"hub": made.settings.hub.model_copy(update={"endpoint": hub.url})})
    )
    with pytest.raises(UserError, match="HF_TOKEN"):
        sent(without)
    wrong = here.settings.hub.model_validate({"endpoint": hub.url, "token": "hf_wrongwrongwrong"})
    with pytest.raises(UserError, match="401") as refused:
        sent(replace(here, settings=here.settings.model_copy(update={"hub": wrong})))
    assert "wrongwrong" not in str(refused.value)
    assert not hub.repositories


def test_a_repository_of_somebody_else_is_refused(here: Handing, hub: Hub) -> None:
    with pytest.raises(UserError, match="403"):
        sent(here, repo="rival/topics")
    hub.repositories["rival/open"] = Repository(private=False, commits=[{}])
    with pytest.raises(UserError, match="403"):
        sent(here, repo="rival/open", public=True)


@pytest.mark.parametrize("at", ["/api/repos/create", "/commit/", "/tag/", "/refs"])
def test_a_server_in_trouble_is_asked_again(here: Handing, hub: Hub, at: str) -> None:
    failures = [500, 503]
    hub.faults = lambda _method, path: failures.pop() if failures and at in path else None
    if at == "/refs":
        hub.repositories[REPO] = Repository(private=True, commits=[{}])
    assert not sent(here).already
    assert not failures
    assert list(hub.repositories[REPO].tags) == ["v1"]


def test_a_hub_that_stays_away_leaves_nothing_half(here: Handing, hub: Hub) -> None:
    hub.faults = lambda _method, path: 500 if "/commit/" in path else None
    with pytest.raises(RetryError, match="again"):
        sent(here)
    assert hub.commits() == 1
    hub.faults = lambda _method, _path: None
    sent(here)
    assert len(hub.uploaded) == len(set(hub.uploaded)), "what arrived before is not sent again"


def test_an_upload_that_is_cut_goes_on(here: Handing, hub: Hub) -> None:
    cuts = [CUT]
    hub.faults = lambda _method, path: cuts.pop() if cuts and path.startswith("/lfs-objects/") else None
    sent(here)
    assert not cuts
    files = hub.repositories[REPO].files("v1")
    assert files is not None
    assert "model.safetensors" in files


def test_a_server_that_refuses_or_says_something_else(here: Handing, hub: Hub) -> None:
    hub.faults = lambda _method, path: 413 if "/commit/" in path else None
    with pytest.raises(UserError, match="413"):
        sent(here)


@pytest.mark.parametrize(
    ("repo", "options"),
    [("topics", {}), ("a/b/c", {}), ("newsroom/..", {}), (REPO, {"revision": "main"}), (REPO, {"revision": "a b"}),
     (REPO, {"as_format": "spacy"})],
)  # fmt: skip
def test_odd_names_are_refused_before_anything_is_sent(here: Handing, hub: Hub, repo: str, options: dict[str, str]) -> None:
    with pytest.raises(UserError):
        sent(here, repo=repo, **options)
    assert not hub.commits()


def test_a_version_that_learnt_erased_texts_is_not_published(here: Handing, hub: Hub, tmp_path: Path) -> None:
    own = Handing.make(tmp_path)
    try:
        spec = toy_spec("minilm")
        published = here.artifacts.folder(here.registry.versions.get(f"{NAME}/v1").artifact_id)
        shutil.copytree(published, tmp_path / "model", ignore=shutil.ignore_patterns("manifest.json"))
        version = own.publish(spec, tmp_path / "model")
        erasure.mark_versions(own.registry, [f"{spec.name}-1"])
        with pytest.raises(UserError, match="erased"):
            publish(here.settings, own.registry, version.name, REPO)
    finally:
        own.registry.close()
    assert not hub.asked


def test_the_command_tells_what_it_would_send_and_what_it_sent(here: Handing, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment_of(here.settings).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PERENNIAL_HUB__TOKEN", TOKEN)
    shown = CliRunner().invoke(app, ["publish", f"{NAME}/v1", REPO, "--dry-run"])
    assert shown.exit_code == 0, shown.output
    assert README_FILE in shown.output
    assert not hub.asked
    done = CliRunner().invoke(app, ["publish", f"{NAME}/v1", REPO, "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["url"] == f"{hub.url}/{REPO}/tree/v1"
    assert TOKEN not in done.output
