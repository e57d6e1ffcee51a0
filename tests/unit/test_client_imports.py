"""The client, and what it shares with the daemon, import nothing of the daemon, and a heavy library only for its extra."""

from __future__ import annotations

import ast
import importlib
import re
import sys
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from perennial_client import Client, Model, Prediction
from perennial_client.kafka import KafkaFeedback

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "client" / "perennial_client"
ARTIFACT = ROOT / "artifact" / "perennial_artifact"
LIGHT = {CLIENT: {"httpcore", "httpx", "perennial_artifact", "perennial_client"}, ARTIFACT: {"perennial_artifact"}}
OF_EXTRA = {
    "kafka": {"kafka"}, "spacy": {"spacy"}, "transformer": {"safetensors", "torch", "transformers"},
    "sentence": {"numpy", "safetensors", "scipy", "torch", "transformers"}, "tagging": {"numpy", "torch", "transformers"},
    "blocks": {"numpy", "scipy", "sklearn"}, "merging": {"transformers"},
    "variants/graph": {"numpy"}, "variants/onnx": {"numpy", "onnxruntime"}, "variants/opening": {"numpy"},
    "variants/openvino": {"numpy", "safetensors"},
    "spacy/curated": {"safetensors", "spacy", "spacy_curated_transformers", "thinc", "torch"},
}  # fmt: skip
"""By the file, or the folder, that the extra is for."""
FILES = [(package, path) for package in LIGHT for path in sorted(package.rglob("*.py"))]

USED = {"client": Client, "model": Model, "prediction": Prediction, "feedback": KafkaFeedback}
"""What the names in the docs' examples are."""


def imported(path: Path) -> set[str]:
    """Return the modules that a file imports, at any place in it; those of its package by their full names."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            found |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


@pytest.mark.parametrize(("package", "path"), FILES, ids=lambda path: path.stem)
def test_a_file_imports_only_what_its_extra_brings(package: Path, path: Path) -> None:
    of_folder = OF_EXTRA.get(path.stem if path.parent == package else path.parent.name, set())
    of_extra = OF_EXTRA.get(f"{path.parent.name}/{path.stem}", of_folder)
    names = {name.partition(".")[0] for name in imported(path)}
    assert names - sys.stdlib_module_names <= LIGHT[package] | of_extra


@pytest.mark.parametrize("package", LIGHT, ids=lambda package: package.name)
def test_no_module_imports_itself_through_others(package: Path) -> None:
    named = {".".join(path.relative_to(package.parent).with_suffix("").parts): path for path in package.rglob("*.py")}
    needs = {name: imported(path) & (named.keys() - {name}) for name, path in named.items()}
    order = list(TopologicalSorter(needs).static_order())
    assert len(order) == len(named)


def test_extras_and_the_daemon_need_the_same_libraries() -> None:
    """The client loads what the daemon's libraries wrote: an older one may not read it."""
    projects = [tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"] for folder in ("artifact", "client")]
    daemon = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    further = daemon["optional-dependencies"]
    its = [*daemon["dependencies"], *further["onnx"], *further["openvino"], *further["spacy-transformers"]]
    oldest = {name: version for name, _, version in (one.replace("==", ">=").partition(">=") for one in its)}
    needed = [one for project in projects for extra in project["optional-dependencies"].values() for one in extra]
    for one in needed:
        name, _, version = one.partition(">=")
        if not name.startswith("perennial-artifact"):
            assert oldest[name].startswith(version), f"{one} of the client, {oldest[name]} of the daemon"


@pytest.mark.parametrize("page", ["client/README.md", "docs/client.md"])
def test_the_code_in_the_docs_names_what_exists(page: str) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), flags=re.DOTALL)
    assert blocks
    for node in (node for block in blocks for node in ast.walk(ast.parse(block))):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module or "")
            assert all(hasattr(module, alias.name) for alias in node.names)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in USED:
            assert hasattr(USED[node.value.id], node.attr), f"{page} speaks of {node.value.id}.{node.attr}"
