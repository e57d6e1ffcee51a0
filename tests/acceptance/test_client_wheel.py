"""The client as an app gets it: a wheel in a fresh environment, with its light dependencies and nothing of the daemon's."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from email import message_from_string
from pathlib import Path

import httpx
import pytest

from tests.support.missing import missing
from tests.support.served import TASK, TEXT, ServedData, eventually
from tests.support.serving_process import serving

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "client"
HEAVY = ("kafka", "lancedb", "apscheduler", "torch", "spacy", "transformers", "numpy", "pydantic")
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")
OURS = ("config", "consumers", "trainers", "registry", "daemon")

IMPORTS = """
import importlib, json, pkgutil, sys
import perennial_artifact, perennial_client
for package in (perennial_artifact, perennial_client):
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        if module.name != "perennial_client.kafka":  # needs its extra
            importlib.import_module(module.name)
print(json.dumps([sorted({name.partition(".")[0] for name in sys.modules}), perennial_client.__file__]))
"""
EXTRAS = """
import sys
from perennial_client import Client, MissingExtraError, Model
try:
    import perennial_client.kafka
except MissingExtraError as error:
    print(error)
try:
    with Client(sys.argv[1]) as client:
        Model.follow(sys.argv[2], client=client, cache_dir=sys.argv[3], wait_s=60)
except MissingExtraError as error:
    print(error)
"""


def run(*command: object) -> str:
    # With the repository on its path pip would find there what it is to install.
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, cwd="/", env=clean)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The wheels of the client and of what it shares with the daemon, by their packages."""
    folder = tmp_path_factory.mktemp("wheel")
    look = [*PIP, "download", "--no-deps", "--dest", str(folder), "httpx"]
    if subprocess.run(look, capture_output=True, check=False).returncode:
        missing("pip reaches no package index to install the client's dependencies from")
    # Where they are built they leave folders behind.
    left = shutil.ignore_patterns("__pycache__", "build", "*.egg-info")
    sources = [shutil.copytree(ROOT / name, folder / name, ignore=left) for name in ("artifact", "client")]
    # The setuptools of this environment builds them: an environment of their own each would take longer than all the rest.
    run(*PIP, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder / "dist", *sources)
    return {path.name.partition("-")[0]: path for path in (folder / "dist").glob("*.whl")}


@pytest.fixture(scope="module")
def python(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh environment with both wheels."""
    environment = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", environment)
    interpreter = environment / "bin" / "python"
    run(*PIP, "--python", interpreter, "install", *wheels.values())
    return interpreter


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    data = ServedData(tmp_path_factory.mktemp("server"))
    data.champion()
    with serving(data.settings) as (_process, address):
        eventually(lambda: httpx.get(f"{address}/readyz").status_code == 200, within_s=60)
        yield address


@pytest.mark.parametrize(
    ("package", "extras", "needs"),
    [
        (
            "perennial_client",
            {"kafka", "onnx", "openvino", "spacy", "spacy-transformers", "transformers"},
            ["httpcore", "httpx", "perennial-artifact"],
        ),
        ("perennial_artifact", {"onnx", "openvino", "spacy", "spacy-transformers", "transformers"}, []),
    ],
)
def test_a_wheel_holds_its_package_and_names_its_extras(
    wheels: dict[str, Path], package: str, extras: set[str], needs: list[str]
) -> None:
    with zipfile.ZipFile(wheels[package]) as archive:
        names = archive.namelist()
        [metadata] = [name for name in names if name.endswith("/METADATA")]
        told = message_from_string(archive.read(metadata).decode())
    assert {name.partition("/")[0] for name in names} == {package, metadata.partition("/")[0]}
    folder = ROOT / package.removeprefix("perennial_")
    assert {path.relative_to(folder).as_posix() for path in (folder / package).rglob("*.py")} <= set(names)
    assert f"{package}/py.typed" in names
    assert set(told.get_all("Provides-Extra") or []) == extras
    needed = [line for line in told.get_all("Requires-Dist") or [] if "extra ==" not in line]
    assert [line.partition(">")[0].partition("<")[0] for line in needed] == needs
    assert package.replace("_", "-") in str(told.get_payload()), "the README is its description"


def test_importing_it_brings_nothing_heavy_and_nothing_of_the_daemon(python: Path) -> None:
    imported, where = json.loads(run(python, "-I", "-c", IMPORTS))
    assert "site-packages" in where
    assert not {*HEAVY, *OURS} & {*imported}
    installed = {package["name"].lower() for package in json.loads(run(*PIP, "--python", python, "list", "--format", "json"))}
    assert len(installed) < 15, f"few dependencies: {installed}"


def test_what_needs_an_extra_says_which(python: Path, address: str, tmp_path: Path) -> None:
    kafka, spacy = run(python, "-I", "-c", EXTRAS, address, TASK, tmp_path).splitlines()
    assert "pip install 'perennial-client[kafka]'" in kafka
    assert "pip install 'perennial-client[spacy]'" in spacy


def test_it_works_there(python: Path, address: str, tmp_path: Path) -> None:
    source, answers = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text(json.dumps({"text": TEXT}))
    batch = CLIENT / "examples" / "batch.py"
    assert run(python, "-I", batch, source, answers, "--task", TASK, "--url", address) == f"1 by {TASK}/v1\n"
    assert json.loads(answers.read_text())["spans"] == [{"start": 4, "end": 11, "label": "V1"}]
