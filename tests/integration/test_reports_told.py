"""Reports where people get them: the command, and the page, which shows them to who may see texts and lets nothing act."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import docx
import httpx
import pytest
from typer.testing import CliRunner

from config.errors import UserError
from config.settings import Settings, environment_of
from daemon.cli.main import app
from registry.reports.run.kept import Reports
from registry.store import Registry
from tests.support import looked_at
from tests.support.cycles import NAME
from tests.support.looked_at import RTL
from trainers.job import files


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """An installation in which the newest decided run has its report, and the one before has none any more."""
    made = looked_at.build(tmp_path_factory.mktemp("looked_at"))
    with Registry.open(made.registry_url) as registry:
        run = registry.runs.get(decided(registry))
        reports = Reports(made.reports_dir, made.runs_dir, watts_per_core=10.0)
        reports.write(registry, run)
        reports.remove(registry.versions.get(f"{NAME}/v1").run_id)
    return made


@pytest.fixture(scope="module")
def address(settings: Settings, keys: dict[str, str]) -> Iterator[str]:
    with looked_at.carried(settings) as (found, _service):
        yield found


@pytest.fixture(scope="module")
def keys(settings: Settings) -> dict[str, str]:
    with Registry.open(settings.registry_url) as registry:
        return {scope: registry.api_keys.create(f"r-{scope}", [scope])[1] for scope in ("predict", "correct")}


@pytest.fixture
def here(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in environment_of(settings).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def decided(registry: Registry) -> str:
    return next(run.run_id for run in registry.runs.list(NAME) if run.version == f"{NAME}/v2")


def run_id(settings: Settings) -> str:
    with Registry.open(settings.registry_url) as registry:
        return decided(registry)


def test_the_command_writes_the_report_of_a_version_or_a_run(here: Path, settings: Settings) -> None:
    done = CliRunner().invoke(app, ["report", f"{NAME}/v2"])
    assert done.exit_code == 0, done.output
    page = (here / f"{NAME}-v2-report.html").read_text()
    assert "<!doctype html>" in page
    assert RTL in page
    done = CliRunner().invoke(app, ["report", run_id(settings), "--format", "md", "--output", "-"])
    assert done.stdout.startswith(f"# {NAME}/v2\n")
    assert list(here.iterdir()) == [here / f"{NAME}-v2-report.html"], "standard output is no file"
    done = CliRunner().invoke(app, ["report", f"{NAME}/v1", "--format", "docx", "--output", str(here / "v1.docx")])
    assert done.exit_code == 0, done.output
    document = docx.Document(io.BytesIO((here / "v1.docx").read_bytes()))
    assert document.core_properties.title == f"{NAME}/v1"


@pytest.mark.parametrize("name", [f"{NAME}/v99", "nobody", "../../etc/passwd", f"../v{NAME}"])
def test_what_there_is_no_run_of_is_refused_by_name(here: Path, name: str) -> None:
    done = CliRunner().invoke(app, ["report", name])
    assert isinstance(done.exception, UserError)
    assert repr(name) in str(done.exception)
    assert not list(here.iterdir())


def test_a_folder_that_cannot_be_written_is_named(here: Path) -> None:
    (here / "a-file").touch()
    done = CliRunner().invoke(app, ["report", f"{NAME}/v2", "--output", str(here / "a-file" / "r.html")])
    assert isinstance(done.exception, UserError)
    assert "a-file" in str(done.exception)


def test_the_page_links_the_report_and_sends_it_inert(address: str, settings: Settings, keys: dict[str, str]) -> None:
    path = f"/ui/runs/{run_id(settings)}"
    with httpx.Client(base_url=address, timeout=60, headers={"Authorization": f"Bearer {keys['correct']}"}) as client:
        for page in (path, f"/ui/versions/{NAME}/2"):
            assert f'href="{path}/report.html"' in client.get(page).text
        sent = client.get(f"{path}/report.html")
        policy = sent.headers["content-security-policy"]
        assert policy.startswith("sandbox; default-src 'none'")
        assert "script" not in policy
        assert sent.headers["x-content-type-options"] == "nosniff"
        assert sent.text == (settings.reports_dir / run_id(settings) / "report.html").read_text()
        assert client.get(f"{path}/report.html?save").headers["content-disposition"].startswith("attachment; filename=")
        assert client.get(f"{path}/report.md").headers["content-disposition"].endswith('-report.md"')
        assert "report.html" not in client.get(f"/ui/versions/{NAME}/1").text, "none is kept of it"
        assert client.get("/ui/runs/nobody/report.html").status_code == 404
    with httpx.Client(base_url=address, timeout=60, headers={"Authorization": f"Bearer {keys['predict']}"}) as client:
        assert client.get(f"{path}/report.html").status_code == 403
        assert "report.html" not in client.get(path).text


def test_the_curve_of_a_run_grows_while_it_goes_on(address: str, settings: Settings, keys: dict[str, str]) -> None:
    with Registry.open(settings.registry_url) as registry:
        run = registry.runs.create(NAME, "request:live", "asked for", full=True)
        assert run is not None
        registry.runs.update(run.run_id, state="training")
    folder = settings.runs_dir / run.run_id
    folder.mkdir()
    with httpx.Client(base_url=address, timeout=60, headers={"Authorization": f"Bearer {keys['predict']}"}) as client:
        for step in (1, 2):
            line = {
                "run_id": run.run_id,
                "at": "2024-05-01T12:00:00Z",
                "phase": "training",
                "step": step,
                "steps": 9,
                "loss": 0.5,
            }
            with (folder / files.HISTORY_FILE).open("a") as history:
                history.write(f"{json.dumps(line)}\n")
            assert client.get(f"/ui/runs/{run.run_id}/curve.json").json()["x"] == list(range(1, step + 1))
    done = CliRunner().invoke(app, ["report", run.run_id, "--format", "md", "--output", "-"], env=environment_of(settings))
    assert "The run is not over (training)" in done.stdout
    assert "2 steps that were told of" in done.stdout
